"""What litellm sends by: the workspace's own connections, to the one provider that a call is for, and no others."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

from fm_client import APIError, APITimeoutError, AsyncHTTP, Reply, Request, Timeout

from ._endings import Ending

_SET_BY_US = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
_UNDONE = frozenset({"connection", "content-length", "transfer-encoding", "content-encoding", "set-cookie"})
"""What is no longer true of an answer that has been received and decompressed; cookies belong to nobody here."""


class StrayedError(Exception):
    """litellm was about to send to another host than the provider's."""


@dataclass(slots=True)
class Exchange:
    """What one call may send to, and what came back. `token` is what it logs in with, where a login gave one."""

    base: str
    http: AsyncHTTP = field(repr=False)
    stream: bool
    ending: Ending
    token: str | None = field(default=None, repr=False)
    sent: int = 0
    reply: Reply | None = None
    failure: APIError | None = None

    async def send(self, request: httpx.Request) -> Reply:
        """The answer to `request`; StrayedError unless it goes to the provider."""
        url = str(request.url)
        if _origin(request.url) != _origin(httpx.URL(self.base)):
            raise StrayedError("litellm was about to send to another host than the provider's")
        self.sent += 1
        headers = {name: value for name, value in request.headers.items() if name not in _SET_BY_US}
        body = await request.aread()
        asked = Request(request.method, url, headers, body or None, stream=self.stream, timeout=Timeout())
        self.reply = None
        self.reply = await self.http.send(asked)
        return self.reply


current: ContextVar[Exchange | None] = ContextVar("current", default=None)
"""The call that litellm is at. Tasks and threads that it starts inherit it."""


class Transport(httpx.AsyncBaseTransport):
    """The way out of httpx clients that litellm is given."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer to one request of the current call."""
        exchange = current.get()
        if exchange is None:
            raise StrayedError("litellm was about to send what no call of the workspace had asked for")
        try:
            reply = await exchange.send(request)
        except APIError as error:
            raise _noted(exchange, error) from error
        headers = [(name, value) for name, value in reply.headers.items() if name not in _UNDONE]
        if reply.source is None:
            return httpx.Response(reply.status, headers=headers, content=reply.body)
        return httpx.Response(reply.status, headers=headers, stream=_Pieces(exchange, reply))


class _Pieces(httpx.AsyncByteStream):
    """The body of an answer as it comes."""

    def __init__(self, exchange: Exchange, reply: Reply) -> None:
        self._exchange, self._reply = exchange, reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Its pieces."""
        exchange = self._exchange
        try:
            while data := await exchange.http.read(self._reply, Timeout().idle):
                exchange.ending.feed(data)
                yield data
        except APIError as error:
            raise _noted(exchange, error) from error
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Done with it, read to its end or not."""
        await self._exchange.http.release(self._reply)


@functools.cache
def client() -> httpx.AsyncClient:
    """The client that has no other way out: no redirect, no proxy of the environment. It holds nothing to close."""
    return httpx.AsyncClient(transport=Transport(), follow_redirects=False, trust_env=False)


def own_login(base: Any) -> None:
    """Let `base`, by which litellm logs in to Google, give the token of the current call, if it has one.

    Its own way would be a library with connections of its own. Calls that are not the workspace's log in as ever.
    """
    if getattr(base.get_access_token, "of_workspace", False):
        return
    stock, stock_async = base.get_access_token, base.get_access_token_async

    def given(self: Any, credentials: Any, project_id: Any, *rest: Any, **more: Any) -> Any:
        token = _token()
        return (token, project_id) if token else stock(self, credentials, project_id, *rest, **more)

    async def given_async(self: Any, credentials: Any, project_id: Any, *rest: Any, **more: Any) -> Any:
        token = _token()
        return (token, project_id) if token else await stock_async(self, credentials, project_id, *rest, **more)

    given.of_workspace = True  # type: ignore[attr-defined]  # a mark, so that it is done once
    base.get_access_token, base.get_access_token_async = given, given_async


def _token() -> str | None:
    exchange = current.get()
    return exchange.token if exchange else None


def _noted(exchange: Exchange, error: APIError) -> httpx.TransportError:
    """The failure as httpx has it. Never a ConnectError: at that litellm sends once more, by a client of its own."""
    exchange.failure = error
    return (httpx.ReadTimeout if isinstance(error, APITimeoutError) else httpx.ReadError)(error.message)


def _origin(url: httpx.URL) -> tuple[str, bytes]:
    """As httpx has it: without the port that the scheme implies, and in small letters."""
    return url.scheme, url.netloc
