"""How connections over TLS end, and serve on: cut, said farewell to, or with more to read than was asked for."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_server import Answer, Connection, chunked, head, reply
from tls_servers import TLSServer

from fm_client import APIConnectionError
from fm_client._wire import Request

Make = Callable[..., Any]
WHOLE = head(200, {"content-length": "3"})
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def secure(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TLSServer]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context.minimum_version = context.maximum_version = request.param
    with TLSServer(context) as server:
        yield server


@pytest.fixture
def face(http: Make, secure: TLSServer, tmp_path: Path) -> Any:
    return http(verify=tmp_path / "ca.pem")


def get(server: TLSServer, path: str = "/x", **fields: Any) -> Request:
    return Request("GET", server.host + path, **fields)


def farewell(data: bytes, *, said: bool) -> Answer:
    """`data`, and the end of the connection: with TLS's own word for it, or cut."""

    def answer(connection: Connection) -> bool:
        connection.write(data)
        if said:
            try:
                connection.sock.settimeout(0.2)
                connection.sock.unwrap()  # type: ignore[attr-defined]
            except OSError:
                pass  # the client need not answer
        return False

    return answer


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize(
    "half",
    [head(200, {"transfer-encoding": "chunked"}) + b"5\r\nhello\r\n", head(200, {"content-length": "9"}) + b"half"],
)
def test_a_body_that_is_cut_is_an_error(face: Any, secure: TLSServer, half: bytes, said: bool) -> None:
    secure.script("/x", farewell(half, said=said))
    with pytest.raises(APIConnectionError):
        face.send(get(secure))
    opened = face.send(get(secure, stream=True))
    assert face.read(opened)
    with pytest.raises(APIConnectionError):
        face.read(opened)
    assert face.pool.shelf.open == 0


def test_a_body_ends_with_its_connection_where_nothing_else_says_where(face: Any, secure: TLSServer) -> None:
    secure.script("/x", farewell(head(200, {"connection": "close"}) + b"all of it", said=True))
    assert [face.send(get(secure)).body for _ in range(2)] == [b"all of it"] * 2


@pytest.mark.parametrize("said", [True, False])
def test_a_connection_that_ended_while_idle_is_not_used_again(face: Any, secure: TLSServer, said: bool) -> None:
    secure.script("/x", farewell(WHOLE + b"one", said=said))
    for _ in range(3):
        assert face.send(get(secure)).body == b"one"
        time.sleep(0.1)
    assert secure.connections == len(secure.seen) == 3


@pytest.mark.parametrize("apart", [True, False])
def test_what_came_unasked_answers_nothing(face: Any, secure: TLSServer, apart: bool) -> None:
    def two(connection: Connection) -> bool:
        for data in (WHOLE + b"one", WHOLE + b"bad") if apart else (WHOLE + b"one" + WHOLE + b"bad",):
            connection.write(data)
        return True

    secure.script("/x", two)
    for _ in range(3):
        assert face.send(get(secure)).body == b"one"
        time.sleep(0.05)
    assert secure.connections == 3


def test_one_handshake_serves_calls_streams_and_large_answers(face: Any, secure: TLSServer) -> None:
    secure.script("/x", reply(200, b"x" * 1_000_000))
    secure.script("/s", chunked(b"one", 0.02, b"two"))
    for _ in range(5):
        assert len(face.send(get(secure)).body) == 1_000_000
        opened = face.send(get(secure, "/s", stream=True))
        assert b"".join(iter(lambda opened=opened: face.read(opened), b"")) == b"onetwo"
        time.sleep(0.01)
    assert secure.connections == 1
