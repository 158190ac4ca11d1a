"""Guardrails of a streamed answer: its events are held until its texts are whole, then let out, masked or refused."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections import defaultdict
from collections.abc import AsyncIterator

from ._engine import JSONObject
from ._errors import ServiceError
from ._guardrails import check_output
from ._lifecycle import Endpoint
from ._texts import Key, Piece, event_of, line_of, pieces

_LINE_END = re.compile(rb"\r\n|\r|\n")
MAX_HELD_BYTES = 64 * 1024 * 1024
_NAMES = ("type", "item_id", "output_index", "content_index", "summary_index")
"""Which text an event of the Responses API is about."""


async def guarded(endpoint: Endpoint, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of `source` as they may go out; the guardrail's 400, before any of them, if they may not.

    Masked texts come in one piece, in place of their first.
    """
    held = bytearray()
    async for chunk in source:
        held += chunk
        if len(held) > MAX_HELD_BYTES:
            raise ServiceError(502, "EXTERNAL_MODEL_ERROR", "The answer is longer than guardrails can look into.")
    lines = _LINE_END.split(bytes(held).removeprefix(BOM_UTF8))
    events = [_looked_into(line) for line in lines]
    texts: defaultdict[Key, list[Piece]] = defaultdict(list)
    for event in filter(None, events):
        for key, piece in pieces(event, _about(event)):
            texts[key].append(piece)
    whole = ["".join(holder[field] for holder, field in parts) for parts in texts.values()]
    checked = check_output(endpoint, {"choices": whole})["choices"]
    if checked != whole:
        for text, (first, *rest) in zip(checked, texts.values(), strict=True):
            _write(first, text)
            for piece in rest:
                _write(piece, "")
        lines = [line if event is None else line_of(event) for line, event in zip(lines, events, strict=True)]
    return _sent(lines)


def _looked_into(line: bytes) -> JSONObject | None:
    """The event in a line; 502 for one that cannot be read, for it might say anything."""
    event = event_of(line)
    if event is None and line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
        raise ServiceError(502, "EXTERNAL_MODEL_ERROR", "The answer has a line that guardrails cannot look into.")
    return event


async def _sent(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines[:-1]:
        yield line + b"\n"
    if lines[-1]:
        yield lines[-1]


def _about(event: JSONObject) -> Key:
    """What tells the texts of this event from those of others: item and place, or the message of an agent."""
    delta = event.get("delta")
    return (*(str(event.get(name)) for name in _NAMES), str(delta.get("id")) if isinstance(delta, dict) else "")


def _write(piece: Piece, text: str) -> None:
    holder, field = piece
    holder[field] = text
