"""Exchanges through an httpx client that the caller brings: used as it is, never closed."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from ._errors import ConfigurationError, InvalidRequestError
from ._heads import decoded, wrong_value_in
from ._network import Clock
from ._pool import Head

if TYPE_CHECKING:
    import httpx  # not at run time: it costs 40 ms, and who brings a client has imported it already

Builder = Callable[["httpx.Client | httpx.AsyncClient"], "httpx.Request"]


def checked_client(client: Any, *, wanted: str) -> Any:
    """`client`, if it is the kind `wanted` ("Client" or "AsyncClient"), of httpx or of a successor alike to it."""
    send = getattr(client, "send", None)
    is_async = inspect.iscoroutinefunction(send)
    if not callable(send) or not hasattr(client, "build_request") or is_async != (wanted != "Client"):
        raise ConfigurationError(f"http_client must be an httpx.{wanted} here, not {type(client).__name__}")
    if "transfer-encoding" in client.headers:  # beside our content-length it could make two requests of one
        raise ConfigurationError("take the header transfer-encoding out of http_client: bodies go with their length")
    return client


def _sendable(request: httpx.Request) -> httpx.Request:
    """`request`, if its headers can be sent; h11 would say no too, and log the header's value, which may be secret."""
    if wrong := wrong_value_in(decoded(request.headers.raw)):
        raise InvalidRequestError(f"http_client: {wrong}")
    return request


class Borrowed:
    """An exchange through the caller's own httpx client. Its pool decides about connections, so `stale` is unknown."""

    stale = proxied = drains = False

    def __init__(self, client: httpx.Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def open(self, request: Builder, until: float | None, wait: float | None) -> Head:
        """Send `request`; status and headers of the answer."""
        sent = _sendable(request(self._client))
        response = self._client.send(sent, stream=True, auth=None, follow_redirects=False)
        self._response, self._chunks = response, response.iter_raw()
        return response.status_code, response.headers.raw

    def read(self, until: float | None) -> bytes:
        """The next bytes of the body. A single wait ends by the request's read timeout, `until` is checked after it."""
        for chunk in self._chunks:
            if until is not None and self._clock() > until:
                raise TimeoutError
            if chunk:
                return chunk
        return b""

    def close(self) -> None:
        """Close the answer, never the client."""
        if self._response is not None:
            self._response.close()


class AsyncBorrowed:
    """`Borrowed`, async."""

    stale = proxied = drains = False

    def __init__(self, client: httpx.AsyncClient, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def open(self, request: Builder, until: float | None, wait: float | None) -> Head:
        """Send `request`; status and headers of the answer."""
        import asyncio

        sent = _sendable(request(self._client))
        async with asyncio.timeout(self._left(until)):
            response = await self._client.send(sent, stream=True, auth=None, follow_redirects=False)
        self._response, self._chunks = response, response.aiter_raw()
        return response.status_code, response.headers.raw

    async def read(self, until: float | None) -> bytes:
        """The next bytes of the body."""
        import asyncio

        assert self._chunks is not None  # noqa: S101 - for mypy; opened before it is read
        async with asyncio.timeout(self._left(until)):
            async for chunk in self._chunks:
                if chunk:
                    return chunk
        return b""

    def _left(self, until: float | None) -> float | None:
        return None if until is None else until - self._clock()

    async def aclose(self) -> None:
        """Close the answer, never the client."""
        if self._response is not None:
            await self._response.aclose()
