"""Content that is a list of parts: the answer's text, the reasoning, and sending both back."""

from __future__ import annotations

from typing import Any

import pytest
from fault_server import DONE, chunked, delta, event, reply
from fault_server import chat as answer
from langchain_core.messages import HumanMessage

from fm_client import ChatChunk, ChunkChoice, Delta, Message, ToolCall
from langchain_fm._answers import ChunkReader, ai_message
from langchain_fm._messages import to_wire

CLAUDE = "databricks-claude-sonnet-4-5"
THOUGHT = {"type": "summary_text", "text": "2 + 2 is 4", "signature": "Eqo=="}
PARTS = [{"type": "reasoning", "summary": [THOUGHT]}, {"type": "text", "text": "It is 4"}]
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}


def thought(**piece: Any) -> bytes:
    return event(delta([{"type": "reasoning", "summary": [{"type": "summary_text", **piece}]}]))


def text(part: str, *, as_part: bool) -> bytes:
    return event(delta([{"type": "text", "text": part}] if as_part else part))


def streamed(*, as_part: bool) -> Any:
    reasoning = (thought(text="2 + 2 "), thought(text="is 4"), thought(text="", signature="Eqo=="))
    answered = (text("It ", as_part=as_part), text("is 4", as_part=as_part))
    return chunked(event(delta("")), *reasoning, *answered, event(delta("", finish="stop")), DONE)


def test_the_text_of_an_answer_is_without_the_reasoning(chat: Any, server: Any, drive: Any) -> None:
    server.script(CLAUDE, reply(200, answer(PARTS)))
    message = drive(chat(model=CLAUDE)).invoke("Hi")

    assert message.text == "It is 4"
    assert message.content == PARTS


def test_a_whole_answer_goes_back_exactly_as_it_came(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(CLAUDE, reply(200, answer(PARTS)))
    driven = drive(chat(model=CLAUDE))
    driven.invoke(["Hi", driven.invoke("Hi"), "And 3 + 3?"])
    assert sent()["messages"][1] == {"role": "assistant", "content": PARTS}


@pytest.mark.parametrize("as_part", [True, False], ids=["text parts", "plain text"])
def test_a_stream_goes_back_as_the_whole_answer_would(
    as_part: bool, chat: Any, server: Any, sent: Any, drive: Any, merged: Any
) -> None:
    server.script(CLAUDE, streamed(as_part=as_part), reply(200, answer()))
    driven = drive(chat(model=CLAUDE))
    message = merged(driven.stream("Hi"))
    driven.invoke(["Hi", message, "And 3 + 3?"])

    assert message.text == "It is 4"
    assert sent()["messages"][1] == {"role": "assistant", "content": PARTS}


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])
def test_standard_blocks_carry_the_signature_and_go_back_signed(
    version: str, is_streamed: bool, chat: Any, server: Any, sent: Any, drive: Any, merged: Any
) -> None:
    server.script(CLAUDE, streamed(as_part=True) if is_streamed else reply(200, answer(PARTS)), reply(200, answer()))
    driven = drive(chat(model=CLAUDE, output_version=version))
    message = merged(driven.stream("Hi")) if is_streamed else driven.invoke("Hi")
    blocks = [{key: value for key, value in block.items() if key != "index"} for block in message.content_blocks]
    driven.invoke(["Hi", message, "And 3 + 3?"])

    assert blocks == [
        {"type": "reasoning", "reasoning": "2 + 2 is 4", "extras": {"signature": "Eqo=="}},
        {"type": "text", "text": "It is 4"},
    ]
    assert sent()["messages"][1]["content"] == PARTS


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])
def test_encrypted_reasoning_goes_back_as_it_came(
    version: str, is_streamed: bool, chat: Any, server: Any, sent: Any, drive: Any, merged: Any
) -> None:
    blocks = [
        {"type": "reasoning", "summary": [{"type": "summary_encrypted_text", "data": data}]} for data in ("e1", "e2")
    ]
    parts = [*blocks, {"type": "text", "text": "It is 4"}]
    pieces = chunked(*(event(delta([part])) for part in parts), event(delta("", finish="stop")), DONE)
    server.script(CLAUDE, pieces if is_streamed else reply(200, answer(parts)), reply(200, answer()))
    driven = drive(chat(model=CLAUDE, output_version=version))
    message = merged(driven.stream("Hi")) if is_streamed else driven.invoke("Hi")
    driven.invoke(["Hi", message, "And 3 + 3?"])

    assert message.text == "It is 4"
    assert sent()["messages"][1]["content"] == parts


def test_text_and_a_tool_call_stay_two_blocks_in_a_stream(chat: Any, server: Any, drive: Any, merged: Any) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    server.script(
        CLAUDE,
        chunked(
            event(delta("One moment")),
            event(delta(None, tool_calls=[call])),
            event(delta("", finish="tool_calls")),
            DONE,
        ),
    )
    message = merged(drive(chat(model=CLAUDE, output_version="v1")).stream("Hi"))

    assert [block["type"] for block in message.content_blocks] == ["text", "tool_call"]
    assert message.text == "One moment"
    assert message.tool_calls[0]["args"] == {"a": 1}


def test_reasoning_of_the_workspace_can_be_continued(live: Any, drive: Any, merged: Any) -> None:
    driven = drive(live(model=CLAUDE, **THINKING))
    first = merged(driven.stream("Hi"))
    second = driven.invoke([HumanMessage("Hi"), first, HumanMessage("Is it raining? The sky is blue.")])

    assert [part["type"] for part in first.content] == ["reasoning", "text"]
    assert "The sky is blue." in second.text


def test_gpt_oss_answers_in_parts_that_structured_output_reads(live: Any, drive: Any) -> None:
    schema = {"title": "Place", "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    llm = live(model="databricks-gpt-oss-120b").with_structured_output(schema, method="json_schema")
    assert drive(llm).invoke("Where is the 'Louvre'?") == {"city": "Louvre"}


def test_two_signed_blocks_of_one_stream_stay_two() -> None:
    """A signature is for what stands before it: joined blocks would be refused when they are sent back."""
    reader = ChunkReader()
    blocks = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": text, "signature": signature}]}
        for text, signature in (("A", "S1"), ("B", "S2"))
    ]
    deltas = [Delta(content=[block]) for block in blocks]
    chunks = [ChatChunk(choices=[ChunkChoice(index=0, delta=delta)]) for delta in deltas]
    first, second = (reader.read(chunk) for chunk in chunks)
    assert first is not None and second is not None
    content = (first + second).message.content
    assert [["S1"], ["S2"]] == [[piece["signature"] for piece in part["summary"]] for part in content]  # type: ignore[index]


def test_what_a_route_wants_back_inside_a_function_goes_back_there() -> None:
    function = {"name": "f", "arguments": "{}", "thought_signature": "S"}
    call = ToolCall.model_validate({"id": "a", "type": "function", "function": function})
    message = ai_message(Message(content="", tool_calls=[call]))
    assert [{"id": "a", "type": "function", "function": function}] == to_wire([message])[0]["tool_calls"]
