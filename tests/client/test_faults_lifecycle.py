"""Fault matrix, rows L1 to L4: event loops, threads, forks, pickles, signals and the end of the program."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import lifecycle_script
import pytest
from fault_lab import CANARY, Lab, laboratory
from fault_server import DONE, Answer, Seen, chat, chunked, either, embeddings, reply, silence, words
from matrix import ENDPOINT, KINDS, Kind
from timing import HELD, SOON, eventually, wait_until_it_waits

lab = pytest.fixture(params=["sync", "async"])(laboratory)
each_kind = pytest.mark.parametrize("kind", KINDS)


def echo(seen: Seen) -> Answer:
    """Send back the number that was asked."""
    asked = seen.json
    if "input" in asked:
        return reply(200, embeddings([float(text), 1.0] for text in asked["input"]))
    text = asked["messages"][0]["content"]
    return chunked(*words(text[:1], text[1:]), DONE) if asked.get("stream") else reply(200, chat(text))


def start(lab: Lab, way: str, kind: Kind) -> subprocess.Popen[str]:
    """The program, with all warnings as errors."""
    sort = "async" if lab.is_async else "sync"
    command = [sys.executable, "-W", "error", lifecycle_script.__file__, way, sort, kind, lab.server.host]
    environment = {**os.environ, "DATABRICKS_TOKEN": CANARY}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(lab: Lab, way: str, kind: Kind) -> tuple[str, str, int]:
    """What the program said, and how it ended."""
    with start(lab, way, kind) as program:
        said, complained = program.communicate(timeout=HELD)
    lab.expect(lab.server.attempts(ENDPOINT))
    return said, complained, program.returncode


@each_kind
@pytest.mark.parametrize("way", ["fork", "copied", "loops"])
def test_a_client_survives(lab: Lab, way: str, kind: Kind) -> None:
    """L1 to L3: no answer is another one's, and nothing is complained of."""
    lab.server.script(ENDPOINT, either(echo, lab.server))
    assert ("ok", "", 0) == outcome(lab, way, kind)
    expected = {"fork": 3 + 2 * lifecycle_script.TIMES, "copied": 12, "loops": 9 if lab.is_async else 3}
    assert expected[way] == lab.server.attempts(ENDPOINT)


@pytest.mark.parametrize("kind", ["chat", "embed"])
def test_a_client_is_sent_to_new_processes(lab: Lab, kind: Kind) -> None:
    """L3"""
    lab.server.script(ENDPOINT, either(echo, lab.server))
    assert ("ok", "", 0) == outcome(lab, "spawn", kind)
    assert 20 == lab.server.attempts(ENDPOINT)


def test_a_program_ends_in_the_middle_of_a_stream(lab: Lab) -> None:
    """L4: at once, and without a word."""
    lab.server.script(ENDPOINT, chunked(*words("0", finish=None), end="hold"))
    begun = time.monotonic()
    assert ("ok", "", 0) == outcome(lab, "leave_open", "stream")
    assert time.monotonic() - begun < SOON
    assert eventually(lab.server.disconnected.is_set)


@each_kind
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_call(lab: Lab, kind: Kind, number: signal.Signals) -> None:
    """L4: at once, whatever is being waited for."""
    lab.server.script(ENDPOINT, silence(HELD))
    with start(lab, "wait", kind) as program:
        assert eventually(lambda: lab.server.attempts(ENDPOINT) == 1)
        wait_until_it_waits(program.pid)
        program.send_signal(number)
        begun = time.monotonic()
        said, complained = program.communicate(timeout=HELD / 2)
        assert time.monotonic() - begun < SOON
    lab.expect(1)
    assert ("", 7 if number == signal.SIGTERM else -signal.SIGINT) == (said, program.returncode)
    assert ("KeyboardInterrupt" in complained) is (number == signal.SIGINT)
    assert "Exception ignored" not in complained and "never retrieved" not in complained and CANARY not in complained


@each_kind
def test_four_threads_use_one_client(lab: Lab, kind: Kind) -> None:
    """L1: each with an event loop of its own, if it needs one."""
    lab.server.script(ENDPOINT, either(echo, lab.server))
    client = lab.client()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda turn: lifecycle_script.wrong(client, kind, turn * 1_000, 20), range(4)))
    assert [0] * 4 == found
    lab.expect(80)


@each_kind
@pytest.mark.parametrize("lab", ["async"], indirect=True)
def test_a_call_is_cancelled_at_any_moment(lab: Lab, kind: Kind) -> None:
    """S10, for all kinds: no slot is lost, and the client goes on."""
    lab.server.script(ENDPOINT, either(echo, lab.server))
    client = lab.client()
    client._http._limits = (2, *client._http._limits[1:])

    async def rounds() -> None:
        for turn in range(40):
            tasks = [asyncio.ensure_future(lifecycle_script.ask_async(client, kind, n)) for n in range(4)]
            for _ in range(turn):
                await asyncio.sleep(0)
            if turn % 5 == 0:
                await asyncio.sleep(0.002)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    lab.run(rounds())
    assert "77" == lab.run(lifecycle_script.ask_async(client, kind, 77))
    lab.check_pools()
    lab.expect_what_came()


@each_kind
@pytest.mark.parametrize("lab", ["async"], indirect=True)
def test_a_deadline_of_asyncio_ends_a_call(lab: Lab, kind: Kind) -> None:
    """L4"""
    lab.server.script(ENDPOINT, silence(HELD))

    async def limited() -> None:
        async with asyncio.timeout(0.2):
            await lifecycle_script.ask_async(lab.client(), kind, 1)

    with pytest.raises(TimeoutError):
        lab.run(limited())
    lab.expect_what_came()
