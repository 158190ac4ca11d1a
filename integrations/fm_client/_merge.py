"""Chunks -> one response: the only place where text, tool-call pieces and usage add up."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from ._tool_calls import ToolCallMerger
from .types import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    CompletionChoice,
    CompletionChunk,
    CompletionResponse,
    Delta,
    Message,
    ToolCall,
    Usage,
)
from .types._base import JSONObject

_TEXTS = ("text", "thinking", "signature")
_SEALS = ("signature", "citations", "data")
"""What belongs to the text before it: a provider takes reasoning back only byte for byte as it was signed."""
_JOINED = ("reasoning_content", "reasoning", "refusal")
"""Texts beside the content that come in pieces; any other text there is whole."""
_PIECED = {"audio": ("transcript", "data"), "function_call": ("arguments",)}
"""Objects beside the content that do, and their texts."""

C = TypeVar("C", ChatChunk, CompletionChunk)
R = TypeVar("R", ChatResponse, CompletionResponse)


class UsageMerger:
    """The last number that a stream gave for each field: routes send usage cumulatively, in part, once, or never."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}

    def add(self, usage: Usage | None) -> None:
        """Take over every field that is not null."""
        if usage is not None:
            # Not by iterating over the model, which costs more than reading the chunk it is of.
            told = {**usage.__dict__, **usage.model_extra} if usage.model_extra else usage.__dict__
            self._fields.update({key: value for key, value in told.items() if value is not None})

    def result(self) -> Usage | None:
        """The whole usage; None if the stream never gave any."""
        return Usage.model_validate(self._fields) if self._fields else None


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
            self._add_part(content[0])
            self._parts += _copy(content[1:])  # parts that come together were told apart by who sent them

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
    return last.get("index") == part.get("index") and not (_is_sealed(last) and _says_more(part))


def _is_sealed(part: JSONObject) -> bool:
    return any(piece.get(key) for piece in _pieces(part) for key in _SEALS)


def _says_more(part: JSONObject) -> bool:
    """Whether `part` begins anew behind a sealed one. Citations alone do not: they come one by one."""
    return any(piece.get(key) for piece in _pieces(part) for key in (*_TEXTS, "data"))


def _pieces(part: JSONObject) -> list[JSONObject]:
    """Where texts and signatures stand: in the part itself, or in its summary."""
    summary = part.get("summary")
    return [part, *(piece for piece in (summary if isinstance(summary, list) else ()) if isinstance(piece, dict))]


def _extend(last: JSONObject, part: JSONObject) -> None:
    for key, value in part.items():
        before = last.get(key)
        if key == "summary" and isinstance(before, list) and isinstance(value, list):
            _extend_summary(before, value)
        elif key in _TEXTS and isinstance(before, str) and isinstance(value, str):
            last[key] = before + value
        else:
            _take(last, key, value)


def _extend_summary(summary: list[Any], pieces: list[Any]) -> None:
    last, first = summary[-1] if summary else None, pieces[0] if pieces else None
    if isinstance(last, dict) and isinstance(first, dict) and last.get("type") == first.get("type"):
        _extend(last, first)
        pieces = pieces[1:]
    summary += _copy(pieces)


def _take(fields: JSONObject, key: str, value: Any) -> None:
    """Take over a field that is no text: lists grow, all else is as it was last, a null takes nothing away."""
    before = fields.get(key)
    if isinstance(before, list) and isinstance(value, list):
        before += _copy(value)
    elif value is not None:
        fields[key] = _copy(value)


def _together(before: JSONObject, piece: JSONObject, texts: tuple[str, ...]) -> JSONObject:
    """An object of which a further piece has come."""
    told = {key: value for key, value in piece.items() if value is not None}
    for key in texts:
        if isinstance(before.get(key), str) and isinstance(told.get(key), str):
            told[key] = before[key] + told[key]
    return {**before, **told}


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


class _ChoiceMerger:
    """What a choice of either kind of stream has besides its text."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.finish_reason: str | None = None
        self.logprobs: JSONObject = {}

    def add_fields(self, choice: ChunkChoice | CompletionChoice) -> None:
        """Take over all but the text."""
        self.finish_reason = choice.finish_reason or self.finish_reason
        for key, value in (choice.model_extra or {}).items():
            _take(self.extra, key, value)
        for key, value in (choice.logprobs or {}).items():
            _take(self.logprobs, key, value)

    def fields(self, index: int) -> JSONObject:
        """What `add_fields` took."""
        known = {"index": index, "finish_reason": self.finish_reason, "logprobs": self.logprobs or None}
        return {**self.extra, **known}


class _ChatChoiceMerger(_ChoiceMerger):
    """Everything that arrived for one choice of a chat."""

    def __init__(self) -> None:
        super().__init__()
        self.role = "assistant"
        self.content = ContentMerger()
        self.calls = ToolCallMerger()
        self.asides: dict[str, Any] = {}

    def add(self, choice: ChunkChoice) -> None:
        self.add_fields(choice)
        delta = choice.delta
        self.role = delta.role or self.role
        self.content.add(delta.content)
        if delta.tool_calls:
            delta.tool_calls = [self.calls.add(piece) for piece in delta.tool_calls]
        for key, value in (delta.model_extra or {}).items():
            before = self.asides.get(key)
            if key in _JOINED and isinstance(before, str) and isinstance(value, str):
                self.asides[key] = before + value
            elif key in _PIECED and isinstance(before, dict) and isinstance(value, dict):
                self.asides[key] = _together(before, value, _PIECED[key])
            else:
                _take(self.asides, key, value)

    def result(self, index: int) -> Choice:
        said = {"role": self.role, "content": self.content.result(), "tool_calls": self.calls.result()}
        message = Message.model_validate({**self.asides, **said})
        return Choice.model_validate({**self.fields(index), "message": message})


class _CompletionChoiceMerger(_ChoiceMerger):
    """Everything that arrived for one choice of a completion."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def add(self, choice: CompletionChoice) -> None:
        self.add_fields(choice)
        self.texts.append(choice.text)

    def result(self, index: int) -> CompletionChoice:
        return CompletionChoice.model_validate({**self.fields(index), "text": "".join(self.texts)})


class _StreamMerger(Generic[C, R]):
    """Chunks of one stream -> one response. The two kinds of streams differ in the classes named here."""

    _chunk: type[C]
    _response: type[R]
    _choice: type[Any]
    _object: str

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._named: tuple[Any, ...] = ()
        self._choices: dict[int, Any] = {}
        self._usage = UsageMerger()

    def add(self, chunk: C) -> C:
        """Take `chunk` in; returns it normalised: no usage, tool-call pieces with index and id."""
        if chunk.usage is not None:
            self._usage.add(chunk.usage)
        chunk.usage = None
        self._add_head(chunk)
        for choice in chunk.choices:
            if (merger := self._choices.get(choice.index)) is None:
                merger = self._choices[choice.index] = self._choice()
            merger.add(choice)
        return chunk

    def _add_head(self, chunk: C) -> None:
        if (named := (chunk.id, chunk.created, chunk.model)) != self._named:  # most often it is what it was
            self._named = named
            head = zip(("id", "created", "model"), named, strict=True)
            self._head.update({key: value for key, value in head if value is not None})
        # Where a chunk has what only a whole answer has, it means something else by it.
        for key, value in (chunk.model_extra or {}).items():
            if value is not None and key not in self._response.model_fields:
                self._head[key] = value

    @property
    def begun(self) -> bool:
        """Whether any choice has come: usage alone is no answer."""
        return bool(self._choices)

    @property
    def complete(self) -> bool:
        """Whether every choice that began has said why it ended."""
        return self.begun and all(choice.finish_reason for choice in self._choices.values())

    def response(self) -> R:
        """All that has arrived so far, as one response."""
        choices = [self._choices[index].result(index) for index in sorted(self._choices)]
        return self._response(**self._head, choices=choices, usage=self._usage.result())

    def rest(self) -> list[C]:
        """What was held back: nothing."""
        return []

    def last(self) -> C:
        """The closing chunk: usage, once, and the whole response."""
        response: Any = self.response()
        chunk = self._chunk(**{"object": self._object, **self._head}, choices=[], usage=response.usage)
        return chunk._keep("_response", response)


class ChatMerger(_StreamMerger[ChatChunk, ChatResponse]):
    """Chunks of a chat stream -> ChatResponse."""

    _chunk, _response, _choice, _object = ChatChunk, ChatResponse, _ChatChoiceMerger, "chat.completion.chunk"


class CompletionMerger(_StreamMerger[CompletionChunk, CompletionResponse]):
    """Chunks of a completion stream -> CompletionResponse."""

    _chunk, _response, _choice, _object = (
        CompletionChunk,
        CompletionResponse,
        _CompletionChoiceMerger,
        "text_completion",
    )


class WholeMerger:
    """An answer that was whole from the beginning."""

    def __init__(self, response: ChatResponse) -> None:
        self._whole = response
        self.chunk = as_chunk(response)

    def add(self, chunk: ChatChunk) -> ChatChunk:
        """`chunk` without the usage, which comes last."""
        chunk.usage = None
        return chunk

    def response(self) -> ChatResponse:
        """The answer."""
        return self._whole

    def last(self) -> ChatChunk:
        """The closing chunk: usage, once, and the whole response."""
        head = self.chunk.model_dump(exclude={"choices", "usage"}, exclude_unset=True)
        chunk = ChatChunk(**head, choices=[], usage=self._whole.usage)
        return chunk._keep("_response", self._whole)


def as_chunk(response: ChatResponse) -> ChatChunk:
    """A whole response as one chunk, for a route that answers a stream request in one piece."""
    head = {"id": response.id, "created": response.created, "model": response.model, **(response.model_extra or {})}
    choices = [_as_chunk_choice(choice) for choice in response.choices]
    return ChatChunk(**head, choices=choices, usage=response.usage)


def _as_chunk_choice(choice: Choice) -> ChunkChoice:
    message = choice.message.model_dump(exclude_unset=True, exclude={"tool_calls"})
    delta = Delta.model_validate({**message, "tool_calls": _as_pieces(choice.message.tool_calls)})
    known = {"index": choice.index, "delta": delta, "finish_reason": choice.finish_reason, "logprobs": choice.logprobs}
    return ChunkChoice.model_validate({**(choice.model_extra or {}), **known})


def _as_pieces(calls: list[ToolCall] | None) -> list[JSONObject] | None:
    return [{**call.model_dump(exclude_unset=True), "index": i} for i, call in enumerate(calls)] if calls else None
