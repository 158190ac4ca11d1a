"""Streams: reasoning, tool calls in pieces, and many calls at once."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import DONE, chat, chunked, delta, event
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from fm_client import ChatChunk
from llamaindex_fm import FoundationModelLLM
from llamaindex_fm._answers import PARTIAL, raw
from llamaindex_fm._streams import GrowingChat

HELLO = [ChatMessage(role="user", content="hello")]
Scripted = Callable[..., FoundationModelLLM]


def call(index: int, id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    head = {"id": id, "type": "function"} if id else {}
    return {"index": index, **head, "function": {**({"name": name} if name else {}), "arguments": arguments}}


def pieces(*groups: list[dict[str, Any]]) -> Any:
    events = [event(delta(tool_calls=group)) for group in groups]
    return chunked(*events, event(delta("", finish="tool_calls")), DONE)


TWO_CALLS = {
    "one after the other": pieces(
        [call(0, "c0", "f")],
        [call(0, arguments='{"x"')],
        [call(0, arguments=": 1}")],
        [call(1, "c1", "g")],
        [call(1, arguments='{"y": 2}')],
    ),
    "both in each chunk": pieces(
        [call(0, "c0", "f"), call(1, "c1", "g")],
        [call(0, arguments='{"x"'), call(1, arguments='{"y"')],
        [call(0, arguments=": 1}"), call(1, arguments=": 2}")],
    ),
    "interleaved": pieces(
        [call(0, "c0", "f")],
        [call(1, "c1", "g")],
        [call(0, arguments='{"x"')],
        [call(1, arguments='{"y"')],
        [call(0, arguments=": 1}")],
        [call(1, arguments=": 2}")],
    ),
    "all numbered 0": pieces([call(0, "c0", "f", '{"x": 1}')], [call(0, "c1", "g", '{"y": 2}')]),
    "whole": pieces([call(0, "c0", "f", '{"x": 1}'), call(1, "c1", "g", '{"y": 2}')]),
}


@pytest.mark.parametrize("script", TWO_CALLS.values(), ids=TWO_CALLS.keys())
def test_several_tool_calls_are_put_together(caller: Any, scripted: Scripted, script: Any) -> None:
    llm = scripted("e", script)
    last = caller.items(llm, "stream_chat", HELLO)[-1]
    selected = [(c.tool_id, c.tool_name, c.tool_kwargs) for c in llm.get_tool_calls_from_response(last)]
    assert selected == [("c0", "f", {"x": 1}), ("c1", "g", {"y": 2})]
    assert [block.tool_kwargs for block in last.message.blocks] == [{"x": 1}, {"y": 2}]
    assert [c["function"]["name"] for c in last.message.additional_kwargs["tool_calls"]] == ["f", "g"]
    assert last.additional_kwargs["finish_reason"] == "tool_calls"


def test_tool_calls_grow_item_by_item(caller: Any, scripted: Scripted) -> None:
    llm = scripted("e", pieces([call(0, "c0", "f", '{"x": 1')], [call(0, arguments=', "y": 2}')]))
    items = caller.items(llm, "stream_chat", HELLO)
    assert [llm.get_tool_calls_from_response(item)[0].tool_kwargs for item in items] == [
        {"x": 1},
        {"x": 1, "y": 2},
        {"x": 1, "y": 2},
    ]
    assert items[0].message.additional_kwargs["tool_calls"][0]["type"] == "function"


@pytest.mark.parametrize("script", TWO_CALLS.values(), ids=TWO_CALLS.keys())
def test_one_call_alone_is_kept_where_one_is_wanted(caller: Any, scripted: Scripted, script: Any) -> None:
    items = caller.items(scripted("e", script), "stream_chat_with_tools", [], "go", allow_parallel_tool_calls=False)
    assert len([block for block in items[-1].message.blocks if isinstance(block, ToolCallBlock)]) == 2
    again = caller.items(scripted("e", script), "stream_chat", HELLO, allow_parallel_tool_calls=False)
    for item in again:
        assert len([block for block in item.message.blocks if isinstance(block, ToolCallBlock)]) == 1
        assert len(item.message.additional_kwargs["tool_calls"]) == 1


def reasoning(text: str, **more: str) -> list[dict[str, Any]]:
    return [{"type": "reasoning", "summary": [{"type": "summary_text", "text": text, **more}]}]


THOUGHTS = {
    "list of parts": [delta(reasoning("FIRST ")), delta(reasoning("second", signature="sig"))],
    "reasoning_content": [delta(reasoning_content="FIRST "), delta(reasoning_content="second")],
    "reasoning": [delta(reasoning="FIRST "), delta(reasoning="second")],
}


@pytest.mark.parametrize("chunks", THOUGHTS.values(), ids=THOUGHTS.keys())
def test_reasoning_streams_from_its_first_piece(caller: Any, scripted: Scripted, chunks: Any) -> None:
    script = chunked(*map(event, chunks), event(delta("four", finish="stop")), DONE)
    items = caller.items(scripted("e", script), "stream_chat", HELLO)
    thoughts = [item.additional_kwargs.get("thinking_delta") for item in items]
    assert thoughts[:2] == ["FIRST ", "second"]
    assert "".join(item.delta for item in items) == items[-1].message.content == "four"
    block = items[-1].message.blocks[0]
    assert isinstance(block, ThinkingBlock)
    assert block.content == "FIRST second"


def test_signed_reasoning_of_a_stream_goes_back_in_the_next_call(caller: Any, server: Any, scripted: Scripted) -> None:
    script = chunked(*map(event, THOUGHTS["list of parts"]), event(delta("four", finish="stop")), DONE)
    llm = scripted("e", script, chat("five"))
    said = caller.items(llm, "stream_chat", HELLO)[-1].message
    caller.run(llm, "chat", [*HELLO, said, ChatMessage(content="and then?")])
    assert server.seen[1].json["messages"][1] == {
        "role": "assistant",
        "content": [*reasoning("FIRST second", signature="sig"), {"type": "text", "text": "four"}],
    }


def test_reasoning_in_a_whole_answer_is_counted(caller: Any, scripted: Scripted) -> None:
    answer = chat()
    answer["choices"][0]["message"]["content"] = [*reasoning("hm"), {"type": "text", "text": "four"}]
    answer["usage"]["completion_tokens_details"] = {"reasoning_tokens": 3}
    got = caller.run(scripted("e", answer), "chat", HELLO)
    assert got.message.content == "four"
    assert got.message.blocks[0].num_tokens == got.additional_kwargs["reasoning_tokens"] == 3


def test_tokens_of_a_prompt_cache_are_counted_in(caller: Any, scripted: Scripted) -> None:
    """Claude counts them beside `prompt_tokens`, all others inside."""
    answer = chat()
    answer["usage"]["cache_read_input_tokens"] = 100
    known = caller.run(scripted("e", answer), "chat", HELLO).additional_kwargs
    assert (known["prompt_tokens"], known["cached_tokens"], known["total_tokens"]) == (105, 100, 112)


def test_a_filtered_or_refused_answer_says_so(caller: Any, scripted: Scripted) -> None:
    answer = chat()
    answer["choices"][0] |= {
        "message": {"role": "assistant", "content": None, "refusal": "no"},
        "finish_reason": "content_filter",
    }
    got = caller.run(scripted("e", answer), "chat", HELLO)
    assert got.message.additional_kwargs["refusal"] == "no"
    assert got.additional_kwargs["finish_reason"] == "content_filter"


@pytest.mark.parametrize("text", [" fox", "\n", "é🦊"])
def test_an_item_of_text_is_what_the_constructors_make(text: str) -> None:
    """A chunk's cost"""
    chunk = ChatChunk.model_validate({"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]})
    answer = GrowingChat(single_call=False)
    answer.add(chunk)
    ours = answer.add(chunk)
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=2 * text)], additional_kwargs={})
    theirs = ChatResponse(message=message, delta=text, raw=raw(chunk), additional_kwargs={PARTIAL: True})
    assert ours == theirs and repr(ours) == repr(theirs)
    assert pickle.loads(pickle.dumps(ours)) == theirs  # noqa: S301  # made here
    for mine, other in (
        (ours, theirs),
        (ours.message, theirs.message),
        (ours.message.blocks[0], theirs.message.blocks[0]),
    ):
        assert vars(mine) == vars(other) and list(vars(mine)) == list(vars(other))
        assert mine.model_fields_set == other.model_fields_set
        assert mine.model_dump(exclude_unset=True) == other.model_dump(exclude_unset=True)


def test_what_is_done_to_one_item_is_done_to_no_other() -> None:
    chunk = ChatChunk.model_validate({"choices": [{"index": 0, "delta": {"content": "a"}}]})
    first, second = (GrowingChat(single_call=False).add(chunk) for _ in range(2))
    first.additional_kwargs["x"] = first.message.additional_kwargs["x"] = first.raw["x"] = 1
    first.message.blocks[0].text = "b"
    first.message.blocks.append(TextBlock(text="c"))
    assert second == GrowingChat(single_call=False).add(chunk)
    assert (second.message.content, second.raw.get("x")) == ("a", None)
