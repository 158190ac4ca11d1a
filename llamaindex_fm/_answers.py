"""Answers of the core -> LlamaIndex's responses."""

from __future__ import annotations

from llama_index.core.base.llms import types as llama

from fm_client import ChatChunk, ChatResponse, CompletionResponse, Message, Usage

from ._messages import from_wire
from ._schema import JSONObject

PARTIAL = "partial"
"""Key of `additional_kwargs`, True on every item of a stream but the last: what it holds may be cut off."""


def chat_answer(response: ChatResponse, *, single_call: bool = False, delta: str | None = None) -> llama.ChatResponse:
    """A whole chat answer; at the end of a stream with an empty `delta`."""
    message = from_wire(response.message if response.choices else Message(), single_call=single_call)
    _count_thinking(message, response.usage)
    return llama.ChatResponse(
        message=message,
        delta=delta,
        raw=raw(response),
        logprobs=_logprobs(response),
        additional_kwargs=facts(response),
    )


def completion_answer(response: CompletionResponse, *, delta: str | None = None) -> llama.CompletionResponse:
    """A whole completion; at the end of a stream with an empty `delta`."""
    return llama.CompletionResponse(
        text=response.text, delta=delta, raw=raw(response), additional_kwargs=facts(response)
    )


def as_completion(response: llama.ChatResponse) -> llama.CompletionResponse:
    """A chat answer as the completion of a prompt."""
    return llama.CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
    )


def as_chat(response: llama.CompletionResponse) -> llama.ChatResponse:
    """A completion as the answer to a chat."""
    return llama.ChatResponse(
        message=llama.ChatMessage(role=llama.MessageRole.ASSISTANT, content=response.text),
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=response.additional_kwargs,
    )


def raw(answer: ChatResponse | CompletionResponse | ChatChunk) -> JSONObject:
    """The answer as plain data: events, agents' contexts and tracers can store it as it is."""
    return {**answer.to_dict(), "model": answer.model or answer.endpoint}


def facts(response: ChatResponse | CompletionResponse) -> JSONObject:
    """What is known of an answer besides its text. Without counts from the service there are none here."""
    known = {
        "finish_reason": response.finish_reason,
        "endpoint": response.endpoint or None,
        "served_model": response.served_model,
        "request_id": response.request_id,
        "dropped_params": list(response.dropped_params) or None,
    }
    return {**_counts(response.usage), **{key: value for key, value in known.items() if value is not None}}


def _counts(usage: Usage | None) -> JSONObject:
    if usage is None:
        return {}
    details = {"cached_tokens": usage.cached_tokens, "reasoning_tokens": usage.reasoning_tokens}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.sum_tokens,
        **{key: value for key, value in details.items() if value},
    }


def _count_thinking(message: llama.ChatMessage, usage: Usage | None) -> None:
    blocks = [block for block in message.blocks if isinstance(block, llama.ThinkingBlock)]
    if len(blocks) == 1 and usage is not None and usage.reasoning_tokens:
        blocks[0].num_tokens = usage.reasoning_tokens


def _logprobs(response: ChatResponse) -> list[list[llama.LogProb]] | None:
    found = (response.choices[0].logprobs or {}).get("content") if response.choices else None
    if not found:
        return None
    return [[_logprob(item) for item in token.get("top_logprobs") or [token]] for token in found]


def _logprob(item: JSONObject) -> llama.LogProb:
    return llama.LogProb(token=item["token"], logprob=item["logprob"], bytes=item.get("bytes") or [])
