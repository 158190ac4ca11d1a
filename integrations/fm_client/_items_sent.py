"""Chat request -> request of the Responses API, whose `input` holds items instead of messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ._errors import InvalidRequestError
from .types._base import JSONObject

MAX_ID_CHARS = 64
"""Longer ids are refused by the API, though agents make them."""

_RENAMED = {"max_tokens": "max_output_tokens"}
_UNKNOWN = (
    "stop",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "thinking",
)
"""Fields of a chat request that the Responses API has no like of."""
_MEANT = ("role", "content", "tool_calls", "tool_call_id")
_FIELDS = frozenset({*_MEANT, "name", "id", "type", "status", "refusal", "reasoning", "reasoning_content"})
"""What a message may have. All but what is meant here cannot be told to the API, and is left out."""
_SAID = ("text", "output_text", "refusal")
"""Parts of an assistant's content that make up its message; all others are items of their own."""


def responses_body(body: JSONObject) -> JSONObject:
    """The body of a chat request as the Responses API has it; what cannot be said there is refused.

    >>> responses_body({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5})
    {'input': [{'role': 'user', 'content': 'Hi'}], 'max_output_tokens': 5}
    """
    _check(body)
    sent = {"input": input_items(body["messages"])}
    for name, value in body.items():
        if name not in ("messages", "n", *_UNKNOWN):
            sent |= _CONVERTED[name](value) if name in _CONVERTED else {_RENAMED.get(name, name): value}
    return sent


def input_items(messages: Iterable[Mapping[str, Any]]) -> list[JSONObject]:
    """Messages as items."""
    items: list[JSONObject] = []
    custom: list[Any] = []
    for i, message in enumerate(messages):
        _check_message(message, i)
        more = _ITEMS[message["role"]](message, i)
        custom += [item.get("call_id") for item in more if item.get("type") == "custom_tool_call"]
        if message["role"] == "tool" and more[0]["call_id"] in custom:
            more[0]["type"] = "custom_tool_call_output"
        items += more
    return items


def _check(body: Mapping[str, Any]) -> None:
    # An empty `stop` stops nothing, and one answer is what the API gives.
    for name in _UNKNOWN:
        if body.get(name) not in (None, [], (), False):
            raise InvalidRequestError(f'{name} does not exist in the Responses API: leave it out, or use api="chat"')
    if body.get("n") not in (None, 1):
        raise InvalidRequestError('the Responses API gives one answer: leave n out, or use api="chat"')


def _check_message(message: Mapping[str, Any], i: int) -> None:
    for key, value in message.items():
        if not isinstance(key, str):
            raise InvalidRequestError(f"messages[{i}] has the key {key!r:.60}: keys must be text")
        if key not in _FIELDS and value is not None:
            raise InvalidRequestError(f"messages[{i}] has the field {key!r:.60}, which the Responses API does not know")


def _message(message: Mapping[str, Any], i: int) -> list[JSONObject]:
    """System, developer and user messages. A `name` has no place in the API."""
    content = message["content"]
    if not isinstance(content, str):
        content = [_INPUT_PARTS.get(part["type"], dict)(part) for part in content]
    return [{"role": message["role"], "content": content}]


def _assistant(message: Mapping[str, Any], i: int) -> list[JSONObject]:
    content = message.get("content")
    if isinstance(content, str) or content is None:
        items = [{"role": "assistant", "content": content}] if content else []
    else:
        items = list(_assistant_items(content))
    placed = [item.get("call_id") for item in items if item.get("type") == "function_call"]
    given = message.get("tool_calls") or []
    if not isinstance(given, (list, tuple)):
        raise InvalidRequestError(f"messages[{i}].tool_calls must be a list of calls")
    calls = [_call(call, i) for call in given]
    return items + [call for call in calls if call["call_id"] not in placed]


def _assistant_items(parts: Sequence[Mapping[str, Any]]) -> Iterator[JSONObject]:
    """The items that the parts of an answer were made from, in their order."""
    said: list[Mapping[str, Any]] = []
    for part in parts:
        if said and (part["type"] not in _SAID or part.get("id") != said[-1].get("id")):
            yield _said(said)
            said = []
        if part["type"] in _SAID:
            said.append(part)
        else:
            yield _replayed(part)
    if said:
        yield _said(said)


def _said(parts: Sequence[Mapping[str, Any]]) -> JSONObject:
    item = {"id": parts[0].get("id"), "type": "message", "role": "assistant", "phase": parts[0].get("phase")}
    return _replayed({**item, "content": [_said_part(part) for part in parts]})


def _said_part(part: Mapping[str, Any]) -> JSONObject:
    if part["type"] == "refusal":
        return {"type": "refusal", "refusal": part.get("refusal")}
    return {"type": "output_text", "text": part.get("text"), "annotations": part.get("annotations") or []}


def _replayed(item: Mapping[str, Any]) -> JSONObject:
    """An item of an answer as the API takes it back: without its status, what is null, and an id that is too long."""
    sent = {key: value for key, value in item.items() if key != "status" and value is not None}
    if len(str(sent.get("id", ""))) > MAX_ID_CHARS:
        del sent["id"]
    if "call_id" in sent:
        sent["call_id"] = _call_id(sent["call_id"])
    return sent


def _call(call: Any, i: int) -> JSONObject:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequestError(f"messages[{i}].tool_calls: each must be an object with a function that has a name")
    arguments = function.get("arguments") or "{}"
    return {
        "type": "function_call",
        "call_id": _call_id(call.get("id")),
        "name": function["name"],
        "arguments": arguments,
    }


def _result(message: Mapping[str, Any], i: int) -> list[JSONObject]:
    content = message["content"]
    if not isinstance(content, str):
        parts = [_INPUT_PARTS.get(part["type"], dict)(part) for part in content]
        texts = [part.get("text") for part in parts if part["type"] == "input_text"]
        # Agents take a text only.
        content = "".join(map(str, texts)) if len(texts) == len(parts) else parts
    return [{"type": "function_call_output", "call_id": _call_id(message["tool_call_id"]), "output": content}]


def _function(message: Mapping[str, Any], i: int) -> list[JSONObject]:
    raise InvalidRequestError(
        f'messages[{i}] has the role "function", which the Responses API does not know: use "tool" and tool_call_id'
    )


def _call_id(given: Any) -> Any:
    """An id that links a call and its result; one that is too long is replaced by the same short one on both sides."""
    if not isinstance(given, str) or len(given) <= MAX_ID_CHARS:
        return given
    return f"call_{hashlib.blake2b(given.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


_ITEMS = {
    "system": _message,
    "developer": _message,
    "user": _message,
    "assistant": _assistant,
    "tool": _result,
    "function": _function,
}


def _text_part(part: Mapping[str, Any]) -> JSONObject:
    return {"type": "input_text", "text": part.get("text")}


def _image_part(part: Mapping[str, Any]) -> JSONObject:
    image = part.get("image_url")
    image = image if isinstance(image, Mapping) else {"url": image}
    return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail") or "auto"}


def _file_part(part: Mapping[str, Any]) -> JSONObject:
    file = part.get("file")
    return {"type": "input_file", **(file if isinstance(file, Mapping) else {})}


_INPUT_PARTS = {"text": _text_part, "output_text": _text_part, "image_url": _image_part, "file": _file_part}


def _tools(tools: Any) -> JSONObject:
    return {"tools": [_tool(tool) for tool in tools]}


def _tool(tool: Mapping[str, Any]) -> JSONObject:
    if tool.get("type") != "function" or not isinstance(tool.get("function"), Mapping):
        return dict(tool)
    # Here functions are strict unless they say that they are not; in chat it is the other way round.
    return {"type": "function", "strict": False, **tool["function"]}


def _tool_choice(choice: Any) -> JSONObject:
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if isinstance(function, Mapping):
        return {"tool_choice": {"type": "function", "name": function.get("name")}}
    return {"tool_choice": choice}


def _response_format(form: Mapping[str, Any]) -> JSONObject:
    schema = form.get("json_schema")
    return {"text": {"format": {"type": form["type"], **(schema if isinstance(schema, Mapping) else {})}}}


def _reasoning(effort: Any) -> JSONObject:
    return {"reasoning": {"effort": effort}}


_CONVERTED = {
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "reasoning_effort": _reasoning,
}
