"""Runs in the environment of one subject: measures what it is told to, and prints one line of JSON.

`_environments.Environments.ask` starts it, with the job as JSON in its only argument.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import statistics
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import _floors
from ._memory import growth, peak
from ._server import TEXT, VARIANTS, WORD, vectors
from ._subjects import Subject
from ._wires import Control

Figures = dict[str, Any]
WARM = 30
EMBED_LATENCY = 0.05
SLOW = 8
"""Times the latency that calls at once take together, from where on it matters whether cost is quadratic."""
LONG = 0.5
"""Seconds of CPU after which one turn, or two, are enough."""
TURNS = 3
FEW, WARM_STREAMS = 20, 3
"""Chunks of the streams whose first chunk is timed, and streams before those."""
ENOUGH = 0.05
"""Seconds below which a task says nothing of how busy the server is: preparing its answers is then most of it."""
REST = 0.01
"""Seconds between the first chunk and the others, where the first one is timed."""


class Worker:
    """One subject, and the server that it talks to."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.plan = job, job["plan"]
        self.control = Control(job["host"])
        module = importlib.import_module(f".{job['module']}", __package__)
        self.subject: Subject = getattr(module, job["class"])(job["host"], "token-for-benchmarks")
        self.loop = asyncio.new_event_loop()
        self.embed_wall = 0.0

    def run(self) -> dict[str, Any]:
        figures: Figures = {}
        busy: dict[str, float] = {}
        for task in self.job["tasks"]:
            gc.collect()
            before = self.control.stats()
            figures |= getattr(self, task)()
            after = self.control.stats()
            if (wall := after["wall"] - before["wall"]) > ENOUGH:
                busy[task] = (after["cpu"] - before["cpu"]) / wall
        return {"figures": figures, "busy": busy, "crowding": crowding()}

    def mode(self, **mode: Any) -> None:
        self.control.mode(**mode)
        _floors.CHUNKS = mode.get("chunks", 10)

    # -- one call after the other

    def chat(self) -> Figures:
        self.mode()
        return {
            "chat_sync": self.each(self.subject.chat, self.plan["calls"]),
            "chat_async": self.aeach(self.subject.achat, self.plan["calls"]),
        }

    def each(self, call: Callable[[], str], count: int) -> float:
        """CPU of one call, in µs."""
        for _ in range(min(WARM, count)):
            right(call(), TEXT)
        began = time.process_time()
        for _ in range(count):
            right(call(), TEXT)
        return (time.process_time() - began) / count * 1e6

    def aeach(self, call: Callable[[], Awaitable[str]] | None, count: int) -> float | None:
        if call is None:
            return None

        async def several(n: int) -> None:
            for _ in range(n):
                right(await call(), TEXT)

        self.loop.run_until_complete(several(min(WARM, count)))
        began = time.process_time()
        self.loop.run_until_complete(several(count))
        return (time.process_time() - began) / count * 1e6

    # -- many at once

    def concurrent(self) -> Figures:
        return self.measured_at_once(self.plan["concurrent"][0])

    def more_concurrent(self) -> Figures:
        """Only where it ends: if cost is quadratic, five times as many take twenty-five times as long, twice."""
        found: Figures = {}
        first, *more = self.plan["concurrent"]
        for count in more:
            self.mode(delay=self.plan["latency"])
            wall, _, _ = self.at_once(first)
            if wall > SLOW * self.plan["latency"] and wall * (count / first) * 2 > self.plan["patience"]:
                break
            found |= self.measured_at_once(count)
        return found

    def measured_at_once(self, count: int) -> Figures:
        self.mode(delay=self.plan["latency"])
        self.at_once(count)  # opens the connections
        wall, cpu, done = self.at_once(count)
        if done < count:  # given up: what the CPU of these would have been, nobody knows
            return {f"wall_{count}": wall}
        return {f"wall_{count}": wall, f"rate_{count}": count / wall, f"cpu_{count}": cpu / count * 1e6}

    def at_once(self, count: int) -> tuple[float, float, int]:
        """Wall time, CPU, and how many answers came before patience ran out."""
        cpu, wall = time.process_time(), time.perf_counter()
        done = self.in_threads(count) if self.subject.achat is None else self.in_tasks(count)
        return time.perf_counter() - wall, time.process_time() - cpu, done

    def in_tasks(self, count: int) -> int:
        async def run() -> int:
            tasks = [asyncio.ensure_future(self.subject.achat()) for _ in range(count)]
            finished, late = await asyncio.wait(tasks, timeout=self.plan["patience"])
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            for task in finished:
                right(task.result(), TEXT)
            return len(finished)

        return self.loop.run_until_complete(run())

    def in_threads(self, count: int) -> int:
        with ThreadPoolExecutor(count) as threads:
            for text in threads.map(lambda _: self.subject.chat(), range(count)):
                right(text, TEXT)
        return count

    # -- streams

    def streams(self) -> Figures:
        chunks, count = self.plan["chunks"], self.plan["streams"]
        self.mode(chunks=chunks)
        return {
            "chunk_sync": self.chunk_cpu(self.listen, chunks, count),
            "chunk_async": self.chunk_cpu(self.alisten, chunks, count) if self.subject.astream else None,
        }

    def chunk_cpu(self, listen: Callable[[], str], chunks: int, count: int) -> float:
        """CPU of one chunk, in µs."""
        right(listen(), WORD * chunks)
        began = time.process_time()
        for _ in range(count):
            right(listen(), WORD * chunks)
        return (time.process_time() - began) / (count * chunks) * 1e6

    def listen(self) -> str:
        return "".join(self.subject.stream())

    def alisten(self) -> str:
        async def run() -> str:
            return "".join([text async for text in self.subject.astream()])

        return self.loop.run_until_complete(run())

    def first_chunk(self) -> Figures:
        """Time to the first word, in ms; the median of some streams."""
        self.mode(chunks=FEW, rest=REST)
        times = [self.time_first() for _ in range(WARM_STREAMS + self.plan["first_chunks"])]
        return {"first_chunk": statistics.median(times[WARM_STREAMS:]) * 1e3}

    def time_first(self) -> float:
        began, first, said = time.perf_counter(), 0.0, ""
        for text in self.subject.stream():
            if text and not first:
                first = time.perf_counter() - began
            said += text
        right(said, WORD * FEW)
        return first

    # -- embeddings

    def embeddings(self) -> Figures:
        """From a route that gives base64 to who asks for it."""
        self.mode(delay=EMBED_LATENCY)
        self.subject.embed(["warm"] * 8)
        packed = self.control.stats()["packed"]
        wall, cpu = self.embed(count := self.plan["texts"][0])
        self.embed_wall = wall
        return {
            f"embed_{count}": wall,
            f"embed_cpu_{count}": cpu,
            "packed": self.control.stats()["packed"] > packed,
        }

    def more_embeddings(self) -> Figures:
        found: Figures = {}
        first, *more = self.plan["texts"]
        for count in more:
            if self.embed_wall * count / first > self.plan["patience"]:
                break
            self.mode(delay=EMBED_LATENCY)
            found[f"embed_{count}"], _ = self.embed(count)
        return found

    def plain(self) -> Figures:
        """From a route that gives numbers to everyone."""
        self.mode(delay=EMBED_LATENCY, packs=False)
        wall, cpu = self.embed(count := self.plan["texts"][0])
        return {f"plain_{count}": wall, f"plain_cpu_{count}": cpu}

    def embed(self, count: int) -> tuple[float, float]:
        """Wall time, and CPU in ms for 1,000 vectors."""
        texts = [f"text {i}" for i in range(count)]
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        got = self.subject.embed(texts)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self.check(got, count)
        return wall, cpu / count * 1e6

    def check(self, got: Any, count: int) -> None:
        """Right in number and order: each is the one after the one before it, or the first one of a request."""
        known = vectors(1024)
        right(len(got), count)
        numbers = {vector[0]: i for i, vector in enumerate(known)}
        places = [numbers.get(vector[0], -1) for vector in got]
        odd = [b for a, b in pairwise([-1, *places]) if b not in (0, (a + 1) % VARIANTS)]
        right(odd, [])
        right(list(got[-1]), known[places[-1]])

    # -- memory

    def memory(self) -> Figures:
        self.mode()
        return growth(lambda: right(self.subject.chat(), TEXT), self.plan["memory_calls"])

    def big(self) -> Figures:
        """The most memory that one large answer takes, as a multiple of its size."""
        size = self.plan["big"]
        self.mode(content=size)
        held = peak(lambda: right(len(self.subject.chat()), size))
        return {"big": None if held is None else held / size}

    # -- how cost grows: seconds of CPU

    def grow_concurrent(self) -> Figures:
        self.mode(delay=self.plan["latency"])
        sizes = self.plan["grow_concurrent"]
        self.at_once(max(sizes))  # opens the connections
        turns = [[self.cpu_at_once(n) for n in sizes] for _ in range(TURNS)]
        return {"grow_concurrent": [[n, min(spent)] for n, *spent in zip(sizes, *turns, strict=True)]}

    def cpu_at_once(self, count: int) -> float:
        gc.collect()
        _, cpu, done = self.at_once(count)
        right(done, count)
        return cpu

    def grow_texts(self) -> Figures:
        self.mode(dims=32)
        self.subject.embed(["warm"])
        sizes = self.plan["grow_texts"]
        return {
            "grow_texts": [[n, self.spent(lambda n=n: right(len(self.subject.embed(["text"] * n)), n))] for n in sizes]
        }

    def grow_chunks(self) -> Figures:
        found = []
        for count in self.plan["grow_chunks"]:
            self.mode(chunks=count)
            found.append([count, self.spent(lambda n=count: right(self.listen(), WORD * n))])
        return {"grow_chunks": found}

    def spent(self, call: Callable[[], Any]) -> float:
        """CPU of the quickest of three; of one, if that takes long."""
        times: list[float] = []
        while len(times) < TURNS and sum(times) < LONG:
            gc.collect()
            began = time.process_time()
            call()
            times.append(time.process_time() - began)
        return min(times)


def right(got: Any, wanted: Any) -> None:
    """Who gives another answer than the server did is not measured."""
    if got != wanted:
        raise ValueError(f"a wrong answer: {got!r:.60} instead of {wanted!r:.60}")


def crowding() -> float:
    """Seconds that this process waited for its core, for each second that it had it: what others took."""
    try:
        ran, waited = Path("/proc/self/schedstat").read_text(encoding="ascii").split()[:2]
    except OSError:
        return 0.0
    return int(waited) / max(int(ran), 1)


def main() -> None:
    warnings.simplefilter("ignore")  # of peers, about themselves
    print(json.dumps(Worker(json.loads(sys.argv[1])).run()))


if __name__ == "__main__":
    main()
