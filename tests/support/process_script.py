"""A program that uses a client in the middle of a fork, a signal or its own end: `python process_script.py WAY SORT HOST`.

The credential comes from the environment. What it prints is `ok`, if every answer was the one that was asked for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from lifecycle_script import wrong

from fm_client import AsyncClient, Client

BATCHES = [f"text {i}" for i in range(6)]
PATIENCE = 10.0
"""Seconds that a call waits for an endpoint."""
kept: list[Any] = []
"""What is still open when the program ends."""


def forked(client: Any, times: int, before: Callable[[], object] = lambda: None) -> int:
    """Parent and child each ask so many times; a child that hangs is a wrong answer."""
    child = os.fork()
    if child == 0:
        os._exit(min(wrong(client, "chat", 10_000, times), 100))
    found = wrong(client, "chat", 20_000, times)
    return found + os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_with_a_token(client: Any) -> int:
    """A token that was fetched before the fork serves both."""
    return wrong(client, "chat", 0, 3) + forked(client, 150)


def fork_while_busy(client: Any) -> int:
    """Another thread waits for an answer, or fetches a token, at the moment of the fork."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(wrong(client, "chat", 999_000, 1)))
    thread.start()
    time.sleep(0.15)
    total = forked(client, 20)
    thread.join()
    return total + found[0]


def fork_while_another_waits(client: Any) -> int:
    """Another thread asks an endpoint that is not ready, for all who wait for that, at the moment of the fork."""

    def is_wrong(number: int) -> bool:
        call = client.chat("ep", str(number), wait_ready=PATIENCE)
        return (asyncio.run(call) if isinstance(client, AsyncClient) else call).text != str(number)

    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(is_wrong(0)))
    thread.start()
    time.sleep(0.3)
    child = os.fork()
    if child == 0:
        begun = time.monotonic()
        os._exit(is_wrong(1) or time.monotonic() - begun > PATIENCE / 2)
    thread.join()
    return found[0] + os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def loops_at_once(client: AsyncClient) -> int:
    """Four event loops in four threads, at the same time."""
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda start=start: found.append(wrong(client, "chat", start, 40)))
        for start in range(0, 4_000, 1_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(found)


def beside_a_loop(client: AsyncClient) -> int:
    """From a thread, on a loop that runs in another one, while this one has its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def one(number: int) -> bool:
        return (await client.chat("ep", str(number))).text != str(number)

    there = [asyncio.run_coroutine_threadsafe(one(number), loop) for number in range(50)]
    found = wrong(client, "chat", 1_000, 50) + sum(job.result(60) for job in there)
    asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    return found


def in_a_stream(client: Any) -> int:
    """Read a stream that goes on until a signal comes."""

    async def read() -> None:
        async for _ in client.stream_chat("ep", "0"):
            pass

    if isinstance(client, AsyncClient):
        asyncio.run(read())
    else:
        for _ in client.stream_chat("ep", "0"):
            pass
    return 1


def in_batches(client: Any) -> int:
    """Wait for several answers at once until a signal comes."""
    call = client.embed("ep", BATCHES, batch_size=1)
    if isinstance(client, AsyncClient):
        asyncio.run(call)
    return 1


def end_with_streams(client: Any) -> int:
    """The program ends while it holds streams that are open."""

    async def begin() -> None:
        for _ in range(3):
            kept.append(client.stream_chat("ep", "0"))
            await anext(kept[-1])

    if isinstance(client, AsyncClient):
        asyncio.run(begin())
    else:
        for _ in range(3):
            kept.append(client.stream_chat("ep", "0"))
            next(kept[-1])
    kept.append(client)
    return 0


def end_with_a_loop(client: AsyncClient) -> int:
    """The program ends with a loop that was never closed, and a stream on it."""
    loop = asyncio.new_event_loop()
    stream = client.stream_chat("ep", "0")
    loop.run_until_complete(anext(stream))
    loop.run_until_complete(stream.aclose())
    loop.run_until_complete(client.aclose())
    loop.close()
    kept.extend([client, stream, loop])
    return 0


WAYS: dict[str, Callable[[Any], int]] = {
    way.__name__: way
    for way in (
        fork_with_a_token,
        fork_while_busy,
        fork_while_another_waits,
        loops_at_once,
        beside_a_loop,
        in_a_stream,
        in_batches,
        end_with_streams,
        end_with_a_loop,
    )
}


def main(way: str, sort: str, host: str) -> None:
    """Use a client that way."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    found = WAYS[way]((Client if sort == "sync" else AsyncClient)(host))
    sys.stdout.write("ok" if found == 0 else f"{found} wrong")


if __name__ == "__main__":
    main(*sys.argv[1:])
