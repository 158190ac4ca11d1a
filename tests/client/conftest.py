"""`http(...)`: the HTTP layer, sync and async in turn, behind one sync face."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fm_client._http import HTTP, AsyncHTTP
from fm_client._wire import Reply, Request


class Face:
    """An `HTTP` or an `AsyncHTTP`, driven by plain calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, **settings: Any) -> None:
        self.loop = loop
        self.http: Any = (HTTP if loop is None else AsyncHTTP)("http://host.test", **settings)

    def send(self, request: Request) -> Reply:
        reply: Reply = self._finish(self.http.send(request))
        return reply

    def read(self, reply: Reply, timeout: float | None = 5.0) -> bytes:
        data: bytes = self._finish(self.http.read(reply, timeout))
        return data

    def release(self, reply: Reply) -> None:
        self._finish(self.http.release(reply))

    def close(self) -> None:
        self._finish(self.http.close() if self.loop is None else self.http.aclose())

    def together(self, *requests: Request) -> list[Reply]:
        """All at once: in tasks, or in threads."""
        if self.loop is None:
            with ThreadPoolExecutor(len(requests)) as threads:
                return list(threads.map(self.http.send, requests))

        async def gathered() -> list[Reply]:
            return list(await asyncio.gather(*(self.http.send(request) for request in requests)))

        return self.loop.run_until_complete(gathered())

    @property
    def pool(self) -> Any:
        (pool,) = self.http._pools.values()
        return pool if self.loop is None else pool[self.loop]

    @property
    def free_slots(self) -> int:
        slots = self.pool._slots
        return int(slots.qsize() if self.loop is None else slots._value)

    def _finish(self, result: Any) -> Any:
        if not inspect.isawaitable(result):
            return result
        assert self.loop is not None
        return self.loop.run_until_complete(result)


@pytest.fixture(params=["sync", "async"])
def http(request: pytest.FixtureRequest) -> Iterator[Callable[..., Face]]:
    """`http(max_connections=4, …)` -> the HTTP layer of the kind that is under test."""
    loop = asyncio.new_event_loop() if request.param == "async" else None
    faces: list[Face] = []

    def make(**settings: Any) -> Face:
        faces.append(Face(loop, **settings))
        return faces[-1]

    make.kind = request.param  # type: ignore[attr-defined]
    yield make
    for face in faces:
        face.close()
    if loop is not None:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
