"""A program that asks for a bomb: `python bomb_script.py KIND SORT HOST`. It prints the error and the MiB that it cost."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fm_client import AsyncClient, Client, ResponseTooLargeError


def peak() -> int:
    """The most memory that this process ever held, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) // 1024


CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda fm: fm.chat("bomb", "Hi"),
    "stream": lambda fm: fm.stream_chat("bomb", "Hi"),
    "embed": lambda fm: fm.embed("bomb", "Hi"),
}
GOOD: dict[str, Callable[[Any], Any]] = {
    "chat": lambda fm: fm.chat("good", "Hi"),
    "stream": lambda fm: fm.stream_chat("good", "Hi"),
    "embed": lambda fm: fm.embed("good", "Hi"),
}


async def finished(answer: Any) -> None:
    """An answer to its end, be it a stream or not."""
    if hasattr(answer, "__aiter__"):
        async for _ in answer:
            pass
    else:
        await answer


def used(call: Callable[[Any], Any], client: Any) -> None:
    """Make a call, to its end."""
    if isinstance(client, AsyncClient):
        asyncio.run(finished(call(client)))
    else:
        list(call(client))


def main(kind: str, sort: str, host: str) -> None:
    """Ask for something harmless, so that all is imported, and then for the bomb."""
    client = (Client if sort == "sync" else AsyncClient)(host, "token-for-tests")
    used(GOOD[kind], client)
    before = peak()
    try:
        used(CALLS[kind], client)
    except ResponseTooLargeError as error:
        sys.stdout.write(f"{peak() - before} {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
