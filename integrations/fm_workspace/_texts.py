"""The texts in queries and answers, whole or in the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Literal

from ._engine import JSONObject

Side = Literal["input", "output"]
TEXTS: Mapping[Side, tuple[str, ...]] = {
    "input": ("messages", "prompt", "input", "instructions"),
    "output": ("choices", "output", "messages"),
}
"""Where the texts of a query and of an answer are."""
FIELDS = frozenset({"arguments", "content", "delta", "output", "reasoning", "reasoning_content", "refusal", "text"})
"""The fields that hold a text, or a piece of one."""
Key = tuple[Hashable, ...]
Piece = tuple[JSONObject, str]
"""A piece of a text: the object that it stands in, and the field."""
_DATA = b"data:"


def event_of(line: bytes) -> JSONObject | None:
    """The JSON object in a line of a stream, None if there is none."""
    try:
        found = json.loads(line.removeprefix(_DATA)) if line.startswith(_DATA) else None
    except (ValueError, RecursionError):
        return None  # such as [DONE]
    return found if isinstance(found, dict) else None


def line_of(event: JSONObject) -> bytes:
    """The line of a stream that holds an object."""
    return _DATA + b" " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def pieces(value: Any, key: Key = ()) -> Iterator[tuple[Key, Piece]]:
    """The pieces of text below `value`, each with the text that it is a piece of."""
    if isinstance(value, dict):
        for field, item in value.items():
            if isinstance(item, str) and field in FIELDS:
                yield (*key, field), (value, field)
            else:
                yield from pieces(item, (*key, field))
    for place, item in enumerate(value if isinstance(value, list) else ()):
        # Choices and tool calls come in any order, under a number of their own.
        at = str(item.get("index", place)) if isinstance(item, dict) else place
        yield from pieces(item, (*key, at))


def characters(body: Mapping[str, Any], side: Side) -> int:
    """How many characters the texts of a query or of an answer have."""
    total = 0
    for value in (body[name] for name in TEXTS[side] if name in body):
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        total += sum(len(text) for text in texts if isinstance(text, str))
        total += sum(len(holder[field]) for _, (holder, field) in pieces(value))
    return total


def answered_characters(answer: bytes) -> int:
    """The same of an answer's bytes, which may be a stream."""
    try:
        whole = json.loads(answer)
    except (ValueError, RecursionError):
        return sum(_of_event(event) for event in map(event_of, answer.split(b"\n")) if event)
    return characters(whole, "output") if isinstance(whole, dict) else 0


def _of_event(event: JSONObject) -> int:
    """The characters that one event adds; the Responses API repeats at the end what it has sent in pieces."""
    if str(event.get("type", "delta")).endswith("delta"):
        return sum(len(holder[field]) for _, (holder, field) in pieces(event))
    return 0
