"""A socket of an event loop, for httpcore: asyncio's own transports, whose reads and writes cost a timer and a future.

httpcore's own way to them leads through anyio, which serves other kinds of event loops too, and lets the loop turn
around once for each of its checks: together more than half of what an async call cost beside a sync one.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

AHEAD = 64 * 1024
"""Bytes that are taken in while a write waits for its peer."""
SLACK = 1.0
"""Seconds that asyncio's own limit for a handshake is behind ours, so that it is ours which ends it."""


async def connect(
    host: str, port: int, limit: float | None, local_address: str | None, options: Iterable[tuple[int, int, int]]
) -> AsyncSocket:
    """A connected socket, within `limit` seconds, or httpcore's ConnectTimeout or ConnectError."""
    loop = asyncio.get_running_loop()
    local = None if local_address is None else (local_address, 0)
    stream = AsyncSocket()
    try:
        async with asyncio.timeout(limit):
            await loop.create_connection(lambda: stream, host, port, local_addr=local)
        for option in options:
            stream.get_extra_info("socket").setsockopt(*option)
    except TimeoutError as exc:
        raise httpcore.ConnectTimeout(exc) from exc
    except OSError as exc:
        await stream.aclose()
        raise httpcore.ConnectError(exc) from exc
    return stream


class AsyncSocket(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """What asyncio tells of one connection, as httpcore asks for it. One reader and one writer at a time.

    asyncio reads only while somebody waits here: what nobody has asked for yet stays in the socket, where the sender
    notices, and where a forked child that runs the same loop does not take it.
    """

    def __init__(self) -> None:
        self._raw: Any = None
        self._transport: Any = None
        """With TLS the encrypted one, over the raw one."""
        self._received = bytearray()
        self._ended = False
        self._failure: Exception | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection."""
        self._raw = self._transport = transport
        self._raw.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._received += data
        if self._room is None or len(self._received) > AHEAD:
            self._raw.pause_reading()
        _wake(self._arrival)

    def eof_received(self) -> None:
        """No more bytes will come."""
        self._ended = True
        _wake(self._arrival)
        _wake(self._room)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, or broken. Closed by us alone, it says nothing about where an answer ends."""
        if not self._ended:
            self._failure = exc or ConnectionAbortedError("the connection was closed on this side")
        self._ended = True
        _wake(self._arrival)
        _wake(self._room)

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """There is room again."""
        room, self._room = self._room, None
        _wake(room)

    # What httpcore calls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        """The next bytes; b"" when the peer has closed."""
        if not self._received and not self._ended:
            self._arrival = asyncio.get_running_loop().create_future()
            self._raw.resume_reading()
            await _within(timeout, self._arrival, httpcore.ReadTimeout)
        if not self._received and self._failure is not None:
            raise httpcore.ReadError(self._failure) from self._failure
        with memoryview(self._received) as received:
            data = bytes(received[:max_bytes])
        del self._received[:max_bytes]
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        """Send; waits where the peer does not read."""
        if self._transport.is_closing():
            raise httpcore.WriteError("the connection is closed")
        if len(buffer) > AHEAD and self._transport is not self._raw:
            # asyncio's TLS keeps to itself that the raw transport is full, but not that it holds this byte back.
            self._transport.write(buffer[:-1])
            buffer = buffer[-1:]
        self._transport.write(buffer)
        if self._room is not None:
            await self._drained(self._room, timeout)

    async def _drained(self, room: asyncio.Future[None], timeout: float | None) -> None:  # noqa: ASYNC109 - as above
        """Wait for room, and take in what comes meanwhile: an early answer (413), lost once the connection is reset."""
        self._raw.resume_reading()
        try:
            await _within(timeout, room, httpcore.WriteTimeout)
        finally:
            self._raw.pause_reading()
        if self._ended:
            raise httpcore.WriteError(self._failure or "the peer has closed the connection") from self._failure

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Encrypt from here on."""
        theirs = None if timeout is None else timeout + SLACK
        start = asyncio.get_running_loop().start_tls
        self._raw.resume_reading()  # asyncio does so with what it encrypts, which may be encrypted itself
        try:
            async with asyncio.timeout(timeout):
                encrypted = await start(
                    self._transport, self, ssl_context, server_hostname=server_hostname, ssl_handshake_timeout=theirs
                )
            if encrypted is None:
                raise ConnectionResetError("the connection was lost as its handshake ended")
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(exc) from exc
        except OSError as exc:  # ssl.SSLError included
            raise httpcore.ConnectError(exc) from exc
        self._transport = encrypted
        self._transport.set_write_buffer_limits(high=1)
        self._raw.pause_reading()
        return self

    async def aclose(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)  # which is when asyncio closes it

    def get_extra_info(self, info: str) -> Any:
        """Facts of the socket, by httpcore's names."""
        if info == "is_readable":
            return self._ended or bool(self._received) or _is_readable(self._transport.get_extra_info("socket"))
        return self._transport.get_extra_info({"client_addr": "sockname", "server_addr": "peername"}.get(info, info))


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _give_up(waiting: asyncio.Future[None], late: type[Exception]) -> None:
    if not waiting.done():
        waiting.set_exception(late())


async def _within(seconds: float | None, waiting: asyncio.Future[None], late: type[Exception]) -> None:
    """Wait for `waiting`, but not longer than that."""
    timer = None if seconds is None else waiting.get_loop().call_later(seconds, _give_up, waiting, late)
    try:
        await waiting
    finally:
        if timer is not None:
            timer.cancel()


def _is_readable(sock: socket.socket | None) -> bool:
    """Whether bytes, or the end, have come that the event loop has had no time for yet; so a closed one seems, too."""
    if sock is None or sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
