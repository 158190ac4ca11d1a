"""Chunks of a body joined to fewer: httpcore's own parser reads the same out of them, whatever the bytes are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_client._framing import Joiner

HEAD = b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n"
BODY = st.lists(
    st.sampled_from([b"a", b"0\r\n\r\n", b"data: {}\n\n", b"\r\n", b"5\r\nabcde\r\n", b"x" * 300]), max_size=12
)
LINE = st.sampled_from([b"%x", b"%x", b"%x", b"%X", b"00%x", b"%x;note=1", b"%x ", b"0x%x", b"%xz"])
END = st.sampled_from(
    [b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nx-sum: 1\r\n\r\n", b"0;last\r\n\r\n", b"", b"0\r\n", b"zz\r\n"]
)
TOP = st.sampled_from(
    [HEAD, HEAD, HEAD, b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD, HEAD.replace(b"chunked", b"Chunked ")]
)


@st.composite
def reads(draw: st.DrawFn) -> list[bytes]:
    """A chunked answer, not always a right one, in the pieces that a socket may give; empty at the end."""
    chunks = [draw(LINE) % len(body) + b"\r\n" + body + b"\r\n" for body in draw(BODY)]
    data = draw(TOP) + b"".join(chunks) + draw(END)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [*filter(None, (data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)]))), b""]


class Reader:
    """h11, as httpcore uses it."""

    def __init__(self) -> None:
        self.connection, self.body, self.chunks = h11.Connection(h11.CLIENT), b"", 0
        self.end: str | None = None
        self.connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        self.connection.send(h11.EndOfMessage())

    def read(self, data: bytes) -> bytes:
        """All of the body so far."""
        try:
            if self.end is None:
                self.connection.receive_data(data)
                self._events()
        except h11.RemoteProtocolError as error:
            self.end = str(error)
        return self.body

    def _events(self) -> None:
        event: Any = None
        while event is not h11.NEED_DATA and self.end is None:
            event = self.connection.next_event()
            if isinstance(event, h11.Data):
                self.body, self.chunks = self.body + event.data, self.chunks + 1
            elif isinstance(event, h11.EndOfMessage):
                self.end = f"whole, {event.headers!r}"


def joined(pieces: Iterable[bytes]) -> list[bytes]:
    joiner = Joiner()
    return [joiner.feed(piece) for piece in pieces]


@given(reads())
def test_each_read_brings_the_body_that_it_would_have_brought_unjoined(pieces: list[bytes]) -> None:
    """A chunk's cost, and streams that are cut"""
    plain, ours = Reader(), Reader()
    for piece, given_on in zip(pieces, joined(pieces), strict=True):
        if plain.end is not None:
            break
        before = plain.read(piece)
        after = ours.read(given_on) if given_on or not piece else ours.body
        assert before == after
    if not pieces[-1] and plain.end is None:
        plain.read(b""), ours.read(b"")
    assert plain.end == ours.end


def test_a_read_of_many_chunks_becomes_one_chunk() -> None:
    """A chunk's cost"""
    (data,) = joined([HEAD + b"1\r\na\r\n" * 1000 + b"0\r\n\r\n"])
    reader = Reader()
    assert reader.read(data) == b"a" * 1000
    assert (reader.chunks, reader.end) == (1, "whole, <Headers([])>")


@pytest.mark.parametrize("line", [b"ff", b"f\r"])
def test_the_part_of_a_line_that_the_end_cuts_is_handed_on_once(line: bytes) -> None:
    """Streams that are cut"""
    assert joined([HEAD, line, b"", b""]) == [HEAD, b"", line, b""]


@pytest.mark.parametrize(
    "top",
    [
        HEAD.replace(b"200 OK", b"400 Bad Request"),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEAD.replace(b"transfer-encoding: chunked", b"content-length: 18"),
    ],
)
def test_other_answers_are_left_alone(top: bytes) -> None:
    data = top + b"1\r\na\r\n" * 3
    assert joined([data, data]) == [data, data]


def test_each_answer_of_a_connection_is_looked_at_anew() -> None:
    joiner = Joiner()
    whole = HEAD.replace(b"transfer-encoding: chunked", b"content-length: 2") + b"ok"
    assert joiner.feed(whole) == whole
    joiner.begin()
    assert joiner.feed(HEAD + b"1\r\na\r\n1\r\nb\r\n") == HEAD + b"2\r\nab\r\n"
