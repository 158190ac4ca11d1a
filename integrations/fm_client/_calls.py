"""The data-plane calls as flows: build, negotiate, send, read; over several routes where the caller names several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from ._config import check_max_retries, check_timeout
from ._context import Context
from ._errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    ServerError,
    TLSError,
)
from ._names import explain
from ._negotiate import negotiated
from ._observe import ObservedCall, observed
from ._profiles import profile_for
from ._redact import without_logins
from ._requests import Messages, chat_body, completion_body
from ._responses import StreamParser, chat_response, completion_response
from ._retry import exchange, returning
from ._routes import RESPONSES_PATH, check_endpoint_name, invocations_path
from ._wire import Emit, Flow, Read, Reply, Timeout
from .types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse, Served
from .types._base import JSONObject

if TYPE_CHECKING:
    from ._known import Looks

T = TypeVar("T")
S = TypeVar("S", bound=Served)
Models = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked, whichever route answers it."""

    context: Context
    models: tuple[str, ...]
    body: JSONObject
    timeout: Timeout
    max_retries: int | None
    wait_ready: float = 0.0
    stream: bool = False
    responses: bool = False
    """Whether it is a call of the Responses API."""

    @classmethod
    def of(cls, context: Context, model: Models, body: JSONObject, params: Mapping[str, Any], *, stream: bool) -> _Call:
        timeout, retries = params.get("timeout"), params.get("max_retries")
        return cls(
            context,
            endpoint_names(model),
            body,
            context.settings.timeout if timeout is None else check_timeout(timeout),
            None if retries is None else check_max_retries(retries),
            params.get("wait_ready") or 0.0,
            stream,
            params.get("api") == "responses",
        )

    def asked(self, kind: str) -> ObservedCall:
        """What observers are told of it."""
        return ObservedCall(kind, self.models, without_logins(self.body), self.stream, host=self.context.settings.host)

    def looks(self) -> Looks:
        """What asks whose models they are. A stream has no limit as a whole."""
        from ._known import Looks

        return Looks(self.context, None if self.stream else self.timeout.total)


def chat(context: Context, model: Models, messages: Messages, params: Mapping[str, Any]) -> Flow[ChatResponse]:
    """The flow of a whole chat answer. Bad arguments raise at once."""
    call = _Call.of(context, model, chat_body(messages, params), params, stream=False)
    return observed(partial(call.asked, "chat"), _whole(call, _chat_parser(call)), call.looks)


def complete(context: Context, model: Models, prompt: Any, params: Mapping[str, Any]) -> Flow[CompletionResponse]:
    """The flow of a whole completion. Bad arguments raise at once."""
    call = _Call.of(context, model, completion_body(prompt, params), params, stream=False)
    return observed(partial(call.asked, "complete"), _whole(call, completion_response), call.looks)


def stream_chat(context: Context, model: Models, messages: Messages, params: Mapping[str, Any]) -> Flow[None]:
    """The flow of a streamed chat answer. Bad arguments raise at once."""
    call = _Call.of(context, model, {**chat_body(messages, params), "stream": True}, params, stream=True)
    return observed(partial(call.asked, "chat"), _streamed(call, ChatChunk), call.looks)


def stream_complete(context: Context, model: Models, prompt: Any, params: Mapping[str, Any]) -> Flow[None]:
    """The flow of a streamed completion. Bad arguments raise at once."""
    call = _Call.of(context, model, {**completion_body(prompt, params), "stream": True}, params, stream=True)
    return observed(partial(call.asked, "complete"), _streamed(call, CompletionChunk), call.looks)


def endpoint_names(model: Models) -> tuple[str, ...]:
    """The endpoints to try, in order."""
    if isinstance(model, str):
        return (check_endpoint_name(model),)
    if isinstance(model, (bytes, Mapping)) or not isinstance(model, (Iterable, NoneType)):
        raise InvalidRequestError(f"model must be an endpoint's name or a list of such, not a {type(model).__name__}")
    names = tuple(model or ())
    if not names:
        raise InvalidRequestError("model is empty: name an endpoint, or several to fall back on")
    return tuple(check_endpoint_name(name) for name in names)


def _chat_parser(call: _Call) -> Callable[[Reply, str], ChatResponse]:
    if not call.responses:
        return chat_response
    from ._items_parser import items_response  # an API that most programs never ask

    return items_response


def _stream_parser(call: _Call) -> type[StreamParser]:
    if not call.responses:
        return StreamParser
    from ._items_parser import ItemStreamParser

    return ItemStreamParser


def _whole(call: _Call, parse: Callable[[Reply, str], S]) -> Flow[S]:
    def then(endpoint: str) -> Callable[[Reply], Flow[S]]:
        return returning(lambda reply: parse(reply, endpoint))

    response, dropped = yield from _over_routes(call, then)
    return response.without(dropped)


def _streamed(call: _Call, chunk_type: type[ChatChunk | CompletionChunk]) -> Flow[None]:
    settings, parser_type = call.context.settings, _stream_parser(call)

    def then(endpoint: str) -> Callable[[Reply], Flow[_Opened]]:
        def parser(reply: Reply) -> StreamParser:
            limit = settings.max_event_bytes
            return parser_type(chunk_type, reply, endpoint, stream_end=settings.stream_end, limit=limit)

        return lambda reply: _open(call, reply, parser(reply))

    opened, dropped = yield from _over_routes(call, then)
    opened.parser.dropped = dropped
    yield from _read_on(call, opened)


@dataclass(slots=True)
class _Opened:
    """A stream whose first event is there: from here on nothing is sent again."""

    reply: Reply
    parser: StreamParser
    items: list[Any]


def _open(call: _Call, reply: Reply, parser: StreamParser) -> Flow[_Opened]:
    """Read to the first event. Keep-alive comments put off neither the limit of the whole call nor that of reading."""
    items: list[Any] = []
    last_event, events, pinged = call.context.clock(), parser.events, False
    while not items and not parser.done and parser.failure is None:
        items = parser.feed((yield from _read_first(call, reply, last_event, pinged)))
        pinged = True
        if parser.events > events:  # one that says nothing yet, such as that the model thinks
            last_event, events = call.context.clock(), parser.events
    if not items and parser.failure is not None:
        raise parser.failure
    return _Opened(reply, parser, items)


def _read_first(call: _Call, reply: Reply, last_event: float, pinged: bool) -> Flow[bytes]:
    """Read for as long as the first event may still take."""
    limits = call.timeout
    ends = {"total": reply.until, "read": None if limits.read is None else last_event + limits.read}
    phase, end = min(ends.items(), key=lambda each: math.inf if each[1] is None else each[1])
    try:
        data: bytes = yield Read(reply, None if end is None else max(0.0, end - call.context.clock()))
        return data
    except APITimeoutError as error:
        text = f"no event within {getattr(limits, phase):g} s ({phase} timeout)"
        # Who sends something is at work: asked again, it would do the same work twice.
        again = False if pinged else None
        raise APITimeoutError(text, phase=phase, request_id=reply.request_id, should_retry=again) from error.__cause__


def _read_on(call: _Call, opened: _Opened) -> Flow[None]:
    parser, idle, clock = opened.parser, call.timeout.idle, call.context.clock
    yield Emit(opened.items, parser.partial)
    last_event, events = clock(), parser.events  # the caller's own time is none of the stream's
    while not parser.done and parser.failure is None:
        wait = None if idle is None else max(0.0, last_event + idle - clock())
        try:
            items = parser.feed((yield Read(opened.reply, wait)))
        except APIError as error:
            items = parser.end()
            parser.failure = None if parser.done else _idle(error, call.timeout)
        if items:
            yield Emit(items, parser.partial)
        if parser.events > events:  # keep-alive comments do not count
            last_event, events = clock(), parser.events
    if parser.failure is not None:
        failure = opened.reply.redacted(parser.failure)
        raise parser.interrupted(failure) from failure


def _idle(error: APIError, timeout: Timeout) -> APIError:
    limits = [limit for limit in (timeout.idle, timeout.read) if limit is not None]
    if isinstance(error, APITimeoutError) and limits:
        return APITimeoutError(f"no event for {min(limits):g} s", phase="idle")
    return error


def _over_routes(call: _Call, then: Callable[[str], Callable[[Reply], Flow[T]]]) -> Flow[tuple[T, tuple[str, ...]]]:
    """Ask the first route; on connection errors, 429 and 5xx the next one, at once. The last one gets all retries."""
    started = call.context.clock()
    *first, last = call.models
    passed: list[APIError] = []
    for endpoint in first:
        try:
            return (yield from _ask(call, endpoint, then(endpoint), 0, started))
        except (APIConnectionError, RateLimitError, ServerError) as error:
            if isinstance(error, TLSError):
                raise
            passed.append(error)
    try:
        return (yield from _ask(call, last, then(last), call.max_retries, started))
    except APIError as error:
        for failure in passed:
            error.add_note(f"before that: {failure}")
        raise


def _ask(
    call: _Call, endpoint: str, then: Callable[[Reply], Flow[T]], max_retries: int | None, started: float
) -> Flow[tuple[T, tuple[str, ...]]]:
    context = call.context

    def send(body: JSONObject) -> Flow[T]:
        path = RESPONSES_PATH if call.responses else invocations_path(endpoint)
        request = context.request("POST", path, body, endpoint=endpoint, stream=call.stream, timeout=call.timeout)
        return exchange(
            context, request, then=then, max_retries=max_retries, wait_ready=call.wait_ready, started=started
        )

    # There the endpoint stands in the body, and a stream tells its usage unasked.
    body = {"model": endpoint, **call.body} if call.responses else call.body
    asks = call.stream and not call.responses and "stream_options" not in body
    if asks and profile_for(endpoint).get("sends_usage") == "on_request":
        body = {**body, "stream_options": {"include_usage": True}}
    try:
        return (yield from negotiated(context, endpoint, body, send))
    except NotFoundError as error:
        failure = error
    yield from explain(context, endpoint, failure)
    raise failure
