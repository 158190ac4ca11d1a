"""Typed call -> request body; whatever the service could not take is refused here, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

from ._errors import InvalidRequestError
from ._wire import Timeout
from .types import Message
from .types._base import JSONObject

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MAX_CHOICES = 128
MAX_STOPS = 64
API = Literal["chat", "responses"]
MessageLike = Mapping[str, Any] | Message
Messages = str | Iterable[MessageLike]
# What of an answered message may be sent back: its id and the like are refused as unknown fields.
_REPLAYED = ("role", "content", "tool_calls", "tool_call_id", "name")


class CallOptions(TypedDict, total=False):
    """What a call may say besides its body."""

    extra_body: Mapping[str, Any] | None
    """Further fields of the request body, sent as they are."""
    timeout: float | Timeout | None
    """Seconds in all (of `embed`: for each batch), or a Timeout."""
    max_retries: int | None
    wait_ready: float | None
    """Seconds to wait for an endpoint that deploys, or starts from zero, before EndpointNotReadyError is raised."""


class CompletionParams(CallOptions, total=False):
    """Optional fields of a completion; None means "do not send"."""

    max_tokens: int | None
    temperature: float | None
    """0 to 2."""
    top_p: float | None
    """Above 0, up to 1."""
    top_k: int | None
    stop: str | Sequence[str] | None
    n: int | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    user: str | None


class ChatParams(CompletionParams, total=False):
    """Optional fields of a chat call; None means "do not send"."""

    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: Mapping[str, Any] | None
    logprobs: bool | None
    top_logprobs: int | None
    reasoning_effort: str | None
    thinking: Mapping[str, Any] | None
    custom_inputs: Mapping[str, Any] | None
    """For agents: what they take besides messages."""
    context: Mapping[str, Any] | None
    """For agents: `{"conversation_id": …, "user_id": …}`."""
    databricks_options: Mapping[str, Any] | None
    """For agents: `{"return_trace": True}` brings `databricks_output` with the trace of the call."""
    api: API | None
    """How to ask: "chat" (default), or "responses" for the Responses API of OpenAI's models and of agents."""


class EmbedParams(CallOptions, total=False):
    """Optional fields of an `embed` call."""

    instruction: str | None
    """Sent with every text, for models that want one for queries."""
    dimensions: int | None
    encoding_format: str | None
    """"base64": vectors as little-endian float32, quicker to read; left out again where a route refuses it. Asked for
    unasked of hosted models, and of external ones that are known here to be OpenAI's; "float" asks for numbers."""
    normalize: bool
    """Scale each vector to length 1, on this side."""
    batch_size: int | None
    """Texts in one request (default 100)."""
    on_progress: Callable[[int, int], None] | None
    """Called with (texts done, texts in all) after each request, possibly from another thread."""
    show_progress: bool
    """Draw a progress bar on stderr (needs tqdm)."""


OPTIONS = frozenset(CallOptions.__annotations__)
COMPLETION_FIELDS = frozenset(CompletionParams.__annotations__) - OPTIONS
CHAT_OPTIONS = OPTIONS | {"api"}
CHAT_FIELDS = frozenset(ChatParams.__annotations__) - CHAT_OPTIONS
EMBED_FIELDS = frozenset({"instruction", "dimensions", "encoding_format"})
EMBED_OPTIONS = OPTIONS | {"normalize", "batch_size", "on_progress", "show_progress"}


def chat_body(messages: Messages, params: Mapping[str, Any]) -> JSONObject:
    """The body of a chat request, in the form of the API that is asked for."""
    body = {"messages": check_messages(messages), **check_fields(params, CHAT_FIELDS, CHAT_OPTIONS)}
    if body.get("tools"):
        body["tools"] = [_tool(tool, i) for i, tool in enumerate(body["tools"])]
    if params.get("api") == "responses":
        from ._items_sent import responses_body

        return with_extra(responses_body(body), params)
    return with_extra(body, params)


def thinks(thinking: Mapping[str, Any] | None) -> bool:
    """Whether a model that is sent this `thinking` thinks before it answers: then no tool can be forced on it.

    >>> thinks({"type": "enabled", "budget_tokens": 1024}), thinks({"type": "disabled"}), thinks(None)
    (True, False, False)
    """
    return (thinking or {}).get("type") not in (None, "disabled")


def completion_body(prompt: str | Sequence[str], params: Mapping[str, Any]) -> JSONObject:
    """The body of a completion request; a list of prompts is answered by one choice each."""
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, Sequence) or not prompts or not all(isinstance(p, str) and p for p in prompts):
        raise InvalidRequestError("prompt must be a non-empty text or a list of such")
    body = {"prompt": prompt if isinstance(prompt, str) else list(prompts), **check_fields(params, COMPLETION_FIELDS)}
    return with_extra(body, params)


def check_messages(messages: Messages) -> list[JSONObject]:
    """Messages as plain objects; a text is one user message."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if isinstance(messages, (Mapping, Message, bytes)) or not isinstance(messages, Iterable):
        raise InvalidRequestError("messages must be a text or a list of messages ({'role': …, 'content': …})")
    checked = [_message(message, i) for i, message in enumerate(messages)]
    if not checked:
        raise InvalidRequestError("messages is empty: give at least one")
    return checked


def _message(message: Any, i: int) -> JSONObject:
    if isinstance(message, Message):
        # Not as JSON, which would turn NaN, or keys that are no text, into something else; and warnings quote values.
        sent = message.model_dump(include=set(_REPLAYED), exclude_none=True, warnings=False)
    elif isinstance(message, Mapping):
        sent = dict(message)
    else:
        raise InvalidRequestError(f"messages[{i}] is a {type(message).__name__}; it must be an object with a role")
    if sent.get("role") not in ROLES:
        role = _shown(sent.get("role"))
        raise InvalidRequestError(f"messages[{i}] has role {role}; it must be one of {', '.join(ROLES)}")
    _check_content(sent, i)
    if sent["role"] == "tool" and not sent.get("tool_call_id"):
        raise InvalidRequestError(f"messages[{i}] is a tool result without tool_call_id: say which call it answers")
    return sent


def _check_content(message: JSONObject, i: int) -> None:
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in content):
            raise InvalidRequestError(f"messages[{i}].content: each part must be an object with a type")
    elif content is None:
        if message["role"] != "assistant" or not message.get("tool_calls"):
            raise InvalidRequestError(f"messages[{i}] has no content")
    elif not isinstance(content, str):
        raise InvalidRequestError(
            f"messages[{i}].content is {type(content).__name__}; it must be text or a list of parts"
        )


def _tool(tool: Any, i: int) -> JSONObject:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if isinstance(tool, Mapping) and tool.get("type", "function") != "function":
        return dict(tool)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise InvalidRequestError(
            f"tools[{i}] must be {{'type': 'function', 'function': {{'name': …, 'parameters': …}}}}"
        )
    # The service refuses a function without parameters, also one that takes none.
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return {**tool, "type": "function", "function": {**function, "parameters": parameters}}


def check_fields(params: Mapping[str, Any], allowed: frozenset[str], options: frozenset[str] = OPTIONS) -> JSONObject:
    """Those of `params` that go into the body, each checked; `options` stay on this side."""
    for name, value in params.items():
        if name not in allowed and name not in options:
            raise InvalidRequestError(_unknown(name, allowed | options))
        check, expected = _CHECKS.get(name, (_anything, ""))
        if value is not None and not check(value):
            raise InvalidRequestError(f"{name} must be {expected}, not {_shown(value)}")
    return {name: value for name, value in params.items() if value is not None and name in allowed}


def _unknown(name: str, allowed: frozenset[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown argument {name!r}{hint}; fields that are not listed go into extra_body={{…}}"


def with_extra(body: JSONObject, params: Mapping[str, Any]) -> JSONObject:
    """`body` and what the caller adds to it."""
    extra = params.get("extra_body")
    if extra is None:
        return body
    if not isinstance(extra, Mapping) or not all(isinstance(key, str) for key in extra):
        raise InvalidRequestError("extra_body must be an object with text keys")
    if "stream" in extra:
        raise InvalidRequestError("extra_body cannot hold 'stream': call stream_chat or stream_complete instead")
    if "model" in extra and params.get("api") == "responses":
        raise InvalidRequestError("extra_body cannot hold 'model' in the Responses API: it is the endpoint of the call")
    return _with_fields(body, extra)


def _with_fields(body: JSONObject, extra: Mapping[str, Any]) -> JSONObject:
    """`body` with further fields; of `text` and `reasoning`, which hold several, both sides are kept."""
    merged = {**body, **extra}
    for name in ("text", "reasoning"):
        ours, theirs = body.get(name), extra.get(name)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            merged[name] = {**ours, **theirs}
    return merged


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _anything(value: Any) -> bool:
    return True


def _number(low: float, high: float, *, above: bool = False) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        return (low < value if above else low <= value) and value <= high

    return check


def _whole(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _stops(value: Any) -> bool:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, Sequence) or len(stops) > MAX_STOPS:
        return False
    return all(isinstance(stop, str) and stop for stop in stops)


def _objects(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


# Ranges: the query parameters of the service's own SDK (temperature 0-2, top_p up to 1, n from 1).
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_tokens": (_whole(1, 10_000_000), "a whole number from 1 to 10,000,000"),
    "temperature": (_number(0, 2), "a number from 0 to 2"),
    "top_p": (_number(0, 1, above=True), "a number above 0 and up to 1"),
    "top_k": (_whole(1), "a whole number from 1"),
    "n": (_whole(1, MAX_CHOICES), f"a whole number from 1 to {MAX_CHOICES}"),
    "seed": (_whole(-(2**63), 2**63), "a whole number"),
    "frequency_penalty": (_number(-2, 2), "a number from -2 to 2"),
    "presence_penalty": (_number(-2, 2), "a number from -2 to 2"),
    "stop": (_stops, f"a text or a list of at most {MAX_STOPS} texts, none empty"),
    "tools": (_objects, "a list of tools"),
    "tool_choice": (lambda v: isinstance(v, (str, Mapping)), "'auto', 'none', 'required' or an object"),
    "response_format": (lambda v: isinstance(v, Mapping) and "type" in v, "an object with a type"),
    "parallel_tool_calls": (lambda v: isinstance(v, bool), "True or False"),
    "logprobs": (lambda v: isinstance(v, bool), "True or False"),
    "top_logprobs": (_whole(0, 20), "a whole number from 0 to 20"),
    "reasoning_effort": (lambda v: isinstance(v, str), "a text such as 'low'"),
    "thinking": (lambda v: isinstance(v, Mapping), "an object such as {'type': 'enabled', 'budget_tokens': 1024}"),
    **dict.fromkeys(
        ("custom_inputs", "context", "databricks_options"), (lambda v: isinstance(v, Mapping), "an object")
    ),
    "api": (lambda v: v in get_args(API), "'chat' or 'responses'"),
    "user": (lambda v: isinstance(v, str), "a text"),
    "wait_ready": (_number(0, 86_400), "a number of seconds up to 86,400"),
    "instruction": (lambda v: isinstance(v, str), "a text"),
    "dimensions": (_whole(1), "a whole number from 1"),
    "encoding_format": (lambda v: v in ("float", "base64"), "'float' or 'base64'"),
    "normalize": (lambda v: isinstance(v, bool), "True or False"),
    "batch_size": (_whole(1), "a whole number from 1"),
    "show_progress": (lambda v: isinstance(v, bool), "True or False"),
    "on_progress": (callable, "a function of (done, total)"),
}
