"""Idle connections and new ones: what a pool keeps, and which of it goes out next. Neither locks nor waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpcore

from ._http1 import AsyncHttp1, Http1
from ._network import AsyncWire, Clock, Origin, Wire

Line = Http1 | httpcore.ConnectionInterface
AsyncLine = AsyncHttp1 | httpcore.AsyncConnectionInterface
W = TypeVar("W", Wire, AsyncWire)
C = TypeVar("C", Line, AsyncLine)


@dataclass(slots=True, eq=False)
class _Connection(Generic[W, C]):
    origin: Origin
    wire: W
    core: C
    uses: int = 0
    idle_since: float = 0.0


Connection = _Connection[Wire, Line]
AsyncConnection = _Connection[AsyncWire, AsyncLine]
K = TypeVar("K", Connection, AsyncConnection)


def dial(origin: Origin, clock: Clock) -> Connection:
    """A new connection, not yet open. httpcore's own pool is only asked what kind of it a proxy needs."""
    wire = Wire(clock, origin.permit)
    if origin.proxy is None:
        return Connection(origin, wire, Http1(origin, wire))
    maker = httpcore.ConnectionPool(origin.context, origin.proxy, network_backend=wire)
    return Connection(origin, wire, maker.create_connection(origin.core))


def dial_async(origin: Origin, clock: Clock) -> AsyncConnection:
    """`dial`, async."""
    wire = AsyncWire(clock, origin.permit)
    if origin.proxy is None:
        return AsyncConnection(origin, wire, AsyncHttp1(origin, wire))
    maker = httpcore.AsyncConnectionPool(origin.context, origin.proxy, network_backend=wire)
    return AsyncConnection(origin, wire, maker.create_connection(origin.core))


class Shelf(Generic[K]):
    """Idle connections, one stack per origin: the one used last is used next, the rest grow old and are doomed."""

    def __init__(self, room: int, expiry: float, clock: Clock) -> None:
        self._room, self._expiry, self._clock = room, expiry, clock
        self._stacks: dict[str, deque[K]] = {}
        self.open = 0
        """Connections that exist, idle or in use; the doomed do not count."""
        self.doomed: list[K] = []
        """Connections that are to be closed, outside of any lock."""

    def __len__(self) -> int:
        return sum(map(len, self._stacks.values()))

    def take(self, origin: Origin) -> K | None:
        """The connection to `origin` used last, if it is still good."""
        now, stack = self._clock(), self._stacks.get(origin.key)
        while stack:
            connection = stack.pop()
            # Readable while idle means that the server has closed it.
            if now - connection.idle_since <= self._expiry and not connection.core.has_expired():
                return connection
            self.doom(connection)
        return None

    def add(self) -> None:
        """Count a connection that was made, and give up an idle one if it is one too many."""
        self.open += 1
        self._cull(self._clock())

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
