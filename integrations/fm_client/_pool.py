"""Connections, kept and reused: a last-in-first-out pool on httpcore's public connection classes.

httpx's own pool looks through every connection and request on each assignment, which is quadratic (38 calls/s with 200
concurrent calls where 1,000 are possible), and loses slots for ever when tasks are cancelled. Here idle connections lie
on one stack per origin, one in use belongs to exactly one `Exchange`, and every step costs the same at any size.

The sync and the async half are written out side by side and have the same shape.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import httpcore

from ._network import AsyncWire, Clock, Origin, Wire

MAX_CONNECTIONS = 500
"""Half of the 1,024 files most systems let a process open, and enough for 200 concurrent calls twice over."""
KEEPALIVE_EXPIRY = 50.0
"""Seconds a connection may lie idle; common load balancers close theirs after 60 s."""

W = TypeVar("W", Wire, AsyncWire)
C = TypeVar("C", httpcore.ConnectionInterface, httpcore.AsyncConnectionInterface)


@dataclass(slots=True, eq=False)
class _Connection(Generic[W, C]):
    origin: Origin
    wire: W
    core: C
    uses: int = 0
    idle_since: float = 0.0


Connection = _Connection[Wire, httpcore.ConnectionInterface]
AsyncConnection = _Connection[AsyncWire, httpcore.AsyncConnectionInterface]
K = TypeVar("K", Connection, AsyncConnection)
Head = tuple[int, list[tuple[bytes, bytes]]]


def dial(origin: Origin, clock: Clock) -> Connection:
    """A new connection, not yet open. httpcore's own pool is only asked what kind of it the proxy needs."""
    wire = Wire(clock)
    maker = httpcore.ConnectionPool(origin.context, origin.proxy, network_backend=wire)
    return Connection(origin, wire, maker.create_connection(origin.core))


def dial_async(origin: Origin, clock: Clock) -> AsyncConnection:
    """`dial`, async."""
    wire = AsyncWire(clock)
    maker = httpcore.AsyncConnectionPool(origin.context, origin.proxy, network_backend=wire)
    return AsyncConnection(origin, wire, maker.create_connection(origin.core))


class Shelf(Generic[K]):
    """Idle connections, one stack per origin: the one used last is used next, the rest grow old and are doomed."""

    def __init__(self, dial: Callable[[Origin, Clock], K], room: int, expiry: float, clock: Clock) -> None:
        self._dial: Callable[[Origin, Clock], K] = dial
        self._room, self._expiry, self._clock = room, expiry, clock
        self._stacks: dict[str, deque[K]] = {}
        self.open = 0
        """Connections that exist, idle or in use; the doomed do not count."""
        self.doomed: list[K] = []
        """Connections that are to be closed, outside of any lock."""

    def __len__(self) -> int:
        return sum(map(len, self._stacks.values()))

    def take(self, origin: Origin) -> K:
        """The connection to `origin` used last, if it is still good; else a new one."""
        now, stack = self._clock(), self._stacks.get(origin.key)
        while stack:
            connection = stack.pop()
            # Readable while idle means that the server has closed it.
            if now - connection.idle_since <= self._expiry and not connection.core.has_expired():
                return connection
            self.doom(connection)
        self.open += 1
        self._cull(now)
        return self._dial(origin, self._clock)

    def put(self, connection: K) -> None:
        """Keep a connection that is idle now, and give up those that have been so for too long."""
        connection.idle_since = self._clock()
        self._stacks.setdefault(connection.origin.key, deque()).append(connection)
        self._cull(connection.idle_since)

    def _cull(self, now: float) -> None:
        for stack in self._stacks.values():
            while stack and now - stack[0].idle_since > self._expiry:
                self.doom(stack.popleft())
        while self.open > self._room and (stacks := [stack for stack in self._stacks.values() if stack]):
            self.doom(min(stacks, key=lambda stack: stack[0].idle_since).popleft())

    def doom(self, connection: K) -> None:
        """Give up a connection."""
        self.open -= 1
        self.doomed.append(connection)

    def clear(self) -> None:
        """Give up all idle connections."""
        for stack in self._stacks.values():
            while stack:
                self.doom(stack.pop())


class Pool:
    """The connections of one process. A slot, and the connection in it, belong to one `Exchange` at a time."""

    def __init__(
        self,
        max_connections: int = MAX_CONNECTIONS,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
        clock: Clock = time.monotonic,
    ) -> None:
        self.shelf = Shelf(dial, max_connections, keepalive_expiry, clock)
        self.closed = False
        self._slots = threading.Semaphore(max_connections)
        self._lock = threading.Lock()

    def acquire(self, timeout: float | None) -> None:
        """Wait for a slot."""
        if not self._slots.acquire(timeout=timeout):
            raise httpcore.PoolTimeout

    def take(self, origin: Origin) -> Connection:
        """An idle connection, or a new one; only for who has acquired a slot."""
        with self._lock:
            return self.shelf.take(origin)

    def release(self, connection: Connection | None) -> None:
        """Take back the slot, and its connection: kept if it is idle, closed if it is not."""
        try:
            if connection is not None:
                self._keep_or_doom(connection)
        finally:
            self._slots.release()
        self.bury()

    def _keep_or_doom(self, connection: Connection) -> None:
        with self._lock:
            if connection.core.is_available() and not self.closed:
                self.shelf.put(connection)
            else:
                self.shelf.doom(connection)

    def bury(self) -> None:
        """Close the connections that were given up."""
        while self.shelf.doomed:
            self.shelf.doomed.pop().wire.close()

    def close(self) -> None:
        """Close what is idle now; what is in use follows when it comes back."""
        with self._lock:
            self.closed = True
            self.shelf.clear()
        self.bury()

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's sockets, without the lock, which may be held for ever."""
        self.shelf.clear()
        self.bury()


class AsyncPool:
    """`Pool` for one event loop. It closes itself when the loop shuts down."""

    def __init__(
        self,
        max_connections: int = MAX_CONNECTIONS,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
        clock: Clock = time.monotonic,
    ) -> None:
        self.shelf = Shelf(dial_async, max_connections, keepalive_expiry, clock)
        self.closed = False
        self._slots = asyncio.Semaphore(max_connections)
        self._used: set[AsyncConnection] = set()
        self._guard: AsyncGenerator[None, None] | None = None

    async def watch(self) -> None:
        """Have the loop close this pool: `asyncio.run` ends every suspended async generator before the loop goes."""
        self._guard = self._until_shutdown()
        await anext(self._guard)

    async def _until_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        except GeneratorExit:
            self._guard = None  # it refers to the loop, which could otherwise never be collected
            await self._close()
            while self._used:  # streams that nobody will read on
                await self._used.pop().wire.aclose()
            raise

    async def acquire(self, timeout: float | None) -> None:  # noqa: ASYNC109 - the twin of the sync pool
        """Wait for a slot."""
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise httpcore.PoolTimeout from None

    def take(self, origin: Origin) -> AsyncConnection:
        """An idle connection, or a new one; only for who has acquired a slot."""
        connection = self.shelf.take(origin)
        self._used.add(connection)
        return connection

    async def release(self, connection: AsyncConnection | None) -> None:
        """Take back the slot, and its connection: kept if it is idle, closed if it is not."""
        if connection is not None:
            self._keep_or_doom(connection)
        self._slots.release()
        await self.bury()

    def _keep_or_doom(self, connection: AsyncConnection) -> None:
        self._used.discard(connection)
        if connection.core.is_available() and not self.closed:
            self.shelf.put(connection)
        else:
            self.shelf.doom(connection)

    async def bury(self) -> None:
        """Close the connections that were given up. Cancelled half-way, the rest are closed by the next call."""
        while self.shelf.doomed:
            await self.shelf.doomed.pop().wire.aclose()

    async def aclose(self) -> None:
        """Close what is idle now; what is in use follows when it comes back."""
        guard, self._guard = self._guard, None
        if guard is not None:
            await anext(guard, None)  # nothing is left to watch for
        await self._close()

    async def _close(self) -> None:
        self.closed = True
        self.shelf.clear()
        await self.bury()


class Exchange:
    """One request and its answer on one connection, from the wait for a slot to the connection's return."""

    drains = True
    """Whether reading on to the end of a body is worth a moment, because it saves the connection."""

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self._pool, self._origin = pool, origin
        self._connection: Connection | None = None
        self._response: httpcore.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._held = False
        self.stale = False
        """Whether a connection that had served before died without a byte of this answer: how idle ones end."""
        self.proxied = origin.proxy is not None

    def open(self, request: httpcore.Request, until: float | None, wait: float | None) -> Head:
        """Send `request`; status and headers of the answer. `wait`: seconds for a slot."""
        self._pool.acquire(wait)
        self._held = True
        self._connection = connection = self._pool.take(self._origin)
        self._pool.bury()
        connection.wire.begin(until)
        connection.uses += 1
        try:
            self._response = response = connection.core.handle_request(request)
        except Exception:
            self.stale = connection.uses > 1 and not connection.wire.heard
            raise
        self._chunks = iter(cast("Iterator[bytes]", response.stream))
        return response.status, response.headers

    def read(self, until: float | None) -> bytes:
        """The next bytes of the body as they were sent; b"" at its end, when the connection has gone back already."""
        if self._connection is None:
            return b""
        self._connection.wire.until = until
        for chunk in self._chunks:
            if chunk:
                return chunk
        self.close()
        return b""

    def close(self) -> None:
        """Give connection and slot back. Idempotent. A body that was not read to its end costs the connection."""
        if not self._held:
            return
        self._held = False
        connection, self._connection = self._connection, None
        try:
            self._end_body()
        finally:
            self._pool.release(connection)

    def _end_body(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()


class AsyncExchange:
    """`Exchange`, async."""

    drains = True

    def __init__(self, pool: AsyncPool, origin: Origin) -> None:
        self._pool, self._origin = pool, origin
        self._connection: AsyncConnection | None = None
        self._response: httpcore.Response | None = None
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._held = False
        self.stale = False
        """Whether a connection that had served before died without a byte of this answer: how idle ones end."""
        self.proxied = origin.proxy is not None

    async def open(self, request: httpcore.Request, until: float | None, wait: float | None) -> Head:
        """Send `request`; status and headers of the answer. `wait`: seconds for a slot."""
        await self._pool.acquire(wait)
        self._held = True
        self._connection = connection = self._pool.take(self._origin)
        await self._pool.bury()
        connection.wire.begin(until)
        connection.uses += 1
        try:
            self._response = response = await connection.core.handle_async_request(request)
        except Exception:
            self.stale = connection.uses > 1 and not connection.wire.heard
            raise
        self._chunks = cast("AsyncGenerator[bytes, None]", aiter(cast("AsyncIterator[bytes]", response.stream)))
        return response.status, response.headers

    async def read(self, until: float | None) -> bytes:
        """The next bytes of the body as they were sent; b"" at its end, when the connection has gone back already."""
        if self._connection is None or self._chunks is None:
            return b""
        self._connection.wire.until = until
        async for chunk in self._chunks:
            if chunk:
                return chunk
        await self.aclose()
        return b""

    async def aclose(self) -> None:
        """Give connection and slot back. Idempotent. A body that was not read to its end costs the connection."""
        if not self._held:
            return
        self._held = False
        connection, self._connection = self._connection, None
        try:
            await self._end_body()
        finally:
            await self._pool.release(connection)

    async def _end_body(self) -> None:
        response, self._response = self._response, None
        chunks, self._chunks = self._chunks, None
        try:
            if chunks is not None:
                await chunks.aclose()
        finally:
            if response is not None:
                await response.aclose()
