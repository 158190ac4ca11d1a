"""httpx on a pool that keeps its idle connections in a stack: what one can build in an afternoon, for plain http."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpcore
import httpx


def inner(request: httpx.Request) -> httpcore.Request:
    url = request.url
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    kinds = {"headers": request.headers.raw, "content": request.stream, "extensions": request.extensions}
    return httpcore.Request(method=request.method, url=target, **kinds)


def outer(answer: httpcore.Response, body: Any) -> httpx.Response:
    return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)


class Body:
    """The body of an answer; its end puts the connection back on the stack."""

    def __init__(self, answer: Any, connection: Any, idle: list[Any]) -> None:
        self.answer, self.connection, self.idle = answer, connection, idle

    def give_back(self) -> None:
        if self.connection.is_idle():
            self.idle.append(self.connection)


class SyncBody(Body, httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield from self.answer.stream

    def close(self) -> None:
        self.answer.close()
        self.give_back()


class AsyncBody(Body, httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self.answer.stream:
            yield data

    async def aclose(self) -> None:
        await self.answer.aclose()
        self.give_back()


class Transport(httpx.BaseTransport):
    def __init__(self) -> None:
        self.idle: list[Any] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        ready = inner(request)
        connection = self.idle.pop() if self.idle else httpcore.HTTPConnection(ready.url.origin)
        answer = connection.handle_request(ready)
        return outer(answer, SyncBody(answer, connection, self.idle))


class AsyncTransport(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self.idle: list[Any] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ready = inner(request)
        connection = self.idle.pop() if self.idle else httpcore.AsyncHTTPConnection(ready.url.origin)
        answer = await connection.handle_async_request(ready)
        return outer(answer, AsyncBody(answer, connection, self.idle))
