"""HTTP/1.1 connections that cannot be held for nothing: heads arrive in time and in size, and not too many at once.

A connection is a stranger's until the head of a request has come. That head shows a token, or its refusal ends the
connection; so all that are no strangers' belong to users.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._bounds import Limits, overloaded

HURRY_SECONDS = 5.0
"""What strangers beyond the limit have: a client that opens a thousand connections at once sends on each by then."""


class Connection(H11Protocol):
    """uvicorn's connection, with an end to waiting for the head of a request."""

    limits: ClassVar[Limits] = Limits()
    strangers: ClassVar[dict[Connection, None]] = {}
    """The server's connections from which no request has come yet, in their order."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has connected; one too many is told to come back."""
        super().connection_made(transport)
        self.strangers[self] = None
        if len(self.connections) > self.limits.connections and not self._makes_room():
            transport.write(_refusal())
            transport.close()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        super().data_received(data)
        if self.cycle is not None:
            self.strangers.pop(self, None)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        self.strangers.pop(self, None)
        self._forget()

    def on_response_complete(self) -> None:
        """An answer is out; the head of the next request may have begun to arrive."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Set the deadline while a head is due or under way, or a body whose request has been answered already."""
        idle = self.conn.their_state is h11.IDLE
        begun = self.cycle is None or bool(self.conn.trailing_data[0])
        in_vain = self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY
        if not ((idle and begun) or in_vain) or self.transport.is_closing():
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._patience(), self.transport.close)

    def _patience(self) -> float:
        """How long a head may take; for one stranger too many that is less."""
        seconds = self.limits.read_seconds
        return min(seconds, HURRY_SECONDS) if self in self.strangers and self._is_crowded() else seconds

    def _is_crowded(self) -> bool:
        return len(self.strangers) > self.limits.strangers

    def _makes_room(self) -> bool:
        """Whether a stranger could be left for this connection: who sends nothing keeps nobody out."""
        if crowded := self._is_crowded():
            oldest = next(iter(self.strangers))
            del self.strangers[oldest]
            oldest.transport.close()
        return crowded

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded(limits: Limits) -> type[Connection]:
    """The connections of a server with these limits."""
    return type("Bounded", (Connection,), {"limits": limits, "strangers": {}})


def _refusal() -> bytes:
    error = overloaded()
    body = json.dumps({"error_code": error.code, "message": error.message}).encode()
    head = [
        f"HTTP/1.1 {error.status} Service Unavailable",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in error.headers.items()),
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
