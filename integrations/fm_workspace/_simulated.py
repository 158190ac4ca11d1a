"""The engine `simulated`: answers by rules that read nothing but the request, and says that it is no language model."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _tokens
from ._engine import Answer, Events, JSONObject, Query, Whole
from ._extract import complete, content_text, reply
from ._items import as_chat
from ._items_out import render_items, stream_items
from ._quirks import RESPONSES, TASKS
from ._rendering import Call, Output, render_chat, render_completion, stream_chat, stream_completion
from ._schema import fill, keys_named
from ._vectors import embed, encoded
from ._words import overlap

REASONING = "Simulated reasoning: the rules read the request and chose the answer below."
LARGE_BYTES = 64 * 1024
"""Of a request that may take a while to answer: most are far smaller, and quicker than the change of threads."""
DEFAULT_CLAUDE_TOKENS = 1_000
"""Where hosted Claude Sonnet 4 stops if no max_tokens is given (its published limit)."""
_ONLY_JSON = re.compile(
    r"(?:nothing|no text|anything) (?:other than|but|except) (?:valid )?JSON|only (?:valid )?JSON\b"
    r"|(?:^|[.!?:\n]\s*|\bplease )(?:answer|respond|reply|return|output)\s+(?:\w+\s+){0,4}JSON\b",
    re.I,
)
"""How prompts say that JSON is wanted, by order or by exclusion: models that have no JSON mode go by it."""


class SimulatedEngine:
    """Deterministic: equal requests have equal answers.

    Tools are called as `tool_choice` demands or, with `auto`, when the prompt shares words with one; arguments and
    structured answers are made from the JSON Schema and what the prompt says; questions about a given text are
    answered with the text's own sentences; anything else with a sentence that says what it is.
    """

    async def answer(self, query: Query) -> Answer:
        """The answer to one query. A large one is thought about in a thread, so that it holds up no other."""
        return await asyncio.to_thread(_answered, query) if query.size > LARGE_BYTES else _answered(query)

    async def aclose(self) -> None:
        """There is nothing to let go of."""


def _answered(query: Query) -> Answer:
    if query.task == TASKS["embeddings"]:
        return Whole(_embeddings(query))
    if query.task == RESPONSES:
        return _items(query)
    return _chat(query) if query.task == TASKS["chat"] else _completion(query)


def _chat(query: Query) -> Answer:
    body = query.body
    outputs = [output_of(query, body)] * (body.get("n") or 1)
    prompt_tokens = _tokens.count_chat(body["messages"], body.get("tools"))
    return (
        Events(stream_chat(query, outputs, prompt_tokens))
        if query.stream
        else Whole(render_chat(query, outputs, prompt_tokens))
    )


def _items(query: Query) -> Answer:
    body = as_chat(query.body)
    output = output_of(query, body)
    prompt_tokens = _tokens.count_chat(body["messages"], body.get("tools"))
    if query.stream:
        return Events(stream_items(query, output, prompt_tokens))
    return Whole(render_items(query, output, prompt_tokens))


def output_of(query: Query, body: JSONObject) -> Output:
    """What the engine says to the chat `body`."""
    calls = _calls(body)
    text = "" if calls else _text(body)
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    limit = limit or (DEFAULT_CLAUDE_TOKENS if query.quirks.claude else None)
    output = _limited(Output(text, calls, reasoning=_reasoning(query)), body.get("stop"), limit)
    return _filtered(output, query.quirks.filtered)


def _completion(query: Query) -> Answer:
    body = query.body
    prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
    texts = [complete(prompt) for prompt in prompts for _ in range(body.get("n") or 1)]
    limited = [_limited(Output(text), body.get("stop"), body.get("max_tokens")) for text in texts]
    outputs = [_filtered(output, query.quirks.filtered) for output in limited]
    prompt_tokens = sum(map(_tokens.count, prompts))
    return (
        Events(stream_completion(query, outputs, prompt_tokens))
        if query.stream
        else Whole(render_completion(query, outputs, prompt_tokens))
    )


def _embeddings(query: Query) -> JSONObject:
    body, quirks = query.body, query.quirks
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    size = body.get("dimensions") or quirks.dimension
    vectors = [embed(text, size, instruction=body.get("instruction"), normalized=quirks.normalized) for text in texts]
    short = body.get("encoding_format") == "base64"
    tokens = sum(map(_tokens.count, texts)) + len(texts) * _tokens.count(body.get("instruction") or "")
    data = [
        {"object": "embedding", "index": index, "embedding": encoded(vector) if short else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    identity = None if quirks.null_ids else _identity("embd", body)
    return {"id": identity, "object": "list", "model": query.model, "data": data, "usage": usage}


def _reasoning(query: Query) -> str:
    thinking = (query.body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    reasons = query.task == RESPONSES and (query.body.get("reasoning") or {}).get("effort") not in (None, "none")
    return REASONING if query.quirks.content_style != "text" or (query.quirks.claude and thinking) or reasons else ""


def _text(body: JSONObject) -> str:
    form, messages = body.get("response_format") or {}, body["messages"]
    if form.get("type") == "json_schema":
        return json.dumps(fill(form["json_schema"]["schema"], _prompt(messages)), ensure_ascii=False)
    if form.get("type") == "json_object" or _wants_json(messages):
        return json.dumps(_free_object(messages), ensure_ascii=False)
    return reply(messages)


def _wants_json(messages: Sequence[Mapping[str, Any]]) -> bool:
    orders = [content_text(message) for message in messages if message["role"] in ("system", "developer")]
    return any(_ONLY_JSON.search(text) for text in (_prompt(messages), *orders))


def _free_object(messages: Sequence[Mapping[str, Any]]) -> JSONObject:
    """An object with the keys that the prompt names in quotes."""
    keys = keys_named("\n".join(content_text(message) for message in messages if message["role"] != "assistant"))
    properties: JSONObject = {key: {"type": "string"} for key in keys or ["answer"]}
    bare = re.sub("|".join(rf"[\"'`]{re.escape(key)}[\"'`]" for key in keys) or r"(?!)", " ", _prompt(messages))
    value = fill({"type": "object", "properties": properties, "required": list(properties)}, bare)
    return value if isinstance(value, dict) else {}


def _prompt(messages: Sequence[Mapping[str, Any]]) -> str:
    """The last thing the user said; a system message speaks if no user does."""
    users = [content_text(message) for message in messages if message["role"] == "user"]
    return users[-1] if users else content_text(messages[-1])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A tool that is to be called, and the text that its arguments come from."""

    tool: JSONObject
    text: str


def _calls(body: JSONObject) -> tuple[Call, ...]:
    wanted = _wanted_calls(body)
    if body.get("parallel_tool_calls") is False:
        wanted = wanted[:1]
    return tuple(
        Call(
            id=_identity(f"call_{index}", body),
            name=each.tool["name"],
            arguments=json.dumps(fill(each.tool["parameters"], each.text), ensure_ascii=False),
        )
        for index, each in enumerate(wanted)
    )


def _wanted_calls(body: JSONObject) -> list[_Wanted]:
    tools = [tool["function"] for tool in body.get("tools") or []]
    choice, messages = body.get("tool_choice") or "auto", body["messages"]
    if not tools or choice == "none":
        return []
    prompt = _prompt(messages)
    if isinstance(choice, dict):
        tools = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    elif choice == "auto" and messages[-1]["role"] == "tool":
        return []
    elif choice == "required":  # an agent that is always made to call one ends with the tool that it has not used
        tools = _unused(tools, messages) or tools
    return _mentioned(tools, prompt) or _most_alike(tools, prompt, even_unlike=choice != "auto")


def _unused(tools: Sequence[JSONObject], messages: Sequence[Mapping[str, Any]]) -> list[JSONObject]:
    """The tools that were not called since the user spoke."""
    since = next((i for i in range(len(messages) - 1, -1, -1) if messages[i]["role"] == "user"), 0)
    used = {call["function"]["name"] for message in messages[since:] for call in message.get("tool_calls") or ()}
    return [tool for tool in tools if tool["name"] not in used]


def _mentioned(tools: Sequence[JSONObject], prompt: str) -> list[_Wanted]:
    """The tools that the prompt calls by name, in order; `name(3)` takes its arguments from the parentheses."""
    by_name = {tool["name"]: tool for tool in tools}
    names = "|".join(re.escape(name) for name in sorted(by_name, key=len, reverse=True))
    found = list(re.finditer(rf"(?<![\w-])({names})(?![\w-])(?:\(([^()]*)\))?", prompt))
    with_arguments = [match for match in found if match[2] is not None]
    distinct = {match[1]: match for match in reversed(with_arguments or found)}
    matches = with_arguments or sorted(distinct.values(), key=lambda match: match.start())
    return [_Wanted(by_name[match[1]], match[2] or prompt) for match in matches]


def _most_alike(tools: Sequence[JSONObject], prompt: str, *, even_unlike: bool) -> list[_Wanted]:
    scores = [overlap(prompt, f"{tool['name'].replace('_', ' ')} {tool.get('description') or ''}") for tool in tools]
    best = max(scores)
    return [_Wanted(tools[scores.index(best)], prompt)] if best or even_unlike else []


def _limited(output: Output, stop: str | Sequence[str] | None, limit: int | None) -> Output:
    """The output, ended at a stop sequence or after `limit` tokens."""
    stops = [stop] if isinstance(stop, str) else stop or []
    cut = min((at for word in stops if word and (at := output.text.find(word)) >= 0), default=len(output.text))
    text = output.text[:cut]
    if limit is None or _tokens.count(text) + sum(_tokens.count(call.arguments) for call in output.calls) <= limit:
        return Output(text, output.calls, output.reasoning, "tool_calls" if output.calls else "stop")
    calls = tuple(Call(call.id, call.name, _first(call.arguments, limit)) for call in output.calls)
    return Output(_first(text, limit), calls, output.reasoning, "length")


def _filtered(output: Output, words: Sequence[str]) -> Output:
    """The output, ended before the first word that the content filter does not let out."""
    text = output.text.casefold()
    cut = min((at for word in words if (at := text.find(word.casefold())) >= 0), default=None)
    if cut is None:
        return output
    return Output(output.text[:cut], reasoning=output.reasoning, finish_reason="content_filter")


def _first(text: str, tokens: int) -> str:
    return "".join(_tokens.pieces(text)[:tokens])


def _identity(prefix: str, body: JSONObject) -> str:
    digest = hashlib.blake2b(json.dumps(body, sort_keys=True).encode("utf-8", "surrogatepass"), digest_size=12)
    return f"{prefix}_{digest.hexdigest()}"
