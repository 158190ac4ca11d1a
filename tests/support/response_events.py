"""Answers and events of the Responses API, as OpenAI's models and as agents send them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

JSON = dict[str, Any]
CITED = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1, "index": 0}
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 7,
}


def message(text: str, ident: str = "msg_1", **part: Any) -> JSON:
    content = [{"type": "output_text", "text": text, "annotations": [], **part}]
    return {"type": "message", "id": ident, "status": "completed", "role": "assistant", "content": content}


def refusal(text: str) -> JSON:
    return {**message(""), "content": [{"type": "refusal", "refusal": text}]}


def call(name: str = "f", arguments: str = '{"a": 1}', ident: str = "1") -> JSON:
    known = {"call_id": f"call_{ident}", "name": name, "arguments": arguments}
    return {"type": "function_call", "id": f"fc_{ident}", "status": "completed", **known}


def result(output: str = "4", ident: str = "1") -> JSON:
    return {"type": "function_call_output", "id": f"fco_{ident}", "call_id": f"call_{ident}", "output": output}


def reasoning(text: str = "hm", ident: str = "rs_1") -> JSON:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "id": ident, "summary": summary, "encrypted_content": "sealed=="}


def summarised(*texts: str) -> JSON:
    return {**reasoning(), "summary": [{"type": "summary_text", "text": text} for text in texts]}


def raw(*texts: str) -> list[JSON]:
    return [{"type": "reasoning_text", "text": text} for text in texts]


def search(ident: str = "ws_1") -> JSON:
    return {"type": "web_search_call", "id": ident, "status": "completed", "action": {"type": "search", "query": "q"}}


def answer(*items: JSON, **fields: Any) -> JSON:
    """A whole answer."""
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5", "error": None}
    return {**head, "status": "completed", "output": list(items), "usage": USAGE, "incomplete_details": None, **fields}


def cut(reason: str, *items: JSON) -> JSON:
    """An answer that ended early."""
    return answer(*items, status="incomplete", incomplete_details={"reason": reason})


def named(event: JSON) -> bytes:
    """One server-sent event, as OpenAI's models send it: with its type in a line of its own."""
    return b"event: " + event["type"].encode() + b"\ndata: " + json.dumps(event).encode() + b"\n\n"


def bare(event: JSON) -> bytes:
    """One server-sent event, as agents send it."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def events(*items: JSON, end: JSON | None = None, size: int = 2) -> list[JSON]:
    """All events of an answer; `end` replaces the whole answer in the last one."""
    final = answer(*items) if end is None else end
    begun = {**final, "status": "in_progress", "output": [], "usage": None}
    middle = [event for place, item in enumerate(items) for event in item_events(place, item, size)]
    first = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    return [*first, *middle, {"type": f"response.{final['status']}", "response": final}]


def stream(*items: JSON, **options: Any) -> list[bytes]:
    """The same as bytes."""
    return [named(event) for event in events(*items, **options)]


def agent_events(items: Sequence[JSON], size: int = 2) -> list[JSON]:
    """All events of an agent, which says nothing of numbers, beginnings and the end."""
    found: list[JSON] = []
    for item in items:
        text = item["content"][0].get("text", "") if item["type"] == "message" else ""
        found += [{"type": "response.output_text.delta", "item_id": item["id"], "delta": p} for p in pieces(text, size)]
        found.append({"type": "response.output_item.done", "item": item})
    return found


def pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def item_events(place: int, item: JSON, size: int = 2) -> list[JSON]:
    """The events of one item."""
    at = {"output_index": place, "item_id": item["id"]}
    begun = {**item, **{"message": {"content": []}, "function_call": {"arguments": ""}, "reasoning": {"summary": []}}.get(item["type"], {})}  # fmt: skip
    added = {"type": "response.output_item.added", "output_index": place, "item": begun}
    return [added, *_deltas(at, item, size), {"type": "response.output_item.done", "output_index": place, "item": item}]


def _deltas(at: JSON, item: JSON, size: int) -> list[JSON]:
    if item["type"] == "function_call":
        kind, texts = "function_call_arguments", [("content_index", item["arguments"])]
    elif item["type"] == "reasoning":
        said = item["summary"] or item.get("content", [])
        kind, number = (
            ("reasoning_summary_text", "summary_index") if item["summary"] else ("reasoning_text", "content_index")
        )
        texts = [(number, part["text"]) for part in said]
    elif item["type"] == "message":
        first = item["content"][0]["type"]
        kind, field = ("refusal", "refusal") if first == "refusal" else ("output_text", "text")
        texts = [("content_index", part[field]) for part in item["content"]]
    else:
        return [{"type": f"response.{item['type']}.in_progress", **at}]
    found: list[JSON] = []
    for index, (number, text) in enumerate(texts):
        found += [{"type": f"response.{kind}.delta", **at, number: index, "delta": p} for p in pieces(text, size)]
        found.append({"type": f"response.{kind}.done", **at, number: index, "text": text, "arguments": text})
    return found


REPLAYS: dict[str, list[dict[str, Any]]] = {
    "reasoning, call": [reasoning(), call()],
    "reasoning without summary": [reasoning(""), message("a")],
    "reasoning in two pieces": [summarised("first", "then"), call()],
    "raw reasoning in two pieces": [{**summarised(), "content": raw("x", "y")}, message("a")],
    "reasoning between calls": [reasoning(), call(), reasoning("ho", "rs_2"), call("g", "{}", "2")],
    "raw reasoning": [{**reasoning(""), "content": [{"type": "reasoning_text", "text": "x"}]}, message("a")],
    "search, message": [search(), message("a", annotations=[{"type": "url_citation", "url": "u"}])],
    "message, then search": [message("a"), search(), message("b", "msg_2")],
    "message with sources, then search": [message("a", annotations=[CITED]), search(), message("b", "msg_2")],
    "sources of both messages": [
        message("a", annotations=[CITED]),
        call(),
        result(),
        message("b", "msg_2", annotations=[CITED, {**CITED, "url": "v"}]),
    ],
    "plain messages": [message("a"), message("b", "msg_2"), call()],
    "plain messages with sources": [
        message("a", annotations=[CITED]),
        message("b", "msg_2", annotations=[{**CITED, "url": "v"}]),
    ],
    "phases": [{**message("a"), "phase": "commentary"}, call(), result(), {**message("b", "msg_2"), "phase": "final"}],
    "an agent's steps": [message("I look"), call(), result(), message("4 it is", "msg_2")],
    "parallel steps": [call(), call("g", "{}", "2"), result(), result("5", "2"), message("9")],
    "two messages": [reasoning(), message("a"), message("b", "msg_2")],
    "an unknown item": [{"type": "hologram", "id": "h_1", "data": {"deep": [1, {"x": None}]}}, message("a")],
    "mcp": [{"type": "mcp_call", "id": "mcp_1", "name": "n", "arguments": "{}", "server_label": "s", "output": "o"}],
    "refusal": [reasoning(), refusal("no")],
    "custom tool": [{"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_9", "name": "n", "input": "x"}],
}
"""Outputs of which each item has to go back as it came."""
