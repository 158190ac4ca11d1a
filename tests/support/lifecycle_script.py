"""A program that uses a client in one of the ways in which clients break: `python lifecycle_script.py WAY SORT KIND HOST`.

The token comes from the environment. What it prints is `ok`, if every answer was the one that was asked for.
"""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from fm_client import AsyncClient, Client

TIMES = 150


def shown(kind: str, answer: Any) -> str:
    """The number that was sent, as it came back."""
    if kind == "embed":
        return f"{int(answer.vectors[0][0])}"
    return str(answer.text if kind == "chat" else "".join(chunk.text for chunk in answer))


def ask(client: Client, kind: str, number: int) -> str:
    """Send a number; the server sends it back."""
    text = str(number)
    if kind == "embed":
        return shown(kind, client.embed("ep", text))
    return shown(kind, client.chat("ep", text) if kind == "chat" else list(client.stream_chat("ep", text)))


async def ask_async(client: AsyncClient, kind: str, number: int) -> str:
    """`ask`, async."""
    text = str(number)
    if kind == "embed":
        return shown(kind, await client.embed("ep", text))
    if kind == "chat":
        return shown(kind, await client.chat("ep", text))
    return shown(kind, [chunk async for chunk in client.stream_chat("ep", text)])


def wrong(client: Any, kind: str, start: int, times: int = TIMES) -> int:
    """How many answers are not those to the question."""
    numbers = range(start, start + times)
    if isinstance(client, Client):
        return sum(ask(client, kind, number) != str(number) for number in numbers)

    async def turns() -> int:
        return sum([await ask_async(client, kind, number) != str(number) for number in numbers])

    return asyncio.run(turns())


def fork(client: Any, kind: str) -> int:
    """Parent and child go on with one client."""
    found = wrong(client, kind, 0, 3)
    child = os.fork()
    found += wrong(client, kind, 10_000 if child == 0 else 20_000)
    if child == 0:
        os._exit(found)
    found += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return found


def spawn(client: Any, kind: str) -> int:
    """New processes get it as a pickle."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as workers:
        jobs = [workers.submit(wrong, client, kind, start, 10) for start in (0, 1_000)]
        return sum(job.result() for job in jobs)


def copied(client: Any, kind: str) -> int:
    """Copies are as good; a pickle holds no token, and becomes a client with the token of where it is read."""
    import cloudpickle

    found = sum(wrong(made(client), kind, 0, 3) for made in (copy.copy, copy.deepcopy))
    for dumps in (pickle.dumps, cloudpickle.dumps):
        data = dumps(client)
        found += os.environ["DATABRICKS_TOKEN"].encode() in data
        found += wrong(pickle.loads(data), kind, 0, 3)  # noqa: S301 - our own bytes
    return found


def loops(client: Any, kind: str) -> int:
    """Three event loops, one after the other; for the sync client: inside of one."""
    if isinstance(client, AsyncClient):
        return sum(wrong(client, kind, start, 3) for start in (0, 10, 20))

    async def inside() -> int:
        return wrong(client, kind, 0, 3)

    return asyncio.run(inside())


def leave_open(client: Any, kind: str) -> int:
    """Exit in the middle of a stream."""
    if isinstance(client, Client):
        for _ in client.stream_chat("ep", "0"):
            return 0

    async def leave() -> int:
        async for _ in client.stream_chat("ep", "0"):
            return 0
        return 1

    return asyncio.run(leave())


def wait(client: Any, kind: str) -> int:
    """Wait for an answer that does not come, until a signal does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    return wrong(client, kind, 0, 1)


WAYS: dict[str, Callable[[Any, str], int]] = {
    way.__name__: way for way in (fork, spawn, copied, loops, leave_open, wait)
}


def main(way: str, sort: str, kind: str, host: str) -> None:
    """Use a client that way."""
    client = (Client if sort == "sync" else AsyncClient)(host)
    found = WAYS[way](client, kind)
    sys.stdout.write("ok" if found == 0 else f"{found} wrong")


if __name__ == "__main__":
    main(*sys.argv[1:])
