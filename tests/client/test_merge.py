"""What arrives in pieces is the same as what arrives whole."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from fault_server import delta
from hypothesis import given
from hypothesis import strategies as st

from fm_client import ToolArgumentsError
from fm_client._merge import ChatMerger, UsageMerger, as_chunk
from fm_client.types import ChatChunk, ChatResponse, Usage


def merge(*chunks: dict[str, Any]) -> tuple[list[ChatChunk], ChatResponse]:
    merger = ChatMerger()
    return [merger.add(ChatChunk.model_validate(chunk)) for chunk in chunks], merger.response()


def piece(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: str = ""
) -> dict[str, Any]:
    fields: dict[str, Any] = {"function": {"arguments": arguments} | ({"name": name} if name else {})}
    return fields | ({} if index is None else {"index": index}) | ({} if id is None else {"id": id})


def calls(*pieces: dict[str, Any]) -> list[tuple[str, str]]:
    _, response = merge(*(delta(tool_calls=[p]) for p in pieces))
    return [(call.name, call.function.arguments) for call in response.message.tool_calls or ()]


def test_text_deltas_are_joined() -> None:
    _, response = merge(delta("Hel"), delta("lo"), delta("", finish="stop"))
    assert ("Hello", "stop", "assistant") == (response.text, response.finish_reason, response.message.role)


@pytest.mark.parametrize(
    "usages",
    [
        [{"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n} for n in (1, 2, 3)],
        [{"prompt_tokens": 5, "completion_tokens": None, "total_tokens": None}] * 2
        + [{"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}],
        [None, None, {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}],
    ],
    ids=["cumulative", "nulls", "final"],
)
def test_usage_is_the_last_number_of_each_field_whatever_the_habit(usages: list[Any]) -> None:
    chunks, response = merge(*(delta("x", usage=usage) for usage in usages))
    assert [None] * 3 == [chunk.usage for chunk in chunks]
    assert response.usage is not None
    assert (5, 3, 8) == (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens)


def test_no_usage_is_none_and_not_zero() -> None:
    assert UsageMerger().result() is None


@pytest.mark.parametrize(
    "usage",
    [
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 30},
        },
        {
            "prompt_tokens": 50,
            "completion_tokens": 50,
            "cache_read_input_tokens": 30,
            "cache_creation_input_tokens": 20,
        },
    ],
    ids=["OpenAI counts cached tokens inside", "Claude counts them beside"],
)
def test_input_and_output_tokens_add_up_for_every_provider(usage: dict[str, Any]) -> None:
    parsed = Usage.model_validate(usage)
    assert (100, 50, 150, 30) == (parsed.input_tokens, parsed.output_tokens, parsed.sum_tokens, parsed.cached_tokens)


def test_interleaved_parallel_calls_by_index() -> None:
    assert [("f", '{"x":1}'), ("g", '{"y":2}')] == calls(
        piece(0, "a", "f"), piece(1, "b", "g"), piece(0, arguments='{"x"'), piece(1, arguments='{"y":'), piece(0, arguments=":1}"),
        piece(1, arguments="2}"),
    )  # fmt: skip


def test_calls_without_index_go_by_id_then_to_the_current_one() -> None:
    assert [("f", '{"x":1}'), ("g", "{}")] == calls(
        piece(id="a", name="f"),
        piece(arguments='{"x":'),
        piece(arguments="1}"),
        piece(id="b", name="g", arguments="{}"),
    )
    assert [("f", "12"), ("g", "3")] == calls(
        piece(id="a", name="f", arguments="1"), piece(id="b", name="g", arguments="3"), piece(id="a", arguments="2")
    )


def test_calls_that_all_say_index_0_are_told_apart_by_id() -> None:
    assert [("f", "{}"), ("g", "{}")] == calls(piece(0, "a", "f", "{}"), piece(0, "b", "g", "{}"))


def test_every_piece_gets_a_stable_index_and_the_first_one_an_id() -> None:
    chunks, response = merge(
        delta(tool_calls=[piece(name="f")]),
        delta(tool_calls=[piece(arguments="{}")]),
        delta(tool_calls=[piece(name="g")]),
    )
    pieces = [chunk.tool_calls[0] for chunk in chunks]
    assert [0, 0, 1] == [p.index for p in pieces]
    assert [True, False, True] == [bool(p.id) for p in pieces]
    ids = [call.id for call in response.message.tool_calls or ()]
    assert [pieces[0].id, pieces[2].id] == ids and len(set(ids)) == 2


@pytest.mark.parametrize("id", ["a", None])
def test_a_name_that_comes_with_every_piece_is_given_out_once(id: str | None) -> None:
    """Who puts the pieces together adds up their texts."""
    pieces = [piece(0, id), piece(0, id, "f", "{"), piece(0, id, "f", "}")]
    chunks, response = merge(*(delta(tool_calls=[each]) for each in pieces), delta(finish="tool_calls"))
    given = [call for chunk in chunks for call in chunk.tool_calls]
    assert [None, "f", None] == [call.name for call in given]
    assert ["", "{", "}"] == [call.arguments for call in given]
    assert ["f"] == [call.name for call in response.tool_calls]


def test_cut_arguments_are_never_a_valid_call_and_empty_ones_are_no_arguments() -> None:
    """P2 of the fault matrix."""
    _, response = merge(delta(tool_calls=[piece(0, "a", "f", '{"city": "Par')]), delta(finish="tool_calls"))
    assert [] == response.tool_calls
    assert ['{"city": "Par'] == [call.function.arguments for call in response.invalid_tool_calls]
    with pytest.raises(ToolArgumentsError, match="no JSON object"):
        _ = response.invalid_tool_calls[0].args
    _, response = merge(delta(tool_calls=[piece(0, "a", "f", "[" * 200_000)]))
    assert [] == response.tool_calls and len(response.invalid_tool_calls) == 1, "what no parser has a stack for"
    with pytest.raises(ToolArgumentsError) as caught:
        _ = response.invalid_tool_calls[0].args
    assert len(str(caught.value)) < 500, "the arguments stand in the call, too"
    _, response = merge(delta(tool_calls=[piece(0, "a", "f", "")]))
    assert {} == response.tool_calls[0].args
    _, response = merge(delta(tool_calls=[piece(0, "a", "f", "[1]")]))
    assert [] == response.tool_calls and len(response.invalid_tool_calls) == 1


def test_reasoning_parts_are_joined_and_the_signature_is_kept() -> None:
    def reasoning(**summary: str) -> dict[str, Any]:
        return {"type": "reasoning", "summary": [{"type": "summary_text", **summary}]}

    _, response = merge(
        delta([reasoning(text="Let ")]), delta([reasoning(text="me")]), delta([reasoning(text="", signature="Eqo=")]),
        delta([{"type": "text", "text": "4"}]), delta("2"),
    )  # fmt: skip
    assert [reasoning(text="Let me", signature="Eqo="), {"type": "text", "text": "42"}] == response.message.content
    assert ("42", "Let me") == (response.text, response.reasoning)


def test_reasoning_beside_the_content_is_joined_too() -> None:
    _, response = merge(delta(reasoning_content="Let "), delta(reasoning_content="me"), delta("42"))
    assert ("42", "Let me") == (response.text, response.reasoning)


def test_two_choices_are_kept_apart() -> None:
    _, response = merge(delta("A", index=0), delta("B", index=1), delta("a", index=0), delta("b", index=1))
    assert ["Aa", "Bb"] == [choice.message.text for choice in response.choices]


def test_a_response_as_one_chunk_merges_to_the_same_response() -> None:
    whole = ChatResponse.model_validate(
        {
            "id": "1", "model": "m", "usage": {"prompt_tokens": 1},
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": None, "reasoning_content": "hm",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}],
        }
    )  # fmt: skip
    merger = ChatMerger()
    merger.add(as_chunk(whole))
    again = merger.response()
    assert whole.message.tool_calls == again.message.tool_calls
    assert (whole.reasoning, whole.usage, whole.finish_reason) == (again.reasoning, again.usage, again.finish_reason)


@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_any_split_of_the_arguments_gives_the_same_call(text: str, cuts: list[int]) -> None:
    """P8"""
    arguments = json.dumps({"text": text})
    bounds = sorted({min(cut, len(arguments)) for cut in cuts} | {0, len(arguments)})
    pieces = [arguments[a:b] for a, b in itertools.pairwise(bounds)]
    _, response = merge(
        delta(tool_calls=[piece(0, "a", "f")]), *(delta(tool_calls=[piece(0, arguments=p)]) for p in pieces)
    )
    assert [{"text": text}] == [call.args for call in response.tool_calls]


@given(st.text(max_size=40), st.integers(0, 60))
def test_cut_arguments_never_become_a_valid_call(text: str, cut: int) -> None:
    """P9"""
    arguments = json.dumps({"text": text})
    shorter = arguments[: min(cut, len(arguments) - 1)]
    _, response = merge(delta(tool_calls=[piece(0, "a", "f", shorter)]), delta(finish="tool_calls"))
    assert not shorter or [] == response.tool_calls
