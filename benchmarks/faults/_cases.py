"""The cases: what the server sends, and what a client should make of it."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import fault_server as fs  # the server of our own tests, which is not installed

from . import _verdicts as v

SSE, ENDPOINT = "text/event-stream", "/serving-endpoints/"
CUT = fs.words("AAA ", "BBB ", finish=None)
WHOLE = [*fs.words("AAA ", "BBB "), fs.DONE]
VECTORS = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
PATIENCE = 1.0
"""Seconds that the client is told to wait, where the server only pings."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    group: str
    title: str
    verb: str
    answers: tuple[fs.Answer, ...]
    judge: v.Judge
    timeout: float | None = None

    def name(self, number: int) -> str:
        return f"case-{number}"


def usage(*counts: int | None) -> dict[str, int | None]:
    return dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), counts, strict=True))


def sent(*pieces: bytes | float, end: str = "ok") -> tuple[fs.Answer, ...]:
    return (fs.chunked(*pieces, end=end),)


def lines(change: Callable[[bytes], bytes], *, once: bool = False) -> tuple[fs.Answer, ...]:
    """A good stream, each event (or the first one only) changed."""
    return sent(*(change(each) if not (once and i) else each for i, each in enumerate(WHOLE)))


def spread(event: bytes) -> bytes:
    """The same JSON over several `data:` lines."""
    text = (
        json.dumps(json.loads(event[6:]), indent=1).encode() if not event.startswith(b"data: [DONE]") else event[6:-2]
    )
    return b"".join(b"data: " + line + b"\n" for line in text.splitlines()) + b"\n"


def said(text: str) -> tuple[fs.Answer, ...]:
    events = [fs.delta(text), fs.delta("", finish="stop")]
    raw = [b"data: " + json.dumps(each, ensure_ascii=False).encode() + b"\n\n" for each in events]
    return sent(*raw, fs.DONE)


def call(arguments: str) -> tuple[bytes, ...]:
    """A stream with one tool call."""
    function = {"name": "weather", "arguments": arguments}
    made = [{"index": 0, "id": "call-1", "type": "function", "function": function}]
    return fs.event(fs.delta(None, tool_calls=made)), fs.event(fs.delta("", finish="tool_calls")), fs.DONE


def whole_call(arguments: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": arguments}
    answer = fs.chat("", tool_calls=[{"id": "call-1", "type": "function", "function": function}])
    answer["choices"][0]["finish_reason"] = "tool_calls"
    return answer


def pings(connection: fs.Connection) -> bool:
    """Comments for three seconds, and then an answer after all."""
    connection.write(fs.head(200, {"content-type": SSE, "connection": "close"}))
    for _ in range(15):
        connection.write(b": ping\n\n")
        time.sleep(0.2)
    connection.write(b"".join(WHOLE))
    return False


def counted(*usages: Any, closing: Any = None) -> tuple[fs.Answer, ...]:
    """A stream with these usages on its chunks, and perhaps one on a closing chunk without choices."""
    events = [fs.event(fs.delta("AAA ", usage=each)) for each in usages[:-1]]
    events.append(fs.event(fs.delta("BBB ", finish="stop", usage=usages[-1])))
    if closing is not None:
        events.append(fs.event(fs.delta() | {"choices": [], "usage": closing}))
    return sent(*events, fs.DONE)


def only_if_asked(connection: fs.Connection) -> bool:
    """Usage as OpenAI's own route has it: for who sends `stream_options`."""
    asked = b'"include_usage"' in connection.request.body.replace(b" ", b"")  # type: ignore[attr-defined]  # _server
    (answer,) = counted(None, None, closing=usage(9, 3, 12) if asked else None)
    return answer(connection)


def rows(*vectors: Any, order: list[int] | None = None, index: list[int] | None = None) -> tuple[fs.Answer, ...]:
    answer = fs.embeddings(vectors, order=order)
    for row, number in zip(answer["data"], index or [], strict=False):
        row["index"] = number
    return (fs.reply(200, json.dumps(answer), content_type="application/json"),)


ERROR = {"error": {"message": "overloaded", "type": "server_error", "code": "overloaded"}}
CODED = {"error_code": "INTERNAL_ERROR", "message": "overloaded"}
HTML = b"<html><body>Bad gateway</body></html>"
THROTTLED = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Exceeded the request limit."}
LARGE = {"error_code": "BAD_REQUEST", "message": "Request too large."}
TOKEN = {"error_code": "403", "message": "Invalid access token. [ReqId: 1]"}


def cases(elsewhere: str) -> list[Case]:
    """`elsewhere` is the address of another server, which redirects point to."""
    return [*streams(), *whole(), *refusals(elsewhere), *embeddings(), *usages(), *secrets()]


def streams() -> list[Case]:
    group, fail, give = "Streams", v.fails, v.gives("AAA BBB ")
    table: list[tuple[str, tuple[fs.Answer, ...], v.Judge]] = [
        ("ends without finish reason and without `[DONE]`", sent(*CUT), fail),
        ("`Connection: close`, cut", (fs.until_close(*CUT),), fail),
        ("chunked body cut (FIN)", sent(*CUT, end="cut"), fail),
        ("chunked body cut (RST)", sent(*CUT, 0.05, end="reset"), fail),
        ("ends inside a JSON line", sent(*CUT, b'data: {"id": "chatcmpl-1", "choi'), fail),
        ("last event without its blank line", sent(*WHOLE[:2], WHOLE[2].rstrip(b"\n")), v.gives("AAA BBB ", "stop")),
        ("empty body", sent(), fail),
        ("CRLF", lines(lambda each: each.replace(b"\n", b"\r\n")), give),
        ("bare CR", lines(lambda each: each.replace(b"\n", b"\r")), give),
        ("`data:x` without a space", lines(lambda each: b"data:" + each[6:]), give),
        ("UTF-8 byte by byte", (fs.chunked(*(bytes([each]) for each in said_bytes("Grüße 😀"))),), v.gives("Grüße 😀")),
        ("U+2028 in the text", said("a\u2028b"), v.gives("a\u2028b")),
        ("U+0085 in the text", said("a\u0085b"), v.gives("a\u0085b")),
        ("`: ping` comments", lines(lambda each: b": ping\n\n" + each), give),
        ("`event:` and `id:` lines", lines(lambda each: b"event: message\nid: 1\n" + each), give),
        ("data over several lines", lines(spread), give),
        ("byte order mark", lines(lambda each: b"\xef\xbb\xbf" + each, once=True), give),
        ('`{"error": …}` in mid-stream', sent(*CUT, fs.event(ERROR), fs.DONE), fail),
        ('`{"error_code": …}` in mid-stream', sent(*CUT, fs.event(CODED), fs.DONE), fail),
        ("`event: error` in mid-stream", sent(*CUT, b"event: error\n" + fs.event(CODED), fs.DONE), fail),
        ("`delta: null`", sent(fs.event(null_delta()), *WHOLE), give),
        ("a chunk without choices first", sent(fs.event(fs.delta() | {"choices": []}), *WHOLE), give),
        ("a line that is not JSON", sent(*CUT, b"data: {oops\n\n", fs.DONE), fail),
        ("HTML with status 200", (fs.reply(200, HTML.decode(), content_type="text/html"),), fail),
        ("a whole JSON answer to a stream", (fs.reply(200, fs.chat("AAA BBB ")),), v.gives_or_fails("AAA BBB ")),
        ("tool arguments cut: `{\"city\": \"Par`", sent(*call('{"city": "Par')), v.no_call),
    ]  # fmt: skip
    found = [Case(group, title, "stream", answers, judge) for title, answers, judge in table]
    return [*found, Case(group, f"only pings, with a limit of {PATIENCE:g} s", "stream", (pings,), v.in_time, PATIENCE)]


def said_bytes(text: str) -> bytes:
    events = [fs.delta(text), fs.delta("", finish="stop")]
    return b"".join(b"data: " + json.dumps(e, ensure_ascii=False).encode() + b"\n\n" for e in events) + fs.DONE


def null_delta() -> dict[str, Any]:
    chunk = fs.delta()
    chunk["choices"][0]["delta"] = None
    return chunk


def whole() -> list[Case]:
    table: list[tuple[str, Any, v.Judge]] = [
        ("status 200, empty body", b"", v.fails),
        ("status 200, HTML", HTML, v.fails),
        ("`choices: []`", fs.chat() | {"choices": []}, v.fails),
        ('status 200, `{"error": …}`', ERROR, v.fails),
        ("tool arguments that are no JSON", whole_call('{"city": "Par'), v.no_call),
    ]
    return [Case("Whole answers", title, "chat", (fs.reply(200, body),), judge) for title, body, judge in table]


def refusals(elsewhere: str) -> list[Case]:
    group = "Refusals"
    moved = fs.reply(307, b"", location=f"{elsewhere}/serving-endpoints/stolen/invocations")
    throttled, later = fs.reply(429, THROTTLED), fs.reply(429, THROTTLED, retry_after="600")
    bad_gateway = fs.reply(503, HTML.decode(), content_type="text/html")
    return [
        Case(group, "429 for good: requests, seconds slept", "chat", (throttled,), v.sends(3, 60)),
        Case(group, "429 for good, embeddings", "embed", (throttled,), v.sends(3, 60)),
        Case(group, "429 with `Retry-After: 600`", "chat", (later,), v.sends(1, 0)),
        Case(group, "503 for good, HTML", "chat", (bad_gateway,), v.sends(3, 60)),
        Case(group, "413", "chat", (fs.reply(413, LARGE),), v.sends(1, 0)),
        Case(group, "403 \"Invalid access token\"", "chat", (fs.reply(403, TOKEN),), v.says(403, 2)),
        Case(group, "307 to another host", "chat", (moved,), v.stays),
        Case(group, "307 to itself, for ever", "chat", (itself,), v.sends(3, 60)),
    ]  # fmt: skip


def itself(connection: fs.Connection) -> bool:
    return fs.reply(307, b"", location=connection.request.target)(connection)  # type: ignore[attr-defined]  # _server


def embeddings() -> list[Case]:
    a, b, c = VECTORS
    table: list[tuple[str, tuple[fs.Answer, ...], v.Judge]] = [
        ("in another order, with `index`", rows(a, b, c, order=[2, 0, 1]), v.vectors(VECTORS)),
        ("one too few", rows(a, b), v.fails),
        ("one too many", rows(a, b, c, a), v.fails),
        ("an index twice", rows(a, b, c, index=[0, 1, 1]), v.fails),
        ("NaN", rows(a, [math.nan, 1.0], c), v.fails),
        ("`null` for a number", rows(a, [None, 1.0], c), v.fails),
        ("vectors of unequal length", rows(a, [1.0], c), v.fails),
        ("an empty vector", rows(a, [], c), v.fails),
    ]
    return [Case("Embeddings", title, "embed", answers, judge) for title, answers, judge in table]


def usages() -> list[Case]:
    group, right = "Usage", v.counts(9, 3, 12)
    growing = counted(usage(9, 1, 10), usage(9, 2, 11), usage(9, 3, 12))
    nulls = counted(usage(9, None, None), usage(9, None, None), usage(9, 3, 12))
    answer = fs.chat("AAA BBB ") | {"usage": usage(9, 3, 12)}
    return [
        Case(group, "of a whole answer", "chat", (fs.reply(200, answer),), right),
        Case(group, "streamed: so far, on every chunk", "stream", growing, right),
        Case(group, "streamed: with nulls, until the last chunk", "stream", nulls, right),
        Case(group, "streamed: on a closing chunk", "stream", counted(None, None, closing=usage(9, 3, 12)), right),
        Case(group, "streamed: only for who asks, without a setting", "stream", (only_if_asked,), right),
    ]


def secrets() -> list[Case]:
    return [
        Case("Process", "the token in repr, str or a dump", "repr", (), v.hides),
        Case(
            "Process",
            "pickle after a call: works, and holds no token",
            "pickle",
            (fs.reply(200, fs.chat()),),
            v.pickles,
        ),
    ]
