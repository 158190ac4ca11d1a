"""Events of a Responses stream -> chat chunks, each thing said once, and the whole answer at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._items_read import (
    CALL,
    RESULT,
    call_of,
    finish_reason,
    kept_of,
    message_of,
    open_calls,
    parts_of,
    response_of,
    text_at,
)
from ._tool_calls import new_call_id
from .types import ChatChunk, ChatResponse, ChunkChoice, Delta
from .types._base import JSONObject

ENDS = ("response.completed", "response.incomplete")
FAILS = ("error", "response.error", "response.failed")
_DELTAS = {
    "response.output_text.delta": ("message", "output_text", "content_index"),
    "response.refusal.delta": ("message", "refusal", "content_index"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary_text", "summary_index"),
    "response.reasoning_text.delta": ("reasoning", "reasoning_text", "content_index"),
    "response.function_call_arguments.delta": (CALL, "arguments", ""),
}
"""Event -> the type of its item, of the piece, and the field that numbers the pieces of an item."""
_GOES_ON = frozenset({*_DELTAS, "response.created", "response.output_item.added", "response.output_item.done"})
"""Events after which an answer that seemed to have ended has not."""
_BESIDE = ("custom_outputs", "databricks_output", "usage")
"""What agents put beside an event, and means the whole answer."""


@dataclass(slots=True)
class _Slot:
    """One output item: what has arrived of it, and what was given out."""

    item: JSONObject
    place: Any
    done: bool = False
    given: bool = False
    """Whether its text has been given out, or (a call) its beginning."""
    placed: bool = False
    """Whether a call stands among the parts of the content too."""
    told: JSONObject = field(default_factory=dict)
    """What has been given out of what says of which message a text is."""
    index: int = -1
    pieces: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return text_at(self.item, "type")

    @property
    def said(self) -> str:
        """All pieces together."""
        return "".join(piece for pieces in self.pieces.values() for piece in pieces)

    def add(self, piece: str, kind: str, index: int) -> None:
        self.pieces.setdefault((kind, index), []).append(piece)

    def current(self) -> JSONObject:
        """The item, as far as it has come."""
        if self.done or not self.pieces:
            return self.item
        whole = [(kind, "".join(pieces)) for (kind, _), pieces in sorted(self.pieces.items())]
        if self.kind == CALL:
            return {**self.item, "arguments": whole[0][1]}
        summary = [{"type": kind, "text": text} for kind, text in whole if kind == "summary_text"]
        content = [_content_part(kind, text) for kind, text in whole if kind != "summary_text"]
        found = {"summary": summary} if self.kind == "reasoning" else {}
        return {**self.item, **found, **({"content": content} if content else {})}


class ItemMerger:
    """Events of one stream, in any order that agents make of them -> chunks, and a response."""

    def __init__(self) -> None:
        self._head: JSONObject = {}
        self._names: JSONObject = {}
        self._slots: list[_Slot] = []
        self._held: list[_Slot] = []
        self._calls = 0
        self._exact = False
        self.complete = False
        """Whether an event has said that the answer has ended."""

    @property
    def closed(self) -> bool:
        """Whether nothing can follow. Behind open calls an agent, which passes on what its model says, may go on."""
        ended = self.complete and self._head.get("status") != "completed"
        return ended or (self.complete and not open_calls(self._items()))

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        return self.complete or bool(self._slots)

    def add(self, event: Mapping[str, Any]) -> list[ChatChunk]:
        """The chunks that an event makes."""
        kind = text_at(event, "type")
        self._learn({key: event[key] for key in _BESIDE if event.get(key) is not None})
        deltas: list[JSONObject] = []
        self.complete = self.complete and kind not in _GOES_ON
        if kind in _DELTAS:
            deltas = list(self._piece(event, *_DELTAS[kind]))
        elif kind == "response.output_item.added":
            deltas = list(self._added(event, _item_of(event)))
        elif kind == "response.output_item.done":
            deltas = list(self._done(event, _item_of(event)))
        elif isinstance(event.get("response"), Mapping):
            self._learn({key: value for key, value in event["response"].items() if value is not None})
            deltas = list(self._ended()) if kind in ENDS else []
        self.complete = self.complete or kind in ENDS
        return [self._chunk(delta) for delta in deltas]

    def response(self) -> ChatResponse:
        """All that has arrived so far, as one response."""
        return response_of(self._head, self._items(), ended=self.complete)

    def last(self) -> ChatChunk:
        """The closing chunk: usage, once, and the whole response."""
        response = self.response()
        chunk = self._chunk(None)
        chunk.usage, chunk._response = response.usage, response
        return chunk

    def rest(self) -> list[ChatChunk]:
        """What was held back: calls of which nobody knew whose they are, and why the answer ended."""
        chunks = [self._chunk(delta) for delta in self._release()]
        if self.complete:
            chunks.append(self._chunk({}, finish_reason(self._head, bool(open_calls(self._items())))))
        return chunks

    def _items(self) -> list[JSONObject]:
        found, final = [slot.current() for slot in self._slots], self._head.get("output")
        final = [item for item in final if isinstance(item, dict)] if isinstance(final, list) else []
        # An agent may pass on the end of one of its inner calls: that is not all it said.
        return final if self.complete and len(final) >= len(found) else found

    def _chunk(self, delta: JSONObject | None, finish: str | None = None) -> ChatChunk:
        choices = []
        if delta is not None:
            said = Delta.model_validate({"role": "assistant", **delta})
            choices = [ChunkChoice(index=0, delta=said, finish_reason=finish)]
        return ChatChunk(**self._names, choices=choices)

    def _learn(self, fields: Mapping[str, Any]) -> None:
        """Take fields of the answer over, if they are such."""
        if not fields:
            return
        known = {**self._head, **fields}
        response = response_of(known, [])
        self._head, self._names = known, {"id": response.id, "model": response.model, "created": response.created}

    # -- what an event says

    def _piece(self, event: Mapping[str, Any], kind: str, piece_kind: str, number: str) -> Iterator[JSONObject]:
        piece = event.get("delta")
        if not isinstance(piece, str):
            raise ValueError(f"the delta of {event['type']} is no text")
        slot = self._slot(event, {"type": kind, "id": event.get("item_id")})
        if slot.done:  # some agents give all of their messages one id
            slot = self._begin({"type": kind, "id": event.get("item_id")}, event)
        yield from self._opened(slot)
        place = event[number] if isinstance(event.get(number), int) else 0
        slot.add(piece, piece_kind, place)
        yield self._said(slot, piece_kind, piece, place)

    def _added(self, event: Mapping[str, Any], item: JSONObject) -> Iterator[JSONObject]:
        slot = self._slot(event, item)
        slot.item = {**slot.item, **item}
        if slot.kind == CALL:
            yield from self._opened(slot)
            if text_at(item, "arguments"):
                slot.add(text_at(item, "arguments"), "arguments", 0)
                yield self._said(slot, "arguments", text_at(item, "arguments"))

    def _done(self, event: Mapping[str, Any], item: JSONObject) -> Iterator[JSONObject]:
        slot = self._slot(event, item)
        if slot.done and slot.item == item:
            return
        if slot.done:
            slot = self._begin(item, event)
        yield from self._finished(slot, item)

    def _ended(self) -> Iterator[JSONObject]:
        """What the last event says that none before it did."""
        final = self._head.get("output")
        message_of(final if isinstance(final, list) else [])
        for place, item in enumerate(final if isinstance(final, list) else ()):
            if isinstance(item, dict) and (slot := self._known(place, item)) is None:
                yield from self._finished(self._begin(item, {"output_index": place}), item)
            elif isinstance(item, dict) and slot is not None and not slot.done:
                yield from self._finished(slot, item)
            elif isinstance(item, dict) and slot is not None and slot.kind == CALL:
                item["call_id"] = slot.item["call_id"]

    def _known(self, place: int, item: JSONObject) -> _Slot | None:
        own = [slot for slot in self._slots if item.get("id") and slot.item.get("id") == item["id"]]
        at = [slot for slot in self._slots[place : place + 1] if slot.kind == item.get("type")]
        return next(iter(own or at), None)

    # -- what it gives out

    def _finished(self, slot: _Slot, item: JSONObject) -> Iterator[JSONObject]:
        before = slot.said
        if item.get("type") == CALL and not text_at(item, "call_id"):
            item["call_id"] = text_at(slot.item, "call_id") or text_at(item, "id") or new_call_id()
        slot.item, slot.done = item, True
        if slot.kind == CALL:
            yield from self._finished_call(slot, before)
        elif slot.kind == "message":
            yield from self._finished_message(slot, before)
        else:
            self._held = [held for held in self._held if not (slot.kind == RESULT and _answers(item, held.item))]
            yield from self._opened(slot)
            # What was said of a reasoning is left out; its id and what is sealed in it are not.
            yield {"content": [_unsaid(item) if before else item]}

    def _finished_call(self, slot: _Slot, before: str) -> Iterator[JSONObject]:
        if not slot.given:
            # Whether the call is the caller's to make, or the agent makes it itself, is only known at the end.
            self._held.append(slot)
            return
        if rest := _rest(text_at(slot.item, "arguments"), before):
            yield self._said(slot, "arguments", rest)
        if self._exact:
            yield from self._in_place([slot])

    def _finished_message(self, slot: _Slot, before: str) -> Iterator[JSONObject]:
        yield from self._opened(slot)
        parts = parts_of(slot.item, exact=self._exact)
        if not before:
            self._own(slot)
            plain = all(part.keys() == {"type", "text"} for part in parts)
            said = [str(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
            content = "".join(part["text"] for part in parts) if plain else parts
            yield {"content": content, **({"refusal": "".join(said)} if said else {})}
            return
        if rest := _rest("".join(text_at(part, "text") for part in parts), before):
            yield self._said(slot, "output_text", rest)
        told = [part["annotations"] for part in parts if isinstance(part.get("annotations"), list)]
        yield from self._late(slot, [source for sources in told for source in sources])

    def _opened(self, slot: _Slot) -> Iterator[JSONObject]:
        """What has to be given out before the first of `slot` is."""
        if slot.given:
            return
        slot.given = True
        if slot.kind == CALL:
            yield self._call(slot)
            return
        others = [other for other in self._slots if other is not slot and (other.given or other.done)]
        if slot.kind != "message" or others:
            self._exact = True
            for said in others:
                if said.kind == "message" and said.given:
                    yield from self._late(said)
            yield from self._in_place(other for other in others if other.kind == CALL and other.done)

    def _late(self, slot: _Slot, sources: Sequence[Any] = ()) -> Iterator[JSONObject]:
        """What is known of a message only when its text has been given out: that it is one of several; its sources."""
        untold = self._exact and kept_of(slot.item).keys() - slot.told.keys()
        if _is_text(slot) and (untold or sources):
            annotations = {"annotations": [*sources]} if sources else {}
            yield {"content": [{"type": "text", "text": "", **self._own(slot), **annotations}]}

    def _own(self, slot: _Slot) -> JSONObject:
        """What says of which message a text is, if that matters: its id each time, all else once."""
        kept = kept_of(slot.item) if self._exact else {}
        own = {key: value for key, value in kept.items() if key == "id" or key not in slot.told}
        slot.told |= kept
        return own

    def _release(self) -> Iterator[JSONObject]:
        """The calls that were held back, for the caller to make."""
        held, self._held = self._held, []
        for slot in held:
            slot.given = True
            yield self._call(slot, text_at(slot.item, "arguments"))
            if self._exact:
                yield from self._in_place([slot])

    def _in_place(self, calls: Iterable[_Slot]) -> Iterator[JSONObject]:
        for slot in calls:
            if not slot.placed:
                slot.placed = True
                yield {"content": [slot.item]}

    def _call(self, slot: _Slot, arguments: str = "") -> JSONObject:
        slot.index, self._calls = self._calls, self._calls + 1
        slot.item["call_id"] = text_at(slot.item, "call_id") or text_at(slot.item, "id") or new_call_id()
        call = call_of({**slot.item, "arguments": arguments})
        return {"tool_calls": [{"index": slot.index, **call}]}

    def _said(self, slot: _Slot, kind: str, piece: str, place: int = 0) -> JSONObject:
        numbered = {"index": place} if place else {}  # which of several pieces of one reasoning
        if kind == "arguments":
            return {"tool_calls": [{"index": slot.index, "function": {"arguments": piece}}]}
        if kind == "refusal":
            return {"refusal": piece}
        if kind == "summary_text":
            return {"content": [{"type": "reasoning", "summary": [{"type": kind, "text": piece, **numbered}]}]}
        if kind == "reasoning_text":
            return {"content": [{"type": "reasoning", "content": [{"type": kind, "text": piece, **numbered}]}]}
        return {"content": [{"type": "text", "text": piece, **self._own(slot)}] if self._exact else piece}

    # -- which item an event speaks of

    def _slot(self, event: Mapping[str, Any], item: JSONObject) -> _Slot:
        """The item that is still open under that id, or else that number; then one that is done; else a new one."""
        ident, place = item.get("id"), event.get("output_index")
        same = [slot for slot in self._slots if slot.kind == item.get("type")]
        by_id = [slot for slot in same if ident is not None and slot.item.get("id") == ident]
        by_place = [slot for slot in same if place is not None and slot.place == place and not slot.done]
        found: Sequence[_Slot] = [slot for slot in by_id if not slot.done] or by_place or by_id
        return found[-1] if found else self._begin(item, event)

    def _begin(self, item: JSONObject, event: Mapping[str, Any]) -> _Slot:
        slot = _Slot({key: value for key, value in item.items() if value is not None}, event.get("output_index"))
        self._slots.append(slot)
        return slot


def _item_of(event: Mapping[str, Any]) -> JSONObject:
    item = event.get("item")
    if not isinstance(item, dict):
        raise ValueError(f"the item of {event['type']} is no object")
    message_of([item])  # fails here, rather than when all is put together
    return item


def _answers(result: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    return result.get("call_id") == call.get("call_id")


def _is_text(slot: _Slot) -> bool:
    """Whether a message has said something that is no refusal."""
    texts = [part.get("text") for part in parts_of(slot.item, exact=False)] if slot.done else []
    return any(texts) or any(kind == "output_text" for kind, _ in slot.pieces)


def _unsaid(item: JSONObject) -> JSONObject:
    kept = {key: value for key, value in item.items() if key != "content" and value is not None}
    return {**kept, "summary": []}


def _rest(whole: str, before: str) -> str:
    """What `whole` has beyond what was given out before; nothing, if that was something else."""
    return whole[len(before) :] if whole.startswith(before) else ""


def _content_part(kind: str, text: str) -> JSONObject:
    return {"type": kind, "refusal" if kind == "refusal" else "text": text}
