"""Guardrails of a streamed answer: its events are held until its texts are whole, then let out, masked or refused."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable, Iterator
from typing import Any

from ._engine import JSONObject
from ._guardrails import check_output
from ._lifecycle import Endpoint

_TEXT_FIELDS = frozenset(
    {"arguments", "content", "delta", "output", "reasoning", "reasoning_content", "refusal", "text"}
)
_NAMES = ("type", "item_id", "output_index", "content_index", "summary_index")
"""Which text an event of the Responses API is about."""
_DATA = b"data:"
_Key = tuple[Hashable, ...]
_Piece = tuple[JSONObject, str]
"""A piece of a text: the object that it stands in, and the field."""


async def guarded(endpoint: Endpoint, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of `source` as they may go out; the guardrail's 400, before any of them, if they may not.

    Masked texts come in one piece, in place of their first.
    """
    lines = b"".join([chunk async for chunk in source]).split(b"\n")
    events = [_event(line) for line in lines]
    texts: defaultdict[_Key, list[_Piece]] = defaultdict(list)
    for event in filter(None, events):
        for key, piece in _pieces(event, _about(event)):
            texts[key].append(piece)
    whole = ["".join(holder[field] for holder, field in pieces) for pieces in texts.values()]
    checked = check_output(endpoint, {"choices": whole})["choices"]
    if checked != whole:
        for text, (first, *rest) in zip(checked, texts.values(), strict=True):
            _write(first, text)
            for piece in rest:
                _write(piece, "")
        lines = [line if event is None else _line(event) for line, event in zip(lines, events, strict=True)]
    return _sent(lines)


async def _sent(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines[:-1]:
        yield line + b"\n"
    if lines[-1]:
        yield lines[-1]


def _event(line: bytes) -> JSONObject | None:
    """The JSON object in a line of a stream, None if there is none."""
    try:
        found = json.loads(line.removeprefix(_DATA)) if line.startswith(_DATA) else None
    except (ValueError, RecursionError):
        return None  # such as [DONE]
    return found if isinstance(found, dict) else None


def _line(event: JSONObject) -> bytes:
    return _DATA + b" " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _about(event: JSONObject) -> _Key:
    """What tells the texts of this event from those of others: item and place, or the message of an agent."""
    delta = event.get("delta")
    return (*(str(event.get(name)) for name in _NAMES), str(delta.get("id")) if isinstance(delta, dict) else "")


def _pieces(value: Any, key: _Key) -> Iterator[tuple[_Key, _Piece]]:
    """The pieces of text below `value`, each with the text that it is a piece of."""
    if isinstance(value, dict):
        for field, item in value.items():
            if isinstance(item, str) and field in _TEXT_FIELDS:
                yield (*key, field), (value, field)
            else:
                yield from _pieces(item, (*key, field))
    for place, item in enumerate(value if isinstance(value, list) else ()):
        # Choices and tool calls come in any order, under a number of their own.
        at = str(item.get("index", place)) if isinstance(item, dict) else place
        yield from _pieces(item, (*key, at))


def _write(piece: _Piece, text: str) -> None:
    holder, field = piece
    holder[field] = text
