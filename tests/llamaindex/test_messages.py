"""Messages in both directions."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from fm_client import InvalidRequestError, Message
from llamaindex_fm._messages import from_wire, to_prompt, to_wire, tool_choice_to_wire

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
INLINE_PNG = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def sent(*blocks: Any, role: str = "user", **extra: Any) -> Any:
    return to_wire([ChatMessage(role=role, blocks=list(blocks), additional_kwargs=extra)])[0]


@pytest.mark.parametrize(
    ("role", "wire"),
    [
        ("system", "system"),
        ("developer", "developer"),
        ("user", "user"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
    ],
)
def test_roles(role: str, wire: str) -> None:
    assert to_wire([ChatMessage(role=role, content="x")]) == [{"role": wire, "content": "x"}]


def test_text_alone_is_sent_as_text_and_empty_text_as_none() -> None:
    assert sent(TextBlock(text="a"), TextBlock(text="b"))["content"] == "a\nb"
    assert sent(TextBlock(text="a"), TextBlock(text=""))["content"] == "a"


@pytest.mark.parametrize("make", [lambda: PNG, lambda: BytesIO(PNG)], ids=["bytes", "file object"])
def test_an_image_goes_inline_beside_its_text(make: Any) -> None:
    assert sent(TextBlock(text="what is it?"), ImageBlock(image=make(), detail="low"))["content"] == [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": INLINE_PNG, "detail": "low"}},
    ]


def test_an_image_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    assert sent(ImageBlock(path=path))["content"][0]["image_url"]["url"] == INLINE_PNG


def test_the_address_of_an_image_goes_as_it_is() -> None:
    part = sent(ImageBlock(url="https://example.com/a.png"))["content"][0]
    assert part["image_url"]["url"] == "https://example.com/a.png"


def test_sound_and_documents_go_inline() -> None:
    assert sent(AudioBlock(audio=b"RIFF\x00", format="wav"))["content"] == [
        {"type": "input_audio", "input_audio": {"data": "UklGRgA=", "format": "wav"}}
    ]
    document = DocumentBlock(data=b"%PDF-1.7", title="a.pdf", document_mimetype="application/pdf")
    assert sent(document)["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc="}}
    ]


@pytest.mark.parametrize(
    ("block", "role", "says"),
    [
        (VideoBlock(video=b"x"), "user", "VideoBlock cannot be sent"),
        (ThinkingBlock(content="hm"), "user", "ThinkingBlock cannot be sent"),
        (ToolCallBlock(tool_name="f"), "user", "ToolCallBlock cannot be sent"),
        (AudioBlock(url="https://example.com/a.wav"), "user", "cannot be sent as an address"),
        (DocumentBlock(url="https://example.com/a.pdf"), "user", "cannot be sent as an address"),
        (ImageBlock(url="file:///etc/hostname"), "user", "must begin with http:"),
        (ImageBlock(image=b"not an image"), "user", "image_mimetype="),
        (AudioBlock(audio=b"no sound"), "user", "give format="),
        (ImageBlock(), "user", "no data"),
        (CachePoint(cache_control=CacheControl(type="ephemeral")), "user", "must follow"),
    ],
)
def test_what_cannot_be_sent_is_an_error(block: Any, role: str, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        sent(block, role=role)


def test_a_cache_point_marks_the_block_before_it() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    assert sent(TextBlock(text="long"), point, TextBlock(text="short"))["content"] == [
        {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "short"},
    ]


def test_a_citable_block_sends_what_it_holds() -> None:
    assert sent(CitableBlock(title="t", source="s", content=[TextBlock(text="fact")]))["content"] == "fact"


def test_a_tool_result_keeps_the_call_that_it_answers() -> None:
    assert sent(TextBlock(text="7"), role="tool", tool_call_id="c1") == {
        "role": "tool",
        "content": "7",
        "tool_call_id": "c1",
    }


def test_what_a_tool_shows_follows_its_result_as_a_users_message() -> None:
    blocks = [TextBlock(text="here"), ImageBlock(image=PNG)]
    shown = ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "c1"})
    assert to_wire([shown, ChatMessage(role="user", content="And?")]) == [
        {"role": "tool", "content": [{"type": "text", "text": "here"}], "tool_call_id": "c1"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Result of tool call c1:"},
                {"type": "image_url", "image_url": {"url": INLINE_PNG}},
            ],
        },
        {"role": "user", "content": "And?"},
    ]


def test_tool_calls_of_blocks_are_sent() -> None:
    block = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1})
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert sent(block, role="assistant") == {"role": "assistant", "content": None, "tool_calls": [call]}


def test_the_original_of_a_tool_call_is_sent_because_it_may_carry_more() -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a":1}'},
        "thought_signature": "sig",
    }
    message = from_wire(Message.model_validate({"role": "assistant", "content": None, "tool_calls": [call]}))
    assert to_wire([message])[0]["tool_calls"] == [call]
    assert message.additional_kwargs["tool_calls"] == [call]
    assert message.blocks == [ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1})]


SIGNED = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "let me see", "signature": "sig"}]},
    {"type": "text", "text": "four"},
]


@pytest.mark.parametrize(
    "part",
    [SIGNED[0], {"type": "thinking", "thinking": "let me see", "signature": "sig"}],
    ids=["reasoning", "thinking"],
)
def test_signed_reasoning_comes_as_a_block_and_goes_back_byte_for_byte(part: dict[str, Any]) -> None:
    content = [part, SIGNED[1]]
    message = from_wire(Message(content=content))
    assert isinstance(message.blocks[0], ThinkingBlock)
    assert message.blocks[0].content == "let me see"
    assert message.blocks[0].additional_information["signature"] == "sig"
    assert message.content == "four"
    copy = ChatMessage.model_validate_json(message.model_dump_json())
    assert to_wire([copy])[0]["content"] == content


def test_redacted_reasoning_goes_back_too() -> None:
    content = [{"type": "redacted_thinking", "data": "xyz"}, {"type": "text", "text": "four"}]
    assert to_wire([from_wire(Message(content=content))])[0]["content"] == content


def test_reasoning_signed_elsewhere_is_sent_and_unsigned_reasoning_is_not() -> None:
    signed = ThinkingBlock(content="hm", additional_information={"signature": "s"})
    assert sent(signed, TextBlock(text="x"), role="assistant")["content"][0]["summary"][0]["signature"] == "s"
    assert sent(ThinkingBlock(content="hm"), TextBlock(text="x"), role="assistant")["content"] == "x"


def test_reasoning_beside_the_content_is_a_block_too() -> None:
    message = from_wire(Message.model_validate({"content": "four", "reasoning_content": "let me see"}))
    assert [type(block) for block in message.blocks] == [ThinkingBlock, TextBlock]
    assert to_wire([message]) == [{"role": "assistant", "content": "four"}]


def test_text_in_several_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}]
    assert from_wire(Message(content=parts)).content == "four"


def test_nothing_that_comes_in_is_changed() -> None:
    messages = [ChatMessage(content="a"), from_wire(Message(content=SIGNED))]
    before = [message.model_dump_json() for message in messages]
    wire = to_wire(messages)
    wire[1]["content"].clear()
    assert [message.model_dump_json() for message in messages] == before


def test_only_text_can_be_completed() -> None:
    with pytest.raises(InvalidRequestError, match="ImageBlock"):
        to_prompt([ChatMessage(blocks=[ImageBlock(image=PNG)])], str)


@pytest.mark.parametrize(
    ("choice", "required", "wire"),
    [
        (None, False, None),
        (None, True, "required"),
        ("auto", True, "auto"),
        ("none", False, "none"),
        ("any", False, "required"),
        ("add", False, {"type": "function", "function": {"name": "add"}}),
        ({"type": "function"}, False, {"type": "function"}),
    ],
)
def test_tool_choices(choice: Any, required: bool, wire: Any) -> None:
    assert tool_choice_to_wire(choice, required=required) == wire
