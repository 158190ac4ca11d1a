"""The decoder gives the same events for every cut and every line ending, and nothing breaks lines but CR and LF."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timing import cpu_of

from fm_client import ResponseTooLargeError
from fm_client._sse import Event, SSEDecoder

SOURCE = b"event: note\ndata: one\ndata: two\n\n: ping\n\nid: 7\nretry: 10\ndata:three\n\ndata\n\n"
EVENTS = [Event(b"note", b"one\ntwo"), Event(b"", b"three"), Event(b"", b"")]


def decode(*pieces: bytes) -> list[Event]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_every_line_ending_in_every_cut_gives_the_same_events(newline: bytes, size: int) -> None:
    """S4"""
    source = SOURCE.replace(b"\n", newline)
    assert EVENTS == decode(*(source[i : i + size] for i in range(0, len(source), size)))


def test_line_endings_may_be_mixed_and_a_crlf_may_be_cut_in_two() -> None:
    """S4"""
    assert EVENTS[1:2] == decode(b"data:three\r", b"\n\r", b"\n")
    assert [Event(b"", b"a"), Event(b"", b"b")] == decode(b"data: a\r", b"\rdata: b\n", b"\r\n")


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_byte_order_mark_is_no_part_of_the_first_event(size: int) -> None:
    """S4"""
    source = b"\xef\xbb\xbfdata: first\n\n"
    assert [Event(b"", b"first")] == decode(*(source[i : i + size] for i in range(0, len(source), size)))


def test_a_cut_mark_that_is_none_is_data() -> None:
    assert [] == decode(b"\xef")
    assert [Event(b"", b"x")] == decode(b"\xef\xbb", b"\n", b"data: x\n\n")


@pytest.mark.parametrize("code", [0x2028, 0x2029, 0x85, 0x0B, 0x0C, 0x1C, 0x1D, 0x1E])
def test_only_cr_and_lf_end_a_line(code: int) -> None:
    """S5"""
    text = f"a{chr(code)}b".encode()
    assert [Event(b"", text)] == decode(b"data: " + text + b"\n\n")


def test_a_character_cut_in_two_arrives_whole() -> None:
    """S3"""
    source = "data: \u6771\U0001f600\n\n".encode()
    assert [Event(b"", "\u6771\U0001f600".encode())] == decode(*(source[i : i + 1] for i in range(len(source))))


def test_the_last_event_needs_no_blank_line() -> None:
    """S3"""
    assert [Event(b"", b"a"), Event(b"", b"b")] == decode(b"data: a\n\ndata: b")


def test_an_event_over_the_limit_is_an_error_with_and_without_line_ends() -> None:
    """S11"""
    with pytest.raises(ResponseTooLargeError):
        SSEDecoder(100).feed(b"data: " + b"x" * 200)
    decoder = SSEDecoder(100)
    with pytest.raises(ResponseTooLargeError):
        for _ in range(30):
            decoder.feed(b"data: xxxxxxxx\n")


def test_a_long_line_in_small_pieces_takes_linear_time() -> None:
    """S11: 8 MB in pieces of 1 kB."""
    piece = b"x" * 1024

    def decode_it() -> None:
        decoder = SSEDecoder(1 << 24)
        decoder.feed(b"data: ")
        for _ in range(8 * 1024):
            assert [] == decoder.feed(piece)
        assert 8 << 20 == len(decoder.feed(b"\n\n")[0].data)

    assert cpu_of(decode_it) < 0.5


DATA = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=20)


@given(st.lists(st.lists(DATA, min_size=1, max_size=3), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_decode_of_encode_is_the_identity_for_any_cut(
    events: list[list[str]], newline: str, data: st.DataObject
) -> None:
    """P1"""
    text = "".join("".join(f"data: {line}{newline}" for line in lines) + newline for lines in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert [Event(b"", "\n".join(lines).encode()) for lines in events] == decode(*pieces)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_whatever_make_it_fail(pieces: list[bytes]) -> None:
    """P3"""
    assert sum(len(event.data) for event in decode(*pieces)) <= sum(map(len, pieces))
