"""Chunks -> one response: the only place where text, tool-call pieces and usage add up."""

from __future__ import annotations

import uuid
from typing import Any

from .types import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    CompletionChoice,
    CompletionChunk,
    CompletionResponse,
    Delta,
    FunctionCall,
    Message,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from .types._base import JSONObject

_TEXTS = ("text", "thinking", "signature")


class UsageMerger:
    """The last number that a stream gave for each field: routes send usage cumulatively, in part, once, or never."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}

    def add(self, usage: Usage | None) -> None:
        """Take over every field that is not null."""
        if usage is not None:
            self._fields.update((key, value) for key, value in usage if value is not None)

    def result(self) -> Usage | None:
        """The whole usage; None if the stream never gave any."""
        return Usage.model_validate(self._fields) if self._fields else None


class ToolCallMerger:
    """Pieces of tool calls of one choice -> calls. Gives every piece a stable index, and the first one an id."""

    def __init__(self) -> None:
        self._calls: list[ToolCall] = []
        self._pieces: list[list[str]] = []
        self._slots: dict[int, int] = {}
        self._current = -1

    def add(self, piece: ToolCallDelta) -> ToolCallDelta:
        """`piece` with its final index (and id, if it begins a call)."""
        slot = self._slot_of(piece)
        call = self._calls[slot]
        call.function.name = call.function.name or piece.name or ""
        self._pieces[slot].append(piece.arguments)
        begins = len(self._pieces[slot]) == 1
        update: dict[str, Any] = {"index": slot, "id": call.id if begins else None}
        if begins:
            update["type"] = call.type
        self._current = slot
        return piece.model_copy(update=update)

    def result(self) -> list[ToolCall] | None:
        """The calls, in the order in which they began; None if there are none."""
        for call, pieces in zip(self._calls, self._pieces, strict=True):
            call.function.arguments = "".join(pieces)
        return [call.model_copy(deep=True) for call in self._calls] or None

    def _slot_of(self, piece: ToolCallDelta) -> int:
        indexed = "index" in piece.model_fields_set
        known = [i for i, call in enumerate(self._calls) if piece.id and call.id == piece.id]
        own = self._slots.get(piece.index) if indexed else None
        # Some routes give two calls one id: an index not seen before, with a name, begins another call all the same.
        if known and not (indexed and own is None and piece.name):
            return own if own in known else known[0]
        if indexed and piece.index in self._slots:
            slot = self._slots[piece.index]
            # Some routes number every parallel call 0: another id with a name begins another call.
            if not (piece.id and piece.name):
                return slot
        elif not indexed and not piece.name and self._current >= 0:
            return self._current
        return self._begin(piece, indexed)

    def _begin(self, piece: ToolCallDelta, indexed: bool) -> int:
        extra = {key: value for key, value in (piece.model_extra or {}).items() if value is not None}
        kind = piece.type or "function"
        self._calls.append(ToolCall(id=piece.id or new_call_id(), type=kind, function=FunctionCall(), **extra))
        self._pieces.append([])
        slot = len(self._calls) - 1
        if indexed:
            self._slots[piece.index] = slot
        return slot


class ContentMerger:
    """Content deltas, text or lists of parts, -> one content of the form in which it came."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._parts: list[JSONObject] = []

    def add(self, content: str | list[JSONObject] | None) -> None:
        """Append a delta."""
        if isinstance(content, str):
            self._texts.append(content)
        elif content:
            self._flush()
            for part in content:
                self._add_part(part)

    def result(self) -> str | list[JSONObject] | None:
        """Text if only text came, otherwise the list of parts; None if nothing came."""
        if not self._parts:
            return "".join(self._texts) if self._texts else None
        self._flush()
        return self._parts

    def _flush(self) -> None:
        text, self._texts = "".join(self._texts), []
        if text:
            self._add_part({"type": "text", "text": text})

    def _add_part(self, part: JSONObject) -> None:
        last = self._parts[-1] if self._parts else None
        if last is None or not _continues(last, part):
            self._parts.append(_copy(part))
            return
        _extend(last, part)


def _continues(last: JSONObject, part: JSONObject) -> bool:
    if last.get("type") != part.get("type") or part.get("type") not in ("text", "reasoning", "thinking"):
        return False
    return last.get("index") == part.get("index")


def _extend(last: JSONObject, part: JSONObject) -> None:
    for key, value in part.items():
        if key == "summary" and isinstance(value, list):
            _extend_summary(last.setdefault("summary", []), value)
        elif key in _TEXTS and isinstance(value, str) and key in last:
            last[key] += value
        elif value is not None:
            last[key] = value


def _extend_summary(summary: list[Any], pieces: list[Any]) -> None:
    for piece in pieces:
        last = summary[-1] if summary else None
        if isinstance(last, dict) and isinstance(piece, dict) and last.get("type") == piece.get("type"):
            _extend(last, piece)
        else:
            summary.append(_copy(piece))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


class _ChoiceMerger:
    """Everything that arrived for one choice."""

    def __init__(self) -> None:
        self.role = "assistant"
        self.content = ContentMerger()
        self.calls = ToolCallMerger()
        self.extra: dict[str, Any] = {}
        self.finish_reason: str | None = None
        self.logprobs: JSONObject | None = None

    def add(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        self.role = delta.role or self.role
        self.content.add(delta.content)
        if delta.tool_calls:
            delta.tool_calls = [self.calls.add(piece) for piece in delta.tool_calls]
        self.finish_reason = choice.finish_reason or self.finish_reason
        for key, value in (delta.model_extra or {}).items():
            self._add_extra(key, value)
        if choice.logprobs:
            _add_logprobs(self, choice.logprobs)

    def result(self, index: int) -> Choice:
        fields = {"role": self.role, "content": self.content.result(), "tool_calls": self.calls.result(), **self.extra}
        return Choice(
            index=index,
            message=Message.model_validate(fields),
            finish_reason=self.finish_reason,
            logprobs=self.logprobs,
        )

    def _add_extra(self, key: str, value: Any) -> None:
        before = self.extra.get(key)
        if key in ("reasoning_content", "reasoning", "refusal") and isinstance(before, str) and isinstance(value, str):
            self.extra[key] = before + value
        elif value is not None:
            self.extra[key] = value


def _add_logprobs(choice: _ChoiceMerger, logprobs: JSONObject) -> None:
    if choice.logprobs is None:
        choice.logprobs = _copy(logprobs)
        return
    for key, value in logprobs.items():
        if isinstance(value, list) and isinstance(choice.logprobs.get(key), list):
            choice.logprobs[key].extend(value)
        elif value is not None:
            choice.logprobs[key] = value


class ChatMerger:
    """Chunks of a chat stream -> ChatResponse."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _ChoiceMerger] = {}
        self._usage = UsageMerger()

    def add(self, chunk: ChatChunk) -> ChatChunk:
        """Take `chunk` in; returns it normalised: no usage, tool-call pieces with index and id."""
        self._usage.add(chunk.usage)
        chunk.usage = None
        for name in ("id", "created", "model"):
            if (value := getattr(chunk, name)) is not None:
                self._head[name] = value
        for choice in chunk.choices:
            self._choices.setdefault(choice.index, _ChoiceMerger()).add(choice)
        for key, value in (chunk.model_extra or {}).items():
            if value is not None:
                self._head[key] = value
        return chunk

    @property
    def complete(self) -> bool:
        """Whether every choice that began has said why it ended."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def response(self) -> ChatResponse:
        """All that has arrived so far, as one response."""
        choices = [self._choices[index].result(index) for index in sorted(self._choices)]
        return ChatResponse(**self._head, choices=choices, usage=self._usage.result())

    def last(self) -> ChatChunk:
        """The closing chunk: usage, once, and the whole response."""
        response = self.response()
        chunk = ChatChunk(**{"object": "chat.completion.chunk", **self._head, "choices": [], "usage": response.usage})
        chunk._response = response
        return chunk


class CompletionMerger:
    """Chunks of a completion stream -> CompletionResponse."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._texts: dict[int, list[str]] = {}
        self._reasons: dict[int, str | None] = {}
        self._usage = UsageMerger()

    def add(self, chunk: CompletionChunk) -> CompletionChunk:
        """Take `chunk` in; returns it without its usage."""
        self._usage.add(chunk.usage)
        chunk.usage = None
        for name in ("id", "created", "model"):
            if (value := getattr(chunk, name)) is not None:
                self._head[name] = value
        for choice in chunk.choices:
            self._texts.setdefault(choice.index, []).append(choice.text)
            self._reasons[choice.index] = choice.finish_reason or self._reasons.get(choice.index)
        return chunk

    @property
    def complete(self) -> bool:
        """Whether every choice that began has said why it ended."""
        return bool(self._texts) and all(self._reasons.values())

    def response(self) -> CompletionResponse:
        """All that has arrived so far, as one response."""
        choices = [
            CompletionChoice(index=index, text="".join(self._texts[index]), finish_reason=self._reasons[index])
            for index in sorted(self._texts)
        ]
        return CompletionResponse(**self._head, choices=choices, usage=self._usage.result())

    def last(self) -> CompletionChunk:
        """The closing chunk: usage, once, and the whole response."""
        response = self.response()
        chunk = CompletionChunk(**{"object": "text_completion", **self._head, "choices": [], "usage": response.usage})
        chunk._response = response
        return chunk


def new_call_id() -> str:
    """An id for a tool call that came without one."""
    return f"call_{uuid.uuid4().hex[:24]}"


def as_chunk(response: ChatResponse) -> ChatChunk:
    """A whole response as one chunk, for a route that answers a stream request in one piece."""
    choices = [
        ChunkChoice(
            index=choice.index,
            delta=Delta.model_validate(
                {
                    **choice.message.model_dump(exclude_unset=True, exclude={"tool_calls"}),
                    "tool_calls": _as_pieces(choice.message.tool_calls),
                }
            ),
            finish_reason=choice.finish_reason,
            logprobs=choice.logprobs,
        )
        for choice in response.choices
    ]
    head = {"id": response.id, "created": response.created, "model": response.model, **(response.model_extra or {})}
    return ChatChunk(**head, choices=choices, usage=response.usage)


def _as_pieces(calls: list[ToolCall] | None) -> list[JSONObject] | None:
    return [{"index": i, **call.model_dump(exclude_unset=True)} for i, call in enumerate(calls)] if calls else None
