"""Properties of the Responses API and of chat agents that hold for any input."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from fault_server import DONE, event
from hypothesis import given
from hypothesis import strategies as st
from response_events import agent_events, answer, bare, call, events, message, named, reasoning, result, search, stream

from fm_client import APIError, InvalidRequestError, Reply
from fm_client._items_parser import ItemStreamParser, items_response
from fm_client._items_sent import responses_body
from fm_client._requests import chat_body
from fm_client._responses import StreamParser, chat_response
from fm_client.types import ChatChunk

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
SSE = {"content-type": "text/event-stream"}
ID = st.integers(1, 99)
ITEM = st.one_of(
    st.builds(lambda text, i: message(text, f"msg_{i}"), TEXT, ID),
    st.builds(lambda text, i: reasoning(text, f"rs_{i}"), TEXT, ID),
    st.builds(lambda args, i: call("f", json.dumps({"a": args}), str(i)), TEXT, ID),
    st.builds(lambda text, i: result(text, str(i)), TEXT, ID),
    st.builds(lambda i: search(f"ws_{i}"), ID),
)
ITEMS = st.lists(ITEM, max_size=6, unique_by=lambda item: item["id"])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "type", "text", "content", "summary", "item", "delta", "role"]), inner)
    ),
)
KINDS = [e["type"] for e in events(reasoning(), message("a"), call(), search())] + ["error", "response.failed"]
ODD_EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional=dict.fromkeys(
        ("delta", "item", "item_id", "output_index", "content_index", "response", "usage", "custom_outputs"), VALUE
    ),
)
AGENT_CHUNK = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("delta", "usage", "finish_reason", "custom_outputs"), VALUE),
)


@st.composite
def cut(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes in pieces of any size."""
    data = draw(source)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]


def parsed(pieces: list[bytes], parser_class: Any = ItemStreamParser) -> tuple[list[Any], StreamParser]:
    parser = parser_class(ChatChunk, Reply(200, SSE), "ep", stream_end="either", limit=1 << 24)
    chunks: list[Any] = []
    for piece in [*filter(None, pieces), b""]:
        if parser.done or parser.failure:
            break
        chunks += parser.feed(piece)
    return chunks, parser


def told(chunks: list[Any], parser: StreamParser) -> Any:
    dumps = [(chunk.model_dump(), chunk.response and chunk.response.model_dump()) for chunk in chunks]
    return dumps, str(parser.failure), parser.done, parser.events, parser.partial().model_dump()


@given(ITEMS, st.integers(1, 20))
def test_any_stream_comes_to_what_the_whole_answer_says(items: Any, size: int) -> None:
    *chunks, last = parsed(stream(*items, size=size))[0]
    expected = items_response(Reply(200, {}, json.dumps(answer(*items)).encode()), "ep")
    assert expected.model_dump() == last.response.model_dump()
    assert expected.text == "".join(chunk.text for chunk in chunks)
    assert [None] * len(chunks) == [chunk.usage for chunk in chunks] and expected.usage == last.usage
    assert 1 == sum(chunk.finish_reason is not None for chunk in chunks)


@given(ITEMS.filter(bool), st.integers(1, 20))
def test_any_agents_stream_comes_to_the_same_message(items: Any, size: int) -> None:
    *chunks, last = parsed([*map(bare, agent_events(items, size)), DONE])[0]
    expected = items_response(Reply(200, {}, json.dumps(answer(*items)).encode()), "ep")
    assert expected.message.model_dump() == last.response.message.model_dump()
    assert expected.text == "".join(chunk.text for chunk in chunks)
    known = {c.id for c in last.response.message.tool_calls or ()}
    assert known == {c.id for chunk in chunks for c in chunk.tool_calls}, (
        "a call is the caller's in both, or in neither"
    )


@given(cut(st.builds(lambda items: b"".join(stream(*items)), ITEMS)))
def test_any_cut_of_a_stream_gives_the_same(pieces: list[bytes]) -> None:
    assert told(*parsed([b"".join(pieces)])) == told(*parsed(pieces))


def test_a_stream_cut_at_every_byte_gives_the_same() -> None:
    data = b"".join(stream(reasoning("hé"), message("😀"), call(arguments="{}")))
    expected = told(*parsed([data]))
    assert all(expected == told(*parsed([data[:at], data[at:]])) for at in range(len(data)))


def test_a_stream_that_ends_at_any_byte_is_no_answer_before_its_last_event() -> None:
    """What has come so far is never taken back, and never called whole."""
    data = b"".join(stream(reasoning("hé"), message("😀 ok"), call(arguments="{}")))
    texts = []
    for at in range(len(data) - 1):
        chunks, parser = parsed([data[:at]])
        texts.append("".join(chunk.text for chunk in chunks))
        whole = parser.done and parser.failure is None
        assert whole is (at >= len(data) - 2)
        assert parser.partial().text == texts[-1]
    assert all(b.startswith(a) for a, b in itertools.pairwise(texts))


@given(cut(st.lists((ODD_EVENT.map(named) | ITEM.map(lambda i: bare({"type": "response.output_item.done", "item": i}))), max_size=6).map(b"".join)))  # fmt: skip
def test_no_event_makes_a_stream_fail_but_by_an_error_of_ours(pieces: list[bytes]) -> None:
    _, parser = parsed(pieces)
    assert parser.done or isinstance(parser.failure, APIError)
    parser.partial()


@given(VALUE)
def test_no_answer_fails_but_by_an_error_of_ours(value: Any) -> None:
    for body in (value, {"output": value}, {"output": [{"type": "message", "content": value}]}, answer(id=value)):
        try:
            items_response(Reply(200, {}, json.dumps(body).encode()), "ep")
        except APIError:
            pass


@given(cut(st.lists(AGENT_CHUNK.map(event), max_size=6).map(b"".join)))
def test_no_chunk_of_an_agent_makes_a_stream_fail_but_by_an_error_of_ours(pieces: list[bytes]) -> None:
    _, parser = parsed(pieces, StreamParser)
    assert parser.done or isinstance(parser.failure, APIError)
    parser.partial()


@given(VALUE)
def test_no_agents_answer_fails_but_by_an_error_of_ours(value: Any) -> None:
    for body in ({"messages": value}, {"messages": [value]}, {"messages": [{"role": "assistant", "content": value}]}):
        try:
            chat_response(Reply(200, {}, json.dumps(body).encode()), "ep")
        except APIError:
            pass


def bare_item(item: Any) -> Any:
    """An item without what need not go back: its status, and the id of a call."""
    dropped = ("status", "id") if item["type"] == "function_call" else ("status",)
    return {key: value for key, value in item.items() if key not in dropped}


@given(ITEMS.filter(bool))
def test_what_goes_back_is_what_came_and_asking_changes_nothing(items: Any) -> None:
    turn = items_response(Reply(200, {}, json.dumps(answer(*items)).encode()), "ep").message
    before = turn.model_dump_json()
    body = chat_body(
        [{"role": "user", "content": "Hi"}, turn, {"role": "user", "content": "And?"}], {"api": "responses"}
    )
    others = [item for item in body["input"] if "role" not in item]
    assert [bare_item(item) for item in items if "role" not in item] == [bare_item(item) for item in others]
    assert before == turn.model_dump_json()


@given(VALUE)
def test_no_message_fails_but_by_an_error_of_ours(value: Any) -> None:
    for message_like in ({"role": "assistant", "content": value}, {"role": "user", "content": [value]}, {"role": "assistant", "content": "a", "tool_calls": value}, value):  # fmt: skip
        try:
            chat_body([message_like], {"api": "responses"})
        except InvalidRequestError:
            pass


def test_the_docstring_of_the_translation_is_not_the_only_case() -> None:
    assert {"input": []} == responses_body({"messages": []})
    with pytest.raises(InvalidRequestError):
        responses_body({"messages": [], "seed": 1})
