"""Connections, kept and reused: a last-in-first-out pool on httpcore's public connection classes.

httpx's own pool looks through every connection and request on each assignment, which is quadratic (38 calls/s with 200
concurrent calls where 1,000 are possible), and loses slots for ever when tasks are cancelled. Here idle connections lie
on one stack per origin, one in use belongs to exactly one `Exchange`, and every step costs the same at any size.

The sync and the async half are written out side by side and have the same shape.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import cast

import httpcore

from ._http1 import Answer, AsyncAnswer
from ._network import Clock, Origin
from ._shelf import AsyncConnection, Connection, Shelf, dial, dial_async

MAX_CONNECTIONS = 500
"""Half of the 1,024 files most systems let a process open, and enough for 200 concurrent calls twice over."""
KEEPALIVE_EXPIRY = 50.0
"""Seconds a connection may lie idle; common load balancers close theirs after 60 s."""

Head = tuple[int, list[tuple[bytes, bytes]]]


class Pool:
    """The connections of one process. A slot, and the connection in it, belong to one `Exchange` at a time.

    `release` never waits: a garbage collection, which may start inside any of these methods, may end a stream that was
    abandoned, and with it an exchange. What comes back while the lock is held is sorted by who holds it.
    """

    def __init__(
        self,
        max_connections: int = MAX_CONNECTIONS,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
        clock: Clock = time.monotonic,
    ) -> None:
        self.shelf: Shelf[Connection] = Shelf(max_connections, keepalive_expiry, clock)
        self.closed = False
        self._clock = clock
        self._returned: deque[Connection] = deque()
        self._lock = threading.Lock()
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()  # unlike a Semaphore's release, its put never waits
        for _ in range(max_connections):
            self._slots.put(None)

    def acquire(self, timeout: float | None) -> None:
        """Wait for a slot."""
        try:
            self._slots.get(timeout=None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise httpcore.PoolTimeout from None

    def take(self, origin: Origin) -> Connection:
        """An idle connection, or a new one; only for who has acquired a slot."""
        with self._lock:
            self._sort()
            connection = self.shelf.take(origin)
        self._settle()
        if connection is None:
            connection = dial(origin, self._clock)
            with self._lock:
                self.shelf.add()
            self._settle()
        return connection

    def release(self, connection: Connection | None) -> None:
        """Take back the slot, and its connection: kept if it is idle, closed if it is not."""
        try:
            if connection is not None:
                self._returned.append(connection)
                self._settle()
        finally:
            self._slots.put(None)
        self.bury()

    def _settle(self) -> None:
        """Sort what has come back. Who finds the lock taken leaves it to the holder, who looks after unlocking it."""
        while self._returned and self._lock.acquire(blocking=False):
            try:
                self._sort()
            finally:
                self._lock.release()

    def _sort(self) -> None:
        while self._returned:
            self._keep_or_doom(self._returned.popleft())

    def _keep_or_doom(self, connection: Connection) -> None:
        if connection.core.is_available() and not self.closed:
            self.shelf.put(connection)
        else:
            self.shelf.doom(connection)

    def bury(self) -> None:
        """Close the connections that were given up; other threads may be at it, too."""
        while True:
            try:
                connection = self.shelf.doomed.pop()
            except IndexError:
                return
            connection.wire.close()

    def close(self) -> None:
        """Close what is idle now; what is in use follows when it comes back."""
        with self._lock:
            self.closed = True
            self.shelf.clear()
        self._settle()
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
        import asyncio

        self.shelf: Shelf[AsyncConnection] = Shelf(max_connections, keepalive_expiry, clock)
        self.closed = False
        self._clock = clock
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
        import asyncio

        try:
            async with asyncio.timeout(timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise httpcore.PoolTimeout from None

    def take(self, origin: Origin) -> AsyncConnection:
        """An idle connection, or a new one; only for who has acquired a slot."""
        connection = self.shelf.take(origin)
        if connection is None:
            connection = dial_async(origin, self._clock)
            self.shelf.add()
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


class _Native:
    """An exchange belongs to the process that began it. A forked child has a copy of it, and of its socket."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def drains(self) -> bool:
        """Whether to read on to the end of a body: it saves the connection, but would rob the parent of a child."""
        return os.getpid() == self._pid

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise httpcore.ReadError("it belongs to the process that opened it, of which this one is a fork")


_INHERITED: list[object] = []
"""What a child keeps and never ends: ending it would take locks, or a selector, that the parent may be using."""


class Exchange(_Native):
    """One request and its answer on one connection, from the wait for a slot to the connection's return."""

    def __init__(self, pool: Pool, origin: Origin) -> None:
        super().__init__()
        self._pool, self._origin = pool, origin
        self._connection: Connection | None = None
        self._response: httpcore.Response | Answer | None = None
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
        self._check_process()
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
        if os.getpid() != self._pid:
            self._disown(connection)
            return
        try:
            self._end_body()
        finally:
            self._pool.release(connection)

    def _disown(self, connection: Connection | None) -> None:
        _INHERITED.append((self, connection))
        if connection is not None:
            connection.wire.close()  # the child's copy of the socket, no more

    def _end_body(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()


class AsyncExchange(_Native):
    """`Exchange`, async."""

    def __init__(self, pool: AsyncPool, origin: Origin) -> None:
        super().__init__()
        self._pool, self._origin = pool, origin
        self._connection: AsyncConnection | None = None
        self._response: httpcore.Response | AsyncAnswer | None = None
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
        self._check_process()
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
        if os.getpid() != self._pid:
            _INHERITED.append((self, connection))
            return
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
