"""LangChain's messages -> messages on the wire. Nothing that is given is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from fm_client import InvalidRequestError, show_tool_media

from ._config import PROVIDER
from ._parts import Block, is_item, is_portable, to_items, to_parts

CALL_EXTRAS = "tool_call_extras"
"""Key of `additional_kwargs`: what a route wants back with a call besides its name and arguments, by the call's id."""
CALL_OUTPUT = "function_call_output"
CUT_OFF = '"}]"}]'
"""Ends the arguments of a streamed call that cannot be read, and is not sent back. LangChain completes unfinished JSON,
and would offer a call that was cut off for execution; with these characters no unfinished object can go on."""
ERROR_PREFIX = "Error: "
"""Tells a model that a tool failed: the chat format has no field for `ToolMessage.status`."""

Wire = dict[str, Any]


def to_wire(messages: Sequence[BaseMessage], *, as_items: bool = False) -> list[Wire]:
    """The messages of a request. `as_items`: of one of the Responses API, where all items of an answer go back."""
    wires = [wire for message in messages for wire in _translate(message, as_items)]
    return wires if as_items else show_tool_media(wires)


def _translate(message: BaseMessage, as_items: bool) -> list[Wire]:
    match message:
        case AIMessage():
            return [_assistant(message, as_items)]
        case ToolMessage():
            return [_tool(message)]
        case HumanMessage():
            return _user(message)
        case SystemMessage():
            role = message.additional_kwargs.get("__openai_role__", "system")
            return [_named({"role": role, "content": _content(message.content)}, message)]
        case FunctionMessage():
            return [_named({"role": "function", "content": _content(message.content)}, message)]
        case ChatMessage():
            return [_named({"role": message.role, "content": _content(message.content)}, message)]
    raise InvalidRequestError(f"a {type(message).__name__} cannot be sent to a model")


def _named(wire: Wire, message: BaseMessage) -> Wire:
    return {**wire, "name": message.name} if message.name else wire


def _content(content: str | list[Any]) -> str | list[Block]:
    return content if isinstance(content, str) else to_parts(content) or ""


def _user(message: HumanMessage) -> list[Wire]:
    """A user's message; results of tools inside it (Anthropic's form) go before it as messages of their own."""
    if isinstance(message.content, str):
        return [_named({"role": "user", "content": message.content}, message)]
    results = [block for block in message.content if isinstance(block, dict) and block.get("type") == "tool_result"]
    rest = [block for block in message.content if block not in results]
    wires = [_result(block.get("tool_use_id"), block.get("content") or "", block.get("is_error")) for block in results]
    return wires + ([_named({"role": "user", "content": _content(rest)}, message)] if rest or not results else [])


def _tool(message: ToolMessage) -> Wire:
    return _result(message.tool_call_id, message.content, message.status == "error")


def _result(call_id: Any, content: str | list[Any], failed: Any) -> Wire:
    sent = _content(content)
    return {"role": "tool", "tool_call_id": call_id, "content": _marked(sent) if failed else sent}


def _marked(content: str | list[Block]) -> str | list[Block]:
    if isinstance(content, list):
        return [{"type": "text", "text": ERROR_PREFIX.strip()}, *content]
    return content if content.lower().startswith("error") else ERROR_PREFIX + content


def _assistant(message: AIMessage, as_items: bool) -> Wire:
    content: str | list[Any] | None = message.content
    if isinstance(content, list):
        content = _replayed(message, as_items) or ""
    calls = _calls(message)
    wire: Wire = {"role": "assistant", "content": content or (None if calls else "")}
    return _named({**wire, "tool_calls": calls} if calls else wire, message)


def _replayed(message: AIMessage, as_items: bool) -> str | list[Block]:
    """The content without what means something elsewhere only: to another provider, or in the other API."""
    blocks = [*message.content]
    if message.response_metadata.get("model_provider", PROVIDER) != PROVIDER:
        return to_parts(block for block in blocks if is_portable(block))
    if as_items:
        return to_items(blocks)
    parts = to_parts(block for block in blocks if not is_item(block))
    is_text = all(part.keys() == {"type", "text"} for part in parts)
    # What is left of an agent's items is text, and agents take no parts.
    return "".join(part["text"] for part in parts) if is_text and any(map(is_item, blocks)) else parts


def _calls(message: AIMessage) -> list[Wire]:
    """The calls of a message: valid ones, those whose arguments could not be read, and those only in its content."""
    extras = message.additional_kwargs.get(CALL_EXTRAS) or {}
    found = [_call(call["id"], call["name"], _json(call["args"])) for call in message.tool_calls]
    found += [
        _call(call["id"], call["name"], (call["args"] or "").removesuffix(CUT_OFF))
        for call in message.invalid_tool_calls
    ]
    answered = {block.get("call_id") for block in _items(message.content) if block.get("type") == CALL_OUTPUT}
    found = [call for call in found if call["id"] not in answered]  # by an agent, which streamed them
    known = {call["id"] for call in found}
    found += [call for call in _calls_in(message.content) if call["id"] not in known]
    return [_with_extras(call, extras.get(call["id"], {})) for call in found]


def _items(content: str | list[Any]) -> Iterator[Block]:
    for block in content if isinstance(content, list) else []:
        if isinstance(block, dict):
            yield block["value"] if block.get("type") == "non_standard" else block


def _with_extras(call: Wire, extras: Wire) -> Wire:
    function = {**extras.get("function", {}), **call["function"]}
    return {**extras, **call, "function": function}


def _calls_in(content: str | list[Any]) -> Iterable[Wire]:
    for block in content if isinstance(content, list) else []:
        if isinstance(block, dict) and block.get("type") in ("tool_use", "tool_call"):
            yield _call(block.get("id"), block.get("name"), _json(block.get("input") or block.get("args") or {}))


def _call(call_id: str | None, name: str | None, arguments: str) -> Wire:
    return {"id": call_id or "", "type": "function", "function": {"name": name or "", "arguments": arguments}}


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
