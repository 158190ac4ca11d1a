"""What the query API accepts, and how it refuses the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from fm_client import thinks

from ._engine import JSONObject
from ._errors import ServiceError, bad_request, unknown_field, unreadable
from ._items import ResponsesAgentRequest, ResponsesRequest, as_chat, check_items, check_refused
from ._messages import MAX_TOOLS, CalledTool, ChatMessage, NamedTool, ResponseFormat, StrictModel, Tool
from ._quirks import AGENT_TASKS, RESPONSES, TASKS, Quirks
from ._schema_rules import check_schema

Text = Annotated[str, StringConstraints(min_length=1)]
MAX_CHOICES = 5
MAX_TEXTS = 2_048
"""Texts in one query of our engine: OpenAI's limit. The service's own is not known; a body has room for a million."""
MAX_TEMPERATURE = 2.0
_ONLY_OPENAI = frozenset(
    {"max_completion_tokens", "verbosity", "logit_bias", "metadata", "store", "service_tier", "prompt_cache_key"}
)
"""Fields of OpenAI's own API that only its models' routes know."""


class StreamOptions(StrictModel):
    """Whether a stream ends with a chunk of usage."""

    include_usage: bool | None = None


class Thinking(StrictModel):
    """Reasoning, switched on with a budget of tokens."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = None


class SamplingRequest(StrictModel):
    """What chat and completions share. Ranges: the service's API reference."""

    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=MAX_TEMPERATURE, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: int | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    user: str | None = None
    client_request_id: str | None = None
    usage_context: dict[str, str] | None = None
    extra_params: dict[str, str] | None = None


class ChatRequest(SamplingRequest):
    """A chat query."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    thinking: Thinking | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


class CompletionRequest(SamplingRequest):
    """A completions query."""

    prompt: Text | Annotated[list[Text], Field(min_length=1)]
    logprobs: int | None = None


class EmbeddingRequest(StrictModel):
    """An embeddings query."""

    input: str | Annotated[list[str], Field(min_length=1)]
    model: str | None = None
    instruction: str | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    client_request_id: str | None = None
    usage_context: dict[str, str] | None = None
    extra_params: dict[str, str] | None = None


class AgentMessage(StrictModel):
    """A message to or of a chat agent."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    name: str | None = None
    id: str | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None
    attachments: dict[str, str] | None = None


class ChatAgentRequest(SamplingRequest):
    """A query of a chat agent, which does as it likes with the fields of a model."""

    messages: Annotated[list[AgentMessage], Field(min_length=1)]
    context: JSONObject | None = None
    custom_inputs: JSONObject | None = None
    databricks_options: JSONObject | None = None


REQUESTS: dict[str, type[StrictModel]] = {
    TASKS["chat"]: ChatRequest,
    TASKS["completions"]: CompletionRequest,
    TASKS["embeddings"]: EmbeddingRequest,
    RESPONSES: ResponsesRequest,
    AGENT_TASKS["chat-agent"]: ChatAgentRequest,
    AGENT_TASKS["responses-agent"]: ResponsesAgentRequest,
}


def read_object(body: bytes) -> JSONObject:
    """The JSON object of a request's body."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise unreadable(f"invalid JSON ({type(exc).__name__})") from exc
    if not isinstance(value, dict):
        raise unreadable(f"cannot unmarshal {_json_type(value)} into an object")
    return value


def check(task: str, body: JSONObject, quirks: Quirks, *, openai: bool = False) -> None:
    """Raise the service's 400 unless `body` is a query of `task` that a route with `quirks` takes.

    `openai` says that the route speaks OpenAI's own API, which knows some more fields.
    """
    _check_rejected(body, quirks.rejected_fields)
    if task in (RESPONSES, AGENT_TASKS["responses-agent"]):
        check_refused(body)
    known = {key: value for key, value in body.items() if not (openai and key in _ONLY_OPENAI)}
    try:
        REQUESTS[task].model_validate(known)
    except ValidationError as exc:
        raise _refusal(exc, body) from exc
    _CHECKS[task](body, quirks, openai)


def _check_rejected(body: JSONObject, rejected: frozenset[str]) -> None:
    for name in body.keys() & rejected:
        raise unknown_field(name)
    tools = body.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    for function in functions:
        for name in (function.keys() & rejected) if isinstance(function, dict) else ():
            raise unknown_field(name)


def _check_chat(body: JSONObject, quirks: Quirks, openai: bool) -> None:
    _check_order(body["messages"])
    _check_tool_choice(body.get("tools") or [], body.get("tool_choice"))
    if (body.get("logprobs") or body.get("top_logprobs")) and not openai:
        raise bad_request("logprobs is not supported by this model")
    if not openai:
        _check_schemas(body)
    if quirks.claude and (body.get("response_format") or {}).get("type") == "json_object":
        raise bad_request("response_format of type json_object is not supported by this model")
    thinking, limit = body.get("thinking") or {}, body.get("max_tokens")
    if limit and thinking.get("budget_tokens", 0) >= limit:
        raise bad_request("max_tokens must be greater than thinking.budget_tokens")
    if thinks(thinking) and body.get("tool_choice") not in (None, "auto", "none"):
        raise bad_request("Thinking may not be enabled when tool_choice forces tool use.")


def _check_completion(body: JSONObject, quirks: Quirks, openai: bool) -> None:
    if openai:
        return
    if body.get("logprobs") is not None:
        raise bad_request("logprobs is not supported by this model")
    _check_number(body["prompt"])


def _check_number(texts: str | Sequence[str]) -> None:
    if not isinstance(texts, str) and len(texts) > MAX_TEXTS:
        raise bad_request(f"a query has at most {MAX_TEXTS} texts, got {len(texts)}")


def _check_embedding(body: JSONObject, quirks: Quirks, openai: bool) -> None:
    if openai:
        return
    _check_number(body["input"])
    wanted = body.get("dimensions")
    if wanted is None:
        return
    if not quirks.free_dimension:
        raise unknown_field("dimensions")
    if wanted > quirks.dimension:
        raise bad_request(f"dimensions must be at most {quirks.dimension}, got {wanted}")


def _check_responses(body: JSONObject, quirks: Quirks, openai: bool) -> None:
    check_items(body)
    if not openai:
        _check_schemas(as_chat(body))


def _check_schemas(chat: JSONObject) -> None:
    """400 for a schema that is none. A provider of its own judges those that are sent to it."""
    for tool in chat.get("tools") or ():
        check_schema(tool["function"]["parameters"], f"function '{tool['function']['name']}'")
    form = chat.get("response_format") or {}
    if form.get("type") == "json_schema":
        check_schema(form["json_schema"]["schema"], f"response_format '{form['json_schema']['name']}'")


def _check_agent(body: JSONObject, quirks: Quirks, openai: bool) -> None:
    for position, message in enumerate(body["messages"]):
        if message.get("content") is None and not message.get("tool_calls"):
            raise bad_request(f"messages[{position}]: either 'content' or 'tool_calls' must be provided")
        if message["role"] == "tool" and not (message.get("name") and message.get("tool_call_id")):
            raise bad_request(
                f"messages[{position}]: both 'name' and 'tool_call_id' must be provided for tool messages"
            )


_CHECKS = {
    TASKS["chat"]: _check_chat,
    TASKS["completions"]: _check_completion,
    TASKS["embeddings"]: _check_embedding,
    RESPONSES: _check_responses,
    AGENT_TASKS["chat-agent"]: _check_agent,
    AGENT_TASKS["responses-agent"]: _check_responses,
}


def _check_order(messages: Sequence[Mapping[str, Any]]) -> None:
    """System messages lead; a tool's result follows the message that called it; an answer says or calls something."""
    open_calls: set[str] = set()
    for position, message in enumerate(messages):
        role = message["role"]
        if role == "assistant":
            open_calls = {call["id"] for call in message.get("tool_calls") or []}
            if not message.get("content") and not open_calls:
                raise bad_request(f"messages[{position}]: an assistant message needs content or tool_calls")
        elif role == "tool":
            _check_result(message["tool_call_id"], open_calls, position)
        elif role == "system" and any(earlier["role"] != "system" for earlier in messages[:position]):
            raise bad_request("system messages must come first in messages")
        else:
            open_calls = set()
    if all(message["role"] == "system" for message in messages):
        raise bad_request("messages must hold at least one message that is not a system message")


def _check_result(call_id: str, open_calls: set[str], position: int) -> None:
    if call_id not in open_calls:
        raise bad_request(
            f'messages[{position}]: tool_call_id "{call_id}" answers no tool call of the assistant message before it'
        )


def _check_tool_choice(tools: Sequence[Mapping[str, Any]], choice: Any) -> None:
    names = [tool["function"]["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise bad_request("the names of tools must be unique")
    if choice in (None, "none"):
        return
    if not tools:
        raise bad_request("tool_choice is only allowed when tools are given")
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        raise bad_request(f'tool_choice names the tool "{choice["function"]["name"]}", which is not in tools')


def _refusal(exc: ValidationError, body: JSONObject) -> ServiceError:
    """The answer to the first of pydantic's findings; unknown fields come first, as the JSON reader does."""
    found = exc.errors(include_url=False, include_context=True)
    found.sort(key=lambda error: error["type"] != "extra_forbidden")
    error = found[0]
    if not error["loc"]:  # pydantic's way with a field whose name is no text, such as half of a surrogate pair
        return unreadable("a field name is not valid UTF-8")
    where = [part for part in error["loc"] if isinstance(part, int) or part in _words_of(body)]
    name = str(error["loc"][-1])
    if error["type"] == "extra_forbidden":
        return unknown_field(name)
    if error["type"] == "missing":
        return _missing(name, error["loc"])
    path = _path(where) or name
    if error["type"].endswith("_type"):
        return unreadable(f"cannot unmarshal {_json_type(error['input'])} into field {path}: {error['msg']}")
    return bad_request(f"{path}: {error['msg']}")


def _missing(name: str, loc: Sequence[str | int]) -> ServiceError:
    if "function" in loc and loc[0] == "tools":
        return bad_request(f'"{name}" is a required property for "function" object in parameter "tools"')
    if name in ("input", "prompt", "messages"):
        return bad_request(f"Missing required parameter: '{name}'")
    return bad_request(f'"{name}" is a required property of {_path(loc[:-1]) or "the request"}')


def _words_of(value: Any) -> set[str]:
    """All keys in a JSON value; a place named by pydantic may also hold names of its own."""
    if isinstance(value, dict):
        return set(value).union(*map(_words_of, value.values()))
    return set().union(*map(_words_of, value)) if isinstance(value, list) else set()


def _path(loc: Sequence[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return names.get(type(value), "null")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    """The number that `text` is; one that is too large would become infinity, which no answer could quote."""
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number
