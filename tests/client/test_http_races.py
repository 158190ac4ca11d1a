"""What two threads, two processes, two event loops or a garbage collection do at the same moment."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import DONE, FaultServer, chat, chunked, reply, words

from fm_client import ConfigurationError
from fm_client._http import AsyncHTTP
from fm_client._pool import Pool
from fm_client._wire import Request

Make = Callable[..., Any]

FORKED_STREAM = """
import asyncio, gc, os, sys, time
from fm_client import APIError, AsyncClient, Client
kind, how, host = sys.argv[1:]
loop = asyncio.new_event_loop()
fm = (Client if kind == "sync" else AsyncClient)(host, "token-for-tests")
def finish(result):
    return result if kind == "sync" else loop.run_until_complete(result)
stream = fm.stream_chat("s", "Hi")
def following():
    return next(stream) if kind == "sync" else finish(anext(stream))
text = following().text
time.sleep(0.4)  # the next events lie in the socket, which the child has, too
child = os.fork()
if child == 0:
    try:
        if how == "reads":
            for _ in range(8):
                following()
    except APIError:
        pass
    if how == "closes":
        finish(stream.close() if kind == "sync" else stream.aclose())
    stream = None
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
try:
    while True:
        text += following().text
except (StopIteration, StopAsyncIteration):
    print(text)
finish(fm.close() if kind == "sync" else fm.aclose())
loop.close()
"""


@pytest.mark.parametrize("how", ["closes", "drops", "reads"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_forked_child_takes_nothing_out_of_its_parents_stream(server: FaultServer, kind: str, how: str) -> None:
    pieces = words(*"abcdefgh")
    server.script("s", chunked(pieces[0], 0.2, *pieces[1:5], 0.6, *pieces[5:], DONE))
    command = [sys.executable, "-c", FORKED_STREAM, kind, how, server.host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("abcdefgh\n", 0), done.stderr


COLLECTED = """
import faulthandler, gc, sys
from fm_client import Client, _pool, _shelf
faulthandler.dump_traceback_later(30, exit=True)
class Holder:
    pass
def abandon(fm):
    holder = Holder()
    holder.itself, holder.stream = holder, fm.stream_chat("s", "Hi")
    next(holder.stream)
gc.disable()
with Client(sys.argv[1], "token-for-tests") as fm:
    for module, name in ((_pool, "dial"), (_shelf.Shelf, "take"), (_shelf.Shelf, "put"), (_shelf.Shelf, "add")):
        abandon(fm)
        original = getattr(module, name)
        setattr(module, name, lambda *args: (gc.collect(), original(*args))[1])  # as any allocation may
        print(fm.chat("e", "Hi").text)
        setattr(module, name, original)
    (pool,) = fm._http._pools.values()
    print(pool.shelf.open, len(pool.shelf), pool._slots.qsize() == pool.shelf._room)
"""


def test_a_garbage_collection_inside_the_pool_ends_an_abandoned_stream_and_no_deadlock(server: FaultServer) -> None:
    server.script("s", chunked(*words("a", "b", finish=None), end="hold"))
    server.script("e", reply(200, chat("ok")))
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED, server.host], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.split(), done.returncode) == (["ok"] * 4 + ["1", "1", "True"], 0), done.stderr


@pytest.fixture
def quick_turns() -> Any:
    """Threads take turns far more often than usual, so that races are met in a moment."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


class Doomed(list[Any]):
    """A list that another thread has emptied between the look and the grasp."""

    def __bool__(self) -> bool:
        return True


def test_two_threads_may_close_what_was_given_up_at_the_same_time() -> None:
    pool = Pool()
    pool.shelf.doomed = Doomed()
    pool.bury()
    assert pool.shelf.doomed == []


@pytest.mark.usefixtures("quick_turns")
def test_event_loops_that_come_and_go_in_threads_share_a_client(server: FaultServer) -> None:
    http, failures = AsyncHTTP("h"), list[BaseException]()
    until = time.monotonic() + 1.5

    async def ask() -> None:
        await http._pool()

    def work() -> None:
        while time.monotonic() < until and not failures:
            try:
                asyncio.run(ask())
            except RuntimeError as exc:
                failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_without_its_package_says_what_to_install(
    http: Make, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:1")
    face = http()
    with pytest.raises(ConfigurationError, match=r"httpx\[socks\]"):
        face.send(Request("GET", "http://host.test/x"))


def test_a_dial_that_fails_counts_no_connection(
    http: Make, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script("/x", reply(200, b"ok"))
    face = http()
    request = Request("GET", f"{server.host}/x")

    def fail(*_: object) -> None:
        raise RuntimeError("no connection")

    with monkeypatch.context() as patch:
        for name in ("dial", "dial_async"):
            patch.setattr(f"fm_client._pool.{name}", fail)
        with pytest.raises(RuntimeError):
            face.send(request)
    face.send(request)
    assert (face.pool.shelf.open, len(face.pool.shelf), face.free_slots) == (1, 1, face.pool.shelf._room)
