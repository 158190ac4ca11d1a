"""Cohere's own wire format (v2), for chats, completions and embeddings, sent by the core's HTTP layer.

litellm is not used for it: its reader of Cohere's streams misses the event that tells finish reason and usage.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from . import _translation as translation
from ._engine import Answer, Events, JSONObject, Query, Whole
from ._errors import bad_request, external_error
from ._forward import Forwarder, Target, broken
from ._quirks import TASKS
from ._rendering import DONE, event
from ._secrets import Secrets
from ._urls import checked
from ._vendors import needed

COHERE_BASE = "https://api.cohere.com"
NAME = "cohere"
_RENAMED = {"top_p": "p", "top_k": "k", "max_completion_tokens": "max_tokens"}
_SAME = frozenset({"max_tokens", "temperature", "seed", "frequency_penalty", "presence_penalty"})
_LEFT_OUT = frozenset({"user", "parallel_tool_calls"})
"""What asks for nothing that Cohere would do otherwise."""
_MADE = frozenset({"stop", "tools", "tool_choice", "response_format", "thinking"})
_REASONS = {"MAX_TOKENS": "length", "TOOL_CALL": "tool_calls", "ERROR_TOXIC": "content_filter"}
_VERSION = re.compile(r"/v[12]$")


class Cohere:
    """Asks Cohere's models."""

    def __init__(self, forwarder: Forwarder, secrets: Secrets, base: str = COHERE_BASE) -> None:
        self._forwarder = forwarder
        self._secrets = secrets
        self._base = base

    async def answer(self, config: JSONObject, model: str, query: Query) -> Answer:
        """Cohere's answer in the service's form."""
        if query.task == TASKS["embeddings"]:
            return Whole(await self._embedded(config, model, query))
        if query.stream:
            translation.one_prompt(query)
            return await self._streamed(config, model, query)
        answers = [await self._chatted(config, model, one) for one in translation.each_prompt(query)]
        return Whole(translation.joined(answers))

    async def _streamed(self, config: JSONObject, model: str, query: Query) -> Answer:
        answer = await self._sent(config, _chat(query, model), "/v2/chat", stream=True)
        return Events(_events(query, model, answer.source)) if isinstance(answer, Events) else answer

    async def _chatted(self, config: JSONObject, model: str, query: Query) -> JSONObject:
        said = await self._whole(config, _chat(query, model), "/v2/chat")
        message, end = said.get("message") or {}, _end(said)
        spoken = {"content": _text(message) or None, "tool_calls": message.get("tool_calls")}
        thoughts = [block["thinking"] for block in message.get("content") or [] if block.get("type") == "thinking"]
        choice = {"message": {**spoken, "reasoning_content": "".join(thoughts)}, "finish_reason": end["finish_reason"]}
        answer = {"id": said.get("id"), "model": model, "choices": [choice], "usage": end["usage"]}
        return translation.chat_answer(query, answer)

    async def _embedded(self, config: JSONObject, model: str, query: Query) -> JSONObject:
        given = translation.arguments(query, NAME)
        size = {"output_dimension": given["dimensions"]} if "dimensions" in given else {}
        body = {"model": model, "texts": translation.texts(query, NAME), "embedding_types": ["float"], **size}
        said = await self._whole(config, {**body, "input_type": given["input_type"]}, "/v2/embed")
        vectors, units = (said.get("embeddings") or {}).get("float"), (said.get("meta") or {}).get("billed_units") or {}
        if not isinstance(vectors, list):
            raise external_error(502, NAME, {"message": "The provider's answer has no embeddings."})
        usage = {"prompt_tokens": int(units.get("input_tokens") or 0)}
        data = [{"embedding": vector} for vector in vectors]
        return translation.embedding_answer(query, {"model": model, "data": data, "usage": usage})

    async def _whole(self, config: JSONObject, body: JSONObject, path: str) -> JSONObject:
        answer = await self._sent(config, body, path, stream=False)
        return answer.payload if isinstance(answer, Whole) else {}

    async def _sent(self, config: JSONObject, body: JSONObject, path: str, *, stream: bool) -> Answer:
        key = needed(self._secrets.of(config, "cohere_api_key"), "cohere_api_key", NAME)
        base = _VERSION.sub("", checked(config.get("cohere_api_base") or self._base, "cohere_api_base"))
        target = Target(NAME, base + path, body, {"authorization": f"Bearer {key}"}, (key,))
        return await self._forwarder.forward(target, stream=stream)


def _chat(query: Query, model: str) -> JSONObject:
    """The request, in Cohere's words; 400 for what it has none for."""
    given = translation.arguments(query, NAME)
    if unknown := sorted(given.keys() - _RENAMED.keys() - _SAME - _LEFT_OUT - _MADE):
        raise bad_request(f"{unknown[0]} is not supported by this provider")
    body = {_RENAMED.get(key, key): value for key, value in given.items() if key not in _LEFT_OUT | _MADE}
    if stop := given.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if thinking := given.get("thinking"):
        budget = {"token_budget": thinking["budget_tokens"]} if thinking.get("budget_tokens") else {}
        body["thinking"] = {"type": thinking["type"], **budget}
    body |= _tools(given.get("tools"), given.get("tool_choice")) | _format(given.get("response_format"))
    messages = [_message(message) for message in translation.chat_messages(query)]
    return {"model": model, "messages": messages, "stream": query.stream, **body}


def _message(message: JSONObject) -> JSONObject:
    """A message without what belongs to other vendors: cache marks, and the signatures of reasoning."""
    kept = {key: value for key, value in message.items() if key not in ("thinking_blocks", "name", "refusal")}
    if isinstance(kept.get("content"), list):
        parts = [{key: value for key, value in part.items() if key != "cache_control"} for part in kept["content"]]
        kept["content"] = parts
    return {**kept, "role": "system" if kept["role"] == "developer" else kept["role"]}


def _tools(tools: Any, choice: Any) -> JSONObject:
    if not tools:
        return {}
    if isinstance(choice, dict):  # one tool that must be called: Cohere can only be told that one must be
        named = [tool for tool in tools if tool["function"]["name"] == choice["function"]["name"]]
        return {"tools": named, "tool_choice": "REQUIRED"}
    return {"tools": tools, **({"tool_choice": choice.upper()} if choice in ("required", "none") else {})}


def _format(wanted: Any) -> JSONObject:
    if not wanted or wanted["type"] == "text":
        return {}
    schema = {"schema": wanted["json_schema"]["schema"]} if wanted["type"] == "json_schema" else {}
    return {"response_format": {"type": "json_object", **schema}}


def _text(message: JSONObject) -> str:
    return "".join(block.get("text") or "" for block in message.get("content") or [] if block.get("type") == "text")


def _end(said: Mapping[str, Any]) -> JSONObject:
    """Finish reason and usage."""
    counts = said.get("usage") or {}
    tokens = counts.get("tokens") or counts.get("billed_units") or {}
    told = {"prompt_tokens": tokens.get("input_tokens"), "completion_tokens": tokens.get("output_tokens")}
    usage = {name: int(count or 0) for name, count in told.items()}
    return {"finish_reason": _REASONS.get(said.get("finish_reason") or "", "stop"), "usage": usage}


async def _events(query: Query, model: str, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The service's events for Cohere's; a stream without its last event says that it broke."""
    chunks, head, ended = translation.Chunks(query), {"model": model}, False
    async for said in _read(source):
        if "error_code" in said:
            yield event(said)
            return
        head |= {"id": said["id"]} if said.get("type") == "message-start" else {}
        ended = ended or said.get("type") == "message-end"
        if chunk := chunks.chunk({**head, **_piece(said)}):
            yield event(chunk)
    yield DONE if ended else broken("it ended without a finish reason")


def _piece(said: JSONObject) -> JSONObject:
    """One event in OpenAI's form."""
    delta, kind = said.get("delta") or {}, said.get("type")
    if kind == "message-end":
        end = _end(delta)
        choice = {"index": 0, "delta": {}, "finish_reason": end["finish_reason"]}
        return {"choices": [choice], "usage": end["usage"]}
    message = delta.get("message") or {}
    if kind == "content-delta":
        content = message.get("content") or {}
        added = {"content": content.get("text"), "reasoning_content": content.get("thinking")}
    elif kind in ("tool-call-start", "tool-call-delta"):
        added = {"tool_calls": [{"index": said.get("index") or 0, **(message.get("tool_calls") or {})}]}
    else:
        return {}
    return {"choices": [{"index": 0, "delta": added}]}


async def _read(source: AsyncIterator[bytes]) -> AsyncIterator[JSONObject]:
    """The data of server-sent events, each on one line."""
    rest = b""
    async for data in source:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and (said := _json(line[5:])):
                yield said


def _json(line: bytes) -> JSONObject | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None  # such as `[DONE]`
    return value if isinstance(value, dict) else None
