"""`python -m benchmarks.load --streams 1000 --seconds 60`: so many streams at all times, each begun anew as it ends."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "databricks-meta-llama-3-3-70b-instruct"
TEXT = "The answer of a model comes in pieces, one after the other, and each of them is an event of its own. " * 4
SAMPLE_SECONDS = 2.0
CALL_SECONDS = 60.0
SETTLE_SECONDS = 5.0
SPARE_FILES = 200
MEMORY_SLACK_KB = 8_192
"""What the memory of the server may have grown by between the first third of the run and its end."""


@dataclass
class Result:
    """What came of the load."""

    seconds: float = 0.0
    ended: int = 0
    events: int = 0
    most_at_once: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, int]] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)

    def verdicts(self, streams: int) -> Iterator[tuple[bool, str]]:
        """Each claim: whether it holds, and the figure."""
        yield not self.faults, f"no stream failed: {dict(self.faults) or 'none'} of {self.ended}"
        yield self.most_at_once >= streams, f"{streams} streams ran at once: {self.most_at_once}"
        third = self.samples[len(self.samples) // 3 :]
        growth = third[-1]["memory_kb"] - third[0]["memory_kb"] if third else 0
        yield growth <= MEMORY_SLACK_KB, f"memory levels off: {growth / 1024:+.1f} MiB after the first third"
        for what in ("files", "threads"):
            yield self.after[what] <= self.before[what], f"no {what} left: {self.before[what]} → {self.after[what]}"


class Server:
    """The other process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address: dict[str, str] = self._line()

    def ask(self, what: str = "") -> dict[str, Any]:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the workspace has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def served() -> Iterator[Server]:
    command = [sys.executable, "-m", "benchmarks.load._server"]
    # With one heap per thread, memory that is free in one looks lost to the rest.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


class Load:
    """The clients: plain sockets, so that as little as possible of the machine goes to them."""

    def __init__(self, address: dict[str, str]) -> None:
        parts = urlsplit(address["host"])
        self._place = (parts.hostname, parts.port)
        body = json.dumps({"messages": [{"role": "user", "content": f"{TEXT}What comes in pieces?"}], "stream": True})
        head = [
            f"POST /serving-endpoints/{ENDPOINT}/invocations HTTP/1.1",
            f"Host: {parts.netloc}",
            f"Authorization: Bearer {address['token']}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        self._request = "\r\n".join([*head, "", body]).encode()
        self.result = Result()
        self._running = 0
        self._until = 0.0

    async def run(self, streams: int, seconds: float) -> None:
        """Keep `streams` streams running for as long as told."""
        began = time.monotonic()
        self._until = began + seconds
        await asyncio.gather(*(self._user() for _ in range(streams)))
        self.result.seconds = time.monotonic() - began

    async def _user(self) -> None:
        """One connection, kept, on which a stream follows the other."""
        reader, writer = await asyncio.open_connection(*self._place)
        try:
            while time.monotonic() < self._until:
                await self._stream(reader, writer)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.result.faults[f"{type(error).__name__}: {error}"[:80]] += 1
        finally:
            writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._request)
        async with asyncio.timeout(CALL_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ValueError(head.partition(b"\r\n")[0].decode())
            self._running += 1
            self.result.most_at_once = max(self.result.most_at_once, self._running)
            try:
                events = await _events(reader)
                self.result.events += events
            finally:
                self._running -= 1
        self.result.ended += 1


async def _events(reader: asyncio.StreamReader) -> int:
    """The number of events until the stream ends, as it must."""
    count, last = 0, b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        last = (await reader.readexactly(size + 2))[:-2]
        count += last.count(b"data: ")
    await reader.readexactly(2)
    if not last.endswith(b"data: [DONE]\n\n"):
        raise ValueError("the stream ended before its end")
    return count


async def watched(server: Server, load: Load, streams: int, seconds: float) -> None:
    async def sample() -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            load.result.samples.append(await asyncio.to_thread(server.ask))

    sampling = asyncio.create_task(sample())
    try:
        await load.run(streams, seconds)
    finally:
        sampling.cancel()


def run(streams: int, seconds: float) -> Result:
    """The whole load: warmed up, run, and looked at once all connections are closed."""
    with served() as server:
        load = Load(server.address)
        asyncio.run(Load(server.address).run(2, 0.5))
        load.result.before = settled(server)
        asyncio.run(watched(server, load, streams, seconds))
        load.result.after = settled(server, load.result.before)
    return load.result


def settled(server: Server, before: dict[str, int] | None = None) -> dict[str, int]:
    """A census once the server has noticed that its clients have gone."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        time.sleep(0.5)
        found = server.ask("collect")
        if before is None or found["files"] <= before["files"] or time.monotonic() > until:
            return found


def report(result: Result) -> list[str]:
    most = max((sample["memory_kb"] for sample in result.samples), default=0)
    rates = f"{result.ended / result.seconds:,.0f} streams/s, {result.events / result.seconds:,.0f} events/s"
    before, after = (found["memory_kb"] / 1024 for found in (result.before, result.after))
    return [
        f"{result.ended:,} streams with {result.events:,} events in {result.seconds:.1f} s: {rates}",
        f"memory of the server: {before:.0f} MiB before, {most / 1024:.0f} MiB at most, {after:.0f} MiB after",
    ]


def raise_file_limit(streams: int) -> None:
    """For this process and the server that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = streams + SPARE_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))


def main() -> int:
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    raise_file_limit(options.streams)
    result = run(options.streams, options.seconds)
    print(*report(result), "", sep="\n")
    verdicts = list(result.verdicts(options.streams))
    for holds, claim in verdicts:
        print(f"{'ok  ' if holds else 'FAIL'} {claim}")
    return 0 if all(holds for holds, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
