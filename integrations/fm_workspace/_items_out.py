"""Answers in the form of the Responses API: one object, or the sequence of its events."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from . import _tokens
from ._engine import JSONObject, Query
from ._items import seal
from ._rendering import ARGUMENT_TOKENS_PER_CHUNK, TOKENS_PER_CHUNK, Call, Output, event, grouped

_ECHOED = ("instructions", "max_output_tokens", "metadata", "temperature", "top_p", "user", "truncation")


def render_items(query: Query, output: Output, prompt_tokens: int) -> JSONObject:
    """An answer, whole."""
    return _answer(_head(query), query, items_of(query, output), output, prompt_tokens)


async def stream_items(query: Query, output: Output, prompt_tokens: int) -> AsyncIterator[bytes]:
    """An answer as events, numbered, each named in its `event:` line too. The last one ends the stream: no [DONE]."""
    head, items = _head(query), items_of(query, output)
    begun = {**head, "status": "in_progress", "output": [], "usage": None}
    ended = _answer(head, query, items, output, prompt_tokens)
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(found for place, item in enumerate(items) for found in _item_events(place, item)),
        {"type": f"response.{ended['status']}", "response": ended},
    ]
    for number, found in enumerate(events):
        yield b"event: " + found["type"].encode() + b"\n" + event({**found, "sequence_number": number})
        await asyncio.sleep(0)  # others get their turn, and a client that has gone is noticed


def items_of(query: Query, output: Output) -> list[JSONObject]:
    """The items of an answer: reasoning, then calls or a message."""
    status = "incomplete" if output.finish_reason == "length" else "completed"
    items = [_reasoning_item(query, output.reasoning)] if output.reasoning else []
    items += [call_item(call, status) for call in output.calls]
    return items if output.calls else [*items, message_item(output.text, status)]


def message_item(text: str, status: str = "completed") -> JSONObject:
    """A message."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": _new("msg"), "status": status, "role": "assistant", "content": content}


def call_item(call: Call, status: str = "completed") -> JSONObject:
    """A function call."""
    said = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
    return {"type": "function_call", "id": _new("fc"), "status": status, **said}


def result_item(call_id: str, output: str) -> JSONObject:
    """The result of a function call, which an agent has got by itself."""
    return {"type": "function_call_output", "id": _new("fco"), "call_id": call_id, "output": output}


def _reasoning_item(query: Query, text: str) -> JSONObject:
    """Reasoning: sealed always, and summed up if that was asked for."""
    ident, asked = _new("rs"), (query.body.get("reasoning") or {}).get("summary")
    summary = [{"type": "summary_text", "text": text}] if asked else []
    return {"type": "reasoning", "id": ident, "summary": summary, "encrypted_content": seal(ident, summary)}


def _head(query: Query) -> JSONObject:
    body = query.body
    reasoning = body.get("reasoning") or {}
    return {
        "id": _new("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "model": query.model,
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "text": {"format": (body.get("text") or {}).get("format") or {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        **{name: body.get(name) for name in _ECHOED},
    }


def _answer(head: JSONObject, query: Query, items: list[JSONObject], output: Output, prompt: int) -> JSONObject:
    cut = output.finish_reason == "length"
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output.tokens,
        "output_tokens_details": {"reasoning_tokens": _tokens.count(output.reasoning)},
        "total_tokens": prompt + output.tokens,
    }
    details = {"reason": "max_output_tokens"} if cut else None
    status = "incomplete" if cut else "completed"
    return {**head, "status": status, "incomplete_details": details, "output": items, "usage": usage}


def _item_events(place: int, item: JSONObject) -> Iterator[JSONObject]:
    at: JSONObject = {"output_index": place, "item_id": item["id"]}
    empty: dict[str, JSONObject] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    begun = {**item, **empty[item["type"]]}
    if item["type"] != "reasoning":
        begun["status"] = "in_progress"
    yield {"type": "response.output_item.added", "output_index": place, "item": begun}
    yield from _PIECES[item["type"]](at, item)
    yield {"type": "response.output_item.done", "output_index": place, "item": item}


def _message_pieces(at: JSONObject, item: JSONObject) -> Iterator[JSONObject]:
    part: Any = item["content"][0]
    at = {**at, "content_index": 0}
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
    for piece, _ in grouped(part["text"], TOKENS_PER_CHUNK):
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


def _call_pieces(at: JSONObject, item: JSONObject) -> Iterator[JSONObject]:
    for piece, _ in grouped(item["arguments"], ARGUMENT_TOKENS_PER_CHUNK):
        yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **at, "name": item["name"], "arguments": item["arguments"]}


def _reasoning_pieces(at: JSONObject, item: JSONObject) -> Iterator[JSONObject]:
    for index, part in enumerate(item["summary"]):
        at = {**at, "summary_index": index}
        yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
        for piece, _ in grouped(part["text"], TOKENS_PER_CHUNK):
            yield {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


_PIECES = {"message": _message_pieces, "function_call": _call_pieces, "reasoning": _reasoning_pieces}


def _new(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
