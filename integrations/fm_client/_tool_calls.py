"""Pieces of streamed tool calls -> whole calls, whatever a route makes of index, id and name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .types import ToolCall, ToolCallDelta
from .types._base import JSONObject


def new_call_id() -> str:
    """An id for a tool call that came without one."""
    return f"call_{uuid.uuid4().hex[:24]}"


@dataclass(slots=True)
class _Call:
    """What has arrived of one call. The extras (a thought signature, say) must go back with it, wherever they stood."""

    id: str
    type: str
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    extra: JSONObject = field(default_factory=dict)
    function_extra: JSONObject = field(default_factory=dict)

    def add(self, piece: ToolCallDelta) -> None:
        self.name = self.name or piece.name or ""
        self.pieces.append(piece.arguments)
        _update(self.extra, piece.model_extra or {})
        _update(self.function_extra, {k: v for k, v in piece.function.items() if k not in ("name", "arguments")})

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    def result(self) -> ToolCall:
        function = {"name": self.name, "arguments": self.arguments, **self.function_extra}
        return ToolCall.model_validate({"id": self.id, "type": self.type, "function": function, **self.extra})


class ToolCallMerger:
    """Pieces of tool calls of one choice -> calls. Every piece gets a stable index; id and name are said once."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._slots: dict[int, int] = {}
        self._current = -1

    def add(self, piece: ToolCallDelta) -> ToolCallDelta:
        """`piece` with its final index (and id, if it begins a call)."""
        slot = self._slot_of(piece)
        if slot is None or _begins_another(piece, self._calls[slot]):
            slot = self._begin(piece)
        call = self._calls[slot]
        begins, named = not call.pieces, bool(call.name)
        call.add(piece)
        update: dict[str, Any] = {"index": slot, "id": call.id if begins else None}
        if begins:
            update["type"] = call.type
        if named and piece.name:  # some routes say it with every piece, and who adds up the pieces would add that too
            update["function"] = {key: value for key, value in piece.function.items() if key != "name"}
        self._current = slot
        return piece.model_copy(update=update)

    def result(self) -> list[ToolCall] | None:
        """The calls, in the order in which they began; None if there are none."""
        return [call.result() for call in self._calls] or None

    def id_of(self, slot: int) -> str:
        """The id of a call."""
        return self._calls[slot].id

    def call(self, slot: int) -> ToolCall:
        """One call, as far as it has come."""
        return self._calls[slot].result()

    def _slot_of(self, piece: ToolCallDelta) -> int | None:
        """The call that `piece` speaks of; None if that is a new one."""
        indexed = "index" in piece.model_fields_set
        own = self._slots.get(piece.index) if indexed else None
        known = [i for i, call in enumerate(self._calls) if piece.id and call.id == piece.id]
        # Some routes give two calls one id: an index not seen before, with a name, begins another call all the same.
        if known and not (indexed and own is None and piece.name):
            return own if own in known else known[-1]
        if indexed:
            return own
        return self._current if self._calls and not piece.name else None

    def _begin(self, piece: ToolCallDelta) -> int:
        self._calls.append(_Call(piece.id or new_call_id(), piece.type or "function"))
        slot = len(self._calls) - 1
        if "index" in piece.model_fields_set:
            self._slots[piece.index] = slot
        return slot


def _begins_another(piece: ToolCallDelta, call: _Call) -> bool:
    """Whether `piece` is of another call than `call`, though its index is the same: some routes number all calls 0."""
    if not piece.name:
        return False
    if (call.name and piece.name != call.name) or (piece.id and piece.id != call.id):
        return True
    # Nothing but the end of its arguments tells a call without an id from the next one of the same tool.
    return not piece.id and _is_object(call.arguments)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except (ValueError, RecursionError):
        return False


def _update(extra: JSONObject, more: Mapping[str, Any]) -> None:
    """Take `more` into `extra`: objects grow, all else is as it was last; a null takes nothing away."""
    for key, value in more.items():
        before = extra.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            extra[key] = {**before, **value}
        elif value is not None:
            extra[key] = value


def have_calls_together(messages: Any) -> bool:
    """Whether a message of a conversation has several calls."""
    return isinstance(messages, list) and any(len(_calls_of(message)) > 1 for message in messages)


def one_call_each(messages: list[JSONObject]) -> list[JSONObject]:
    """The same conversation with one call in a message, followed by its result.

    >>> calls = [{"id": "a"}, {"id": "b"}]
    >>> results = [{"role": "tool", "tool_call_id": "a"}, {"role": "tool", "tool_call_id": "b"}]
    >>> [message["role"] for message in one_call_each([{"role": "assistant", "tool_calls": calls}, *results])]
    ['assistant', 'tool', 'assistant', 'tool']
    """
    found: list[JSONObject] = []
    places: dict[Any, int] = {}
    for message in messages:
        if message.get("role") == "tool" and message.get("tool_call_id") in places:
            place = places.pop(message["tool_call_id"]) + 1
            found.insert(place, message)
            places = {call_id: at + (at >= place) for call_id, at in places.items()}
            continue
        for i, call in enumerate(_calls_of(message)):
            places[call.get("id")] = len(found)
            found.append({**(message if i == 0 else {"role": "assistant", "content": None}), "tool_calls": [call]})
        found += [message] if not _calls_of(message) else []
    return found


def _calls_of(message: Any) -> list[JSONObject]:
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    return list(calls) if isinstance(calls, (list, tuple)) and all(isinstance(call, dict) for call in calls) else []
