"""Rows S1 to S9 of the fault matrix: streams that are odd and all right, and streams that are broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fault_server import DONE, Answer, chat, chunked, delta, event, reply, until_close, words
from matrix import FINE, Outcome, Row, good

from fm_client import (
    APIConnectionError,
    APIError,
    BadRequestError,
    RateLimitError,
    ResponseFormatError,
    ServerError,
)

STREAM: tuple[Any, ...] = ("stream",)
BEGUN = (FINE[:2], FINE[2:])
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def stream(fault: str, *pieces: Any, id: str, end: str = "ok") -> Row:
    """A row of a stream that is all right and says FINE."""
    return Row(id, fault, (chunked(*pieces, end=end),), Outcome(1), kinds=STREAM)


def lines(newline: bytes, *, split: bool = False) -> tuple[bytes, ...]:
    """The good stream with other line ends; `split`: each byte by itself."""
    body = b"".join([*words(*BEGUN), DONE]).replace(b"\n", newline)
    return tuple(body[i : i + 1] for i in range(len(body))) if split else (body,)


def reshaped(change: Callable[[bytes], bytes]) -> tuple[bytes, ...]:
    """The good stream, each of its events changed."""
    return tuple(change(piece) for piece in [*words(*BEGUN), DONE])


TWO_LINES = reshaped(lambda piece: piece.replace(b', "created"', b',\ndata: "created"'))
MIXED = b"".join(
    piece.replace(b"\n", newline)
    for piece, newline in zip([*words(*BEGUN), DONE], [b"\r", b"\r\n", b"\n", b"\r"], strict=True)
)
OTHER_CHOICE = event(delta("other", index=1))

FRAMED = [
    stream("CRLF", *lines(b"\r\n"), id="S4"),
    stream("CR", *lines(b"\r"), id="S4"),
    stream("mixed ends", MIXED, id="S4"),
    stream("CRLF in single bytes", *lines(b"\r\n", split=True), id="S4"),
    stream("CR in single bytes", *lines(b"\r", split=True), id="S4"),
    stream("byte order mark", b"\xef\xbb\xbf", *words(*BEGUN), DONE, id="S4"),
    stream("byte order mark in two", b"\xef", b"\xbb\xbf" + words(*BEGUN)[0], *words(*BEGUN)[1:], DONE, id="S4"),
    stream("no space after data:", *reshaped(lambda piece: piece.replace(b"data: ", b"data:")), id="S4"),
    stream("data in two lines", *TWO_LINES, id="S4"),
    stream("comments", *reshaped(lambda piece: b": ping\n\n:\n" + piece), id="S4"),
    stream("id, retry and event lines", *reshaped(lambda piece: b"id: 7\nretry: 10\nevent: message\n" + piece), id="S4"),
    stream("unknown field", *reshaped(lambda piece: b"colour: blue\nno colon\n" + piece), id="S4"),
]  # fmt: skip

ENDINGS = [
    stream("finish without [DONE]", *words(*BEGUN), id="S2"),
    stream("[DONE] without finish", *words(*BEGUN, finish=None), DONE, id="S2"),
    stream("last blank line missing", *words(*BEGUN)[:-1], words(*BEGUN)[-1][:-2], id="S3"),
    Row("S2", "end of connection after finish", (until_close(*words(*BEGUN)),), Outcome(1), kinds=STREAM),
    stream("events after [DONE]", *words(*BEGUN), DONE, event(delta("late")), event({"error": "late"}), id="S8"),
    stream("nothing after [DONE], held open", *words(*BEGUN), DONE, id="S8", end="hold"),
]

PADDED = [
    stream("empty choices first", event({"choices": []}), *words(*BEGUN), DONE, id="S7"),
    stream("empty choices last", *words(*BEGUN), event({"choices": []}), DONE, id="S7"),
    stream("usage alone", *words(*BEGUN), event({"choices": [], "usage": USAGE}), DONE, id="S7"),
    stream("choices null", event({"choices": None}), *words(*BEGUN), DONE, id="S7"),
    stream("delta null", event({"choices": [{"index": 0, "delta": None}]}), *words(*BEGUN), DONE, id="S7"),
    stream("delta absent", event({"choices": [{"index": 0}]}), *words(*BEGUN), DONE, id="S7"),
    stream("content null", event(delta(None)), *words(*BEGUN), DONE, id="S7"),
    stream("role only", event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}), *words(*BEGUN), DONE, id="S7"),
    stream("usage null", event({**delta(""), "usage": None}), *words(*BEGUN), DONE, id="S7"),
    stream("n=2 in turn", words(*BEGUN)[0], OTHER_CHOICE, *words(*BEGUN)[1:], event(delta("", index=1, finish="stop")), DONE, id="S7"),
    stream("error: null", *words(*BEGUN)[:-1], event({**delta("", finish="stop"), "error": None, "error_code": None}), DONE, id="S7"),
]  # fmt: skip

WHOLE = [Row("S9", "JSON to a stream request", (reply(200, chat(FINE)),), Outcome(1), kinds=STREAM)]

EMPTY = Outcome(3, APIConnectionError, 200, says="before its first event")
UNREADABLE = Outcome(1, ResponseFormatError, 200)


def first(fault: str, data: bytes, error: type[APIError], *, id: str = "S6", **facts: Any) -> Row:
    """A row of a stream whose first event is bad."""
    outcome = Outcome(facts.pop("attempts", 1), error, facts.pop("status", None), facts.pop("code", None), **facts)
    return Row(id, fault, (chunked(data, DONE),), outcome, kinds=STREAM)


UNBEGUN = [
    Row("S1", "nothing", (chunked(),), EMPTY, kinds=STREAM),
    Row("S1", "pings and the end", (chunked(b": ping\n\n" * 3),), EMPTY, kinds=STREAM),
    Row("S1", "nothing once", (chunked(), good), Outcome(2), kinds=STREAM),
    Row("S1", "half an event", (chunked(b'data: {"choices": [{"del'),), EMPTY, kinds=STREAM),
    Row("S1", "[DONE] alone", (chunked(DONE),), UNREADABLE, kinds=STREAM),
    *(Row("S6", name, (chunked(event(data), DONE),), UNREADABLE, kinds=STREAM)
      for name, data in [("bad JSON", b"{nonsense"), ("null", b"null"), ("number", b"7"), ("array", b"[1]"), ("text", b'"x"'), ("choices no list", b'{"choices": 5}')]),
    first("error object", event({"error": {"message": "boom", "code": 400}}), BadRequestError, id="H13", status=400, says="boom"),
    first("coded error", event({"error_code": "INTERNAL_ERROR", "message": "boom"}), ServerError, id="H13", code="INTERNAL_ERROR", attempts=3),
    first("coded limit", event({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "later"}), RateLimitError, id="H13", code="REQUEST_LIMIT_EXCEEDED", attempts=3),
    first("named error event", b"event: error\n" + event({"error_code": "BAD_REQUEST", "message": "boom"}), BadRequestError, id="H13", code="BAD_REQUEST"),
    first("named error event, text", b"event: error\n" + event(b"BAD_REQUEST: boom"), BadRequestError, id="H13", code="BAD_REQUEST", says="boom"),
]  # fmt: skip

GOOD_STREAMS = FRAMED + ENDINGS + PADDED + WHOLE

BROKEN_STREAMS: dict[str, tuple[Answer, type[APIError], str | None]] = {
    name: (chunked(*words("AAA ", "BBB ", finish=None), *pieces, end=end), cause, code)
    for name, pieces, end, cause, code in [
        ("S1 end without finish and [DONE]", [], "ok", APIConnectionError, None),
        ("S1 end after pings", [b": ping\n\n"], "ok", APIConnectionError, None),
        ("S3 cut in JSON", [b'data: {"choices": [{"del'], "ok", APIConnectionError, None),
        ("S3 cut in a character", [b'data: {"choices": [{"index": 0, "delta": {"content": "\xf0\x9f'], "cut", APIConnectionError, None),
        ("S3 cut before the blank line of no end", [event(delta(""))[:-2]], "ok", APIConnectionError, None),
        ("S6 bad JSON", [event(b"{nonsense"), DONE], "ok", ResponseFormatError, None),
        ("S6 null", [event(b"null"), DONE], "ok", ResponseFormatError, None),
        ("S6 number", [event(b"7"), DONE], "ok", ResponseFormatError, None),
        ("S6 array", [event(b"[1]"), DONE], "ok", ResponseFormatError, None),
        ("S6 choices no list", [event({"choices": 5}), DONE], "ok", ResponseFormatError, None),
        ("H13 error object", [event({"error": {"message": "boom"}}), DONE], "ok", ServerError, None),
        ("H13 coded error", [event({"error_code": "INTERNAL_ERROR", "message": "boom"}), DONE], "ok", ServerError, "INTERNAL_ERROR"),
        ("H13 coded limit", [event({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "x"}), DONE], "ok", RateLimitError, "REQUEST_LIMIT_EXCEEDED"),
        ("H13 named error event", [b"event: error\n" + event({"message": "boom"}), DONE], "ok", ServerError, None),
    ]
}  # fmt: skip
"""Streams that break after "AAA BBB ": answer, class of the cause, error code."""
