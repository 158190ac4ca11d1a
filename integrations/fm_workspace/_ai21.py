"""AI21 Labs: its chat models speak OpenAI's wire format, its older Jurassic models one of their own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from ._engine import Answer, Events, JSONObject, Query, Whole
from ._errors import bad_request, invalid_parameter
from ._forward import OPENAI_PATHS, Target, openai_body
from ._quirks import TASKS
from ._rendering import DONE, event
from ._secrets import Secrets
from ._vendors import needed

AI21_BASE = "https://api.ai21.com/studio/v1"
_FIELDS = {
    "max_tokens": "maxTokens",
    "n": "numResults",
    "stop": "stopSequences",
    "temperature": "temperature",
    "top_k": "topKReturn",
    "top_p": "topP",
}
"""Our names -> those of `/complete`."""


def ai21_target(config: JSONObject, model: str, query: Query, secrets: Secrets, urls: Mapping[str, str]) -> Target:
    """Where a query goes, and as what."""
    key = needed(secrets.of(config, "ai21labs_api_key"), "ai21labs_api_key", "ai21labs")
    base, headers = urls.get("ai21labs", AI21_BASE), {"authorization": f"Bearer {key}"}
    if query.task == TASKS["chat"]:
        return Target("ai21labs", base + OPENAI_PATHS[query.task], openai_body(query, model), headers, (key,))
    if query.task == TASKS["completions"] and is_jurassic(model):
        return Target("ai21labs", f"{base}/{quote(model, safe='')}/complete", _complete(query), headers, (key,))
    raise invalid_parameter("AI21 Labs has chat with its Jamba models and completions with j2-light, -mid and -ultra.")


def is_jurassic(model: str) -> bool:
    """Whether a model is of the generation that completes texts and does not chat."""
    return model.startswith("j2-")


def completion(query: Query, answer: JSONObject) -> Answer:
    """A Jurassic model's answer as the service gives it. These models do not stream: it comes in one chunk then."""
    payload = _payload(query, answer)
    return Events(_events(payload)) if query.stream else Whole(payload)


def _complete(query: Query) -> JSONObject:
    prompt, stop = query.body["prompt"], query.body.get("stop")
    if isinstance(prompt, list) and len(prompt) > 1:
        raise bad_request("this model completes one prompt at a time")
    given = query.body | ({"stop": [stop]} if isinstance(stop, str) else {})
    renamed = {theirs: given[ours] for ours, theirs in _FIELDS.items() if given.get(ours) is not None}
    return {"prompt": prompt if isinstance(prompt, str) else prompt[0], **renamed}


def _payload(query: Query, answer: JSONObject) -> JSONObject:
    done = answer.get("completions") or []
    spent = sum(len(each["data"].get("tokens") or []) for each in done)
    prompt = len((answer.get("prompt") or {}).get("tokens") or [])
    return {
        "id": str(answer.get("id")),
        "object": "text_completion",
        "created": int(time.time()),
        "model": query.model,
        "choices": [_choice(at, each) for at, each in enumerate(done)],
        "usage": {"prompt_tokens": prompt, "completion_tokens": spent, "total_tokens": prompt + spent},
    }


def _choice(at: int, done: JSONObject) -> JSONObject:
    reason = (done.get("finishReason") or {}).get("reason")
    return {
        "index": at,
        "text": done["data"]["text"],
        "finish_reason": "length" if reason == "length" else "stop",
        "logprobs": None,
    }


async def _events(payload: JSONObject) -> AsyncIterator[bytes]:
    yield event(payload)
    yield DONE
