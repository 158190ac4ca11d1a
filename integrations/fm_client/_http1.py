"""HTTP/1.1 on one connection, spoken by h11: as httpcore's own connections do, for what goes to a host directly.

Those lock, trace and look twice, because a pool of theirs hands them to several; here one belongs to one `Exchange` at
a time. That is a sixth of what a sync call costs. In an async one, each of their three locks has the event loop turn
around once. What goes through a proxy is left to httpcore.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import h11
import httpcore

from ._network import AsyncWire, Origin, Wire

READ_BYTES = 64 * 1024
MAX_HEAD_BYTES = 100 * 1024
"""Of status and headers of an answer."""

_ANY_REQUEST = h11.Request(method=b"POST", target=b"/", headers=[(b"Host", b"-")])
"""What h11 is told of each request, whose own head is checked in `_heads`: an answer is read alike whatever was asked,
but for HEAD and CONNECT, which nobody here sends."""

W = TypeVar("W", Wire, AsyncWire)
C = TypeVar("C", "Http1", "AsyncHttp1")
S = TypeVar("S", Generator[bytes, None, None], AsyncGenerator[bytes, None])


@dataclass(slots=True)
class _Answer(Generic[C, S]):
    status: int
    headers: list[tuple[bytes, bytes]]
    stream: S
    line: C


class Answer(_Answer["Http1", Generator[bytes, None, None]]):
    """An answer whose body is still to be read. Closing it makes the connection idle, or closes it too."""

    def close(self) -> None:
        """Done with it."""
        if not self.line.finished():
            self.line.wire.close()


class AsyncAnswer(_Answer["AsyncHttp1", AsyncGenerator[bytes, None]]):
    """`Answer`, async."""

    async def aclose(self) -> None:
        """Done with it."""
        if not self.line.finished():
            await self.line.wire.aclose()


class _Line(Generic[W]):
    """What both halves share: the state of the protocol."""

    def __init__(self, origin: Origin, wire: W) -> None:
        self.wire: W = wire
        self._origin = origin
        self._host = origin.core.host.decode("ascii")
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._connected = self._idle = False
        self._await_answer()

    def is_available(self) -> bool:
        """Whether it has served, and waits for the next request."""
        return self._idle

    def has_expired(self) -> bool:
        """Whether the server has closed it: readable while idle means just that."""
        return self._idle and bool(self.wire.get_extra_info("is_readable"))

    def finished(self) -> bool:
        """Whether request and answer are over, so that the next ones may come: none has come unasked."""
        over = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        if over and not self._h11.trailing_data[0]:
            self._h11.start_next_cycle()
            self._await_answer()
            self._idle = True
        return self._idle

    def _await_answer(self) -> None:
        """Have h11 ready for the next answer before its request is due, which then goes out without delay."""
        self._h11.send(_ANY_REQUEST)
        self._h11.send(h11.EndOfMessage())
        self._ready = True

    def _sent(self, request: httpcore.Request) -> bytes:
        if not self._ready:  # h11 would refuse it, too, if it were told of this one
            raise httpcore.ConnectionNotAvailable("another request is under way")
        self._ready = self._idle = False
        head = b"%b %b HTTP/1.1\r\n" % (request.method, request.url.target)
        lines: list[bytes] = [b"%b: %b\r\n" % (name, value) for name, value in request.headers]
        return b"".join([head, *lines, b"\r\n", *cast("Iterable[bytes]", request.stream)])

    def _receive(self, data: bytes) -> None:
        if not data and self._h11.their_state is h11.SEND_RESPONSE:
            raise httpcore.RemoteProtocolError("Server disconnected without sending a response.")
        self._h11.receive_data(data)

    def _context(self) -> Any:
        """The rules of TLS; None where there is none."""
        if self._origin.context is not None:
            self._origin.context.set_alpn_protocols(["http/1.1"])
        return self._origin.context


def _is_head(event: Any) -> bool:
    return type(event) is h11.Response or (type(event) is h11.InformationalResponse and event.status_code == 101)


class Http1(_Line[Wire]):
    """A connection, made when it is first used. Its methods are those of httpcore's."""

    def handle_request(self, request: httpcore.Request) -> Answer:
        """Send `request`; its answer, the body not yet read."""
        limits = request.extensions["timeout"]
        if not self._connected:
            self._connect(limits["connect"])
        try:
            self.wire.write(self._sent(request), limits["write"])
        except httpcore.WriteError:
            pass  # it may have answered before it had read everything (413)
        while not _is_head(head := self._event(limits["read"])):
            pass
        return Answer(head.status_code, head.headers.raw_items(), self._body(limits["read"]), self)

    def _connect(self, limit: float | None) -> None:
        self.wire.connect_tcp(self._host, self._origin.core.port, limit)
        if (context := self._context()) is not None:
            self.wire.start_tls(context, self._host, limit)
        self._connected = True

    def _body(self, limit: float | None) -> Generator[bytes, None, None]:
        while type(event := self._event(limit)) is h11.Data:
            yield bytes(event.data)

    def _event(self, limit: float | None) -> Any:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._receive(self.wire.read(READ_BYTES, limit))
        return event


class AsyncHttp1(_Line[AsyncWire]):
    """`Http1`, async."""

    async def handle_async_request(self, request: httpcore.Request) -> AsyncAnswer:
        """Send `request`; its answer, the body not yet read."""
        limits = request.extensions["timeout"]
        if not self._connected:
            await self._connect(limits["connect"])
        try:
            await self.wire.write(self._sent(request), limits["write"])
        except httpcore.WriteError:
            pass  # it may have answered before it had read everything (413)
        while not _is_head(head := await self._event(limits["read"])):
            pass
        return AsyncAnswer(head.status_code, head.headers.raw_items(), self._body(limits["read"]), self)

    async def _connect(self, limit: float | None) -> None:
        await self.wire.connect_tcp(self._host, self._origin.core.port, limit)
        if (context := self._context()) is not None:
            await self.wire.start_tls(context, self._host, limit)
        self._connected = True

    async def _body(self, limit: float | None) -> AsyncGenerator[bytes, None]:
        while type(event := await self._event(limit)) is h11.Data:
            yield bytes(event.data)

    async def _event(self, limit: float | None) -> Any:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._receive(await self.wire.read(READ_BYTES, limit))
        return event
