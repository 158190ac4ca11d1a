"""Answers in the service's wire format, whole and as event streams, with the habits of each model family."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from . import _tokens
from ._engine import JSONObject, Query
from ._quirks import UsageStyle

TOKENS_PER_CHUNK = 3
ARGUMENT_TOKENS_PER_CHUNK = 4
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Output:
    """One choice of an answer."""

    text: str
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    finish_reason: str = "stop"

    @property
    def tokens(self) -> int:
        """What it counts as completion tokens."""
        spoken = _tokens.count(self.text) + _tokens.count(self.reasoning)
        return spoken + sum(_tokens.count(call.name) + _tokens.count(call.arguments) for call in self.calls)


@dataclass(frozen=True, slots=True)
class _Step:
    """One chunk's part of one choice: what it adds, and how many tokens that is."""

    index: int
    added: JSONObject
    tokens: int = 0
    finish_reason: str | None = None


def event(payload: JSONObject) -> bytes:
    """One server-sent event."""
    return (
        b"data: " + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"
    )


def render_chat(query: Query, outputs: Sequence[Output], prompt_tokens: int) -> JSONObject:
    """A chat answer, whole."""
    choices = [
        {"index": index, "message": _message(query, output), "finish_reason": output.finish_reason, "logprobs": None}
        for index, output in enumerate(outputs)
    ]
    usage = _usage(query, prompt_tokens, sum(output.tokens for output in outputs))
    return {**_head("chatcmpl", "chat.completion", query), "choices": choices, "usage": usage}


def render_completion(query: Query, outputs: Sequence[Output], prompt_tokens: int) -> JSONObject:
    """A completion, whole."""
    choices = [
        {"index": index, "text": output.text, "finish_reason": output.finish_reason, "logprobs": None}
        for index, output in enumerate(outputs)
    ]
    usage = _usage(query, prompt_tokens, sum(output.tokens for output in outputs))
    return {**_head("cmpl", "text_completion", query), "choices": choices, "usage": usage}


def stream_chat(query: Query, outputs: Sequence[Output], prompt_tokens: int) -> AsyncIterator[bytes]:
    """A chat answer as events. The role is in each delta, and the last delta of a choice is empty."""
    steps = [_chat_steps(query, index, output) for index, output in enumerate(outputs)]
    head = _head("chatcmpl", "chat.completion.chunk", query)
    return _stream(query, head, _interleaved(steps), _chat_choice, prompt_tokens)


def stream_completion(query: Query, outputs: Sequence[Output], prompt_tokens: int) -> AsyncIterator[bytes]:
    """A completion as events."""
    steps = [_completion_steps(index, output) for index, output in enumerate(outputs)]
    return _stream(query, _head("cmpl", "text_completion", query), _interleaved(steps), _text_choice, prompt_tokens)


async def _stream(
    query: Query, head: JSONObject, steps: Iterable[_Step], choice: Any, prompt_tokens: int
) -> AsyncIterator[bytes]:
    style, wanted = query.quirks.usage_style, bool((query.body.get("stream_options") or {}).get("include_usage"))
    steps, spent = list(steps), 0
    for position, step in enumerate(steps):
        spent += step.tokens
        usage = _usage(query, prompt_tokens, spent)
        last = position == len(steps) - 1
        yield event({**head, "choices": [choice(step)], **_usage_field(style, usage, last=last, wanted=wanted)})
        await asyncio.sleep(0)  # others get their turn, and a client that has gone is noticed
    if style == "final" and wanted:
        yield event({**head, "choices": [], "usage": _usage(query, prompt_tokens, spent)})
    yield DONE


def _usage_field(style: UsageStyle, usage: JSONObject, *, last: bool, wanted: bool) -> JSONObject:
    if style == "cumulative":
        return {"usage": usage}
    if style == "nulls":
        early = {"prompt_tokens": usage["prompt_tokens"], "completion_tokens": None, "total_tokens": None}
        return {"usage": usage if last else early}
    return {"usage": None} if style == "final" and wanted else {}


def _usage(query: Query, prompt_tokens: int, completion_tokens: int) -> JSONObject:
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    return usage | {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0} if query.quirks.claude else usage


def _head(prefix: str, kind: str, query: Query) -> JSONObject:
    identity = None if query.quirks.null_ids else f"{prefix}_{uuid.uuid4()}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": query.model}


def _message(query: Query, output: Output) -> JSONObject:
    parts = [_reasoning_part(query, output.reasoning)] if output.reasoning else []
    if output.calls:
        return {"role": "assistant", "content": parts or None, "tool_calls": list(map(_tool_call, output.calls))}
    if parts or query.quirks.content_style != "text":
        return {"role": "assistant", "content": [*parts, _text_part(output.text)]}
    return {"role": "assistant", "content": output.text}


def _tool_call(call: Call) -> JSONObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _text_part(text: str) -> JSONObject:
    return {"type": "text", "text": text}


def _reasoning_part(query: Query, text: str, *, signed: bool = True) -> JSONObject:
    summary: JSONObject = {"type": "summary_text", "text": text}
    if query.quirks.signed and signed:
        summary["signature"] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return {"type": "reasoning", "summary": [summary]}


def _interleaved(choices: Sequence[Iterator[_Step]]) -> Iterator[_Step]:
    for row in zip_longest(*choices):
        yield from (step for step in row if step is not None)


def _chat_choice(step: _Step) -> JSONObject:
    delta = {"role": "assistant", **step.added}
    return {"index": step.index, "delta": delta, "finish_reason": step.finish_reason, "logprobs": None}


def _text_choice(step: _Step) -> JSONObject:
    return {"index": step.index, "text": "", **step.added, "finish_reason": step.finish_reason, "logprobs": None}


def _chat_steps(query: Query, index: int, output: Output) -> Iterator[_Step]:
    yield from _content_steps(query, index, output)
    for position, call in enumerate(output.calls):
        yield from _call_steps(index, position, call)
    yield _Step(index, {"content": ""}, finish_reason=output.finish_reason)


def _content_steps(query: Query, index: int, output: Output) -> Iterator[_Step]:
    in_parts = query.quirks.content_style != "text" or bool(output.reasoning)
    for piece, last in grouped(output.reasoning, TOKENS_PER_CHUNK):
        part = _reasoning_part(query, piece, signed=False)
        if last and query.quirks.signed:
            part["summary"][0]["signature"] = _reasoning_part(query, output.reasoning)["summary"][0]["signature"]
        yield _Step(index, {"content": [part]}, _tokens.count(piece))
    for piece, _ in grouped(output.text, TOKENS_PER_CHUNK):
        yield _Step(index, {"content": [_text_part(piece)] if in_parts else piece}, _tokens.count(piece))


def _call_steps(index: int, position: int, call: Call) -> Iterator[_Step]:
    """The first piece has id and name, the others only more of the arguments' text."""
    first = {"index": position, **_tool_call(Call(call.id, call.name, ""))}
    yield _Step(index, {"content": None, "tool_calls": [first]}, _tokens.count(call.name))
    for piece, _ in grouped(call.arguments, ARGUMENT_TOKENS_PER_CHUNK):
        delta = {"index": position, "function": {"arguments": piece}}
        yield _Step(index, {"content": None, "tool_calls": [delta]}, _tokens.count(piece))


def _completion_steps(index: int, output: Output) -> Iterator[_Step]:
    for piece, _ in grouped(output.text, TOKENS_PER_CHUNK):
        yield _Step(index, {"text": piece}, _tokens.count(piece))
    yield _Step(index, {"text": ""}, finish_reason=output.finish_reason)


def grouped(text: str, size: int) -> Iterator[tuple[str, bool]]:
    """Pieces of `size` tokens, and whether each is the last."""
    tokens = _tokens.pieces(text)
    for start in range(0, len(tokens), size):
        yield "".join(tokens[start : start + size]), start + size >= len(tokens)
