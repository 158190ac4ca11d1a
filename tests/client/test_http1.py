"""Our connection beside httpcore's: whatever a server says, both read the same out of it, or refuse it alike."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import h11
import httpcore
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fm_client._failures import FAILURES
from fm_client._heads import target_of
from fm_client._http import _core_request
from fm_client._http1 import AsyncHttp1, Http1
from fm_client._network import AsyncWire, Origin, Wire
from fm_client._wire import Request

ORIGIN = httpcore.Origin(b"http", b"host.test", 80)
STATUS = st.sampled_from(
    [b"200 OK", b"200", b"204 No Content", b"304 Not Modified", b"404 X", b"101 Y", b"99 Z", b"2x"]
)
VERSION = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"ICY"])
HEADERS = st.sampled_from(
    [
        b"content-length: 5",
        b"Content-Length: 05",
        b"content-length: +5",
        b"content-length: 5, 5",
        b"content-length: 5, 6",
        b"content-length: " + b"9" * 5000,
        b"transfer-encoding: chunked",
        b"Transfer-Encoding:  CHUNKED\t",
        b"transfer-encoding: gzip, chunked",
        b"transfer-encoding: identity",
        b"transfer-encoding : chunked",
        b"x: a\r\n transfer-encoding: chunked",
        b"x: a\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\n , x",
        b"connection: close",
        b"connection: keep-alive",
        b"x-note: \xff",
        b"x: y\r\n\tfolded",
        b"no colon",
        b"x: " + b"y" * 70_000,
    ]
)
CHUNK = st.sampled_from(
    [
        b"5\r\nhello\r\n",
        b"005\r\nhello\r\n",
        b"A\r\n0123456789\r\n",
        b"a;name=1\r\n0123456789\r\n",
        b"5 \r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\nhello\r\n",
        b"5\nhello\n",
        b"5\r\nhello",
        b"5\r\nhello\n",
        b"f" * 15 + b"\r\nhello\r\n",
        b"f" * 20 + b"\r\nhello\r\n",
        b"f" * 21 + b"\r\nhello\r\n",
        b"12\r\n\r\n3\r\nabc\r\n1\r\nd\r\n..\r\n",
        b"0\r\n\r\n",
        b"0\r\nx-sum: 1\r\n\r\n",
        b"00\r\n\r\n",
        b"\r\n",
    ]
)
EARLIER = st.sampled_from(
    [b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b"\r\n"]
)
LINE_END = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """What a server may say to one request, often wrongly."""
    end, last = draw(LINE_END), draw(LINE_END)
    lines = [draw(VERSION) + b" " + draw(STATUS), *draw(st.lists(HEADERS, max_size=3))]
    body = b"".join(draw(st.lists(CHUNK, max_size=8)))
    return draw(EARLIER) + end.join(lines) + last + last + body + draw(st.sampled_from([b"", b"", b"0\r\n\r\n"]))


@st.composite
def reads(draw: st.DrawFn) -> list[bytes]:
    """Two answers, in the pieces that a socket may give; at most one read apart."""
    data = draw(answers()) + draw(st.sampled_from([b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"]))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [piece for a, b in itertools.pairwise([0, *cuts, len(data)]) if (piece := data[a:b])]


def request() -> httpcore.Request:
    limits = {"connect": 1.0, "read": 1.0, "write": 1.0}
    headers = [(b"Host", b"host.test"), (b"Content-Length", b"2")]
    return httpcore.Request("POST", "http://host.test/", headers=headers, content=b"{}", extensions={"timeout": limits})


def told(connection: Any) -> list[Any]:
    """All that a caller learns from `connection` about one answer, and whether it may serve on."""
    response, facts = None, list[Any]()
    try:
        response = connection.handle_request(request())
        facts += [response.status, response.headers]
        facts += [b"".join(response.stream)]
    except Exception as error:  # noqa: BLE001 - which of them is compared
        facts += [type(error).__name__]
    if response is not None:
        (response if hasattr(response, "line") else response.stream).close()
    return [*facts, connection.is_available()]


async def told_async(connection: AsyncHttp1) -> list[Any]:
    response, facts = None, list[Any]()
    try:
        response = await connection.handle_async_request(request())
        facts += [response.status, response.headers]
        facts += [b"".join([piece async for piece in response.stream])]
    except Exception as error:  # noqa: BLE001 - which of them is compared
        facts += [type(error).__name__]
    if response is not None:
        await response.aclose()
    return [*facts, connection.is_available()]


def theirs(pieces: list[bytes]) -> list[Any]:
    return told(httpcore.HTTP11Connection(ORIGIN, httpcore.MockStream([*pieces, b""])))


def ours(pieces: list[bytes]) -> list[Any]:
    wire = Wire(time.monotonic)
    wire._stream = httpcore.MockStream([*pieces, b""])
    connection = Http1(Origin("k", ORIGIN), wire)
    connection._connected = True
    return told(connection)


def ours_async(pieces: list[bytes]) -> list[Any]:
    wire = AsyncWire(time.monotonic)
    wire._stream = httpcore.AsyncMockStream([*pieces, b""])
    connection = AsyncHttp1(Origin("k", ORIGIN), wire)
    connection._connected = True
    return asyncio.run(told_async(connection))


MIXED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: y\n\n14\r\n\r\n3\r\nabc\r\n1\r\nd\r\n12\r\n\r\n0\r\n\r\n"
"""Whose head ends sooner than where it would if all of its lines ended alike."""


@given(reads())
@example([MIXED])
@example([b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\nbody"])
def test_an_answer_is_read_as_httpcore_reads_it(pieces: list[bytes]) -> None:
    *said, may_serve = ours(pieces)
    *expected, may = theirs(pieces)
    assert said == expected
    assert may or not may_serve
    assert ours_async(pieces) == [*said, may_serve]
    assert not isinstance(said[-1], str) or said[-1] in FAILURES


OVER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def test_a_second_request_is_sent_only_after_the_first_is_over() -> None:
    wire = Wire(time.monotonic)
    wire._stream = httpcore.MockStream([OVER, OVER, b""])
    line = Http1(Origin("k", ORIGIN), wire)
    line._connected = True
    answer = line.handle_request(request())
    with pytest.raises(httpcore.ConnectionNotAvailable):
        line.handle_request(request())
    assert [*answer.stream] == [b"ok"]
    with pytest.raises(httpcore.ConnectionNotAvailable):
        line.handle_request(request())
    answer.close()
    assert [*line.handle_request(request()).stream] == [b"ok"]


def by_h11(sent: httpcore.Request) -> bytes:
    """`sent` as h11 would write it, which checks each part of it."""
    line = h11.Connection(h11.CLIENT)
    body = b"".join(sent.stream)
    head = line.send(h11.Request(method=sent.method, target=sent.url.target, headers=sent.headers))
    return b"".join(filter(None, [head, line.send(h11.Data(data=body)), line.send(h11.EndOfMessage())]))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [None, b"", b"{}", b"x" * 300_000])
def test_a_request_goes_out_as_h11_would_write_it(method: str, body: bytes | None) -> None:
    """It is written here, and h11 is told of another one; what is fit to be sent is decided in `_heads`."""
    asked = Request(method, "https://host.test:8443/a/b?c=%20d", {"authorization": "Bearer x", "x-note": "a  b"}, body)
    sent = _core_request(asked, target_of(asked.url))
    assert Http1(Origin("k", ORIGIN), Wire(time.monotonic))._sent(sent) == by_h11(sent)
