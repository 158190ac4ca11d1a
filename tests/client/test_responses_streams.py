"""Streams of the Responses API: the same guarantees as those of chat."""

from __future__ import annotations

from typing import Any

import pytest
from fault_lab import Lab, laboratory
from fault_server import DONE, FaultServer, chat, chunked, delta, event, reply
from matrix import ENDPOINT, FINE, Outcome, Row
from response_events import (
    REPLAYS,
    USAGE,
    agent_events,
    answer,
    bare,
    call,
    cut,
    events,
    message,
    named,
    reasoning,
    refusal,
    result,
    search,
    stream,
)

from fm_client import (
    APIConnectionError,
    APIError,
    BadRequestError,
    RateLimitError,
    ResponseFormatError,
    ServerError,
    StreamInterruptedError,
    Timeout,
)

lab = pytest.fixture(params=["sync", "async"])(laboratory)

API = {"api": "responses"}
LATE = named({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "delta": "late"})


def streamed(fm: Any, server: FaultServer, *pieces: bytes, end: str = "ok") -> list[Any]:
    server.script("ep", chunked(*pieces, end=end))
    return list(fm.stream_chat("ep", "Hi", api="responses"))


def whole(fm: Any, server: FaultServer, *items: Any) -> Any:
    server.script("ep", reply(200, answer(*items)))
    return fm.chat("ep", "Hi", api="responses")


def test_events_that_say_nothing_yet_are_signs_of_life(fm: Any, server: FaultServer) -> None:
    """Before the first text, and unlike comments: a model thinks for longer than one read may take."""
    first, *rest = stream(message("hello"))
    thinks = named({"type": "response.in_progress"})
    server.script("ep", chunked(first, *[0.2, thinks] * 4, *rest))
    chunks = list(fm.stream_chat("ep", "Hi", api="responses", timeout=Timeout(read=0.5)))
    assert "hello" == "".join(chunk.text for chunk in chunks)


SAYINGS = {
    **REPLAYS,
    "a message": [message("hello you")],
    "a refusal": [refusal("I will not")],
    "calls": [call(arguments='{"city": "Paris"}'), call("g", '{"n": 12345}', "2")],
    "message, calls": [message("Well"), call()],
    "call, message": [call(), message("Well")],
    "nothing": [],
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("items", SAYINGS.values(), ids=SAYINGS.keys())
def test_a_stream_comes_to_what_the_whole_answer_says(fm: Any, server: FaultServer, items: Any, size: int) -> None:
    *chunks, last = streamed(fm, server, *stream(*items, size=size))
    expected = whole(fm, server, *items)
    assert expected.model_dump() == last.response.model_dump()
    assert expected.text == "".join(chunk.text for chunk in chunks), "nothing is said twice"
    assert expected.reasoning == "".join(chunk.reasoning for chunk in chunks)
    assert [expected.finish_reason] == [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
    assert chunks[-1].finish_reason and ([], expected.usage) == (last.choices, last.usage)
    assert {None} == {chunk.usage for chunk in chunks}, "usage comes once"
    assert {("resp_1", "gpt-5", "ep", "req-1")} == {(c.id, c.model, c.endpoint, c.request_id) for c in [*chunks, last]}


@pytest.mark.parametrize("items", SAYINGS.values(), ids=SAYINGS.keys())
def test_the_last_event_alone_says_everything(fm: Any, server: FaultServer, items: Any) -> None:
    """Some gateways send no deltas."""
    *chunks, last = streamed(fm, server, named(events(*items)[-1]))
    assert whole(fm, server, *items).model_dump() == last.response.model_dump()
    assert last.response.text == "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize("items", [i for k, i in SAYINGS.items() if k != "nothing"])
def test_an_agents_stream_needs_no_last_event(fm: Any, server: FaultServer, items: Any) -> None:
    *chunks, last = streamed(fm, server, *map(bare, agent_events(items)), DONE)
    expected = whole(fm, server, *items)
    assert expected.message.model_dump() == last.response.message.model_dump()
    assert expected.text == "".join(chunk.text for chunk in chunks)
    assert [] == [c for chunk in chunks for c in chunk.tool_calls if c.id not in [x.id for x in expected.tool_calls]]


@pytest.mark.parametrize(
    "make", [stream, lambda *items: [*map(bare, agent_events(items)), DONE]], ids=["model", "agent"]
)
@pytest.mark.parametrize(
    "items", [items for items in REPLAYS.values() if "message" in {item["type"] for item in items}]
)
def test_pieces_of_texts_tell_their_messages_and_sources(fm: Any, server: FaultServer, items: Any, make: Any) -> None:
    """Each thing once, but for the id; what came before it was known that it matters is told late."""
    *chunks, last = streamed(fm, server, *make(*items))
    parts = [part for chunk in chunks for choice in chunk.choices for part in _parts(choice.delta.content)]
    told = {name: [part[name] for part in parts if name in part] for name in ("annotations", "phase")}
    whole = [part for part in _parts(last.response.message.content) if part["type"] == "text"]
    assert told == {name: [part[name] for part in whole if name in part] for name in told}
    ids = [part["id"] for part in parts if part["type"] == "text" and "id" in part]
    assert list(dict.fromkeys(ids)) == [part["id"] for part in whole if "id" in part]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def merged(chunks: list[Any]) -> dict[int, tuple[list[str], list[str], str]]:
    """Index -> the ids, names and arguments that the pieces of a call have."""
    calls: dict[int, tuple[list[str], list[str], str]] = {}
    for piece in (piece for chunk in chunks for piece in chunk.tool_calls):
        ids, names, arguments = calls.get(piece.index, ([], [], ""))
        calls[piece.index] = ([*ids, *filter(None, [piece.id])], [*names, *filter(None, [piece.name])], arguments + piece.arguments)  # fmt: skip
    return calls


def test_pieces_of_calls_have_a_stable_index_and_one_id(fm: Any, server: FaultServer) -> None:
    chunks = streamed(fm, server, *stream(message("a"), call(arguments='{"a": 12}'), call("g", '{"b": 3}', "2")))
    assert {0: (["call_1"], ["f"], '{"a": 12}'), 1: (["call_2"], ["g"], '{"b": 3}')} == merged(chunks)


def test_interleaved_items_are_kept_apart(fm: Any, server: FaultServer) -> None:
    one, two = ([named(e) for e in events(call(arguments="{}" * 3, ident=i), size=1)[2:-1]] for i in "12")
    two = [piece.replace(b'"output_index": 0', b'"output_index": 1') for piece in two]
    mixed = [piece for pair in zip(one, two, strict=True) for piece in pair]
    chunks = streamed(fm, server, *mixed, named(events(call(arguments="{}" * 3), call(arguments="{}" * 3, ident="2"))[-1]))  # fmt: skip
    assert {0: (["call_1"], ["f"], "{}" * 3), 1: (["call_2"], ["f"], "{}" * 3)} == merged(chunks)


def test_an_id_that_changes_on_the_way_is_still_one_item(fm: Any, server: FaultServer) -> None:
    """Some gateways encrypt ids anew on every event: the number says which item is meant."""
    pieces = stream(message("hello"))
    changed = [piece.replace(b"msg_1", b"msg_%d" % i) for i, piece in enumerate(pieces)]
    *chunks, last = streamed(fm, server, *changed)
    assert ("hello", "hello") == ("".join(chunk.text for chunk in chunks), last.response.text)


def test_two_messages_of_an_agent_may_have_one_id(fm: Any, server: FaultServer) -> None:
    pieces = [bare(e) for e in agent_events([message("one "), message("two")])]
    *chunks, last = streamed(fm, server, *pieces, DONE)
    assert ("one two", "one two") == ("".join(chunk.text for chunk in chunks), last.response.text)


def test_the_end_of_an_inner_call_is_not_all_that_an_agent_said(fm: Any, server: FaultServer) -> None:
    inner = events(call(), size=50)[2:-1]
    pieces = [named(e) for e in [*inner, *agent_events([result(), message("4")])]]
    *_, last = streamed(fm, server, *pieces, named(events(message("4"))[-1]))
    assert ["function_call", "function_call_output", "text"] == [part["type"] for part in last.response.message.content]


def test_an_agent_may_pass_on_all_that_its_model_says(fm: Any, server: FaultServer) -> None:
    """The end of an inner call is none of the stream, which goes on with the result of its tool."""
    first, second = events(call(arguments='{"a": 12}')), events(message("It is 4"))
    between = {"type": "response.output_item.done", "item": result()}
    *chunks, last = streamed(fm, server, *map(named, [*first, between, *second]))
    assert ("It is 4", "stop", []) == (last.response.text, last.response.finish_reason, last.response.tool_calls)
    assert ["function_call", "function_call_output", "text"] == [part["type"] for part in last.response.message.content]
    assert ["stop"] == [chunk.finish_reason for chunk in chunks if chunk.finish_reason]


@pytest.mark.parametrize("end", ["ok", "cut", "reset"])
@pytest.mark.parametrize("stream_end", ["either", "both"])
def test_a_stream_that_ends_with_calls_may_be_closed_in_any_way(connect: Any, server: FaultServer, end: str, stream_end: str) -> None:  # fmt: skip
    client = connect(server.host, stream_end=stream_end)
    *chunks, last = streamed(client, server, *stream(call()), end=end)
    assert ("tool_calls", ["call_1"]) == (last.response.finish_reason, [c.id for c in last.response.tool_calls])
    assert "tool_calls" == chunks[-1].finish_reason


def test_what_agents_put_beside_an_event_is_on_the_response(fm: Any, server: FaultServer) -> None:
    first, *rest = agent_events([message("hello")])
    *_, last = streamed(fm, server, bare({**first, "custom_outputs": {"a": 1}}), *map(bare, rest[:-1]), bare({**rest[-1], "databricks_output": {"trace": 5}}), DONE)  # fmt: skip
    assert ({"a": 1}, {"trace": 5}) == (last.response.custom_outputs, last.response.databricks_output)


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
def test_a_stream_that_is_cut_by_the_model_says_why(fm: Any, server: FaultServer, reason: str, finish: str) -> None:
    end = cut(reason, message("hel"))
    *chunks, last = streamed(fm, server, *stream(message("hel"), end=end))
    assert (finish, finish, "hel") == (chunks[-1].finish_reason, last.response.finish_reason, last.response.text)
    assert 7 == last.usage.total_tokens


@pytest.mark.parametrize("after", [[], [DONE], [LATE], [named({"type": "error", "message": "late"})]])
@pytest.mark.parametrize("end", ["ok", "hold", "cut"])
def test_the_last_event_ends_a_stream_whatever_comes_behind_it(fm: Any, server: FaultServer, after: Any, end: str) -> None:  # fmt: skip
    *_, last = streamed(fm, server, *stream(message("hello")), *after, end=end)
    assert "hello" == last.response.text


def test_events_that_nobody_knows_are_passed_over(fm: Any, server: FaultServer) -> None:
    odd = [b": ping\n\n", b"event: ping\ndata: {}\n\n", b"data: \n\n", bare({"type": "response.hologram.delta", "delta": 5}), bare({}), bare({"type": "keepalive"})]  # fmt: skip
    pieces = [piece for one in stream(message("hello"), search()) for piece in (*odd, one)]
    *_, last = streamed(fm, server, *pieces)
    assert "hello" == last.response.text


def test_the_type_may_stand_in_the_event_line_alone(fm: Any, server: FaultServer) -> None:
    pieces = [b"event: " + e["type"].encode() + b"\n" + event({k: v for k, v in e.items() if k != "type"}) for e in events(message("hello"))]  # fmt: skip
    *_, last = streamed(fm, server, *pieces)
    assert "hello" == last.response.text


def test_a_whole_answer_to_a_stream_request_is_one_chunk(fm: Any, server: FaultServer) -> None:
    items = [reasoning(), message("hello"), call()]
    server.script("ep", reply(200, answer(*items)))
    chunk, last = fm.stream_chat("ep", "Hi", api="responses")
    assert ("hello", "hello", None, 7) == (chunk.text, last.response.text, chunk.usage, last.usage.total_tokens)
    assert [(0, "call_1")] == [(piece.index, piece.id) for piece in chunk.tool_calls]


BEGUN = stream(message("AAA BBB "), size=4)[:-3]
CREATED = stream()[:2]
FAILED = {"type": "response.failed", "response": answer(status="failed", error={"code": "rate_limit_exceeded", "message": "slow"})}  # fmt: skip
BREAKS: dict[str, tuple[list[bytes], str, type[APIError], str | None]] = {
    "no last event": ([], "ok", APIConnectionError, None),
    "cut off": ([], "cut", APIConnectionError, None),
    "reset": ([], "reset", APIConnectionError, None),
    "half an event": ([b'data: {"type": "response.comp'], "ok", APIConnectionError, None),
    "bad JSON": ([event(b"{nonsense")], "ok", ResponseFormatError, None),
    "no object": ([event(b"[1]")], "ok", ResponseFormatError, None),
    "delta no text": ([bare({"type": "response.output_text.delta", "delta": 5})], "ok", ResponseFormatError, None),
    "item no object": ([bare({"type": "response.output_item.done", "item": 5})], "ok", ResponseFormatError, None),
    "content no list": ([bare({"type": "response.output_item.done", "item": {"type": "message", "content": 5}})], "ok", ResponseFormatError, None),
    "failed": ([named(FAILED)], "ok", RateLimitError, "rate_limit_exceeded"),
    "failed without a word": ([named({"type": "response.failed", "response": answer(status="failed")})], "ok", ServerError, None),
    "error": ([named({"type": "error", "code": "server_error", "message": "boom"})], "ok", ServerError, "server_error"),
    "error in itself": ([named({"type": "error", "error": {"code": "invalid_prompt", "message": "boom"}})], "ok", BadRequestError, "invalid_prompt"),
    "response.error": ([bare({"type": "response.error", "message": "boom"})], "ok", ServerError, None),
    "the service's error": ([event({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "x"})], "ok", RateLimitError, "REQUEST_LIMIT_EXCEEDED"),
    "named error event": ([b"event: error\n" + event({"message": "boom"})], "ok", ServerError, None),
}  # fmt: skip


@pytest.mark.parametrize("fault", BREAKS)
def test_after_its_first_event_a_broken_stream_is_interrupted(lab: Lab, fault: str) -> None:
    pieces, end, cause, code = BREAKS[fault]
    lab.server.script(ENDPOINT, chunked(*BEGUN, *pieces, end=end))
    lab.expect(1)
    got: list[Any] = []
    with pytest.raises(StreamInterruptedError) as caught:
        lab.ask(lab.client(), "stream", got, **API)
    error = caught.value
    lab.errors.append(error)
    assert "AAA BBB " == error.partial_text == "".join(chunk.text for chunk in got)
    assert (cause, code) == (type(error.__cause__), error.error_code)
    assert (1, ENDPOINT, "req-1", None) == (error.attempts, error.endpoint, error.request_id, error.partial.finish_reason)  # fmt: skip


def test_what_had_come_of_calls_and_reasoning_is_in_the_partial_answer(fm: Any, server: FaultServer) -> None:
    pieces = stream(reasoning("hmm"), call(arguments='{"city": "Paris"}'), size=5)
    with pytest.raises(StreamInterruptedError) as caught:
        streamed(fm, server, *pieces[:-4])
    partial = caught.value.partial
    assert ("hmm", [], '{"city": "Pari') == (partial.reasoning, partial.tool_calls, partial.invalid_tool_calls[0].function.arguments[:14])  # fmt: skip


def row(fault: str, *pieces: bytes, attempts: int, error: type[APIError], **facts: Any) -> Row:
    outcome = Outcome(attempts, error, **facts)
    return Row("S1", fault, (chunked(*pieces),), outcome, kinds=("stream",), params=API)


UNBEGUN = [
    row("nothing", attempts=3, error=APIConnectionError, status=200),
    row("created and the end", *CREATED, attempts=3, error=APIConnectionError, status=200),
    row("[DONE] alone", DONE, attempts=1, error=ResponseFormatError, status=200),
    row("failed", *CREATED, named(FAILED), attempts=3, error=RateLimitError, code="rate_limit_exceeded"),
    row("error", named({"type": "error", "code": "invalid_prompt", "message": "boom"}), attempts=1, error=BadRequestError, code="invalid_prompt", says="boom"),
    row("a stream of chat", event(delta("hello", finish="stop")), DONE, attempts=1, error=ResponseFormatError, status=200),
]  # fmt: skip


@pytest.mark.parametrize("row", UNBEGUN, ids=lambda row: row.fault)
def test_before_its_first_event_a_stream_fails_like_a_whole_answer(lab: Lab, row: Row) -> None:
    lab.play(row, "stream")


def test_a_stream_that_fails_before_it_begins_is_asked_for_again(lab: Lab) -> None:
    answers = (chunked(*CREATED, named(FAILED)), chunked(*stream(message(FINE))))
    lab.play(Row("H13", "failed once", answers, Outcome(2), kinds=("stream",), params=API), "stream")


def test_who_wants_both_ends_is_content_with_the_last_event(lab: Lab) -> None:
    lab.server.script(ENDPOINT, chunked(*stream(message(FINE))))
    lab.expect(1)
    assert FINE == lab.ask(lab.client(stream_end="both"), "stream", **API).text


def test_the_connection_of_a_stream_that_ended_is_used_again(lab: Lab) -> None:
    client = lab.client()
    lab.server.script(ENDPOINT, chunked(*stream(message(FINE))))
    lab.expect(5)
    assert [FINE] * 5 == [lab.ask(client, "stream", **API).text for _ in range(5)]
    assert 1 == lab.server.connections


def test_chat_is_not_mistaken_for_it(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(200, chat()))
    with pytest.raises(ResponseFormatError):
        list(fm.stream_chat("ep", "Hi", api="responses"))
    assert USAGE["output_tokens"] == 2
