"""Answers of the service -> LangChain's messages: whole ones, and the chunks of a stream."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCall as LCToolCall
from langchain_core.messages.tool import (
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from fm_client import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    CompletionResponse,
    Message,
    Route,
    ToolCall,
    ToolCallDelta,
    Usage,
    catalog,
    copy_with,
)

from ._config import PROVIDER
from ._messages import CALL_EXTRAS, CUT_OFF
from ._parts import PLAIN

_TOLD = ("reasoning_content", "reasoning", "refusal", "id", "custom_outputs")
"""What of the fields beside a content has a place of its own, or is none of the application's business."""
_MERGED = ("text", "reasoning", "thinking")
"""Kinds of parts that arrive in pieces; any other is a part of its own."""
_PIECED = ("summary", "content")
"""Where the texts of reasoning stand."""
TEXT_KIND = ("text", None, None)
_SEALS = ("signature", "data", "citations", "encrypted_content")
"""What ends a part: what comes after it is another one."""


def chat_result(response: ChatResponse, route: Route | None) -> ChatResult:
    """A whole answer. The usage is of the call, so that it stands on the first of its generations only."""
    return ChatResult(
        generations=[_generation(response, choice, route, i == 0) for i, choice in enumerate(response.choices)]
    )


def _generation(response: ChatResponse, choice: Choice, route: Route | None, is_first: bool) -> ChatGeneration:
    message = ai_message(choice.message)
    message.usage_metadata = usage_metadata(response.usage) if is_first else None
    message.response_metadata = metadata(response, route)
    info = {"finish_reason": choice.finish_reason, "logprobs": choice.logprobs}
    return ChatGeneration(message=message, generation_info={k: v for k, v in info.items() if v is not None})


def ai_message(message: Message) -> AIMessage:
    """A message as the service sent it: content of parts stays as it is, so that it can be sent back."""
    calls = message.tool_calls or []
    return AIMessage(
        content=_copied(message.content),
        tool_calls=[_valid(call) for call in calls if call.is_valid],
        invalid_tool_calls=[_invalid(call) for call in calls if not call.is_valid],
        additional_kwargs=_asides(message),
    )


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Token counts; `input_tokens + output_tokens == total_tokens`. None if the service told none."""
    if usage is None:
        return None
    found = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.sum_tokens
    )
    inputs = {"cache_read": usage.cached_tokens, "cache_creation": usage.cache_creation_tokens}
    outputs = {"reasoning": usage.reasoning_tokens}
    if details := _counted(inputs, usage.prompt_tokens_details):
        found["input_token_details"] = InputTokenDetails(**details)  # type: ignore[typeddict-item]  # keys from above
    if details := _counted(outputs, usage.completion_tokens_details):
        found["output_token_details"] = OutputTokenDetails(**details)  # type: ignore[typeddict-item]  # likewise
    return found


def metadata(response: ChatResponse | CompletionResponse, route: Route | None) -> dict[str, Any]:
    """What served an answer, and all else the service said about it."""
    found = {
        **(response.model_extra or {}),
        "model_provider": PROVIDER,
        "model_name": response.model or response.endpoint,
        "id": response.id,
        "created": response.created,
        "endpoint": response.endpoint,
        "served_model": response.served_model,
        "route": "hosted" if catalog.get(response.endpoint) else route and route.value,
        "request_id": response.request_id,
        "dropped_params": list(response.dropped_params) or None,
    }
    if isinstance(response, ChatResponse) and response.choices and (told := _custom_outputs(response.message)):
        found["custom_outputs"] = told
    if isinstance(response, ChatResponse) and response.messages:
        found["messages"] = [message.to_dict() for message in response.messages]
    return {name: value for name, value in found.items() if value is not None}


def _custom_outputs(message: Message) -> Any:
    return (message.model_extra or {}).get("custom_outputs")


class ChunkReader:
    """The chunks of one stream. Pieces of parts get an `index`, by which LangChain puts them together again.

    A text that comes as such stays one; it counts as the part `PLAIN`, which is what comes late of it.
    """

    def __init__(self) -> None:
        self._kind: tuple[Any, ...] | None = None
        self._piece: tuple[Any, ...] | None = None
        self._index = -1
        self._in_parts = False
        self._piece_index = -1
        self._calls: dict[int, str] = {}
        self._texts: dict[str, int] = {}

    def read(self, chunk: ChatChunk, route: Route | None = None) -> ChatGenerationChunk | None:
        """A chunk of the first answer; None for one that says nothing. `route` is for the closing one."""
        if chunk.response is not None:
            return self._last(chunk, chunk.response, route)
        for choice in chunk.choices:
            if choice.index == 0:
                return self._read(choice)
        return None

    def _read(self, choice: ChunkChoice) -> ChatGenerationChunk | None:
        delta, content = choice.delta, self._content(choice.delta.content)
        if isinstance(content, str) and content and not (delta.tool_calls or delta.model_extra or choice.logprobs):
            return _text_chunk(content)
        calls = [_call_piece(piece) for piece in delta.tool_calls or []]
        self._calls |= {piece.index: piece.id for piece in delta.tool_calls or [] if piece.id}
        asides = _asides(delta)
        if not (content or calls or asides or choice.logprobs):
            return None
        message = AIMessageChunk(
            content=content,
            tool_call_chunks=calls,
            additional_kwargs=asides,
            response_metadata={"model_provider": PROVIDER},
        )
        return ChatGenerationChunk(
            message=message, generation_info={"logprobs": choice.logprobs} if choice.logprobs else None
        )

    def _last(self, chunk: ChatChunk, response: ChatResponse, route: Route | None) -> ChatGenerationChunk:
        """The closing chunk: usage and metadata, once, because LangChain adds up what comes twice.

        Calls that cannot be read, or that an agent has made itself by now, are made unfit for execution.
        """
        calls = (response.message.tool_calls or []) if response.choices else []
        message = AIMessageChunk(
            content=self._rest(response) or self._empty,
            tool_call_chunks=[tool_call_chunk(args=CUT_OFF, index=i) for i in self._unfit(calls)],
            usage_metadata=usage_metadata(chunk.usage),
            response_metadata=metadata(response, route),
            additional_kwargs=_whole_asides(response.message) if response.choices else {},
            chunk_position="last",
        )
        reason = response.finish_reason
        return ChatGenerationChunk(message=message, generation_info={"finish_reason": reason} if reason else None)

    def _unfit(self, calls: list[ToolCall]) -> list[int]:
        """Which calls of the stream are none that can be executed. Some routes give several one id: these by order."""
        fit: dict[str, list[bool]] = {}
        for call in calls:
            fit.setdefault(call.id, []).append(call.is_valid)
        return [i for i, call_id in self._calls.items() if not (fit.get(call_id) and fit[call_id].pop(0))]

    def _rest(self, response: ChatResponse) -> list[str | dict[str, Any]]:
        """What an answer's items hold, and their stream said elsewhere."""
        content = response.message.content if response.choices else None
        parts = content if isinstance(content, list) else []
        return [self._indexed(part) for part in parts if part.get("type") == "refusal"]

    @property
    def _empty(self) -> str | list[str | dict[str, Any]]:
        return [] if self._in_parts else ""

    def _content(self, content: str | list[dict[str, Any]] | None) -> str | list[str | dict[str, Any]]:
        if not content:
            return self._empty
        if isinstance(content, list):
            self._in_parts = True
            return [self._indexed(part) for part in content]
        if self._in_parts:  # later text is a part too: routes mix the two forms in one stream
            return [self._indexed({"type": "text", "text": content})]
        self._kind, self._index = TEXT_KIND, PLAIN
        return content

    def _indexed(self, part: dict[str, Any]) -> dict[str, Any]:
        if part.get("type") == "text" and part.get("id"):
            return self._of_message(part, part["id"])
        kind = (part.get("type"), part.get("index"), None)
        if kind != self._kind or part.get("type") not in _MERGED:
            self._begin(kind)
        if _is_closed(part):
            self._kind = None  # a signature is for what stands before it: what comes after is another part
        pieces = {name: self._pieces(part[name]) for name in _PIECED if isinstance(part.get(name), list)}
        return {**part, **pieces, "index": self._index}

    def _of_message(self, part: dict[str, Any], message: str) -> dict[str, Any]:
        """A text of one of several messages; its id only once, as LangChain would write it twice."""
        kind = ("text", part.get("index"), message)
        if message in self._texts:
            self._kind = kind if part.get("text") else self._kind
            known = {key: value for key, value in part.items() if key != "id"}
            return {**known, "index": self._texts[message]}
        if part.get("text") or self._kind != TEXT_KIND:  # else it tells whose the text before it is
            self._begin(kind)
        self._kind, self._texts[message] = kind, self._index
        return {**part, "index": self._index}

    def _begin(self, kind: tuple[Any, ...]) -> None:
        self._kind, self._piece, self._piece_index = kind, None, -1
        self._index += 1

    def _pieces(self, pieces: list[Any]) -> list[dict[str, Any]]:
        return [self._indexed_piece(piece) for piece in pieces if isinstance(piece, dict)]

    def _indexed_piece(self, piece: dict[str, Any]) -> dict[str, Any]:
        kind = (piece.get("type"), piece.get("index"))
        if self._piece_index < 0 or kind != self._piece:
            self._piece = kind
            self._piece_index += 1
        return {**piece, "index": self._piece_index}


_TEXT = ChatGenerationChunk(
    message=AIMessageChunk(
        content="", tool_call_chunks=[], additional_kwargs={}, response_metadata={"model_provider": PROVIDER}
    ),
    generation_info=None,
)


def _text_chunk(text: str) -> ChatGenerationChunk:
    """A chunk of text: a copy, because LangChain's constructors take half as long as all the rest of its stream."""
    message = copy_with(
        _TEXT.message,
        content=text,
        additional_kwargs={},
        response_metadata={"model_provider": PROVIDER},
        tool_calls=[],
        invalid_tool_calls=[],
        tool_call_chunks=[],
    )
    return copy_with(_TEXT, message=message, text=text)


def _is_closed(part: dict[str, Any]) -> bool:
    pieces = part["summary"] if isinstance(part.get("summary"), list) else []
    sealed = [part, *(piece for piece in pieces if isinstance(piece, dict))]
    ends = part.get("type") == "reasoning" and bool(part.get("id"))
    return ends or any(piece.get(key) for piece in sealed for key in _SEALS)


def _copied(content: str | list[dict[str, Any]] | None) -> str | list[str | dict[str, Any]]:
    return list(content) if isinstance(content, list) else content or ""


def _valid(call: ToolCall) -> LCToolCall:
    return tool_call(name=call.name, args=call.args, id=call.id)


def _invalid(call: ToolCall) -> InvalidToolCall:
    return invalid_tool_call(name=call.name, args=call.function.arguments, id=call.id, error=_fault(call))


def _fault(call: ToolCall) -> str:
    try:
        call.args  # noqa: B018  # asked for its complaint
    except ValueError as exc:
        return str(exc)
    return "the call names no tool"


def _call_piece(piece: ToolCallDelta) -> ToolCallChunk:
    return tool_call_chunk(name=piece.name, args=piece.arguments, id=piece.id, index=piece.index)


def _asides(message: Any) -> dict[str, Any]:
    """What stands beside the content of a message, or of a piece of one: of that, texts that come in pieces."""
    extra = message.model_extra or {}
    reasoning = extra.get("reasoning_content") or extra.get("reasoning")
    asides = {"reasoning_content": reasoning, "refusal": extra.get("refusal")}
    found = {name: value for name, value in asides.items() if isinstance(value, str) and value}
    return found | (_whole_asides(message) if isinstance(message, Message) else {})


def _whole_asides(message: Message) -> dict[str, Any]:
    """What else stands there (`annotations`, `audio`, …), and what belongs to the calls."""
    extra = {key: value for key, value in (message.model_extra or {}).items() if key not in _TOLD and value}
    return extra | _call_extras(message.tool_calls)


def _call_extras(calls: list[ToolCall] | None) -> dict[str, Any]:
    extras = {call.id: _extras_of(call) for call in calls or []}
    told = {call_id: extra for call_id, extra in extras.items() if extra}
    return {CALL_EXTRAS: told} if told else {}


def _extras_of(call: ToolCall) -> dict[str, Any]:
    inner = {"function": dict(call.function.model_extra)} if call.function.model_extra else {}
    return {**(call.model_extra or {}), **inner}


def _counted(counts: dict[str, int], details: dict[str, Any] | None) -> dict[str, int]:
    audio = (details or {}).get("audio_tokens")
    return {name: count for name, count in {**counts, "audio": audio}.items() if count}
