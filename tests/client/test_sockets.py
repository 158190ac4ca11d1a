"""Sockets of an event loop: when they wait, for how long, and what they say when the other side is gone."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import httpcore
import pytest
from fault_server import FaultServer
from timing import eventually

from fm_client._sockets import AsyncSocket, connect

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MANY = 32 * 1024 * 1024
"""Bytes, more than the kernel takes for a connection whose other end does not read."""
ABORTING = struct.pack("ii", 1, 0)
"""A socket with this SO_LINGER resets its connection when it is closed."""


def with_peer(peer: Peer, client: Callable[[AsyncSocket], Awaitable[Any]]) -> Any:
    """What `client` comes to, connected with `peer`."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def main() -> Any:
        async with await asyncio.start_server(closing, "127.0.0.1", 0) as server:
            stream = await connect("127.0.0.1", server.sockets[0].getsockname()[1], 5.0, None, ())
            try:
                return await asyncio.wait_for(client(stream), 20)
            finally:
                await stream.aclose()

    return asyncio.run(main())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Neither reads nor says anything."""
    writer.transport.pause_reading()
    await asyncio.sleep(30)


def saying(data: bytes, *, abort: bool = False) -> Peer:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await reader.read(1)
        if abort:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTING)
        writer.close()

    return peer


def test_a_read_ends_in_time_and_leaves_the_next_one_its_own_time() -> None:
    async def client(stream: AsyncSocket) -> None:
        for _ in range(2):
            with pytest.raises(httpcore.ReadTimeout):
                await stream.read(10, 0.05)

    with_peer(silent, client)


def test_a_write_that_the_peer_does_not_take_ends_in_time() -> None:
    async def client(stream: AsyncSocket) -> None:
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(b"x" * MANY, 0.1)

    with_peer(silent, client)


def test_a_large_write_goes_on_when_the_peer_reads() -> None:
    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        got = len(await reader.readexactly(MANY))
        writer.write(b"%d" % got)
        writer.close()

    async def client(stream: AsyncSocket) -> bytes:
        await stream.write(b"x" * MANY, 10.0)
        return await stream.read(100, 10.0)

    assert with_peer(counting, client) == b"%d" % MANY


def test_bytes_come_in_pieces_of_the_size_that_is_asked_for_and_then_their_end() -> None:
    async def client(stream: AsyncSocket) -> list[bytes]:
        pieces = [await stream.read(4, 5.0), await stream.read(4, 5.0)]
        await stream.write(b"!")
        return [*pieces, await stream.read(4, 5.0), await stream.read(4, 5.0)]

    assert with_peer(saying(b"abcdefg"), client) == [b"abcd", b"efg", b"", b""]


def test_what_nobody_asks_for_stays_with_the_sender() -> None:
    sent = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * MANY)
        await writer.drain()
        sent.set()
        writer.close()

    async def client(stream: AsyncSocket) -> tuple[bool, bool, int]:
        got = len(await stream.read(1024, 5.0))
        await asyncio.sleep(0.3)
        before = sent.is_set()
        while data := await stream.read(65536, 5.0):
            got += len(data)
        return before, sent.is_set(), got

    assert with_peer(peer, client) == (False, True, MANY)


def test_an_idle_socket_is_readable_once_the_peer_has_closed_it() -> None:
    async def client(stream: AsyncSocket) -> tuple[bool, bool]:
        before = stream.get_extra_info("is_readable")
        await stream.write(b"!")
        await asyncio.sleep(0.1)
        return before, stream.get_extra_info("is_readable")

    assert with_peer(saying(b""), client) == (False, True)


def test_a_reset_is_an_error_for_reads_and_writes() -> None:
    async def client(stream: AsyncSocket) -> None:
        await stream.write(b"!")
        with pytest.raises(httpcore.ReadError):
            await stream.read(10, 5.0)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"more")

    with_peer(saying(b"", abort=True), client)


def test_a_reset_ends_a_write_that_waits() -> None:
    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.sleep(0.1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTING)
        writer.close()

    async def client(stream: AsyncSocket) -> None:
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x" * MANY, 10.0)

    with_peer(leaving, client)


def test_a_port_on_which_nobody_listens_is_an_error_of_connecting() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(httpcore.ConnectError):
            asyncio.run(connect("127.0.0.1", held.getsockname()[1], 5.0, None, ()))


def test_a_socket_that_does_not_take_an_option_is_closed(server: FaultServer) -> None:
    port = int(server.host.rpartition(":")[2])
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(connect("127.0.0.1", port, 5.0, None, [(99, 99, 1)]))
    assert eventually(server.disconnected.is_set)


def test_what_is_closed_on_this_side_is_no_end_of_an_answer() -> None:
    async def client(stream: AsyncSocket) -> None:
        reading = asyncio.ensure_future(stream.read(10, 5.0))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(httpcore.ReadError):
            await reading
        assert stream.get_extra_info("is_readable")

    with_peer(silent, client)


def test_a_connection_that_is_lost_as_its_handshake_ends_is_an_error_of_connecting() -> None:
    """asyncio has no encrypted transport to give then, and says nothing."""

    async def lost(*_: Any, **__: Any) -> None: ...

    async def client(stream: AsyncSocket) -> None:
        asyncio.get_running_loop().start_tls = lost  # type: ignore[method-assign]
        with pytest.raises(httpcore.ConnectError):
            await stream.start_tls(ssl.create_default_context(), "host.test", 1.0)

    with_peer(silent, client)


def test_an_end_that_has_come_stays_one_when_what_is_still_to_be_sent_is_refused() -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"no")
        writer.write_eof()
        await asyncio.sleep(0.2)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTING)
        writer.transport.abort()
        await asyncio.sleep(0.1)

    async def client(stream: AsyncSocket) -> list[bytes]:
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x" * MANY, 10.0)
        await asyncio.sleep(0.4)
        return [await stream.read(10, 5.0), await stream.read(10, 5.0)]

    assert with_peer(refusing, client) == [b"no", b""]
