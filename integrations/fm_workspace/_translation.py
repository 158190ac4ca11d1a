"""Between the service's wire format and that of OpenAI, as litellm and our own readers of vendors' formats have it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ._engine import JSONObject, Query
from ._errors import bad_request, unknown_field
from ._quirks import TASKS
from ._vectors import encoded

_TEXTS = frozenset({"messages", "prompt", "input", "instruction"})
_OURS = frozenset(
    {"model", "stream", "stream_options", "client_request_id", "usage_context", "extra_params", "encoding_format"}
)
"""Fields whose work is done on this side."""
_PASSED = frozenset(
    {
        "dimensions",
        "frequency_penalty",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""Fields that are passed on by the same name: no others, for litellm has arguments that lead a call elsewhere."""
_EXTRA_PARAMS = frozenset({"input_type", "top_k"})
"""What `extra_params` may hold here, for the same reason."""
MAX_PROMPTS = 16
"""Prompts of one request for completions: each is a call of its own."""
_QUERY, _DOCUMENT = "search_query", "search_document"


def arguments(query: Query, provider: str) -> JSONObject:
    """What litellm is to be told of a query, all but the texts."""
    for name in query.body.keys() - _PASSED - _TEXTS - _OURS:
        raise unknown_field(name)  # such as those that only OpenAI's own models know
    given = {key: value for key, value in query.body.items() if key in _PASSED and value is not None}
    if given.get("n") == 1:
        del given["n"]  # one answer is what every vendor gives, and not all know the field
    if query.task == TASKS["embeddings"] and provider == "cohere":
        given["input_type"] = _QUERY if query.body.get("instruction") else _DOCUMENT
    return given | _extras(query.body.get("extra_params") or {})


def each_prompt(query: Query) -> list[Query]:
    """One query for each prompt; a chat is one."""
    prompts = query.body.get("prompt")
    if not isinstance(prompts, list):
        return [query]
    if len(prompts) > MAX_PROMPTS:
        raise bad_request(f"this provider takes at most {MAX_PROMPTS} prompts in one request")
    return [Query(query.endpoint, query.task, query.model, {**query.body, "prompt": one}) for one in prompts]


def one_prompt(query: Query) -> None:
    """400 for a stream of several completions."""
    if len(each_prompt(query)) > 1:
        raise bad_request("this provider streams the completion of one prompt at a time")


def chat_messages(query: Query) -> list[JSONObject]:
    """The messages of a chat, or of a completion: no vendor has an API for completions of its own any more."""
    if "messages" in query.body:
        return [_message(message) for message in query.body["messages"]]
    prompt = query.body["prompt"]
    return [{"role": "user", "content": prompt if isinstance(prompt, str) else prompt[0]}]


def texts(query: Query, provider: str) -> list[str]:
    """The texts to embed. An instruction stands before each; Cohere is told by its own field that there is one."""
    given = query.body["input"]
    listed = [given] if isinstance(given, str) else given
    instruction = None if provider == "cohere" else query.body.get("instruction")
    return [f"{instruction} {text}" for text in listed] if instruction else list(listed)


def chat_answer(query: Query, answer: JSONObject) -> JSONObject:
    """A whole answer as the service gives it, to a chat or to a completion."""
    chat = query.task == TASKS["chat"]
    choices = [(_choice if chat else _text_choice)(at, choice) for at, choice in enumerate(answer["choices"])]
    head = _head(answer, "chat.completion" if chat else "text_completion")
    return {**head, "choices": choices, "usage": usage(answer.get("usage") or {})}


def joined(answers: Sequence[JSONObject]) -> JSONObject:
    """The answers to several prompts as one, their choices numbered through and their tokens added up."""
    if len(answers) == 1:
        return answers[0]
    choices = [{**choice, "index": at} for at, choice in enumerate(each for one in answers for each in one["choices"])]
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {
        **answers[0],
        "choices": choices,
        "usage": {name: sum(one["usage"][name] for one in answers) for name in names},
    }


def embedding_answer(query: Query, answer: JSONObject) -> JSONObject:
    """Vectors as the service gives them."""
    short = query.body.get("encoding_format") == "base64"
    vectors = [each["embedding"] for each in answer["data"]]
    data = [
        {"object": "embedding", "index": at, "embedding": encoded(vector) if short else vector}
        for at, vector in enumerate(vectors)
    ]
    spent = (answer.get("usage") or {}).get("prompt_tokens") or 0
    counts = {"prompt_tokens": spent, "total_tokens": spent}
    return {"object": "list", "model": answer.get("model") or query.model, "data": data, "usage": counts}


def usage(counts: Mapping[str, Any]) -> JSONObject:
    """Token counts in the service's way: those of the prompt without the cached ones, which stand beside them."""
    read, written = counts.get("cache_read_input_tokens") or 0, counts.get("cache_creation_input_tokens") or 0
    prompt = (counts.get("prompt_tokens") or 0) - read - written
    spent = counts.get("completion_tokens") or 0
    told: JSONObject = {
        "prompt_tokens": prompt,
        "completion_tokens": spent,
        "total_tokens": prompt + read + written + spent,
    }
    if read or written:
        told |= {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    if reasoning := (counts.get("completion_tokens_details") or {}).get("reasoning_tokens"):
        told["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return told


class Chunks:
    """The pieces of one stream, turned into the service's chunks one by one."""

    def __init__(self, query: Query) -> None:
        self._chat = query.task == TASKS["chat"]
        self._head: JSONObject = {}
        self._in_parts = False

    def chunk(self, piece: JSONObject) -> JSONObject | None:
        """The chunk for a piece, None if there is nothing in it to tell."""
        self._head = self._head or _head(piece, "chat.completion.chunk" if self._chat else "text_completion")
        make = self._delta if self._chat else _text_delta
        made = [choice for each in piece.get("choices") or [] if (choice := make(each))]
        counts = piece.get("usage")
        if not made and not counts:
            return None
        return {**self._head, "choices": made, **({"usage": usage(counts)} if counts else {})}

    def _delta(self, choice: JSONObject) -> JSONObject | None:
        delta, added = choice.get("delta") or {}, {}
        if parts := _reasoning(delta):
            self._in_parts, added = True, {"content": parts}
        if text := delta.get("content"):
            added = {"content": [{"type": "text", "text": text}] if self._in_parts else text}
        if calls := delta.get("tool_calls"):
            added["tool_calls"] = [_call_delta(call) for call in calls]
        if not added and not choice.get("finish_reason"):
            return None
        delta = {"role": "assistant", "content": "" if not added else None, **added}
        return {"index": choice.get("index") or 0, "delta": delta, "finish_reason": choice.get("finish_reason")}


def _text_delta(choice: JSONObject) -> JSONObject | None:
    text, reason = (choice.get("delta") or {}).get("content") or "", choice.get("finish_reason")
    if not text and not reason:
        return None
    return {"index": choice.get("index") or 0, "text": text, "finish_reason": reason, "logprobs": None}


def _extras(given: Mapping[str, str]) -> JSONObject:
    if unknown := sorted(given.keys() - _EXTRA_PARAMS):
        raise bad_request(f"extra_params {unknown[0]!r} is not known for this provider; {', '.join(_EXTRA_PARAMS)} are")
    return {key: int(value) if value.isascii() and value.isdigit() else value for key, value in given.items()}


def _message(message: JSONObject) -> JSONObject:
    """A message without what would make litellm fetch something, its reasoning as litellm has it."""
    content = message.get("content")
    if not isinstance(content, list):
        return {key: value for key, value in message.items() if value is not None}
    for part in content:
        _check_part(part)
    blocks = [block for part in content if part["type"] == "reasoning" for block in _thinking(part)]
    rest = [part for part in content if part["type"] != "reasoning"]
    kept = {key: value for key, value in message.items() if key != "content" and value is not None}
    if message["role"] == "tool":
        return {**kept, "content": "".join(part["text"] for part in rest)}
    return {**kept, "content": rest or None, **({"thinking_blocks": blocks} if blocks else {})}


def _check_part(part: JSONObject) -> None:
    address = (part.get("image_url") or {}).get("url", "data:")
    file = part.get("file") or {}
    if (
        not address.startswith("data:")
        or file.get("file_id")
        or not (file.get("file_data") or "data:").startswith("data:")
    ):
        raise bad_request("this provider is sent images and files as data URLs only: the workspace fetches nothing")


def _thinking(part: JSONObject) -> list[JSONObject]:
    return [
        {"type": "thinking", "thinking": each["text"], "signature": each.get("signature") or ""}
        for each in part["summary"]
    ]


def _choice(at: int, choice: JSONObject) -> JSONObject:
    said = choice["message"]
    content: Any = said.get("content")
    if parts := _reasoning(said):
        content = [*parts, *([{"type": "text", "text": content}] if content else [])]
    message: JSONObject = {"role": "assistant", "content": content}
    if calls := said.get("tool_calls"):
        message["tool_calls"] = [_call(call) for call in calls]
    return {"index": at, "message": message, "finish_reason": choice.get("finish_reason"), "logprobs": None}


def _text_choice(at: int, choice: JSONObject) -> JSONObject:
    text = choice["message"].get("content") or ""
    return {"index": at, "text": text, "finish_reason": choice.get("finish_reason"), "logprobs": None}


def _reasoning(said: JSONObject) -> list[JSONObject]:
    """Reasoning as a part of the content, with the signature by which it can be sent back."""
    blocks: Sequence[JSONObject] = said.get("thinking_blocks") or []
    if not blocks and (text := said.get("reasoning_content")):
        blocks = [{"thinking": text}]
    return [
        {"type": "reasoning", "summary": [_summary(block)]}
        for block in blocks
        if block.get("type") != "redacted_thinking"
    ]


def _summary(block: JSONObject) -> JSONObject:
    signed = {"signature": block["signature"]} if block.get("signature") else {}
    return {"type": "summary_text", "text": block.get("thinking") or "", **signed}


def _call(call: JSONObject) -> JSONObject:
    function = call["function"]
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": text}}


def _call_delta(call: JSONObject) -> JSONObject:
    function = call.get("function") or {}
    told = {
        "arguments": function.get("arguments") or "",
        **({"name": function["name"]} if function.get("name") else {}),
    }
    first = {"id": call["id"], "type": "function"} if call.get("id") else {}
    return {"index": call.get("index") or 0, **first, "function": told}


def _head(answer: JSONObject, kind: str) -> JSONObject:
    made = answer.get("created") or int(time.time())
    return {
        "id": answer.get("id") or f"cmpl_{uuid.uuid4()}",
        "object": kind,
        "created": made,
        "model": answer.get("model"),
    }
