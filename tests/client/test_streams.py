"""Streams, whole and broken, sync and async, over real loopback HTTP."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fault_server import (
    BUSY,
    DONE,
    FaultServer,
    chat,
    chunked,
    delta,
    event,
    reply,
    reset,
    text,
    until_close,
    words,
)  # fmt: skip
from timing import SOON

from fm_client import (
    APITimeoutError,
    BadRequestError,
    ResponseFormatError,
    ServerError,
    StreamInterruptedError,
    Timeout,
)


def test_a_stream_gives_text_then_the_usage_once_then_the_whole(fm: Any, server: FaultServer) -> None:
    server.script("ep", chunked(*words("Hel", "lo"), DONE))
    chunks = list(fm.stream_chat("ep", "Hi"))
    assert "Hello" == text(chunks)
    assert [None] * (len(chunks) - 1) == [chunk.usage for chunk in chunks[:-1]]
    last = chunks[-1]
    assert ([], 5, 2) == (last.choices, last.usage.input_tokens, last.usage.output_tokens)
    assert ("Hello", "stop", "ep", "req-1") == (
        last.response.text,
        last.response.finish_reason,
        last.endpoint,
        last.request_id,
    )
    assert True is server.seen[0].json["stream"] and "text/event-stream" == server.seen[0].headers["accept"]


def test_the_connection_of_a_finished_stream_is_used_again(fm: Any, server: FaultServer) -> None:
    server.script("ep", chunked(*words("a"), DONE))
    for _ in range(3):
        assert "a" == text(fm.stream_chat("ep", "Hi"))
    assert 1 == server.connections


def test_a_stream_ends_at_done_even_if_the_server_holds_on(fm: Any, server: FaultServer) -> None:
    """S8"""
    server.script("ep", chunked(*words("a"), DONE, event(delta("late")), end="hold"))
    begun = time.monotonic()
    assert "a" == text(fm.stream_chat("ep", "Hi"))
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_line_endings_and_comments_change_nothing(fm: Any, server: FaultServer, newline: bytes) -> None:
    """S4"""
    events = [
        b"\xef\xbb\xbf: ping" + newline * 2,
        event(delta("a"), newline),
        b"id: 1" + newline,
        event(delta("b", finish="stop"), newline),
    ]
    server.script("ep", chunked(*events, event(b"[DONE]", newline)))
    assert "ab" == text(fm.stream_chat("ep", "Hi"))


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e", "\U0001f600"])
def test_text_arrives_exactly_also_in_single_bytes(fm: Any, server: FaultServer, character: str) -> None:
    """S3, S5"""
    shown = character if ord(character) > 31 else f"\\u{ord(character):04x}"
    body = b"data: " + b'{"choices":[{"index":0,"delta":{"content":"a@b"},"finish_reason":"stop"}]}' + b"\n\n"
    body = body.replace(b"@", shown.encode())
    server.script("ep", chunked(*(body[i : i + 1] for i in range(len(body))), DONE))
    assert f"a{character}b" == text(fm.stream_chat("ep", "Hi"))


@pytest.mark.parametrize(
    "events",
    [
        [event({"choices": []}), *words("a"), event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})],
        [event({"choices": [{"index": 0, "delta": None}]}), *words("a")],
        [event({"choices": None}), event(delta(None)), *words("a")],
        [event({"id": None, "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}], "usage": None}), *words("a")],
        [b"data:\n\n", *words("a", finish=None), b"event: ping\ndata: \n\n", b"data\n\n"],
    ],
    ids=["empty choices", "delta null", "choices null", "role only", "no data"],
)  # fmt: skip
def test_chunks_without_content_are_harmless(fm: Any, server: FaultServer, events: list[bytes]) -> None:
    """S7"""
    server.script("ep", chunked(*events, DONE))
    chunks = list(fm.stream_chat("ep", "Hi"))
    assert "a" == text(chunks) and 1 == sum(chunk.usage is not None for chunk in chunks)
    assert 1 == chunks[-1].usage.output_tokens


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (chunked(*words("a", "b")), "stop"),
        (chunked(*words("a", "b", finish=None), DONE), None),
        (until_close(*words("a", "b")), "stop"),
        (chunked(b"".join(words("a", "b"))[:-2]), "stop"),
    ],
    ids=[
        "finish without [DONE]",
        "[DONE] without finish",
        "end of connection after finish",
        "last event without blank line",
    ],
)
def test_a_stream_is_whole_with_finish_reason_or_done(
    fm: Any, server: FaultServer, answer: Any, finish: str | None
) -> None:
    """S2, S3"""
    server.script("ep", answer)
    chunks = list(fm.stream_chat("ep", "Hi"))
    assert ("ab", finish) == (text(chunks), chunks[-1].response.finish_reason)


CUTS = {
    "clean end": chunked(*words("a", "b", finish=None)),
    "connection cut": chunked(*words("a", "b", finish=None), end="cut"),
    "reset": chunked(*words("a", "b", finish=None), 0.05, end="reset"),
    "end of connection": until_close(*words("a", "b", finish=None)),
    "inside a JSON line": chunked(*words("a", "b", finish=None), b'data: {"choices": [{"del'),
    "inside a character": chunked(
        *words("a", "b", finish=None), b'data: {"choices": [{"index":0,"delta":{"content":"\xf0\x9f'
    ),
    "error event": chunked(*words("a", "b", finish=None), event({"error": {"message": "boom"}})),
    "coded error event": chunked(
        *words("a", "b", finish=None), event({"error_code": "INTERNAL_ERROR", "message": "boom"}), DONE
    ),
    "named error event": chunked(*words("a", "b", finish=None), b"event: error\n" + event({"message": "boom"}), DONE),
    "bad JSON": chunked(*words("a", "b", finish=None), event(b"{nonsense"), DONE),
    "null": chunked(*words("a", "b", finish=None), event(b"null"), DONE),
    "number": chunked(*words("a", "b", finish=None), event(b"7"), DONE),
    "array": chunked(*words("a", "b", finish=None), event(b"[1]"), DONE),
}


@pytest.mark.parametrize("answer", CUTS.values(), ids=CUTS.keys())
def test_a_broken_stream_is_never_taken_for_a_whole_one(fm: Any, server: FaultServer, answer: Any) -> None:
    """S1, S3, S6, T3, H13: after the first event nothing is sent again, and what arrived is kept."""
    server.script("ep", answer)
    got: list[str] = []
    with pytest.raises(StreamInterruptedError) as caught:
        got.extend(chunk.text for chunk in fm.stream_chat("ep", "Hi"))
    error = caught.value
    assert "ab" == "".join(got) == error.partial_text
    assert (1, "ep", 2) == (server.attempts("ep"), error.endpoint, error.partial.usage.output_tokens)
    assert error.__cause__ is not None and error.partial.finish_reason is None


@pytest.mark.parametrize(
    "failure",
    [chunked(end="ok"), chunked(end="cut"), reset, BUSY, chunked(b": ping\n\n", end="cut")],
    ids=["empty", "cut", "reset", "503", "pings, then cut"],
)
def test_before_its_first_event_a_stream_is_repeated(fm: Any, server: FaultServer, failure: Any) -> None:
    """S1, T1, T3"""
    server.script("ep", failure, failure, chunked(*words("a"), DONE))
    assert "a" == text(fm.stream_chat("ep", "Hi"))
    assert 3 == server.attempts("ep")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (chunked(event({"error_code": "BAD_REQUEST", "message": "no"})), BadRequestError),
        (chunked(DONE), ResponseFormatError),
        (reply(200, "<html>login</html>", content_type="text/html"), ResponseFormatError),
        (chunked(event(b"{nonsense"), DONE), ResponseFormatError),
    ],
    ids=["error event", "nothing but [DONE]", "html", "bad JSON"],
)
def test_a_bad_first_event_is_a_typed_error(fm: Any, server: FaultServer, answer: Any, error: type[Exception]) -> None:
    """H12, H13, S6"""
    server.script("ep", answer)
    with pytest.raises(error):
        list(fm.stream_chat("ep", "Hi"))
    assert 1 == server.attempts("ep")


def test_an_answer_in_one_piece_to_a_stream_request_is_one_chunk(fm: Any, server: FaultServer) -> None:
    """S9"""
    server.script("ep", reply(200, chat("whole")))
    chunks = list(fm.stream_chat("ep", "Hi"))
    assert ("whole", 2, 7) == (text(chunks), len(chunks), chunks[-1].usage.output_tokens)
    server.script("ep", chunked(*words("a"), DONE))
    with pytest.raises(ResponseFormatError):
        fm.chat("ep", "Hi")


@pytest.mark.parametrize(
    "answer",
    [chunked(*words("a", finish=None), end="hold"), chunked(*words("a", finish=None), *[b": ping\n\n", 0.1] * 600)],
    ids=["silence", "pings"],
)
def test_silence_and_pings_alike_end_a_stream_after_the_idle_limit(fm: Any, server: FaultServer, answer: Any) -> None:
    """T4, T5"""
    server.script("ep", answer)
    begun = time.monotonic()
    with pytest.raises(StreamInterruptedError, match="no event for 0.4 s") as caught:
        list(fm.stream_chat("ep", "Hi", timeout=Timeout(idle=0.4)))
    assert 0.35 <= time.monotonic() - begun < SOON
    assert isinstance(caught.value.__cause__, APITimeoutError) and "idle" == caught.value.__cause__.phase


def test_a_first_event_may_take_longer_than_those_after_it(fm: Any, server: FaultServer) -> None:
    """An endpoint that has scaled to zero takes minutes to start: the idle limit counts from the first event on."""
    server.script("ep", chunked(*[b": ping\n\n", 0.1] * 6, *words("a"), DONE))
    assert "a" == text(fm.stream_chat("ep", "Hi", timeout=Timeout(idle=0.2)))


def test_a_slow_reader_does_not_end_a_good_stream(fm: Any, server: FaultServer) -> None:
    server.script("ep", chunked(*words("a", finish=None), 0.1, *words("b"), DONE))
    got = []
    for chunk in fm.stream_chat("ep", "Hi", timeout=Timeout(idle=1.0)):
        time.sleep(0 if got else 1.2)
        got.append(chunk.text)
    assert "ab" == "".join(got)


def test_leaving_a_stream_early_closes_its_connection(fm: Any, server: FaultServer) -> None:
    """S10"""
    server.script("ep", chunked(*words("a", finish=None), end="hold"))
    stream = fm.stream_chat("ep", "Hi")
    assert "a" == next(stream).text
    stream.close()
    assert server.disconnected.wait(SOON)
    server.script("ep", reply(200, chat()))
    assert "hello" == fm.chat("ep", "Hi").text


def test_a_completion_stream(fm: Any, server: FaultServer) -> None:
    def piece(t: str, finish: str | None = None) -> bytes:
        return event({"id": "c", "choices": [{"index": 0, "text": t, "finish_reason": finish}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})  # fmt: skip

    server.script("ep", chunked(piece("a"), piece("b", "stop"), DONE))
    chunks = list(fm.stream_complete("ep", "x"))
    assert ("ab", [None, None, 2]) == (text(chunks), [c.usage.output_tokens if c.usage else None for c in chunks])
    assert "ab" == chunks[-1].response.text
    server.script("ep", chunked(piece("a"), end="cut"))
    with pytest.raises(StreamInterruptedError) as caught:
        list(fm.stream_complete("ep", "x"))
    assert "a" == caught.value.partial_text


@pytest.mark.parametrize(
    "error",
    [{"error": {"message": "boom", "code": 502}}, {"error_code": "INTERNAL_ERROR", "message": "boom"}],
    ids=["object", "code"],
)
def test_an_error_beside_choices_is_an_error_all_the_same(fm: Any, server: FaultServer, error: dict[str, Any]) -> None:
    """H13"""
    bad = event({**delta("", finish="error"), **error})
    server.script("ep", chunked(*words("a", finish=None), bad, DONE))
    with pytest.raises(StreamInterruptedError, match="boom") as caught:
        list(fm.stream_chat("ep", "Hi"))
    assert "a" == caught.value.partial_text and isinstance(caught.value.__cause__, ServerError)
    server.script("ep", chunked(bad, DONE), chunked(*words("a"), DONE))
    assert "a" == text(fm.stream_chat("ep", "Hi")), "nothing has begun: it is sent again"


NO_ANSWER = {
    "usage": event({"choices": [], "usage": {"prompt_tokens": 1}}),
    "ping": b'event: ping\ndata: {"type": "ping"}\n\n',
    "other event": b"event: note\n" + event(delta("no chunk", finish="stop")),
    "filter results": event({"choices": [], "prompt_filter_results": []}),
}


@pytest.mark.parametrize("piece", NO_ANSWER.values(), ids=NO_ANSWER.keys())
def test_what_is_no_part_of_an_answer_neither_begins_nor_ends_a_stream(
    fm: Any, server: FaultServer, piece: bytes
) -> None:
    """S1, S7"""
    server.script("ep", chunked(piece, DONE))
    with pytest.raises(ResponseFormatError, match="without any content"):
        list(fm.stream_chat("ep", "Hi"))
    server.script("ep", chunked(piece, end="cut"), chunked(piece, *words("a"), piece, DONE))
    chunks = list(fm.stream_chat("ep", "Hi"))
    assert ("a", 2) == (text(chunks), chunks[-1].attempts)
    assert all(chunk.choices for chunk in chunks[:-1]), "only the closing chunk has no choices"


@pytest.mark.parametrize("done", [b"event: done\n" + DONE, b"data: [DONE] \n\n", b"data:  [DONE]\r\n\r\n"])
def test_done_ends_a_stream_whatever_stands_around_it(fm: Any, server: FaultServer, done: bytes) -> None:
    server.script("ep", chunked(*words("a", finish=None), done))
    assert "a" == text(fm.stream_chat("ep", "Hi"))


DEEP = b'{"choices": [{"index": 0, "delta": {"content": [{"x": ' + b"[" * 990 + b"]" * 990 + b"}]}}]}"


@pytest.mark.parametrize("data", [b"[" * 100_000, DEEP], ids=["no end", "990 deep"])
def test_an_event_nested_too_deeply_is_a_typed_error(fm: Any, server: FaultServer, data: bytes) -> None:
    server.script("ep", chunked(event(data), DONE))
    with pytest.raises(ResponseFormatError, match="200 deep"):
        list(fm.stream_chat("ep", "Hi"))
    server.script("ep", chunked(*words("a", finish=None), event(data), DONE))
    with pytest.raises(StreamInterruptedError):
        list(fm.stream_chat("ep", "Hi"))


def test_a_part_of_an_unforeseen_shape_does_not_end_the_caller(fm: Any, server: FaultServer) -> None:
    parts = [
        [{"type": "text", "text": None}],
        [{"type": "text", "text": "a", "signature": None}],
        [{"type": "text", "signature": "S"}],
    ]
    server.script("ep", chunked(*(event(delta(part)) for part in parts), *words("b"), DONE))  # fmt: skip
    chunks = list(fm.stream_chat("ep", "Hi"))
    assert [
        {"type": "text", "text": "a", "signature": "S"},
        {"type": "text", "text": "b"},
    ] == chunks[-1].response.message.content


@pytest.mark.parametrize("end", ["ok", "cut"])
def test_a_chunk_with_a_field_of_whole_answers_spoils_none(fm: Any, server: FaultServer, end: str) -> None:
    strange = event({**delta("a"), "messages": -1, "custom": 1})
    server.script("ep", chunked(strange, *(words("b") if end == "ok" else []), end=end))
    if end == "cut":
        with pytest.raises(StreamInterruptedError) as caught:
            list(fm.stream_chat("ep", "Hi"))
        assert ("a", 1) == (caught.value.partial_text, caught.value.partial.custom)
    else:
        assert "ab" == list(fm.stream_chat("ep", "Hi"))[-1].response.text
