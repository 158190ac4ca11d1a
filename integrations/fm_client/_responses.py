"""Reply -> typed result, or typed error: whole answers and streams, by the same code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from ._agents import AgentMerger, agent_response, is_agent_chunk
from ._config import StreamEnd
from ._error_bodies import error_in, json_of, load_json, read_error, status_error, text_of
from ._errors import APIConnectionError, APIError, ResponseFormatError, ResponseTooLargeError, StreamInterruptedError
from ._merge import ChatMerger, CompletionMerger, WholeMerger
from ._sse import Event, SSEDecoder
from ._tool_calls import new_call_id
from ._wire import Reply
from .types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse
from .types._base import WireModel
from .types.usage import Serving

M = TypeVar("M", bound=WireModel)
A = TypeVar("A", ChatResponse, CompletionResponse)
Chunk = ChatChunk | CompletionChunk
MISSHAPEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What comes of reading an answer whose inner parts are of a shape that nobody foresaw."""
LARGE = 1024 * 1024
_HEAD = frozenset({"id", "object", "created", "model"})
"""What stands above an answer, and is let go where it is odd: who writes an agent may put `time.time()` there."""
_CHUNK_EVENTS = (b"", b"message")
"""The types of events that hold chunks; others, such as `ping`, are for whoever understands them."""


def json_reply(reply: Reply, endpoint: str = "") -> Any:
    """The JSON of a 2xx answer. An error inside it is raised as what it is."""
    value = json_of(reply.body)
    if value is None:
        raise ResponseFormatError(
            f"the service answered {reply.status} without JSON (content-type: {reply.headers.get('content-type')})",
            **facts(reply, endpoint),
        )
    raise_error_in(value, reply, endpoint)
    return value


def raise_error_in(value: Any, reply: Reply, endpoint: str) -> None:
    """Raise the error that came inside a 200 answer, if there is one."""
    error = error_in(value, endpoint=endpoint, request_id=reply.request_id)
    if error is not None:
        raise error


def chat_response(reply: Reply, endpoint: str) -> ChatResponse:
    """A whole chat answer."""
    response = _parse(ChatResponse, reply, endpoint)
    if response.messages and not response.choices:
        response = _agents(response, reply, endpoint)
    if not response.choices:
        raise ResponseFormatError("the answer has no choices", **facts(reply, endpoint))
    for choice in response.choices:
        for call in choice.message.tool_calls or ():
            call.id = call.id or new_call_id()
    return response.served_by(serving(reply, endpoint))


def _agents(response: ChatResponse, reply: Reply, endpoint: str) -> ChatResponse:
    try:
        return agent_response(response)
    except MISSHAPEN as exc:
        text = f"the answer is not what the API promises: {reason(exc)}"
        raise ResponseFormatError(text, **facts(reply, endpoint)) from exc


def completion_response(reply: Reply, endpoint: str) -> CompletionResponse:
    """A whole completion."""
    response = _parse(CompletionResponse, reply, endpoint)
    if not response.choices:
        raise ResponseFormatError("the answer has no choices", **facts(reply, endpoint))
    return response.served_by(serving(reply, endpoint))


def serving(reply: Reply, endpoint: str) -> Serving:
    """What an answer is served by."""
    return Serving(endpoint, reply.request_id, reply.headers.get("served-model-name"), reply.attempts)


def _parse(model: type[A], reply: Reply, endpoint: str) -> A:
    try:
        answer = lenient(model, reply.body)
    except ValueError as exc:
        json_reply(reply, endpoint)  # says it better where it is no JSON, or an error
        raise ResponseFormatError(
            f"the answer is not what the API promises: {reason(exc)}", **facts(reply, endpoint)
        ) from exc
    _raise_error_of(answer, reply, endpoint)
    if answer.usage is not None and all(count is None for _, count in answer.usage):
        answer.usage = None
    return answer


def _raise_error_of(answer: WireModel, reply: Reply, endpoint: str) -> None:
    """Raise the error inside an answer or a chunk: some gateways put one beside choices that it cut short."""
    extra = answer.model_extra or {}
    error = extra.get("error")
    if not getattr(answer, "choices", None) or (error and isinstance(error, Mapping)) or extra.get("error_code"):
        raise_error_in(extra, reply, endpoint)


def lenient(model: type[M], data: bytes) -> M:
    """`data` as a wire model. A ValueError if it does not fit, but for nulls that mean "absent", and an odd head."""
    try:
        # A large answer is read in two steps: in one, pydantic holds all of its text twice.
        return model.model_validate(from_json(data)) if len(data) > LARGE else model.model_validate_json(data)
    except ValidationError:
        value = load_json(data)
        if not isinstance(value, dict):
            raise
    value = _without_nulls(value)
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        odd = {error["loc"][0] for error in exc.errors(include_url=False, include_input=False)}
        if not odd <= _HEAD:
            raise
    return model.model_validate({key: inner for key, inner in value.items() if key not in odd})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def reason(exc: Exception) -> str:
    """What is wrong with an answer, in one line that quotes none of it."""
    if not isinstance(exc, ValidationError):
        return str(exc)
    first = exc.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def facts(reply: Reply, endpoint: str) -> dict[str, Any]:
    """What an error about an answer knows."""
    return {
        "endpoint": endpoint,
        "status_code": reply.status,
        "request_id": reply.request_id,
        "body": text_of(reply.body),
        "attempts": reply.attempts,
    }


class StreamParser:
    """Bytes of a stream -> normalised chunks. Never raises: `failure` says what ended it, after what was still good.

    `done` is set when the stream has ended as it should; its closing chunk has then been given out.
    """

    _unended = "it ended without a finish_reason and without [DONE]"

    def __init__(
        self, chunk_type: type[Chunk], reply: Reply, endpoint: str, *, stream_end: StreamEnd, limit: int
    ) -> None:
        self._type = chunk_type
        self._reply, self._endpoint, self._end = reply, endpoint, stream_end
        self._serving = serving(reply, endpoint)
        self._merger: Any = ChatMerger() if chunk_type is ChatChunk else CompletionMerger()
        self._decoder = SSEDecoder(limit)
        self._in_one_piece, self._body = not _is_sse(reply), bytearray()
        self._limit = limit
        self.events = 0
        self.done = False
        self.failure: APIError | None = None
        self.dropped: tuple[str, ...] = ()

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that `data` completes; empty data is the end of the stream."""
        if self._in_one_piece:
            return self._feed_whole(data)
        try:
            events = self._decoder.feed(data) if data else self._decoder.finish()
        except APIError as error:
            error.request_id, error.status_code = self._reply.request_id, self._reply.status
            self.failure = error
            return []
        chunks = self._chunks(events, at_end=not data)
        if not data and not self.done and self.failure is None:
            chunks += self._finish()
        return chunks

    def end(self) -> list[Chunk]:
        """What is left when the stream breaks: nothing, unless all had been said."""
        return []

    def partial(self) -> Any:
        """What has arrived so far, as a response."""
        return self._merger.response().served_by(self._serving)

    def interrupted(self, failure: APIError) -> StreamInterruptedError:
        """The error for a stream that broke after its first event."""
        return StreamInterruptedError(
            f"the stream broke after {self.events} events: {failure.message}",
            partial=self.partial(),
            events=self.events,
            endpoint=self._endpoint,
            request_id=self._reply.request_id,
            status_code=failure.status_code,
            error_code=failure.error_code,
            attempts=self._reply.attempts,
        )

    def _chunks(self, events: list[Event], *, at_end: bool) -> list[Chunk]:
        chunks: list[Chunk] = []
        for event in events:
            said = event.data.strip()
            if said == b"[DONE]":
                return chunks + self._finish(marked=True)
            if not said and event.kind != b"error":
                continue  # some gateways keep a connection alive by events, and not by comments
            try:
                chunks += self._read(event)
                if self.done:
                    break
            except APIError as error:
                # A line cut off in mid-JSON by the end of the stream is a truncation, which `_finish` reports.
                self.failure = None if at_end and isinstance(error, ResponseFormatError) else error
                break
        return chunks

    def _read(self, event: Event) -> list[Chunk]:
        """The chunk of an event, if it adds to the answer: a stream is not begun by anything else."""
        if event.kind == b"error":
            raise self._error_event(event.data)
        if event.kind not in _CHUNK_EVENTS:
            return []
        chunk = self._chunk(event)
        says_something = bool(chunk.choices or chunk.usage)
        if is_agent_chunk(chunk):
            says_something = True
            if not isinstance(self._merger, AgentMerger):
                self._merger = AgentMerger()
        merged = self._merged(chunk)  # takes the usage out
        self.events += says_something
        return [piece for piece in merged if piece.choices]

    def _chunk(self, event: Event) -> Chunk:
        try:
            chunk: Chunk = lenient(self._type, event.data)
        except ValueError as exc:
            raise self._malformed(exc, event.data) from exc
        _raise_error_of(chunk, self._reply, self._endpoint)
        return chunk

    def _merged(self, chunk: Any) -> list[Chunk]:
        try:
            merged: Chunk | list[Chunk] = self._merger.add(chunk)
        except MISSHAPEN as exc:
            # Parts of a content are read as they come.
            raise self._malformed(exc, self._reply.body) from exc
        pieces = merged if isinstance(merged, list) else [merged]
        return [piece.served_by(self._serving) for piece in pieces]

    def _malformed(self, exc: Exception, data: bytes) -> ResponseFormatError:
        text = f"an event of the stream is not what the API promises: {reason(exc)}"
        return ResponseFormatError(text, **{**facts(self._reply, self._endpoint), "body": text_of(data)})

    def _error_event(self, data: bytes) -> APIError:
        value = json_of(data)
        known = error_in(value, endpoint=self._endpoint, request_id=self._reply.request_id)
        if known is not None:
            return known
        code, message = read_error(value if isinstance(value, Mapping) else text_of(data))
        facts = {"endpoint": self._endpoint, "request_id": self._reply.request_id, "body": text_of(data)}
        return status_error(code, message or "the service sent an error event", status_code=None, **facts)

    def _finish(self, *, marked: bool = False) -> list[Chunk]:
        if not self._merger.begun and not marked:
            self.failure = APIConnectionError(
                "the stream ended before its first event", **facts(self._reply, self._endpoint)
            )
            return []
        if not self._merger.begun:
            self.failure = ResponseFormatError(
                "the stream ended without any content", **facts(self._reply, self._endpoint)
            )
            return []
        complete = self._merger.complete
        whole = {"either": marked or complete, "both": marked and complete, "off": True}[self._end]
        if not whole:
            self.failure = APIConnectionError(self._unended)
            return []
        self.done = True
        rest: list[Chunk] = self._merger.rest()
        return [*(chunk.served_by(self._serving) for chunk in rest), self._last()]

    def _last(self) -> Chunk:
        last: Chunk = self._merger.last()
        answers: tuple[Any, ...] = (last, last.response)
        for answer in answers:
            answer.served_by(self._serving).without(self.dropped)
        return last

    def _feed_whole(self, data: bytes) -> list[Chunk]:
        """An answer in one piece to a stream request: JSON becomes one chunk, all else is an error."""
        self._body += data
        if data and len(self._body) <= self._limit:
            return []
        self._reply.body = bytes(self._body)
        try:
            if len(self._body) > self._limit:
                text = f"the answer, one event in itself, is larger than max_event_bytes ({self._limit:,})"
                raise ResponseTooLargeError(text, **{**facts(self._reply, self._endpoint), "body": ""})
            chunks = self._merged(self._whole_chunk())
        except APIError as error:
            self.failure = error
            return []
        self.events, self.done = 1, True
        return [*chunks, self._last()]

    def _whole_chunk(self) -> Any:
        if self._type is ChatChunk:
            self._merger = WholeMerger(chat_response(self._reply, self._endpoint))
            return self._merger.chunk
        return CompletionChunk.model_validate(completion_response(self._reply, self._endpoint).model_dump())


def _is_sse(reply: Reply) -> bool:
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("", "text/event-stream", "application/octet-stream")
