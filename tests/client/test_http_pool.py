"""Connections: reuse, bounds, waiting, cancellation, threads, forks, event loops, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fault_server import Answer, Connection, FaultServer, Seen, chunked, head, meeting, raw, reply
from timing import HELD, SOON, eventually

from fm_client import APIConnectionError, APITimeoutError, ConfigurationError
from fm_client._http import HTTP, AsyncHTTP
from fm_client._wire import Request, Timeout

Make = Callable[..., Any]


def post(server: FaultServer, path: str = "/x", **fields: Any) -> Request:
    return Request("POST", server.host + path, {}, b"{}", **fields)


def slow(seconds: float, body: bytes = b"ok") -> Answer:
    """A whole answer, after a while."""

    def answer(connection: Connection) -> bool:
        time.sleep(seconds)
        return reply(200, body)(connection)

    return answer


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open one more


def test_one_connection_serves_calls_in_a_row(http: Make, server: FaultServer) -> None:
    server.script("/x", reply(200, b"ok"))
    face = http()
    for _ in range(5):
        face.send(post(server))
    assert server.connections == 1
    assert (len(face.pool.shelf), face.pool.shelf.open) == (1, 1)


def test_the_connection_used_last_is_used_next(http: Make, server: FaultServer) -> None:
    server.script("/slow", slow(0.1))
    server.script("/x", reply(200, b"ok"))
    face = http()
    face.together(*[post(server, "/slow") for _ in range(3)])
    face.send(post(server))
    last = server.seen[-1].connection
    for _ in range(4):
        face.send(post(server))
    assert {request.connection for request in server.seen[-4:]} == {last}
    assert server.connections == 3


def test_an_answer_that_came_unasked_is_not_taken_for_the_next_one(http: Make, server: FaultServer) -> None:
    """Whoever can make a server send two could otherwise answer somebody else's request."""
    one = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
    server.script("/two", raw(one + b"one" + one + b"bad", end="keep"))
    server.script("/x", reply(200, b"ok"))
    face = http()
    assert face.send(post(server, "/two")).body == b"one"
    assert [face.send(post(server)).body for _ in range(2)] == [b"ok", b"ok"]
    assert server.connections == 2


def test_no_more_connections_are_opened_than_allowed(http: Make, server: FaultServer) -> None:
    server.script("/slow", slow(0.05))
    face = http(max_connections=3)
    replies = face.together(*[post(server, "/slow") for _ in range(12)])
    assert [answer.body for answer in replies] == [b"ok"] * 12
    assert server.connections == 3
    assert face.free_slots == 3


def test_who_waits_too_long_for_a_connection_gets_a_pool_timeout(http: Make, server: FaultServer) -> None:
    server.script("/held", chunked(b"one", HELD, b"two"))
    server.script("/x", reply(200, b"ok"))
    face = http(max_connections=1)
    held = face.send(post(server, "/held", stream=True))
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        face.send(post(server, timeout=Timeout(pool=0.2)))
    assert caught.value.phase == "pool"
    assert 0.19 <= time.monotonic() - began < SOON
    with pytest.raises(APITimeoutError) as caught:
        face.send(post(server, timeout=Timeout(pool=5.0, total=0.1)))
    assert caught.value.phase == "total"
    face.release(held)
    assert face.send(post(server)).body == b"ok"


def test_idle_connections_are_closed_when_they_expire(http: Make, server: FaultServer) -> None:
    server.script("/slow", slow(0.05))
    server.script("/x", reply(200, b"ok"))
    now = [0.0]
    face = http(keepalive_expiry=10.0, clock=lambda: now[0])
    face.together(*[post(server, "/slow") for _ in range(4)])
    now[0] = 6.0
    face.send(post(server))
    now[0] = 12.0
    face.send(post(server))
    assert (server.connections, len(face.pool.shelf)) == (4, 1)
    now[0] = 30.0
    face.send(post(server))
    assert (server.connections, len(face.pool.shelf), face.pool.shelf.open) == (5, 1, 1)


def test_the_oldest_idle_connection_makes_room_for_another_host(http: Make, server: FaultServer) -> None:
    server.script("/x", reply(200, b"ok"))
    server.script("/slow", slow(0.05))
    face = http(max_connections=2)
    face.together(post(server, "/slow"), post(server, "/slow"))
    with FaultServer() as other:
        other.script("/x", reply(200, b"other"))
        assert face.send(post(other)).body == b"other"
        assert (face.pool.shelf.open, len(face.pool.shelf)) == (2, 2)
    assert face.send(post(server)).body == b"ok"


def test_release_at_the_end_of_a_stream_keeps_its_connection(http: Make, server: FaultServer) -> None:
    server.script("/x", chunked(b"event", b"[DONE]"))
    face = http()
    for _ in range(3):
        opened = face.send(post(server, stream=True))
        assert face.read(opened).startswith(b"event")
        face.release(opened)
        face.release(opened)
        with pytest.raises(APIConnectionError):
            face.read(opened)
    assert server.connections == 1


def test_release_in_the_middle_closes_at_once_and_the_server_sees_it(http: Make, server: FaultServer) -> None:
    server.script("/x", chunked(b"event", end="hold"))
    server.script("/y", reply(200, b"ok"))
    face = http()
    opened = face.send(post(server, stream=True))
    face.read(opened)
    began = time.monotonic()
    face.release(opened)
    assert time.monotonic() - began < SOON
    assert eventually(lambda: not server._open)
    assert (face.pool.shelf.open, face.free_slots) == (0, face.pool.shelf._room)
    assert face.send(post(server, "/y")).body == b"ok"


def test_nothing_is_left_open_by_success_failure_or_early_release(http: Make, server: FaultServer) -> None:
    server.script("/x", reply(200, b"ok"))
    server.script("/cut", chunked(b"half", end="cut"))
    server.script("/stream", chunked(b"one", b"two"))
    server.script("/hold", chunked(b"one", end="hold"))
    face = http()
    before = open_files()
    for _ in range(5):
        face.send(post(server))
        with pytest.raises(APIConnectionError):
            face.send(post(server, "/cut"))
        for path in ("/stream", "/hold"):
            face.release(face.send(post(server, path, stream=True)))
    face.close()
    assert eventually(lambda: open_files() <= before)
    with pytest.raises(ConfigurationError):
        face.send(post(server))


def test_sockets_answer_at_once_and_notice_a_dead_peer(http: Make, server: FaultServer) -> None:
    import socket

    server.script("/x", reply(200, b"ok"))
    face = http()
    face.send(post(server))
    (stack,) = face.pool.shelf._stacks.values()
    sock = stack[0].wire.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_300_rounds_of_cancelled_tasks_keep_all_slots(server: FaultServer) -> None:
    server.script("/x", slow(0.001))
    server.script("/s", chunked(b"one", 0.001, b"two"))
    http = AsyncHTTP("h", max_connections=4)

    async def streamed() -> None:
        opened = await http.send(post(server, "/s", stream=True))
        try:
            while await http.read(opened, 5.0):
                pass
        finally:
            await http.release(opened)

    for turn in range(300):
        tasks = [asyncio.ensure_future(http.send(post(server)) if n % 2 else streamed()) for n in range(12)]
        for _ in range(turn % 40):
            await asyncio.sleep(0)
        if turn % 7 == 0:
            await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    pool = http._pools[os.getpid()][asyncio.get_running_loop()]
    assert pool._slots._value == 4
    assert pool.shelf.open == len(pool.shelf) <= 4
    replies = await asyncio.gather(*(http.send(post(server)) for _ in range(8)))
    assert [answer.status for answer in replies] == [200] * 8
    await http.aclose()


async def test_200_concurrent_calls_take_little_longer_than_one(server: FaultServer) -> None:
    http = AsyncHTTP("h")
    for _ in range(2):
        server.script("/x", meeting(200))
        begun = time.process_time()
        answers = await asyncio.gather(*(http.send(post(server)) for _ in range(200)))
        assert {answer.status for answer in answers} == {200}, "all were there at the same time"
    assert time.process_time() - begun < 2.5  # with the pool of httpx: 5 s
    assert server.connections == 200
    await http.aclose()


def own_path(request: Seen) -> Answer:
    """Answer every request with its own path."""
    return reply(200, request.path.encode())


def test_threads_share_one_client_and_none_gets_the_answer_of_another(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_answer_to", own_path)
    http = HTTP("h", max_connections=4)

    def work(who: int) -> list[bool]:
        paths = [f"/{who}/{n}" for n in range(50)]
        return [http.send(post(server, path)).body == path.encode() for path in paths]

    with ThreadPoolExecutor(8) as threads:
        assert all(all(right) for right in threads.map(work, range(8)))
    assert server.connections <= 4
    http.close()


FORK_SCRIPT = """
import asyncio, os, sys
from fm_client._http import HTTP, AsyncHTTP
from fm_client._wire import Request
kind, host = sys.argv[1:]
http = HTTP("h") if kind == "sync" else AsyncHTTP("h")
def ask(who, times):
    async def turns():
        wrong = 0
        for n in range(times):
            wrong += (await http.send(Request("POST", f"{host}/{who}{n}", {}, b""))).body != f"/{who}{n}".encode()
        return wrong
    if kind == "async":
        return asyncio.run(turns())
    paths = [f"/{who}{n}" for n in range(times)]
    return sum(http.send(Request("POST", host + path, {}, b"")).body != path.encode() for path in paths)
wrong = ask("warm", 3)
child = os.fork()
wrong += ask("child" if child == 0 else "parent", 150)
if child == 0:
    os._exit(wrong)
print(wrong, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
if kind == "sync":
    http.close()
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_forked_child_never_reads_its_parents_answers(
    server: FaultServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_answer_to", own_path)
    command = [sys.executable, "-W", "error", "-c", FORK_SCRIPT, kind, server.host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == (["0", "0"], "")


LOOP_SCRIPT = """
import asyncio, gc, sys
from fm_client._http import AsyncHTTP
from fm_client._wire import Request
http, url = AsyncHTTP("h"), sys.argv[1]
async def main():
    asyncio.get_running_loop().slow_callback_duration = 10  # a machine that is busy is no finding
    await asyncio.gather(*(http.send(Request("POST", url, {}, b"")) for _ in range(3)))
    opened = await http.send(Request("POST", url + "stream", {}, b"", stream=True))
    await http.read(opened, 1.0)
for _ in range(3):
    asyncio.run(main())
    gc.collect()
print(sum(map(len, http._pools.values())))
"""


def test_three_event_loops_in_a_row_share_a_client_and_leave_nothing_behind(server: FaultServer) -> None:
    server.script("/x", reply(200, b"ok"))
    server.script("/xstream", chunked(b"one", end="hold"))
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", LOOP_SCRIPT, f"{server.host}/x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.fixture
def borrowed(http: Make) -> Iterator[Callable[..., Any]]:
    """The HTTP layer over an httpx client of the caller's."""
    faces: list[Any] = []

    def make(**settings: Any) -> Any:
        kind = http.kind  # type: ignore[attr-defined]
        client = (httpx.Client if kind == "sync" else httpx.AsyncClient)(**settings)
        faces.append(http(http_client=client))
        return faces[-1]

    yield make
    for face in faces:
        face.close()
        client = face.http._client
        assert not client.is_closed
        face._finish(client.close() if face.loop is None else client.aclose())


class TestHttpClientOfTheCaller:
    def test_it_sends_with_its_own_headers_and_ours_win(self, borrowed: Make, server: FaultServer) -> None:
        server.script("/x", reply(200, b"hello"))
        face = borrowed(headers={"x-own": "1", "authorization": "theirs"})
        request = Request("POST", f"{server.host}/x", {"authorization": "Bearer token-for-tests"}, b"{}")
        assert face.send(request).body == b"hello"
        headers = server.seen[0].headers
        assert (headers["x-own"], headers["authorization"]) == ("1", "Bearer token-for-tests")

    def test_it_streams_and_unpacks_and_fails_like_ours(self, borrowed: Make, server: FaultServer) -> None:
        import gzip

        server.script("/x", chunked(b"one", b"two"), reply(200, gzip.compress(b"text"), Content_Encoding="gzip"))
        server.script("/cut", chunked(b"half", end="cut"))
        server.script("/moved", reply(307, b"", Location=f"{server.host}/x"))
        face = borrowed(follow_redirects=True)
        opened = face.send(post(server, stream=True))
        assert b"".join(iter(lambda: face.read(opened), b"")) == b"onetwo"
        assert face.send(post(server)).body == b"text"
        assert face.send(post(server, "/moved")).status == 307
        with pytest.raises(APIConnectionError):
            face.send(post(server, "/cut"))
        with pytest.raises(APIConnectionError):
            face.send(Request("GET", "http://127.0.0.1:1/"))

    def test_a_slow_drip_ends_at_the_total(self, borrowed: Make, server: FaultServer) -> None:
        def drip(connection: Connection) -> bool:
            connection.write(head(200, {"content-length": "100"}))
            for _ in range(30):
                time.sleep(0.05)
                connection.write(b"x")
            return False

        server.script("/x", drip)
        face = borrowed()
        with pytest.raises(APITimeoutError) as caught:
            face.send(post(server, timeout=Timeout(total=0.3)))
        assert caught.value.phase == "total"

    def test_the_wrong_kind_is_refused(self, http: Make) -> None:
        wrong = httpx.AsyncClient() if http.kind == "sync" else httpx.Client()  # type: ignore[attr-defined]
        with pytest.raises(ConfigurationError, match="must be an httpx"):
            http(http_client=wrong)
        with pytest.raises(ConfigurationError, match="not str"):
            http(http_client="client")


def test_its_repr_names_the_host_and_no_secret(http: Make) -> None:
    assert repr(http().http) in ("HTTP('http://host.test')", "AsyncHTTP('http://host.test')")


def test_the_module_makes_nothing_when_it_is_imported() -> None:
    code = "import fm_client._http, sys; print('httpx' in sys.modules, 'urllib.request' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]
