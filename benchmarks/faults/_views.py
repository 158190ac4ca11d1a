"""What a user of each client gets to see of an answer; imported in the environment of the subject."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.speed._subjects import QUESTION, Deployments, LangChain, LlamaIndex, OursCore, Subject

Seen = dict[str, Any]
"""`text`, `finish`, `usage` (prompt, completion, total), and `calls`: the arguments of tool calls that count as valid.

`calls` is None where the client hands on the text of the arguments and does not read it.
"""


class AsItCameError(Exception):
    """The client has handed on what the service sent, and left it to the caller to see what is wrong with it."""


def chat(subject: Subject) -> Seen:
    """A whole answer."""
    if isinstance(subject, LangChain):
        return of_message(subject.llm.invoke(QUESTION))
    if isinstance(subject, LlamaIndex):
        return of_response(subject, subject.llm.chat(subject.message()))
    if isinstance(subject, OursCore):
        return of_core(subject.sync.chat(subject.model, QUESTION))
    if isinstance(subject, Deployments):
        inputs = {"messages": [{"role": "user", "content": QUESTION}]}
        return of_wire(subject.client.predict(endpoint=subject.model, inputs=inputs))
    messages = [{"role": "user", "content": QUESTION}]
    return of_wire(subject.sync.chat.completions.create(model=subject.model, messages=messages).model_dump())


def stream(subject: Subject) -> Seen:
    """A streamed answer, put together as the framework does it: LangChain adds chunks up, LlamaIndex gives the last."""
    if isinstance(subject, LangChain):
        return of_sum(list(subject.llm.stream(QUESTION)))
    if isinstance(subject, LlamaIndex):
        return of_last(subject, list(subject.llm.stream_chat(subject.message())))
    if isinstance(subject, OursCore):
        *_, last = subject.sync.stream_chat(subject.model, QUESTION)
        return of_core(last.response)
    messages = [{"role": "user", "content": QUESTION}]
    if isinstance(subject, Deployments):
        return of_chunks(list(subject.client.predict_stream(endpoint=subject.model, inputs={"messages": messages})))
    chunks = subject.sync.chat.completions.create(model=subject.model, messages=messages, stream=True)
    return of_chunks([chunk.model_dump() for chunk in chunks])


def of_message(message: Any) -> Seen:
    usage = message.usage_metadata
    counted = None if usage is None else [usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]]
    calls = [call["args"] for call in message.tool_calls]
    finish = message.response_metadata.get("finish_reason")
    return {"text": message.text, "finish": finish, "usage": counted, "calls": calls}


def of_sum(chunks: list[Any]) -> Seen:
    if not chunks:
        return {"text": "", "finish": None, "usage": None, "calls": []}
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return of_message(whole)


def of_last(subject: LlamaIndex, chunks: list[Any]) -> Seen:
    if not chunks:
        return {"text": None, "finish": None, "usage": None, "calls": []}
    return of_response(subject, chunks[-1]) | {"text": "".join(chunk.delta or "" for chunk in chunks)}


def of_response(subject: LlamaIndex, response: Any) -> Seen:
    raw = response.raw if isinstance(response.raw, dict) else response.raw.model_dump() if response.raw else {}
    selected = subject.llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    choices = raw.get("choices") or [{}]
    return {
        "text": response.message.content,
        "finish": choices[0].get("finish_reason"),
        "usage": of_usage(raw.get("usage")),
        "calls": [call.tool_kwargs for call in selected],
    }


def of_core(response: Any) -> Seen:
    usage = response.usage
    counted = None if usage is None else [usage.input_tokens, usage.output_tokens, usage.sum_tokens]
    return {"text": response.text, "finish": response.finish_reason, "usage": counted, "calls": None}


def of_wire(answer: Any) -> Seen:
    if not answer.get("choices"):
        raise AsItCameError
    choice = answer["choices"][0]
    return {
        "text": choice["message"]["content"],
        "finish": choice["finish_reason"],
        "usage": of_usage(answer.get("usage")),
        "calls": None,
    }


def of_chunks(chunks: list[Any]) -> Seen:
    """Chunks as they were sent: who takes them may take the usage from the last one that has it."""
    if not all("choices" in chunk for chunk in chunks):
        raise AsItCameError
    choices = [choice for chunk in chunks for choice in chunk["choices"] or []]
    finish = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    usages = [usage for chunk in chunks if (usage := of_usage(chunk.get("usage"))) is not None]
    text = "".join((choice.get("delta") or {}).get("content") or "" for choice in choices)
    many = {"times": len(usages)} if len(usages) > 1 else {}
    return {
        "text": text,
        "finish": finish[-1] if finish else None,
        "usage": usages[-1] if usages else None,
        "calls": None,
        **many,
    }


def of_usage(usage: Any) -> list[Any] | None:
    if not usage:
        return None
    counts = json.loads(json.dumps(usage, default=vars))
    return [counts.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
