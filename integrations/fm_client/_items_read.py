"""Output items of the Responses API -> one chat message: what has a like in chat in its place, all else as parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .types import ChatResponse
from .types._base import JSONObject

CALL, RESULT = "function_call", "function_call_output"
_TEXTS = ("output_text", "text")
_KEPT = ("id", "phase")
"""What of a message stands on each of its parts, where it is one of several items."""
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
MAX_SECONDS = 1e12
"""A time of creation that is larger is none."""
_HEAD = ("id", "model", "object", "created_at", "output", "usage", "status", "incomplete_details", "error")


def response_of(answer: Mapping[str, Any], items: Sequence[JSONObject], *, ended: bool = True) -> ChatResponse:
    """The chat response of an answer whose output are `items`; `ended` says that it has come to its end."""
    message = message_of(items)
    finish = finish_reason(answer, bool(message.get("tool_calls"))) if ended else None
    extra = {key: value for key, value in answer.items() if key not in _HEAD and value is not None}
    known = {
        "id": answer.get("id"),
        "created": _whole(answer.get("created_at")),
        "model": answer.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage_of(answer.get("usage")),
    }
    return ChatResponse.model_validate({**extra, **known})


def message_of(items: Sequence[JSONObject]) -> JSONObject:
    """The message that items make together.

    A plain text is a plain content. Otherwise the content is a list, in the order of the items; a function call is in
    it only where its place matters, because something comes after it, or because reasoning led to it.
    """
    calls = open_calls(items)
    exact = is_exact(items)
    parts = [part for item in items if exact or item.get("type") != CALL for part in parts_of(item, exact=exact)]
    message: JSONObject = {"role": "assistant", "content": _content(parts)}
    if calls:
        message["tool_calls"] = [call_of(item) for item in calls]
    refusals = [str(part.get("refusal") or "") for part in parts if part.get("type") == "refusal"]
    return message | ({"refusal": "".join(refusals)} if refusals else {})


def is_exact(items: Sequence[JSONObject]) -> bool:
    """Whether the items are more than a message followed by calls, so that each must keep its place and its id."""
    kinds = [item.get("type") for item in items]
    return any(kind != CALL for kind in (kinds[1:] if kinds[:1] == ["message"] else kinds))


def open_calls(items: Iterable[JSONObject]) -> list[JSONObject]:
    """The function calls that are left to the caller: those without a result behind them."""
    calls: list[JSONObject] = []
    for item in items:
        if item.get("type") == CALL:
            calls.append(item)
        elif item.get("type") == RESULT:
            calls = [call for call in calls if call.get("call_id") != item.get("call_id")]
    return calls


def parts_of(item: JSONObject, *, exact: bool) -> list[JSONObject]:
    """The parts of a content that stand for an item."""
    if item.get("type") != "message":
        return [item]
    content = item.get("content")
    if isinstance(content, str):
        content = [{"type": "output_text", "text": content}]
    kept = kept_of(item) if exact else {}
    return [_said(part, kept) for part in content or () if isinstance(part, dict)]


def kept_of(item: Mapping[str, Any]) -> JSONObject:
    """What says of which message a part is."""
    return {key: item[key] for key in _KEPT if item.get(key)}


def call_of(item: Mapping[str, Any]) -> JSONObject:
    """A function call as chat has it."""
    function = {"name": text_at(item, "name"), "arguments": text_at(item, "arguments")}
    return {"id": text_at(item, "call_id") or text_at(item, "id"), "type": "function", "function": function}


def usage_of(usage: Any) -> JSONObject | None:
    """Usage under chat's names. Agents may use those already."""
    if not isinstance(usage, Mapping) or all(count is None for count in usage.values()):
        return None
    names = {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "input_tokens_details": "prompt_tokens_details",
        "output_tokens_details": "completion_tokens_details",
    }
    return {names.get(str(key), str(key)): value for key, value in usage.items()}


def finish_reason(answer: Mapping[str, Any], calls: bool) -> str:
    """Why an answer ended, in chat's words."""
    if answer.get("status") == "incomplete":
        reason = (answer.get("incomplete_details") or {}).get("reason")
        return _REASONS.get(str(reason), str(reason or "length"))
    return "tool_calls" if calls else "stop"


def text_at(value: Mapping[str, Any], key: str) -> str:
    """The text of a field; empty if it is none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _said(part: JSONObject, kept: JSONObject) -> JSONObject:
    if part.get("type") not in _TEXTS:
        return {**part, **kept}
    annotations = {"annotations": part["annotations"]} if part.get("annotations") else {}
    return {"type": "text", "text": text_at(part, "text"), **annotations, **kept}


def _content(parts: list[JSONObject]) -> str | list[JSONObject] | None:
    if any(part.keys() != {"type", "text"} or part["type"] != "text" for part in parts):
        return parts
    return "".join(part["text"] for part in parts) if parts else None


def _whole(number: Any) -> int | None:
    return int(number) if isinstance(number, (int, float)) and abs(number) < MAX_SECONDS else None
