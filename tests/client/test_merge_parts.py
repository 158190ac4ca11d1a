"""Parts of a content, calls and asides that arrive in pieces can be sent back as the service meant them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fault_server import delta
from hypothesis import given
from hypothesis import strategies as st

from fm_client._merge import ChatMerger, CompletionMerger, as_chunk
from fm_client.types import ChatChunk, ChatResponse, CompletionChunk, Message, ToolCall


def merged(*chunks: dict[str, Any]) -> Message:
    merger = ChatMerger()
    for chunk in chunks:
        merger.add(ChatChunk.model_validate(chunk))
    return merger.response().message


def content(*parts: dict[str, Any] | str) -> Any:
    return merged(*(delta(part if isinstance(part, str) else [part]) for part in parts)).content


def thought(**piece: Any) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", **piece}]}


def text(text: str | None, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **fields}


def call(name: str | None = None, arguments: Any = "", *, id: str | None = None, **fields: Any) -> dict[str, Any]:
    """A piece of a call; all of them say index 0."""
    return {"index": 0, "id": id, "function": {"name": name, "arguments": arguments}, **fields}


def calls(*pieces: dict[str, Any]) -> list[ToolCall]:
    return merged(*(delta(tool_calls=[piece]) for piece in pieces)).tool_calls or []


def test_encrypted_reasoning_is_never_joined() -> None:
    """It has no text that could go on; two pieces of it are two blocks."""
    blocks = [
        {"type": "reasoning", "summary": [{"type": "summary_encrypted_text", "data": data}]} for data in ("a", "b")
    ]
    assert [*blocks, text("x")] == content(*blocks, text("x"))


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([thought(text="a", signature=None), thought(text="", signature="S")], thought(text="a", signature="S")),
        ([text(None), text("x")], text("x")),
        ([{"type": "reasoning", "summary": None}, thought(text="x")], thought(text="x")),
        ([thought(text="x"), {"type": "reasoning", "summary": None}], thought(text="x")),
        ([{"type": "reasoning", "summary": "x"}, thought(text="y")], thought(text="y")),
        ([{"type": "reasoning", "summary": ["x"]}, {"type": "reasoning", "summary": ["y"]}], {"type": "reasoning", "summary": ["x", "y"]}),
        ([text("a"), {"type": "text", "text": {"value": 1}}], {"type": "text", "text": {"value": 1}}),
    ],
    ids=["signature null", "text null", "summary null", "null after it", "summary a text", "summary of texts", "text an object"],
)  # fmt: skip
def test_odd_fields_of_parts_are_taken_as_they_come(pieces: list[Any], whole: dict[str, Any]) -> None:
    message = merged(*(delta([piece]) for piece in pieces))
    assert [whole] == message.content
    assert isinstance(message.text, str) and isinstance(message.reasoning, str)


def test_signed_reasoning_is_never_joined_with_what_follows() -> None:
    assert [thought(text="A", signature="S1"), thought(text="B", signature="S2")] == content(
        thought(text="A"), thought(text="", signature="S1"), thought(text="B"), thought(text="", signature="S2")
    )
    first, second = ({"type": "thinking", "thinking": t, "signature": s} for t, s in [("A", "S1"), ("B", "S2")])
    assert [first, second] == content(first, second)


def test_reasoning_that_shows_nothing_but_its_signature_is_a_part_of_its_own() -> None:
    hidden = [thought(text="", signature=signature) for signature in ("S1", "S2")]
    assert hidden == content(*hidden)


def test_each_text_keeps_its_own_citations() -> None:
    assert [text("A", citations=[1, 2]), text("B", citations=[3]), text("C")] == content(
        text("A"), text("", citations=[1]), text("", citations=[2]), text("B", citations=[3]), "C"
    )


def test_parts_that_came_in_one_list_stay_apart() -> None:
    parts = [text("a"), text("b", citations=[1]), text("c")]
    assert parts == merged(delta(parts)).content


def test_the_parts_of_a_whole_answer_come_out_as_they_came_in() -> None:
    message = {
        "role": "assistant",
        "content": [thought(text="A", signature="S1"), thought(text="B"), thought(text="C"), text("x", citations=None), text("y")],
        "annotations": [1],
        "tool_calls": [{"id": i, "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}} for i in "ab"],
    }  # fmt: skip
    choices = [{"index": 0, "message": message, "finish_reason": "stop", "content_filter": {"hate": False}}]
    whole = ChatResponse.model_validate({"choices": choices})
    merger = ChatMerger()
    merger.add(as_chunk(whole))
    again = merger.response()
    assert (message["content"], [1]) == (again.message.content, (again.message.model_extra or {})["annotations"])
    assert ["a", "b"] == [call.id for call in again.message.tool_calls or ()]
    assert whole.choices[0].model_extra == again.choices[0].model_extra


JSON = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=4)  # fmt: skip
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "reasoning", "thinking"])},
    optional={"text": JSON, "thinking": JSON, "signature": JSON, "citations": JSON, "summary": JSON | st.lists(
        st.fixed_dictionaries({}, optional={"type": JSON, "text": JSON, "signature": JSON}), max_size=2)},
)  # fmt: skip


@given(st.lists(st.lists(PART, max_size=3) | st.text(max_size=3), max_size=6))
def test_no_parts_whatever_make_merging_fail(deltas: list[Any]) -> None:
    message = merged(delta(""), *map(delta, deltas))
    assert isinstance(message.text, str) and isinstance(message.reasoning, str)


@pytest.mark.parametrize("id", [None, ""])
@pytest.mark.parametrize("second", ["f", "g"])
def test_whole_calls_of_index_0_without_an_id_are_told_apart(id: str | None, second: str) -> None:
    found = calls(call("f", '{"x":1}', id=id), call(second, '{"y"', id=id), call(arguments=":2}", id=id))
    assert [("f", {"x": 1}), (second, {"y": 2})] == [(call.name, call.args) for call in found]
    assert 2 == len({call.id for call in found})


def test_a_name_said_again_does_not_begin_another_call() -> None:
    (found,) = calls(call("f", '{"x"'), call("f", ":"), call("f", "1}"))
    assert {"x": 1} == found.args
    (found,) = calls(call("f", '{"x":1}', id="a"), call("f", "", id="a"))
    assert {"x": 1} == found.args


def test_two_calls_with_one_id_and_one_index_are_told_apart_by_name() -> None:
    found = calls(call("f", "{}", id="a"), call("g", "{", id="a"), call(arguments="}", id="a"))
    assert [("f", "{}"), ("g", "{}")] == [(call.name, call.function.arguments) for call in found]


def test_extras_of_every_piece_are_kept_for_the_way_back() -> None:
    (found,) = calls(
        call("f", id="a", extra_content={"google": 1}),
        call(arguments="{", thought_signature="SIG", extra_content={"other": 2}),
        {"index": 0, "function": {"arguments": "}", "thought_signature": "INNER", "name": None}, "thought_signature": None},
    )  # fmt: skip
    assert {
        "id": "a",
        "type": "function",
        "function": {"name": "f", "arguments": "{}", "thought_signature": "INNER"},
        "extra_content": {"google": 1, "other": 2},
        "thought_signature": "SIG",
    } == found.to_dict()


def test_arguments_may_come_as_an_object() -> None:
    (found,) = calls(call("f", {"x": "\u00e9"}, id="a"))
    assert {"x": "\u00e9"} == found.args == json.loads(found.function.arguments)
    assert {"x": 1} == ToolCall.model_validate({"function": {"name": "f", "arguments": {"x": 1}}}).args


def test_line_breaks_in_the_texts_of_arguments_are_no_fault() -> None:
    """JSON wants them escaped, and models that write code forget it; what is cut off is no JSON all the same."""
    (found,) = calls(call("f", '{"code": "a\n\tb"}', id="a"))
    assert found.is_valid and {"code": "a\n\tb"} == found.args
    assert [False] == [found.is_valid for found in calls(call("f", '{"code": "a\n', id="a"))]
    several = calls(call("f", '{"x": "\n"}'), call("f", '{"x": "\t"}'))
    assert [{"x": "\n"}, {"x": "\t"}] == [each.args for each in several]


def test_a_name_or_arguments_of_another_kind_are_no_valid_call() -> None:
    assert [False, False] == [found.is_valid for found in [*calls(call(7, "{}")), *calls(call("f", [1]))]]  # type: ignore[arg-type]  # on purpose


def test_sound_and_calls_of_the_old_form_are_put_together() -> None:
    """OpenAI's models send both beside the content, in pieces; any other object there is whole."""
    message = merged(
        delta(audio={"id": "au_1", "transcript": "He"}, function_call={"name": "f", "arguments": ""}, note={"a": 1}),
        delta(audio={"transcript": "llo", "data": "QUJD", "id": None}, function_call={"arguments": '{"x"'}),
        delta(audio={"data": "REVG", "expires_at": 5}, function_call={"arguments": ": 1}"}, note={"b": 2}),
    )
    assert {
        "audio": {"id": "au_1", "transcript": "Hello", "data": "QUJDREVG", "expires_at": 5},
        "function_call": {"name": "f", "arguments": '{"x": 1}'},
        "note": {"b": 2},
    } == message.model_extra


def test_lists_beside_the_content_grow() -> None:
    first, second = {"a": 1}, {"b": 2}
    message = merged(
        delta(annotations=[first], reasoning_details=[1]),
        delta(annotations=[second]),
        delta(annotations=None, note="x"),
    )
    assert {"annotations": [first, second], "reasoning_details": [1], "note": "x"} == message.model_extra


def test_a_completion_keeps_its_logprobs_and_fields_not_known_here() -> None:
    merger = CompletionMerger()
    for token, finish in [("a", None), ("b", "stop")]:
        choice = {"index": 0, "text": token, "finish_reason": finish, "logprobs": {"tokens": [token]}, "stop_reason": 7}
        merger.add(CompletionChunk.model_validate({"choices": [choice], "trace": "t"}))
    response = merger.response()
    assert ("ab", {"tokens": ["a", "b"]}) == (response.text, response.choices[0].logprobs)
    assert ({"trace": "t"}, {"stop_reason": 7}) == (response.model_extra, response.choices[0].model_extra)
    assert {"trace": "t"} == merger.last().model_extra
