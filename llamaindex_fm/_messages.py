"""LlamaIndex's messages and tools <-> those of the chat API. Pure: nothing that comes in is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from llama_index.core.tools import BaseTool

from fm_client import InvalidRequestError, Message, ToolArgumentsError, ToolCall, show_tool_media

from ._media import audio_part, document_part, image_part
from ._schema import JSONObject, flat

TOOL_CALLS = "tool_calls"
"""Key of `additional_kwargs` where LlamaIndex's own programs look for calls, besides the blocks."""
_ROLES = {role: role.value for role in MessageRole} | dict.fromkeys(
    (MessageRole.CHATBOT, MessageRole.MODEL), "assistant"
)
_REASONING = ("reasoning", "thinking", "redacted_thinking")
_PARTS: Mapping[type, Callable[[Any], JSONObject]] = {
    TextBlock: lambda block: {"type": "text", "text": block.text},
    ImageBlock: image_part,
    AudioBlock: audio_part,
    DocumentBlock: document_part,
}


def to_wire(messages: Sequence[ChatMessage]) -> list[JSONObject]:
    """Messages as the chat API takes them."""
    return show_tool_media([_message(message) for message in messages])


def _message(message: ChatMessage) -> JSONObject:
    role = _ROLES[message.role]
    extra = message.additional_kwargs
    sent: JSONObject = {"role": role, "content": _content(message.blocks, role)}
    if role == "assistant" and (calls := _sent_calls(message)):
        sent["tool_calls"] = calls
        sent["content"] = sent["content"] or None
    if role == "tool":
        sent["tool_call_id"] = extra.get("tool_call_id")
    if isinstance(extra.get("name"), str):
        sent["name"] = extra["name"]
    return sent


def _content(blocks: Sequence[Any], role: str) -> str | list[JSONObject]:
    if len(blocks) == 1 and type(blocks[0]) is TextBlock:  # as most messages are
        return blocks[0].text
    parts: list[JSONObject] = []
    for block in blocks:
        _add(parts, block, role)
    parts = [part for part in parts if part.get("text") != ""]  # the service refuses an empty text part
    if all(part.keys() == {"type", "text"} for part in parts):
        return "\n".join(part["text"] for part in parts)  # as `ChatMessage.content` joins them
    return parts


def _add(parts: list[JSONObject], block: Any, role: str) -> None:
    if isinstance(block, CachePoint):
        _mark_cached(parts, block)
    elif isinstance(block, (CitableBlock, CitationBlock)):
        for inner in block.nested_blocks:
            _add(parts, inner, role)
    elif isinstance(block, (ThinkingBlock, ToolCallBlock)) and role == "assistant":
        parts.extend(_replayed(block))
    else:
        parts.append(_part(block, role))


def _part(block: Any, role: str) -> JSONObject:
    for kind, make in _PARTS.items():
        if isinstance(block, kind):
            return make(block)
    raise InvalidRequestError(f"a {type(block).__name__} cannot be sent in a message of role {role!r}")


def _mark_cached(parts: list[JSONObject], point: CachePoint) -> None:
    if not parts:
        raise InvalidRequestError("a CachePoint must follow the block that is to be cached")
    parts[-1] = {**parts[-1], "cache_control": {"type": point.cache_control.type}}


def _replayed(block: ThinkingBlock | ToolCallBlock) -> list[JSONObject]:
    """Reasoning goes back as it came, or, without the signature that makes it acceptable, not at all."""
    if isinstance(block, ToolCallBlock):
        return []
    known = block.additional_information
    if isinstance(known.get("part"), dict):
        return [known["part"]]
    if not known.get("signature"):
        return []
    text = {"type": "summary_text", "text": block.content or "", "signature": known["signature"]}
    return [{"type": "reasoning", "summary": [text]}]


def _sent_calls(message: ChatMessage) -> list[JSONObject]:
    """The tool calls; where the original is at hand, that one, because it may carry more than a block can."""
    originals = [call for call in message.additional_kwargs.get(TOOL_CALLS) or [] if isinstance(call, dict)]
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if not blocks:
        return originals
    by_id = {call.get("id"): call for call in originals}
    return [by_id.get(block.tool_call_id) or _call(block) for block in blocks]


def _call(block: ToolCallBlock) -> JSONObject:
    kwargs = block.tool_kwargs
    arguments = kwargs if isinstance(kwargs, str) else json.dumps(kwargs, ensure_ascii=False)
    return {
        "id": block.tool_call_id or "",
        "type": "function",
        "function": {"name": block.tool_name, "arguments": arguments},
    }


def to_prompt(messages: Sequence[ChatMessage], render: Callable[[Sequence[ChatMessage]], str]) -> str:
    """Messages as one text, for an endpoint that completes text."""
    for message in messages:
        for block in message.blocks:
            if not isinstance(block, (TextBlock, ThinkingBlock)):
                raise InvalidRequestError(f"a {type(block).__name__} cannot be sent to an endpoint that completes text")
    return render(messages)


def from_wire(message: Message, *, single_call: bool = False) -> ChatMessage:
    """An answered message; with `single_call` only its first tool call."""
    calls = (message.tool_calls or [])[: 1 if single_call else None]
    extra: JSONObject = {TOOL_CALLS: [{"type": call.type, **call.to_dict()} for call in calls]} if calls else {}
    if refusal := (message.model_extra or {}).get("refusal"):
        extra["refusal"] = refusal
    blocks = [*_content_blocks(message), *(call_block(call) for call in calls)]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra)


def _content_blocks(message: Message) -> list[Any]:
    parts = message.content
    if not isinstance(parts, list):
        thinking = [ThinkingBlock(content=message.reasoning)] if message.reasoning else []
        return [*thinking, *([TextBlock(text=parts)] if parts else [])]
    blocks: list[Any] = []
    for part in parts:
        if part.get("type") in _REASONING:
            blocks.append(_thinking(part))
        elif text := Message(content=[part]).text:
            _add_text(blocks, text)
    return blocks


def _add_text(blocks: list[Any], text: str) -> None:
    # `ChatMessage.content` puts a line break between blocks: text that belongs together must be one.
    if blocks and isinstance(blocks[-1], TextBlock):
        text = blocks.pop().text + text
    blocks.append(TextBlock(text=text))


def _thinking(part: JSONObject) -> ThinkingBlock:
    pieces = [piece for piece in part.get("summary") or [] if isinstance(piece, dict)]
    signature = next((piece["signature"] for piece in [part, *pieces] if piece.get("signature")), None)
    known = {"part": part, **({"signature": signature} if signature else {})}
    return ThinkingBlock(content=Message(content=[part]).reasoning or None, additional_information=known)


def call_block(call: ToolCall) -> ToolCallBlock:
    """A tool call; its arguments stay text where they are no JSON object."""
    kwargs = call.args if call.is_valid else call.function.arguments
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=kwargs)


def tools_to_wire(tools: Sequence[BaseTool]) -> list[JSONObject]:
    """Tools as the chat API takes them."""
    return [_tool(tool.metadata.to_openai_tool(skip_length_check=True)) for tool in tools]


def _tool(tool: JSONObject) -> JSONObject:
    function = tool["function"]
    return {**tool, "function": {**function, "parameters": flat(function["parameters"])}}


def tool_choice_to_wire(choice: str | JSONObject | None, *, required: bool) -> str | JSONObject | None:
    """What LlamaIndex calls a tool choice: a mode, the name of a tool, or an object as it is sent."""
    if choice is None:
        return "required" if required else None
    if not isinstance(choice, str) or choice in ("auto", "none", "required"):
        return choice
    return "required" if choice == "any" else {"type": "function", "function": {"name": choice}}


def selections(message: ChatMessage, *, partial: bool) -> list[ToolSelection]:
    """The tools that a message calls. With `partial` (a stream's message so far) arguments may still be cut off."""
    return [_selection(call, partial=partial) for call in _calls_of(message)]


def _calls_of(message: ChatMessage) -> list[ToolCall]:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    sent = [_call(block) for block in blocks] or message.additional_kwargs.get(TOOL_CALLS) or []
    return [ToolCall.model_validate(call) for call in sent]


def _selection(call: ToolCall, *, partial: bool) -> ToolSelection:
    if not partial and not call.name:
        raise ToolArgumentsError("the model called a tool without naming it")
    kwargs = _so_far(call.function.arguments) if partial else call.args
    return ToolSelection(tool_id=call.id, tool_name=call.name, tool_kwargs=kwargs)


def _so_far(arguments: str) -> JSONObject:
    try:
        value = parse_partial_json(arguments) if arguments else {}
    except ValueError:  # cut off where no object can be made of it
        return {}
    return value if isinstance(value, dict) else {}
