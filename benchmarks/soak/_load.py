"""The measured process: an open-loop load on one AsyncClient and one Client, and the ledger of how each call ended."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import queue
import sys
import threading
import time
import tracemalloc
from array import array
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from fm_client import AsyncClient, Client, FMError, StreamInterruptedError, Timeout
from fm_client._pool import MAX_CONNECTIONS

from ._census import Complaints, Memory, crowding, growth, holdings, lines, settled
from ._plan import LATE_LIMIT, TASKS, THREADS, Case, Script, case_of, read_script

NONE, OK, ERROR, LEFT = range(4)
SETTLING = 2.0
MAX_DETAILS = 50
MODELS = {"chat": "soak-chat", "stream": "soak-stream", "embed": "soak-embed"}


class Ledger:
    """One line per call. Its size is fixed from the start, so that it looks like no leak."""

    def __init__(self, total: int) -> None:
        self.outcome, self.error = array("b", bytes(total)), array("b", bytes(total))
        self.attempts = array("b", bytes(total))
        self.start, self.end = (array("d", bytes(8 * total)) for _ in range(2))
        self.errors: list[str] = [""]
        self.doubled = self.checked = self.wrong = 0
        self.details: list[str] = []
        self.short: list[int] = []
        """Calls whose stream broke elsewhere than planned."""
        self._lock = threading.Lock()

    def note(self, case: Case, outcome: int, start: float, error: FMError | None = None) -> None:
        with self._lock:
            self.doubled += self.outcome[case.id] != NONE
            self.outcome[case.id], self.start[case.id], self.end[case.id] = outcome, start, time.monotonic()
            if error is not None:
                self.error[case.id] = self._number(type(error).__name__)
                self.attempts[case.id] = getattr(error, "attempts", 0)

    def _number(self, name: str) -> int:
        if name not in self.errors:
            self.errors.append(name)
        return self.errors.index(name)

    def check(self, case: Case, got: Any, wanted: Any) -> None:
        """Whether what was received is this call's own."""
        with self._lock:
            self.checked += 1
            if got != wanted:
                self.wrong += 1
                self.details += [f"{case}: got {got!r:.200}, wanted {wanted!r:.200}"][: MAX_DETAILS - len(self.details)]

    def report(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {name: list(value) if isinstance(value, array) else value for name, value in kept.items()}


def options(case: Case) -> dict[str, Any]:
    return {"timeout": Timeout(total=LATE_LIMIT)} if case.fault == "late" else {}


def check_whole(ledger: Ledger, case: Case, response: Any) -> None:
    if case.verb == "embed":
        ledger.check(case, response.vectors, case.vectors)
    else:
        ledger.check(case, response.text, "".join(case.words))


def check_partial(ledger: Ledger, case: Case, error: FMError) -> None:
    """What arrived before a stream broke: the events that were sent, all of them unless the service went away."""
    if isinstance(error, StreamInterruptedError):
        ledger.check(case, error.partial_text, "".join(case.words[: error.events]))
        if error.events != case.after:
            ledger.short.append(case.id)


class AsyncCaller:
    """The calls of the tasks."""

    def __init__(self, client: AsyncClient, ledger: Ledger) -> None:
        self._client, self._ledger = client, ledger

    async def work(self, cases: asyncio.Queue[Case | None]) -> None:
        while (case := await cases.get()) is not None:
            start = time.monotonic()
            try:
                outcome, error = await self._perhaps_cancelled(case), None
            except FMError as failure:
                outcome, error = ERROR, failure
                check_partial(self._ledger, case, failure)
            self._ledger.note(case, outcome, start, error)

    async def _perhaps_cancelled(self, case: Case) -> int:
        if case.leave not in ("ticks", "delay"):
            return await self._call(case)
        task = asyncio.create_task(self._call(case))
        if case.leave == "delay":
            await asyncio.sleep(case.after / 1000)
        else:
            for _ in range(case.after):
                await asyncio.sleep(0)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return LEFT

    async def _call(self, case: Case) -> int:
        model = MODELS[case.verb]
        if case.verb == "stream":
            return await self._stream(case, self._client.stream_chat(model, case.prompt, **options(case)))
        if case.verb == "chat":
            response: Any = await self._client.chat(model, case.prompt, **options(case))
        else:
            response = await self._client.embed(model, case.texts, **options(case))
        check_whole(self._ledger, case, response)
        return OK

    async def _stream(self, case: Case, chunks: AsyncIterator[Any]) -> int:
        said: list[str] = []
        async for chunk in chunks:
            said.append(chunk.text)
            if case.leave in ("close", "drop") and len(said) == case.after:
                self._ledger.check(case, said, case.words[: case.after])
                if case.leave == "close":
                    await chunks.aclose()  # type: ignore[attr-defined]  # it is an async generator
                return LEFT
        self._ledger.check(case, "".join(said), "".join(case.words))
        return OK


class Caller:
    """The calls of the threads."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self._client, self._ledger = client, ledger

    def work(self, cases: queue.SimpleQueue[Case | None]) -> None:
        while (case := cases.get()) is not None:
            start = time.monotonic()
            try:
                outcome, error = self._call(case), None
            except FMError as failure:
                outcome, error = ERROR, failure
                check_partial(self._ledger, case, failure)
            self._ledger.note(case, outcome, start, error)

    def _call(self, case: Case) -> int:
        model = MODELS[case.verb]
        if case.verb == "stream":
            return self._stream(case, self._client.stream_chat(model, case.prompt, **options(case)))
        if case.verb == "chat":
            response: Any = self._client.chat(model, case.prompt, **options(case))
        else:
            response = self._client.embed(model, case.texts, **options(case))
        check_whole(self._ledger, case, response)
        return OK

    def _stream(self, case: Case, chunks: Iterator[Any]) -> int:
        said: list[str] = []
        for chunk in chunks:
            said.append(chunk.text)
            if case.leave and len(said) == case.after:
                self._ledger.check(case, said, case.words[: case.after])
                if case.leave == "close":
                    chunks.close()  # type: ignore[attr-defined]  # it is a generator
                return LEFT
        self._ledger.check(case, "".join(said), "".join(case.words))
        return OK


class Run:
    """The load, from the first call to the last, and what is left when both clients are closed."""

    def __init__(self, script: Script, began: float, host: str) -> None:
        self.script, self.began, self.ledger = script, began, Ledger(script.calls)
        secret = "secret-for-tests"
        self._aio = AsyncClient(host, client_id="async", client_secret=secret)
        self._sync = Client(host, client_id="sync", client_secret=secret)
        self._for_tasks: asyncio.Queue[Case | None] = asyncio.Queue()
        self._for_threads: queue.SimpleQueue[Case | None] = queue.SimpleQueue()

    async def load(self, first: int, last: int, rate: float) -> None:
        """Calls `first` to `last` (exclusive), to their end."""
        work = Caller(self._sync, self.ledger).work
        threads = [threading.Thread(target=work, args=(self._for_threads,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        caller = AsyncCaller(self._aio, self.ledger)
        tasks = [asyncio.create_task(caller.work(self._for_tasks)) for _ in range(TASKS)]
        await self._dispatch(first, last, rate)
        await asyncio.gather(*tasks)
        while any(thread.is_alive() for thread in threads):  # noqa: ASYNC110  # threads set no asyncio event
            await asyncio.sleep(0.01)

    async def _dispatch(self, first: int, last: int, rate: float) -> None:
        """Each call at its time, whether those before it have ended or not."""
        for number in range(first, last):
            if (wait := self.began + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            case = case_of(self.script.seed, number)
            self._give(case, case.lane)
        for _ in range(TASKS):
            self._give(None, "async")
        for _ in range(THREADS):
            self._give(None, "sync")

    async def storm(self) -> list[tuple[float, float, float]]:
        """The timed calls; samples of memory."""
        memory = Memory(self.script.seconds)
        watch = asyncio.create_task(memory.watch(self.began))
        await self.load(0, self.script.total, self.script.rate)
        watch.cancel()
        return memory.samples

    async def traced(self) -> list[tuple[int, str]]:
        """The calls after them, as fast as they go; what the second half of them left behind."""
        middle = self.script.total + self.script.tail // 2
        tracemalloc.start()
        await self.load(self.script.total, middle, float("inf"))
        before = lines()
        await self.load(middle, self.script.calls, float("inf"))
        grown = growth(before, lines())
        tracemalloc.stop()
        return grown

    def _give(self, case: Case | None, lane: str) -> None:
        if lane == "async":
            self._for_tasks.put_nowait(case)
        else:
            self._for_threads.put(case)

    async def close(self) -> dict[str, int]:
        """Close both clients; connections in use, and open, that their pools still know of."""
        gc.collect()  # streams that were dropped half-way
        await asyncio.sleep(0.1)
        pools: list[Any] = [
            self._aio._http._pools[os.getpid()][asyncio.get_running_loop()],
            self._sync._http._pools[os.getpid()],
        ]
        aio, sync = pools
        active = (MAX_CONNECTIONS - aio._slots._value) + (MAX_CONNECTIONS - sync._slots.qsize())
        await self._aio.aclose()
        self._sync.close()
        return {"active": active, "open": sum(pool.shelf.open for pool in pools)}


async def main(port: str, result: str, *arguments: str) -> None:
    """Load the server on `port` from the moment that is read from the input, and write all there is to know."""
    script, complaints = read_script(list(arguments)), Complaints()
    complaints.listen(asyncio.get_running_loop())
    print("ready", flush=True)
    began = float(sys.stdin.readline())
    before = holdings()
    run = Run(script, began, f"http://127.0.0.1:{port}")
    memory = await run.storm()
    cpu, crowded = time.process_time(), crowding()
    grown = await run.traced()
    closed = time.monotonic()
    pools = await run.close()
    took = await settled(before, SETTLING)
    after = holdings()
    del run._aio, run._sync  # their finalizers may have something to say
    gc.collect()
    report = run.ledger.report() | {
        "began": began,
        "closed": closed,
        "before": before,
        "after": after,
        "settled": took,
        "pools": pools,
        "memory": memory,
        "growth": grown,
        "complaints": complaints.texts,
        "cpu": cpu,
        "crowding": crowded,
    }
    Path(result).write_text(json.dumps(report))  # noqa: ASYNC240  # nothing else is running any more
    # The server is to see connections end because they were closed, not because this process ends.
    await asyncio.sleep(max(0.0, closed + SETTLING + 0.1 - time.monotonic()))


if __name__ == "__main__":
    with asyncio.Runner(debug=False) as runner:  # the development mode would otherwise slow down the loop as well
        runner.run(main(*sys.argv[1:]))
