"""One exchange: what is sent, what comes back, what ends it, and what an error says."""

from __future__ import annotations

import gzip
import inspect
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import httpcore
import httpx
import pytest
from crash_report import shown
from fault_server import Answer, Connection, FaultServer, chunked, hang_up, head, reply, reset, silence, until_close
from timing import HELD, SOON, eventually

from fm_client import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    FMError,
    InvalidRequestError,
    ResponseFormatError,
    ResponseTooLargeError,
)
from fm_client._failures import FAILURES, cause_of, failure
from fm_client._wire import Reply, Request, Timeout

TOKEN = "token-for-tests"
Make = Callable[..., Any]


def post(server: FaultServer, path: str = "/x", body: bytes = b"{}", **fields: Any) -> Request:
    return Request("POST", server.host + path, {"authorization": f"Bearer {TOKEN}"}, body, **fields)


def drip(interval: float) -> Answer:
    """A whole answer of 1,000 bytes, one at a time."""

    def answer(connection: Connection) -> bool:
        connection.write(head(200, {"content-length": "1000"}))
        for _ in range(1000):
            time.sleep(interval)
            connection.write(b"x")
        return True

    return answer


def rest(face: Any, opened: Reply) -> bytes:
    """All of an open stream, up to its end."""
    return b"".join(iter(lambda: face.read(opened), b""))


def test_an_answer_is_read_whole_with_headers_in_lower_case(http: Make, server: FaultServer) -> None:
    server.script("/x", reply(200, b"hello", X_Thing="1"))
    answer = http().send(post(server, body=b'{"a":1}'))
    assert (answer.status, answer.body, answer.source) == (200, b"hello", None)
    assert answer.headers["x-thing"] == "1"
    assert answer.request_id == "req-1"
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/x", b'{"a":1}')
    assert seen.headers["host"] == server.host.removeprefix("http://")
    assert seen.headers["accept-encoding"] == "gzip, deflate"
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_stream_is_left_open_and_read_piece_by_piece(http: Make, server: FaultServer) -> None:
    server.script("/x", chunked(b"one", 0.05, b"two"))
    face = http()
    opened = face.send(post(server, stream=True))
    assert (opened.body, opened.source is None) == (b"", False)
    assert face.read(opened) == b"one"
    assert rest(face, opened) == b"two"
    assert face.read(opened) == b""
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_an_error_answer_to_a_stream_request_is_read_whole(http: Make, server: FaultServer) -> None:
    server.script("/x", reply(429, {"message": "slow down"}))
    answer = http().send(post(server, stream=True))
    assert (answer.status, answer.source) == (429, None)
    assert b"slow down" in answer.body


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_answer_and_its_target_is_never_asked(http: Make, server: FaultServer, status: int) -> None:
    server.script("/x", reply(status, b"moved", Location=f"{server.host}/elsewhere"))
    assert http().send(post(server)).status == status
    assert [request.path for request in server.seen] == ["/x"]


def test_cookies_are_not_kept(http: Make, server: FaultServer) -> None:
    server.script("/x", reply(200, b"", Set_Cookie="session=1"))
    face = http()
    face.send(post(server))
    face.send(post(server))
    assert "cookie" not in server.seen[1].headers


@pytest.mark.parametrize("cut", [reset, hang_up])
def test_a_connection_that_ends_before_any_answer_is_no_stale_one_when_new(
    http: Make, server: FaultServer, cut: Answer
) -> None:
    server.script("/x", cut)
    face = http()
    with pytest.raises(APIConnectionError) as caught:
        face.send(post(server, endpoint="m"))
    assert (caught.value.stale, caught.value.endpoint) == (False, "m")
    assert face.free_slots == face.pool.shelf._room
    assert face.pool.shelf.open == 0


@pytest.mark.parametrize("cut", [reset, hang_up])
def test_a_reused_connection_that_dies_without_an_answer_is_stale(http: Make, server: FaultServer, cut: Answer) -> None:
    server.script("/x", reply(200, b"ok"), cut)
    face = http()
    face.send(post(server))
    with pytest.raises(APIConnectionError) as caught:
        face.send(post(server))
    assert caught.value.stale
    assert server.connections == 1


def test_an_idle_connection_that_the_server_closed_is_not_used_again(http: Make, server: FaultServer) -> None:
    def once(connection: Connection) -> bool:
        reply(200, b"ok")(connection)
        return False

    server.script("/x", once)
    face = http()
    for _ in range(3):
        assert face.send(post(server)).body == b"ok"
        assert eventually(lambda: not server._open)
    assert server.connections == 3


def test_nobody_listening_is_a_connection_error(http: Make) -> None:
    with pytest.raises(APIConnectionError, match="Errno 111"):
        http().send(Request("GET", "http://127.0.0.1:1/"))


def test_a_name_that_does_not_resolve_is_a_connection_error(http: Make) -> None:
    with pytest.raises(APIConnectionError, match="could not be made"):
        http().send(Request("GET", "http://nowhere.invalid/"))


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_a_cut_body_is_an_error(http: Make, server: FaultServer, end: str) -> None:
    server.script("/x", chunked(b"half", end=end))
    face = http()
    with pytest.raises(APIConnectionError):
        face.send(post(server))
    opened = face.send(post(server, stream=True))
    assert face.read(opened) == b"half"
    with pytest.raises(APIConnectionError):
        face.read(opened)
    with pytest.raises(APIConnectionError, match="closed"):
        face.read(opened)
    assert face.pool.shelf.open == 0


def test_a_body_shorter_than_promised_is_an_error(http: Make, server: FaultServer) -> None:
    def short(connection: Connection) -> bool:
        connection.write(head(200, {"content-length": "10"}) + b"12345")
        return False

    server.script("/x", short)
    with pytest.raises(APIConnectionError):
        http().send(post(server))


def test_a_body_that_ends_with_its_connection_is_whole(http: Make, server: FaultServer) -> None:
    server.script("/x", until_close(b"a", b"b"))
    assert http().send(post(server)).body == b"ab"


@pytest.mark.parametrize(("limits", "phase"), [({"read": 0.2}, "read"), ({"total": 0.2}, "total")])
def test_a_silent_server_ends_in_a_timeout_that_names_its_limit(
    http: Make, server: FaultServer, limits: dict[str, float], phase: str
) -> None:
    server.script("/x", silence(HELD))
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        http().send(post(server, timeout=Timeout(**limits)))
    assert caught.value.phase == phase
    assert 0.19 <= time.monotonic() - began < SOON


def test_a_slow_drip_ends_at_the_total(http: Make, server: FaultServer) -> None:
    server.script("/x", drip(0.05))
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        http().send(post(server, timeout=Timeout(read=5.0, total=0.4)))
    assert caught.value.phase == "total"
    assert 0.39 <= time.monotonic() - began < SOON


def test_each_read_of_a_stream_ends_by_its_own_timeout(http: Make, server: FaultServer) -> None:
    server.script("/x", chunked(b"one", 0.15, b"two", HELD, b"three"))
    face = http()
    opened = face.send(post(server, stream=True, timeout=Timeout(read=30.0, total=0.1)))
    assert face.read(opened, SOON) == b"one"
    assert face.read(opened, SOON) == b"two"
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        face.read(opened, 0.2)
    assert caught.value.phase == "read"
    assert 0.19 <= time.monotonic() - began < SOON


def test_a_request_larger_than_the_server_takes_still_gets_its_answer(http: Make, server: FaultServer) -> None:
    def refuse(connection: Connection) -> bool:
        reply(413, {"message": "too large"}, Connection="close")(connection)
        return False

    server.script("/x", refuse)
    assert http().send(post(server, body=b"x" * 3_000_000)).status == 413
    assert len(server.seen[0].body) == 3_000_000


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"text " * 50_000)),
        ("x-gzip", gzip.compress(b"text " * 25_000) + gzip.compress(b"text " * 25_000)),
        ("deflate", zlib.compress(b"text " * 50_000)),
        ("deflate", zlib.compress(b"text " * 50_000, wbits=-15)),
        ("identity", b"text " * 50_000),
    ],
    ids=["gzip", "gzip in two members", "zlib", "raw deflate", "plain"],
)
def test_compressed_answers_are_unpacked_whole_and_streamed(
    http: Make, server: FaultServer, encoding: str, packed: bytes
) -> None:
    server.script("/x", reply(200, packed, Content_Encoding=encoding))
    face = http()
    assert face.send(post(server)).body == b"text " * 50_000
    assert rest(face, face.send(post(server, stream=True))) == b"text " * 50_000


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("br", b"x"), ("gzip", b"not gzip"), ("gzip", gzip.compress(b"cut" * 99)[:-12]), ("gzip", b"\x1f")],
    ids=["unknown", "damaged", "cut", "cut behind one byte"],
)
def test_an_answer_that_cannot_be_unpacked_is_a_format_error(
    http: Make, server: FaultServer, encoding: str, body: bytes
) -> None:
    server.script("/x", reply(200, body, Content_Encoding=encoding))
    face = http()
    with pytest.raises(ResponseFormatError):
        face.send(post(server))
    assert face.free_slots == face.pool.shelf._room
    server.script("/x", reply(503, body, Content_Encoding=encoding, Retry_After="1"))
    refusal = face.send(post(server, stream=True))
    assert (refusal.status, refusal.body, refusal.headers["retry-after"]) == (503, b"", "1"), (
        "it is a refusal all the same"
    )
    assert face.free_slots == face.pool.shelf._room


BOMB_SCRIPT = """
import asyncio, pathlib, re, sys
from fm_client import ResponseTooLargeError
from fm_client._http import HTTP, AsyncHTTP
from fm_client._wire import Request
kind, url = sys.argv[1:]
request = Request("POST", url, {}, b"")
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024
before = peak()
try:
    HTTP("h").send(request) if kind == "sync" else asyncio.run(AsyncHTTP("h").send(request))
except ResponseTooLargeError:
    print(peak() - before)
"""


def test_a_gzip_bomb_ends_at_the_limit_and_costs_no_more_than_it(http: Make, server: FaultServer) -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()
    server.script("/x", reply(200, bomb, Content_Encoding="gzip"))
    command = [sys.executable, "-c", BOMB_SCRIPT, http.kind, f"{server.host}/x"]  # type: ignore[attr-defined]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert 50 < int(done.stdout) < 80  # MiB; 64 of them are the limit itself
    with pytest.raises(ResponseTooLargeError):
        http(max_response_bytes=100_000).send(post(server))


def test_an_answer_that_declares_too_much_is_not_read(http: Make, server: FaultServer) -> None:
    def boast(connection: Connection) -> bool:
        connection.write(head(200, {"content-length": "1000000000"}))
        return False

    server.script("/x", boast)
    with pytest.raises(ResponseTooLargeError):
        http(max_response_bytes=1000).send(post(server))


BAD_VALUES = [
    f"{TOKEN}\n",
    f"{TOKEN}\r\nX: y",
    f"a\0{TOKEN}",
    f" {TOKEN}",
    f"{TOKEN} ",
    f"{TOKEN}\u20ac",
    f"\x7f{TOKEN}",
]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(http: Make, value: str) -> None:
    request = Request("POST", "http://127.0.0.1:1/", {"authorization": value}, b"")
    with pytest.raises(InvalidRequestError) as caught:
        http().send(request)
    assert TOKEN not in shown(caught.value, but=__file__)
    assert "authorization" in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a\r\nb", "Host", "Content-Length", "Transfer-Encoding", "h\xe9"])
def test_header_names_that_break_or_frame_a_request_are_refused(http: Make, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        http().send(Request("POST", "http://127.0.0.1:1/", {name: "x"}))


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a/", "http://u:p@a/", "http://a/ b", "http:///x", "http://a:99999/", "http://\xe9/", "a/b", ""),
        *("http://a..b/", f"http://{'a' * 64}.test/"),
    ],
)
def test_addresses_that_cannot_be_asked_are_refused(http: Make, url: str) -> None:
    with pytest.raises(InvalidRequestError):
        http().send(Request("GET", url))


@pytest.mark.parametrize(
    "cut", [reset, hang_up, silence(0.5), chunked(b"half", end="cut")], ids=["reset", "hang_up", "silence", "cut"]
)
def test_no_error_shows_the_token_not_even_in_the_variables_of_its_frames(
    http: Make, server: FaultServer, cut: Answer
) -> None:
    server.script("/x", cut)
    with pytest.raises(APIConnectionError) as caught:
        http().send(post(server, timeout=Timeout(read=0.2)))
    assert TOKEN not in shown(caught.value, but=__file__)
    assert TOKEN not in repr(post(server))


def test_a_write_that_takes_too_long_shows_no_token_either(http: Make, server: FaultServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        request = Request("POST", url, {"authorization": TOKEN}, bytes(20_000_000), timeout=Timeout(write=0.2))
        with pytest.raises(APITimeoutError) as caught:
            http().send(request)
    assert caught.value.phase == "write"
    assert TOKEN not in shown(caught.value, but=__file__)


@pytest.mark.parametrize("library", [httpx, httpcore])
def test_every_exception_of_the_http_libraries_has_a_place_in_the_table(library: Any) -> None:
    public = [getattr(library, name) for name in library.__all__ if hasattr(library, name)]
    raised = {cls.__name__ for cls in public if inspect.isclass(cls) and issubclass(cls, Exception)}
    assert len(raised) > 10
    assert raised <= FAILURES.keys()


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_every_row_of_the_table_makes_an_error_of_ours(name: str) -> None:
    exc = type(name, (Exception,), {})("said")
    error = failure(exc, Request("GET", "http://a/", endpoint="m"))
    assert isinstance(error, FMError)
    assert type(error) is FAILURES[name][0]
    assert getattr(error, "endpoint", "m") == "m"


def test_what_is_no_failure_of_http_is_left_as_it_is() -> None:
    for exc in (KeyboardInterrupt(), ValueError("a bug"), ConfigurationError("ours")):
        assert failure(exc, Request("GET", "http://a/")) is exc


def test_a_cause_that_quotes_headers_is_not_chained() -> None:
    assert cause_of(httpcore.LocalProtocolError(f"Illegal header value b'{TOKEN}'")) is None
    assert cause_of(httpcore.ReadError("reset")) is not None


def test_who_cannot_be_reached_is_named_and_what_to_look_at(http: Callable[..., Any]) -> None:
    with pytest.raises(
        APIConnectionError, match=r"to 127\.0\.0\.1:9 could not be made: .*; check the host's name and port"
    ):
        http().send(Request("GET", "http://127.0.0.1:9/"))
