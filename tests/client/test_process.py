"""A client in forks, threads, signals, cancelled tasks, and at the end of a program; beside what test_faults_lifecycle has."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import process_script
import pytest
from fault_server import (
    DONE,
    Answer,
    Connection,
    FaultServer,
    Seen,
    chat,
    chunked,
    either,
    embeddings,
    meeting,
    reply,
    silence,
    words,
)
from timing import HELD, SOON, eventually, wait_until_it_waits

from fm_client import AsyncClient, Client
from fm_client._oauth import DEFAULT_TOKEN_PATH, DISCOVERY_PATH

TOKEN = "token-for-tests"
SECRET = "canary-client-secret-for-tests"
GRANT = reply(200, {"access_token": "fetched-token-for-tests", "expires_in": 3600})
each_sort = pytest.mark.parametrize("sort", ["sync", "async"])
each_credential = pytest.mark.parametrize("credential", ["token", "OAuth"])
each_signal = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


def slowly(seconds: float, answer: Answer) -> Answer:
    def answered(connection: Connection) -> bool:
        time.sleep(seconds)
        return answer(connection)

    return answered


def echo(seen: Seen) -> Answer:
    """Send back what was asked; numbers from 999,000 on take their time."""
    asked = seen.json
    if "input" in asked:
        return reply(200, embeddings([float(len(text))] for text in asked["input"]))
    text = asked["messages"][0]["content"]
    whole = chunked(*words(text[:1], text[1:]), DONE) if asked.get("stream") else reply(200, chat(text))
    return slowly(0.4, whole) if text.isdigit() and int(text) >= 999_000 else whole


@pytest.fixture
def echoing(server: FaultServer) -> FaultServer:
    server.script("ep", either(echo, server))
    server.script(DISCOVERY_PATH, reply(404, "no"))
    server.script(DEFAULT_TOKEN_PATH, GRANT)
    return server


def start(server: FaultServer, way: str, sort: str, credential: str = "token") -> subprocess.Popen[str]:
    """The program, with all warnings as errors."""
    oauth = {"DATABRICKS_CLIENT_ID": "me", "DATABRICKS_CLIENT_SECRET": SECRET}
    named = {"DATABRICKS_HOST": server.host, **(oauth if credential == "OAuth" else {"DATABRICKS_TOKEN": TOKEN})}
    command = [sys.executable, "-W", "error", process_script.__file__, way, sort, server.host]
    return subprocess.Popen(
        command, env={**os.environ, **named}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(server: FaultServer, way: str, sort: str, credential: str = "token") -> tuple[str, str, int]:
    """What the program said, and how it ended; a program that hangs is ended."""
    with start(server, way, sort, credential) as program:
        try:
            said, complained = program.communicate(timeout=HELD)
        except subprocess.TimeoutExpired:
            program.kill()
            raise
    return said, complained, program.returncode


@each_sort
def test_a_token_fetched_before_a_fork_serves_parent_and_child(echoing: FaultServer, sort: str) -> None:
    """L2, with OAuth: 2 x 150 requests, no wrong answer, and one token."""
    assert ("ok", "", 0) == outcome(echoing, "fork_with_a_token", sort, "OAuth")
    assert 303 == echoing.attempts("ep")
    assert 1 == sum(request.path == DEFAULT_TOKEN_PATH for request in echoing.seen)


@each_sort
@each_credential
def test_a_fork_while_another_thread_is_busy_hangs_nobody(echoing: FaultServer, sort: str, credential: str) -> None:
    """L2: the other thread waits for its answer, or holds the lock under which a token is fetched."""
    echoing.script(DEFAULT_TOKEN_PATH, slowly(0.4, GRANT))
    assert ("ok", "", 0) == outcome(echoing, "fork_while_busy", sort, credential)
    assert 41 == echoing.attempts("ep")


@each_sort
def test_a_child_does_not_wait_for_who_asks_in_its_parent(server: FaultServer, sort: str) -> None:
    """L2: one call asks an endpoint that is not ready, for all of its process."""
    not_ready = reply(503, {"message": "Endpoint ep is not ready"}, retry_after="0.1")
    asked = lambda: {seen.json["messages"][0]["content"] for seen in server.seen}  # noqa: E731
    server.script("ep", either(lambda seen: echo(seen) if asked() == {"0", "1"} else not_ready, server))
    assert ("ok", "", 0) == outcome(server, "fork_while_another_waits", sort)


@each_credential
@pytest.mark.parametrize("way", ["loops_at_once", "beside_a_loop"])
def test_one_async_client_serves_loops_in_several_threads(echoing: FaultServer, way: str, credential: str) -> None:
    """L1"""
    assert ("ok", "", 0) == outcome(echoing, way, "async", credential)
    assert {"loops_at_once": 160, "beside_a_loop": 100}[way] == echoing.attempts("ep")


def ended_by(server: FaultServer, way: str, sort: str, number: signal.Signals, asked: int) -> None:
    """Once so many requests are there, a signal ends the program at once."""
    with start(server, way, sort) as program:
        try:
            assert eventually(lambda: server.attempts("ep") >= asked)
            wait_until_it_waits(program.pid)
            program.send_signal(number)
            begun = time.monotonic()
            said, complained = program.communicate(timeout=HELD / 2)
            took = time.monotonic() - begun
        finally:
            program.kill()
    assert took < SOON
    assert ("", 7 if number == signal.SIGTERM else -signal.SIGINT) == (said, program.returncode), complained
    for noise in ("Exception ignored", "never retrieved", "ResourceWarning", TOKEN):
        assert noise not in complained


@each_sort
@each_signal
def test_a_signal_ends_a_stream_between_two_events(server: FaultServer, sort: str, number: signal.Signals) -> None:
    """L4"""
    server.script("ep", chunked(*words("a", "b", finish=None), end="hold"))
    ended_by(server, "in_a_stream", sort, number, 1)
    assert eventually(server.disconnected.is_set)


@each_sort
@each_signal
def test_a_signal_ends_several_batches_at_once(server: FaultServer, sort: str, number: signal.Signals) -> None:
    """L4: also those that other threads wait for."""
    server.script("ep", silence(HELD))
    ended_by(server, "in_batches", sort, number, len(process_script.BATCHES))


@pytest.mark.parametrize(
    ("way", "sort"), [("end_with_streams", "sync"), ("end_with_streams", "async"), ("end_with_a_loop", "async")]
)
def test_a_program_ends_at_once_and_without_a_word_whatever_is_open(server: FaultServer, way: str, sort: str) -> None:
    """L4"""
    server.script("ep", chunked(*words("a", finish=None), end="hold"))
    begun = time.monotonic()
    said, complained, code = outcome(server, way, sort)
    assert ("ok", 0) == (said, code)
    assert "Exception ignored" not in complained and "never retrieved" not in complained, complained
    assert time.monotonic() - begun < SOON, "start included; streams stay open for longer"


# -- cancelled tasks


@pytest.fixture
def small(echoing: FaultServer) -> Iterator[tuple[asyncio.AbstractEventLoop, AsyncClient]]:
    """A client with three connections, and its loop."""
    loop = asyncio.new_event_loop()
    client = AsyncClient(echoing.host, TOKEN, concurrency=3)
    client._http._limits = (3, *client._http._limits[1:])
    yield loop, client
    loop.run_until_complete(client.aclose())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def asked(client: AsyncClient, kind: str, number: int) -> bool:
    """Whether the answer is the one that was asked for."""
    text = str(number)
    if kind == "embed":
        return [[1.0], [2.0], [len(text)]] == (await client.embed("ep", ["a", "bb", text], batch_size=1)).vectors
    if kind == "chat":
        return text == (await client.chat("ep", text)).text
    return text == "".join([chunk.text async for chunk in client.stream_chat("ep", text)])


def test_300_rounds_of_cancelled_calls_lose_no_slot_and_mix_up_nothing(small: Any, echoing: FaultServer) -> None:
    """S10: chats, streams and batches at once on three connections, cancelled after 0 to k steps of the loop."""
    loop, client = small
    chance = random.Random(20_260_101)  # noqa: S311 - for the same rounds each time
    finished = cancelled = 0

    async def one_round(turn: int) -> list[Any]:
        kinds = ("chat", "stream", "embed") * 2
        tasks = [asyncio.ensure_future(asked(client, kind, turn * 10 + i)) for i, kind in enumerate(kinds)]
        for _ in range(turn % 30):
            await asyncio.sleep(0)
        if turn % 3 == 0:
            await asyncio.sleep(chance.random() * 0.01)
        for task in chance.sample(tasks, 5):  # one goes on
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for turn in range(300):
        for result in loop.run_until_complete(one_round(turn)):
            finished += result is True
            cancelled += isinstance(result, asyncio.CancelledError)
            assert result is True or isinstance(result, asyncio.CancelledError), result
    assert 1800 == finished + cancelled and finished >= 300 and cancelled >= 300
    assert [True] * 6 == loop.run_until_complete(_together(client))
    assert not asyncio.all_tasks(loop)
    meet(small, echoing)


def meet(small: Any, server: FaultServer) -> None:
    """All three connections can be used at once."""
    loop, client = small
    server.script("meeting", meeting(3))

    async def together() -> list[Any]:
        return await asyncio.gather(*(client.chat("meeting", "Hi") for _ in range(3)))

    assert ["met"] * 3 == [answer.text for answer in loop.run_until_complete(together())]


async def _together(client: AsyncClient) -> list[bool]:
    return await asyncio.gather(*(asked(client, kind, 77) for kind in ("chat", "stream", "embed") * 2))


@pytest.mark.parametrize("how", ["left", "closed", "dropped", "cancelled"])
def test_a_stream_that_is_not_read_to_its_end_gives_its_slot_back(small: Any, server: FaultServer, how: str) -> None:
    loop, client = small
    server.script("ep", chunked(*words("a", "b", finish=None), end="hold"))

    async def read(event: asyncio.Event | None = None) -> None:
        async for _ in client.stream_chat("ep", "0"):
            if event is None:
                return
            event.set()

    async def ten_times() -> None:
        for _ in range(10):
            if how == "cancelled":
                event = asyncio.Event()
                task = asyncio.ensure_future(read(event))
                await event.wait()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                continue
            stream = client.stream_chat("ep", "0")
            await anext(stream)
            if how == "closed":
                await stream.aclose()
            elif how == "left":
                await read()
                await stream.aclose()
            del stream
            gc.collect()
            await asyncio.sleep(0.005)  # the loop closes a generator that was dropped in a task of its own

    loop.run_until_complete(ten_times())
    meet(small, server)


def test_a_sync_client_in_threads_that_fail_and_succeed_loses_no_slot(echoing: FaultServer) -> None:
    echoing.script("bad", reply(400, "no"))
    with Client(echoing.host, TOKEN, max_retries=0) as client:
        client._http._limits = (3, *client._http._limits[1:])
        for _ in range(10):
            with pytest.raises(Exception, match="no"):
                client.embed("bad", ["a", "b", "c", "d"], batch_size=1)
            assert 4 == len(client.embed("ep", ["a", "b", "c", "d"], batch_size=1).vectors)
        echoing.script("meeting", meeting(3))
        with ThreadPoolExecutor(3) as threads:
            answers = list(threads.map(lambda _: client.chat("meeting", "Hi").text, range(3)))
    assert ["met"] * 3 == answers


def test_an_async_client_has_what_its_first_request_needs_from_the_start(server: FaultServer) -> None:
    """A child forked while another thread imports that would wait for it for ever; who is sync need not load it."""
    server.script("e", reply(200, chat("ok")))
    code = (
        "import asyncio, sys; from fm_client import AsyncClient, Client\n"
        "Client(sys.argv[1], 'token-for-tests'); print({'anyio._backends._asyncio', 'fm_client._sockets'} & {*sys.modules})\n"
        "fm, made = AsyncClient(sys.argv[1], 'token-for-tests'), set(sys.modules)\n"
        "print(asyncio.run(fm.chat('e', 'Hi')).text)\n"
        "print([name for name in set(sys.modules) - made if name.startswith(('fm_client', 'anyio', 'httpcore'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, server.host], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "ok", "[]"]
