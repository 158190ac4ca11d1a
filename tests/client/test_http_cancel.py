"""A call that is cancelled at each moment at which it waits, from the first look-up of a name to the last byte."""

from __future__ import annotations

import asyncio
import os
import ssl
import types
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_server import FaultServer, chunked, reply
from timing import eventually
from tls_servers import TLSServer

from fm_client._http import AsyncHTTP
from fm_client._wire import Request

BODY = bytes(8 * 1024 * 1024)
MOMENTS = 500
"""More than there are in any of these calls."""


@types.coroutine
def cancelled_at(moment: int, work: Coroutine[Any, Any, Any], *, early: bool) -> Generator[Any, None, bool]:
    """`work`, cancelled when it waits for that many times, or (`early`) just before; whether it waits as often."""
    task, step = asyncio.current_task(), lambda: work.send(None)
    assert task is not None
    while True:
        try:
            waiting = step()
        except StopIteration:
            assert moment > 0, "it went on as if it had not been cancelled"
            return False
        except asyncio.CancelledError:
            return True
        moment -= 1
        if moment == 0:
            task.cancel() if early else asyncio.get_running_loop().call_soon(task.cancel)
        try:
            yield waiting
            step = lambda: work.send(None)  # noqa: E731
        except BaseException as exc:  # noqa: BLE001 - handed on to `work`
            step = lambda exc=exc: work.throw(exc)  # type: ignore[misc]  # noqa: E731


@pytest.fixture(params=["plain", "tls"])
def either_server(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with FaultServer() if request.param == "plain" else TLSServer(context) as server:
        server.host = server.host.replace("127.0.0.1", "localhost")
        server.script("/x", reply(200, b"ok" * 100_000))
        server.script("/s", chunked(b"one", 0.001, b"two"))
        yield server


def open_files() -> int:
    """Sockets of the server, which runs here too, included."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open one more


async def called(http: AsyncHTTP, host: str) -> None:
    """A large request, and a stream that is read to its end."""
    assert len((await http.send(Request("POST", f"{host}/x", {}, BODY))).body) == 200_000
    opened = await http.send(Request("POST", f"{host}/s", {}, b"{}", stream=True))
    try:
        while await http.read(opened, 5.0):
            pass
    finally:
        await http.release(opened)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_no_slot_and_no_connection_is_lost(
    either_server: FaultServer, tmp_path: Path, early: bool, warm: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled, sockets are closed at once, and what is kept serves on."""

    async def main() -> int:
        http = AsyncHTTP("h", verify=tmp_path / "ca.pem", max_connections=2)
        complained: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complained.append(context))
        for moment in range(1, MOMENTS):
            if warm:
                await called(http, either_server.host)
            waits = await cancelled_at(moment, called(http, either_server.host), early=early)
            task = asyncio.current_task()
            assert task is not None
            while task.uncancel():
                pass
            if (pool := http._pools.get(os.getpid(), {}).get(asyncio.get_running_loop())) is not None:
                assert (pool._slots._value, pool.shelf.open, pool._used) == (2, len(pool.shelf), set())
                assert pool.shelf.open <= 1
            if not warm:
                await http.aclose()
                http = AsyncHTTP("h", verify=tmp_path / "ca.pem", max_connections=2)
            if not waits:
                break
        await called(http, either_server.host)
        await http.aclose()
        assert complained == []
        return moment

    before = open_files()
    assert 4 < asyncio.run(main()) < MOMENTS - 1
    assert eventually(lambda: open_files() <= before)
    assert caplog.records == []
