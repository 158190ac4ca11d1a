"""Large requests: what ends their sending, and answers that come before it has ended. With TLS and without."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_server import Connection, FaultServer, Seen, head, reply
from timing import HELD, SOON
from tls_servers import ConnectProxy, TLSServer

from fm_client import APITimeoutError
from fm_client._wire import Request, Timeout

Make = Callable[..., Any]
LARGE = bytes(16 * 1024 * 1024)
"""More than the kernel takes for a connection whose other end does not read."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "models.test").configure_cert(made)
    return made


@pytest.fixture
def face(http: Make, authority: trustme.CA, tmp_path: Path) -> Any:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return http(verify=tmp_path / "ca.pem")


@pytest.fixture(params=["plain", "tls"])
def unread(
    request: pytest.FixtureRequest, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultServer]:
    """A server that answers when it has read the head of a request, and leaves the body unread."""

    def head_alone(connection: Connection) -> Seen | None:
        lines = iter(lambda: connection.file.readline().strip(), b"")
        return Seen("POST", "/x", {}, b"", connection.number) if list(lines) else None

    monkeypatch.setattr(Connection, "read_request", head_alone)
    with FaultServer() if request.param == "plain" else TLSServer(context) as server:
        yield server


def post(server: FaultServer, body: bytes = LARGE, **limits: float) -> Request:
    return Request("POST", f"{server.host}/x", {}, body, timeout=Timeout(**limits))


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_an_answer_that_comes_before_all_is_sent_counts(face: Any, unread: FaultServer, pause: float) -> None:
    """413: the server closes with bytes unread, so that the connection is reset behind its answer."""

    def refuse(connection: Connection) -> bool:
        time.sleep(pause)
        connection.write(head(413, {"content-length": "9"}))
        time.sleep(pause)
        connection.write(b"too large")
        return False

    unread.script("/x", refuse)
    for _ in range(2):
        answer = face.send(post(unread))
        assert (answer.status, answer.body) == (413, b"too large")
    assert face.pool.shelf.open <= 1


def test_a_server_that_does_not_read_ends_the_call_by_the_limit_of_sending(face: Any, unread: FaultServer) -> None:
    unread.script("/x", lambda connection: time.sleep(1.5) is not None)
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        face.send(post(unread, write=0.3, read=HELD))
    assert caught.value.phase == "write"
    assert time.monotonic() - began < SOON


def test_a_server_that_reads_too_slowly_ends_the_call_at_the_total(face: Any, unread: FaultServer) -> None:
    def sip(connection: Connection) -> bool:
        for _ in range(60):
            time.sleep(0.05)
            connection.file.read1(150_000)
        return False

    unread.script("/x", sip)
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        face.send(post(unread, write=2.0, total=0.6))
    assert caught.value.phase == "total"
    assert time.monotonic() - began < 2.0


def test_a_large_request_arrives_whole_over_tls(face: Any, context: ssl.SSLContext) -> None:
    body = bytes(range(256)) * 20_000
    with TLSServer(context) as server:
        server.script("/x", reply(200, b"ok"))
        assert [face.send(post(server, body)).body for _ in range(2)] == [b"ok"] * 2
        assert [seen.body == body for seen in server.seen] == [True] * 2
        assert server.connections == 1


class SecureProxy(ConnectProxy):
    """A proxy that is itself spoken to by TLS."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port)
        self._context = context

    def _serve(self, sock: Any) -> None:
        super()._serve(self._context.wrap_socket(sock, server_side=True))


def test_a_host_is_reached_through_a_proxy_that_is_reached_by_tls(
    face: Any, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TLSServer(context) as server, SecureProxy(server.port, context) as proxy:
        server.script("/x", reply(200, b"ok"))
        monkeypatch.setenv("HTTPS_PROXY", f"https://{proxy.address}")
        request = Request("POST", "https://models.test/x", {}, b"x" * 100_000, timeout=Timeout(connect=5.0))
        assert [face.send(request).body for _ in range(3)] == [b"ok"] * 3
        assert [line for line, _ in proxy.asked] == ["CONNECT models.test:443"]
        assert [len(seen.body) for seen in server.seen] == [100_000] * 3
