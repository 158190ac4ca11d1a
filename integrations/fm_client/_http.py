"""Requests out, replies in: the module that knows how HTTP travels, with `_pool` and `_network` beneath it.

Our own connections are driven through httpcore, the engine of httpx, because that halves the cost of a call; a client
the caller brings (`http_client=`) is used through httpx's public methods, whatever its transport, proxies or hooks.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import httpcore

from ._bodies import Source, decoder_of, digits, is_refusal, is_stream, open_source
from ._borrowed import AsyncBorrowed, Borrowed, Builder, checked_client
from ._errors import (
    APIError,
    ConfigurationError,
    InvalidRequestError,
    ProxyError,
    ResponseFormatError,
    ResponseTooLargeError,
)
from ._failures import cause_of, failure, identify
from ._heads import RawHeaders, Target, decoded, encoded, target_of, wrong_in
from ._network import Clock, Origin, Permit, Verify, checked_verify, environment_proxy, proxy_for, tls_context
from ._pool import KEEPALIVE_EXPIRY, MAX_CONNECTIONS, AsyncExchange, AsyncPool, Exchange, Pool
from ._process import PerProcess
from ._wire import Reply, Request

if TYPE_CHECKING:
    import asyncio

    import httpx  # not at run time: it costs 40 ms, and who brings a client has imported it already

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""The largest answer that is read whole, decompressed: about 8,000 vectors of 1,024 floats as JSON."""
DRAIN_SECONDS = 0.02
"""How long `release` waits for the end of a stream, which usually follows the last event at once."""
TIMING_SLACK = 0.005
"""A timer may fire this much early, in seconds."""

P = TypeVar("P", Pool, AsyncPool)


def _least(first: float | None, second: float | None) -> float | None:
    return second if first is None else first if second is None else min(first, second)


class _Base:
    """Settings, and everything that both halves compute alike."""

    _kind = ""

    def __init__(
        self,
        host: str,
        *,
        http_client: Any = None,
        verify: Verify | os.PathLike[str] = True,
        max_connections: int = MAX_CONNECTIONS,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        permit: Permit | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._host, self._clock, self._permit = host, clock, permit
        self._verify = checked_verify(verify)
        self._client = None if http_client is None else checked_client(http_client, wanted=self._kind)
        self._limits = (max_connections, keepalive_expiry, clock)
        self._max_response_bytes = max_response_bytes
        self._origins: dict[str, Origin] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._host!r})"

    def _check(self, request: Request) -> Target:
        """The target of `request`, which is fit to be sent."""
        if wrong := wrong_in(request.headers):
            raise InvalidRequestError(wrong)
        return target_of(request.url)

    def _origin(self, target: Target) -> Origin:
        """Where to connect for `target`: certificates and proxy are decided once."""
        key = target.key
        if (origin := self._origins.get(key)) is None:
            scheme, host = target.origin.scheme.decode(), target.origin.host.decode()
            # A proxy connects to what it likes: with `permit`, which is about addresses, there is none.
            address = environment_proxy(scheme, host, target.origin.port) if self._permit is None else None
            proxy = proxy_for(address, self._verify) if address else None
            context = tls_context(self._verify) if scheme == "https" else None
            origin = self._origins[key] = Origin(key, target.origin, proxy, context, self._permit)
        return origin

    def _deadline(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._clock() + seconds

    def _late(self, until: float | None) -> bool:
        return until is not None and self._clock() >= until - TIMING_SLACK

    def _reply(self, head: tuple[int, RawHeaders], request: Request, exchange: Any) -> Reply:
        """The answer, its body not yet read."""
        status, headers = head[0], decoded(head[1])
        if status == 407:
            raise ProxyError("the proxy wants a user and password (407)", status_code=407, should_retry=False)
        reply = Reply(status, headers)
        try:
            decoder = decoder_of(reply)
            reply.source = decoder and Source(exchange, decoder, request)
            if int(digits(headers.get("content-length"))) > self._max_response_bytes and not is_stream(status, request):
                raise self._too_large()
        except APIError as error:
            identify(error, reply)
            raise
        return reply

    def _too_large(self) -> ResponseTooLargeError:
        return ResponseTooLargeError(f"the answer is larger than {self._max_response_bytes:,} bytes")

    def _add(self, buffer: io.BytesIO, data: bytes) -> None:
        if buffer.tell() + len(data) > self._max_response_bytes:
            raise self._too_large()
        buffer.write(data)


def _core_request(request: Request, target: Target) -> httpcore.Request:
    limits = request.timeout
    timeout = {"connect": limits.connect, "read": limits.read, "write": limits.write}
    sent = httpcore.Request(request.method, target.url, content=request.body or b"", extensions={"timeout": timeout})
    sent.headers = encoded(request, target.netloc)  # set, and not given: it would look at each of them
    return sent


def _httpx_request(request: Request, target: Target, wait: float | None) -> Builder:
    """How the caller's client is to build the request: its own headers and cookies are added, ours win."""
    limits = request.timeout
    timeout = (limits.connect, _least(limits.read, limits.total), limits.write, wait)
    return lambda client: client.build_request(
        request.method, request.url, content=request.body, headers=encoded(request, target.netloc), timeout=timeout
    )


def _usable(pool: P) -> P:
    if pool.closed:
        raise ConfigurationError("this client has been closed")
    return pool


def _load_async_backend() -> None:
    """Import what a first async request imports: a child forked amid that would wait for it for ever.

    The second one is httpcore's, for proxies and for a client the caller brings.
    """
    importlib.import_module("._sockets", __package__)
    with contextlib.suppress(ImportError):  # of a later anyio, which has it elsewhere
        importlib.import_module("anyio._backends._asyncio")


def _close_at_home(pool: Pool, pid: int) -> None:
    """Close `pool`, but not in a forked child, where its lock may be held for ever."""
    if os.getpid() == pid:
        pool.close()


class HTTP(_Base):
    """Sync requests to `host`, and whatever other hosts are asked. Safe in any number of threads, and after a fork.

    `http_client`: an httpx.Client to use as it is, and never to close; then `verify` and `max_connections` are its
    matter. `verify`: a file or folder of certificates, a context, or False. `keepalive_expiry` in seconds. `permit` is
    asked about each IP address before it is connected to; without the environment's proxy.

    >>> HTTP("https://example.cloud.databricks.com")
    HTTP('https://example.cloud.databricks.com')
    """

    _kind = "Client"

    def __init__(self, host: str, *, http_client: httpx.Client | None = None, **settings: Any) -> None:
        super().__init__(host, http_client=http_client, **settings)
        self._pools: dict[int, Pool] = {}

    def send(self, request: Request) -> Reply:
        """The answer to `request`: read whole and decompressed, or open if it is a 2xx one to `stream=True`."""
        target, wait = self._check(request), _least(request.timeout.pool, request.timeout.total)
        exchange, sent = self._begin(request, target, wait)
        until, reply = self._deadline(request.timeout.total), None
        try:
            reply = self._reply(exchange.open(sent, until, wait), request, exchange)
            if not is_stream(reply.status, request):
                reply.body, reply.source = self._whole(reply, until), None
                exchange.close()
            return reply
        except BaseException as exc:
            exchange.close()
            error = failure(exc, request, stale=exchange.stale, proxied=exchange.proxied, late=self._late(until))
            identify(error, reply)
            if error is exc:
                raise
            raise error from cause_of(exc)

    def read(self, reply: Reply, timeout: float | None = None) -> bytes:
        """The next bytes of an open `reply`, within `timeout` seconds; b"" at its end. A failure closes it."""
        source = open_source(reply)
        until = self._deadline(timeout)
        try:
            return source.next(until)
        except BaseException as exc:
            reply.source = None
            source.exchange.close()
            error = failure(exc, source.request)
            identify(error, reply)
            if error is exc:
                raise
            raise error from cause_of(exc)

    def release(self, reply: Reply) -> None:
        """Done with an open `reply`: keep its connection if its end is there, close it if not. Never raises."""
        source, reply.source = reply.source, None
        if not isinstance(source, Source):
            return
        with contextlib.suppress(Exception):
            until = self._deadline(DRAIN_SECONDS)
            while source.exchange.drains and not source.ended and source.exchange.read(until):
                pass
        with contextlib.suppress(Exception):
            source.exchange.close()

    def close(self) -> None:
        """Close all connections; those in use when they come back. `http_client` stays open."""
        self._pools.setdefault(os.getpid(), Pool(*self._limits)).close()

    def _begin(self, request: Request, target: Target, wait: float | None) -> tuple[Any, Any]:
        if self._client is not None:
            return Borrowed(self._client, self._clock), _httpx_request(request, target, wait)
        return Exchange(self._pool(), self._origin(target)), _core_request(request, target)

    def _pool(self) -> Pool:
        """This process's pool: a child that used its parent's sockets would read its parent's answers."""
        pid = os.getpid()
        if (pool := self._pools.get(pid)) is None:
            for inherited in list(self._pools.values()):
                inherited.abandon()
            pool = self._pools.setdefault(pid, Pool(*self._limits))
            weakref.finalize(self, _close_at_home, pool, pid)  # for clients that are dropped, not closed
        return _usable(pool)

    def _whole(self, reply: Reply, until: float | None) -> bytes:
        buffer = io.BytesIO()  # it hands over its memory in the end, where joining parts would need it twice
        try:
            while reply.source and (data := reply.source.next(until)):
                self._add(buffer, data)
        except ResponseFormatError as error:
            if not is_refusal(reply.status, error):
                raise
            return b""
        return buffer.getvalue()


class AsyncHTTP(_Base):
    """`HTTP`, async: one pool of connections for each event loop, closed when that loop shuts down."""

    _kind = "AsyncClient"

    def __init__(self, host: str, *, http_client: httpx.AsyncClient | None = None, **settings: Any) -> None:
        super().__init__(host, http_client=http_client, **settings)
        _load_async_backend()
        self._pools: dict[int, weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPool]] = {}
        self._lock = PerProcess(threading.Lock)  # over `_pools`: loops run in threads

    async def send(self, request: Request) -> Reply:
        """The answer to `request`: read whole and decompressed, or open if it is a 2xx one to `stream=True`."""
        target, wait = self._check(request), _least(request.timeout.pool, request.timeout.total)
        exchange, sent = await self._begin(request, target, wait)
        until, reply = self._deadline(request.timeout.total), None
        try:
            reply = self._reply(await exchange.open(sent, until, wait), request, exchange)
            if not is_stream(reply.status, request):
                reply.body, reply.source = await self._whole(reply, until), None
                await exchange.aclose()
            return reply
        except BaseException as exc:
            await exchange.aclose()
            error = failure(exc, request, stale=exchange.stale, proxied=exchange.proxied, late=self._late(until))
            identify(error, reply)
            if error is exc:
                raise
            raise error from cause_of(exc)

    async def read(self, reply: Reply, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the command says it
        """The next bytes of an open `reply`, within `timeout` seconds; b"" at its end. A failure closes it."""
        source = open_source(reply)
        until = self._deadline(timeout)
        try:
            return await source.anext(until)
        except BaseException as exc:
            reply.source = None
            await source.exchange.aclose()
            error = failure(exc, source.request)
            identify(error, reply)
            if error is exc:
                raise
            raise error from cause_of(exc)

    async def release(self, reply: Reply) -> None:
        """Done with an open `reply`: keep its connection if its end is there, close it if not. Never raises."""
        source, reply.source = reply.source, None
        if not isinstance(source, Source):
            return
        try:
            with contextlib.suppress(Exception):
                until = self._deadline(DRAIN_SECONDS)
                while source.exchange.drains and not source.ended and await source.exchange.read(until):
                    pass
        finally:
            with contextlib.suppress(Exception):
                await source.exchange.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running loop; those in use when they come back. `http_client` stays open."""
        await self._own_pool()[0].aclose()

    async def _begin(self, request: Request, target: Target, wait: float | None) -> tuple[Any, Any]:
        if self._client is not None:
            return AsyncBorrowed(self._client, self._clock), _httpx_request(request, target, wait)
        return AsyncExchange(await self._pool(), self._origin(target)), _core_request(request, target)

    async def _pool(self) -> AsyncPool:
        """This loop's pool. Inherited ones are left alone: closing them would reach into the parent's selector."""
        pool, is_new = self._own_pool()
        if is_new:
            await pool.watch()
        return _usable(pool)

    def _own_pool(self) -> tuple[AsyncPool, bool]:
        """The running loop's pool, and whether it is a new one."""
        import asyncio

        loop = asyncio.get_running_loop()
        with self._lock():
            pools = self._pools.setdefault(os.getpid(), weakref.WeakKeyDictionary())
            if (pool := pools.get(loop)) is not None:
                return pool, False
            for dead in [other for other in pools if other.is_closed()]:
                pools.pop(dead, None)
            pool = pools[loop] = AsyncPool(*self._limits)
            return pool, True

    async def _whole(self, reply: Reply, until: float | None) -> bytes:
        buffer = io.BytesIO()
        try:
            while reply.source and (data := await reply.source.anext(until)):
                self._add(buffer, data)
        except ResponseFormatError as error:
            if not is_refusal(reply.status, error):
                raise
            return b""
        return buffer.getvalue()
