"""What LangChain's messages become on the wire."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from fault_server import chat as answer
from fault_server import reply
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from fm_client import InvalidRequestError
from langchain_fm._messages import to_wire
from langchain_fm._parts import to_part

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
PNG = "iVBORw0KGgo="
CACHED = {"cache_control": {"type": "ephemeral"}}


def calling(**fields: Any) -> AIMessage:
    return AIMessage(**{"content": "", "tool_calls": [tool_call(name="add", args={"a": 1}, id="call_1")], **fields})


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (SystemMessage("Be kind"), {"role": "system", "content": "Be kind"}),
        (HumanMessage("Hi", name="ann"), {"role": "user", "content": "Hi", "name": "ann"}),
        (AIMessage("Yes", id="run-1"), {"role": "assistant", "content": "Yes"}),
        (ChatMessage(role="developer", content="x"), {"role": "developer", "content": "x"}),
        (FunctionMessage(name="f", content="1"), {"role": "function", "content": "1", "name": "f"}),
        (
            ToolMessage("3", tool_call_id="call_1", name="add"),
            {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        ),
        (calling(), {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        (calling(content="One moment"), {"role": "assistant", "content": "One moment", "tool_calls": [CALL]}),
        (AIMessage(""), {"role": "assistant", "content": ""}),
    ],
    ids=["system", "human", "ai", "chat", "function", "tool", "calling", "calling with text", "empty"],
)
def test_each_kind_of_message_has_its_role(message: BaseMessage, wire: dict[str, Any]) -> None:
    assert to_wire([message]) == [wire]


def test_a_message_that_is_an_order_to_a_graph_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="RemoveMessage"):
        to_wire([RemoveMessage(id="1")])


def test_a_failed_tool_is_marked_because_the_wire_has_no_status() -> None:
    failed = ToolMessage("no such city", tool_call_id="1", status="error")
    marked = ToolMessage("Error: no such city", tool_call_id="1", status="error")
    parts = ToolMessage([{"type": "text", "text": "no such city"}], tool_call_id="1", status="error")

    assert to_wire([failed])[0]["content"] == "Error: no such city"
    assert to_wire([marked])[0]["content"] == "Error: no such city"
    assert [part["text"] for part in to_wire([parts])[0]["content"]] == ["Error:", "no such city"]


def test_a_call_that_could_not_be_read_is_sent_back_as_the_model_wrote_it() -> None:
    broken = invalid_tool_call(name="add", args='{"a": ', id="call_2", error="cut off")
    (wire,) = to_wire([calling(invalid_tool_calls=[broken])])
    assert [call["function"]["arguments"] for call in wire["tool_calls"]] == ['{"a": 1}', '{"a": ']


def test_text_of_any_script_is_sent_as_it_is() -> None:
    (wire,) = to_wire([AIMessage("", tool_calls=[tool_call(name="greet", args={"who": "你好"}, id="1")])])
    assert wire["tool_calls"][0]["function"]["arguments"] == '{"who": "你好"}'


@pytest.mark.parametrize("kind", ["tool_use", "tool_call"])
def test_tool_blocks_in_content_are_not_sent_beside_the_calls_they_repeat(kind: str) -> None:
    content = [{"type": "text", "text": "One moment"}, {"type": kind, "id": "call_1", "name": "add", "input": {"a": 1}}]
    (wire,) = to_wire([calling(content=content)])
    assert wire == {"role": "assistant", "content": [{"type": "text", "text": "One moment"}], "tool_calls": [CALL]}


def test_a_tool_block_that_is_nowhere_else_becomes_a_call() -> None:
    (wire,) = to_wire([AIMessage([{"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}}])])
    assert wire == {"role": "assistant", "content": None, "tool_calls": [CALL]}


def test_tool_results_in_a_users_message_go_before_it() -> None:
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "green"}]}
    failed = {"type": "tool_result", "tool_use_id": "2", "content": "no", "is_error": True}
    text = {"type": "text", "text": "And now?"}

    assert to_wire([HumanMessage([result, failed, text])]) == [
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "green"}]},
        {"role": "tool", "tool_call_id": "2", "content": "Error: no"},
        {"role": "user", "content": [text]},
    ]
    assert len(to_wire([HumanMessage([result])])) == 1


IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
LINK = {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}
PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}
ENCRYPTED = {"type": "reasoning", "summary": [{"type": "summary_encrypted_text", "data": "x"}]}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}}


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("Hi", {"type": "text", "text": "Hi"}),
        ({"type": "text", "text": "Hi", "index": 0, "id": "lc_1", "annotations": []}, {"type": "text", "text": "Hi"}),
        ({"type": "text", "text": "Hi", **CACHED}, {"type": "text", "text": "Hi", **CACHED}),
        ({"type": "text", "text": "Hi", "extras": CACHED}, {"type": "text", "text": "Hi", **CACHED}),
        ({"type": "text-plain", "text": "Hi", "mime_type": "text/plain"}, {"type": "text", "text": "Hi"}),
        ({"type": "text-plain", "base64": "SGnDqQ==", "mime_type": "text/plain"}, {"type": "text", "text": "Hi\u00e9"}),
        ({"type": "text-plain", "file_id": "f-1", "mime_type": "text/plain"}, {"type": "file", "file": {"file_id": "f-1"}}),
        ({"type": "text-plain", "text": "", "mime_type": "text/plain"}, None),
        (IMAGE, IMAGE),
        ({"type": "image_url", "image_url": "https://example.test/a.png"}, LINK),
        ({"type": "image", "base64": PNG, "mime_type": "image/png"}, IMAGE),
        ({"type": "image", "url": "https://example.test/a.png"}, LINK),
        ({"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"}, IMAGE),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}, IMAGE),
        ({"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}, **CACHED}, {**LINK, **CACHED}),
        (
            {"type": "image", "url": "https://example.test/a.png", "extras": {"detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.test/a.png", "detail": "low"}},
        ),
        (PDF, PDF),
        ({"type": "file", "base64": "JVBE", "mime_type": "application/pdf", "filename": "a.pdf"}, PDF),
        ({"type": "file", "base64": "JVBE", "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}}, PDF),
        (
            {"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
            PDF,
        ),
        ({"type": "document", "source": {"type": "text", "data": "Hi"}}, {"type": "text", "text": "Hi"}),
        ({"type": "document", "source": {"type": "text", "data": ""}}, None),
        ({"type": "document", "source": {"type": "file", "file_id": "f-1"}}, {"type": "file", "file": {"file_id": "f-1"}}),
        ({"type": "file", "source_type": "text", "text": ""}, None),
        ({"type": "file", "file_id": "f-1"}, {"type": "file", "file": {"file_id": "f-1"}}),
        ({"type": "file", "file_id": "f-1", **CACHED}, {"type": "file", "file": {"file_id": "f-1"}, **CACHED}),
        ({"type": "audio", "base64": "UklG", "mime_type": "audio/mpeg"}, SOUND),
        ({"type": "audio", "base64": "UklG", "mime_type": "audio/mpeg", "extras": CACHED}, {**SOUND, **CACHED}),
        (SOUND, SOUND),
        ({"type": "non_standard", "value": {"type": "new_part", "x": 1}}, {"type": "new_part", "x": 1}),
        ({"type": "new_part", "x": 1}, {"type": "new_part", "x": 1}),
        ("", None),
        ({"type": "text", "text": ""}, None),
        ({"type": "redacted_thinking", "data": "x"}, ENCRYPTED),
        ({"type": "reasoning", "reasoning": "", "extras": {"data": "x"}}, ENCRYPTED),
        (ENCRYPTED, ENCRYPTED),
    ],
)  # fmt: skip
def test_content_blocks_of_all_dialects_become_parts_of_the_chat_format(block: Any, part: Any) -> None:
    given = copy.deepcopy(block)
    assert to_part(block) == part
    assert block == given


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image"},
        {"type": "image", "source": {"type": "file", "file_id": "f-1"}},
        {"type": "image", "source": "a.png"},
        {"type": "text-plain", "url": "https://example.test/a.txt", "mime_type": "text/plain"},
        {"type": "text-plain", "base64": "/w==", "mime_type": "text/plain"},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Hi"}]}},
        {"type": "document", "source": "a.pdf"},
        {"type": "file", "url": "https://example.test/a.pdf"},
        {"type": "audio", "url": "https://example.test/a.mp3"},
        {"type": "video", "url": "https://example.test/a.mp4"},
    ],
    ids=str,
)
def test_a_block_that_the_chat_format_cannot_carry_is_refused_before_anything_is_sent(
    block: Any, chat: Any, server: Any
) -> None:
    with pytest.raises(ModelInvalidRequestError, match=block["type"]):
        chat().invoke([HumanMessage([block])])
    assert server.seen == []


@pytest.mark.parametrize(
    "block",
    [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm", "signature": "s1", "index": 0}],
            "index": 0,
        },
        {"type": "reasoning", "reasoning": "Hm", "extras": {"signature": "s1"}, "index": 0},
        {"type": "reasoning", "reasoning": "Hm", "extras": {"signature": "s1"}, "id": "lc_1"},
        {"type": "thinking", "thinking": "Hm", "signature": "s1"},
    ],
    ids=["service", "standard", "standard with an id", "anthropic"],
)
@pytest.mark.parametrize("provider", ["anthropic", "databricks"])
def test_signed_reasoning_of_any_spelling_goes_back_signed(provider: str, block: Any) -> None:
    message = AIMessage([block, {"type": "text", "text": "Yes"}], response_metadata={"model_provider": provider})
    (wire,) = to_wire([message])
    assert wire["content"] == [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm", "signature": "s1"}]},
        {"type": "text", "text": "Yes"},
    ]


def test_encrypted_reasoning_goes_back_to_the_provider_it_is_of() -> None:
    blocks = [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Yes"}]
    (wire,) = to_wire([AIMessage(blocks, response_metadata={"model_provider": "anthropic"})])
    assert wire["content"] == [ENCRYPTED, {"type": "text", "text": "Yes"}]


def test_unsigned_reasoning_of_another_provider_is_left_out() -> None:
    content = [{"type": "reasoning", "reasoning": "Hm"}, {"type": "text", "text": "Yes"}]
    (theirs,) = to_wire([AIMessage(content, response_metadata={"model_provider": "openai"})])
    (ours,) = to_wire([AIMessage(content, response_metadata={"model_provider": "databricks"})])

    assert theirs["content"] == [{"type": "text", "text": "Yes"}]
    assert [part["type"] for part in ours["content"]] == ["reasoning", "text"]


def test_what_another_provider_did_by_itself_is_left_out() -> None:
    content = [
        {"type": "server_tool_call", "id": "1", "name": "web_search", "args": {}},
        {"type": "server_tool_result", "tool_call_id": "1", "output": []},
        {"type": "non_standard", "value": {"type": "web_search_call"}},
        {"type": "text", "text": "Yes"},
    ]
    (wire,) = to_wire([AIMessage(content, response_metadata={"model_provider": "openai"})])
    assert wire["content"] == [{"type": "text", "text": "Yes"}]


def test_what_a_tool_shows_follows_its_result_as_a_users_message() -> None:
    """The chat format has text only in results of tools; results of parallel calls stay together."""
    shown = ToolMessage([{"type": "image", "base64": PNG, "mime_type": "image/png"}], tool_call_id="call_1")
    both = ToolMessage([{"type": "text", "text": "two pages"}, PDF], tool_call_id="call_2")

    assert to_wire([shown, both, ToolMessage("3", tool_call_id="call_3"), HumanMessage("And?")]) == [
        {"role": "tool", "tool_call_id": "call_1", "content": "The result follows in the user's message."},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two pages"}]},
        {"role": "tool", "tool_call_id": "call_3", "content": "3"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Result of tool call call_1:"},
                IMAGE,
                {"type": "text", "text": "Result of tool call call_2:"},
                PDF,
            ],
        },
        {"role": "user", "content": "And?"},
    ]
    assert [wire["role"] for wire in to_wire([shown])] == ["tool", "user"]


def test_the_callers_messages_are_never_changed(chat: Any, server: Any) -> None:
    server.script("databricks-meta-llama-3-3-70b-instruct", reply(200, answer()))
    messages = [
        SystemMessage([{"type": "text", "text": "Be kind", **CACHED}]),
        HumanMessage([{"type": "image", "base64": PNG, "mime_type": "image/png"}, "What is it?"]),
        calling(content=[{"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}}]),
        ToolMessage([{"type": "text", "text": "3"}], tool_call_id="call_1", status="error"),
    ]
    before = copy.deepcopy(messages)

    chat().invoke(messages)

    assert messages == before
