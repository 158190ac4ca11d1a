"""Guardrails of a gateway and the content filter: what they refuse, what they mask, and in which words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ._engine import JSONObject
from ._errors import external_error, guardrail
from ._lifecycle import Endpoint
from ._texts import TEXTS, Side

_PII = {
    "EMAIL_ADDRESS": re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "US_SSN": re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"),
    "CREDIT_CARD": re.compile(r"(?<![\w-])(?:\d{4}[ -]?){3}\d{1,4}(?![\w-])"),
    "PHONE_NUMBER": re.compile(r"(?<![\w-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)|\d{3})[ .-]\d{3}[ .-]\d{4}(?![\w-])"),
}
"""The kinds of personal data that have a form of their own; names and addresses have none, and pass."""


_LOOKED_FOR = ("BLOCK", "MASK")


def check_input(endpoint: Endpoint, body: JSONObject) -> JSONObject:
    """The query as it may go on, personal data masked if so configured; the guardrail's 400 if it may not."""
    return _checked(endpoint, "input", body)


def check_output(endpoint: Endpoint, payload: JSONObject) -> JSONObject:
    """A whole answer, likewise."""
    return _checked(endpoint, "output", payload)


def guards_output(endpoint: Endpoint) -> bool:
    """Whether an answer of the endpoint has to be looked into."""
    rules = _rules(endpoint, "output")
    masks = (rules.get("pii") or {}).get("behavior") in _LOOKED_FOR
    return bool(rules.get("invalid_keywords")) or masks or endpoint.tags.get("fm_guardrail") == "output"


def check_filter(words: Sequence[str], provider: str, body: JSONObject) -> None:
    """The 400 of a provider's content filter if the query holds one of `words`."""
    text = json.dumps(_texts_in(body, "input"), ensure_ascii=False).casefold() if words else ""
    if any(json.dumps(word.casefold(), ensure_ascii=False)[1:-1] in text for word in words):
        raise external_error(400, provider, {"error": _FILTERED})


_FILTERED = {
    "message": "The response was filtered due to the prompt triggering the content management policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
    },
}
"""Azure's error, by the fields that clients look at."""


def _rules(endpoint: Endpoint, side: Side) -> JSONObject:
    return ((endpoint.ai_gateway or {}).get("guardrails") or {}).get(side) or {}


def _checked(endpoint: Endpoint, side: Side, body: JSONObject) -> JSONObject:
    rules = _rules(endpoint, side)
    if endpoint.tags.get("fm_guardrail") == side:
        raise guardrail(side, {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}})
    _check_keywords(side, rules.get("invalid_keywords") or [], _texts_in(body, side))
    return _without_pii(side, (rules.get("pii") or {}).get("behavior"), body)


def _check_keywords(side: Side, keywords: Sequence[str], texts: Any) -> None:
    text = json.dumps(texts, ensure_ascii=False).casefold() if keywords else ""
    for keyword in keywords:
        if keyword and json.dumps(keyword.casefold(), ensure_ascii=False)[1:-1] in text:
            raise guardrail(side, {"flagged": True, "invalid_keywords": True, "keyword": keyword})


def _without_pii(side: Side, behavior: str | None, body: JSONObject) -> JSONObject:
    if behavior not in _LOOKED_FOR:
        return body
    masked = {key: _masked(value) if key in TEXTS[side] else value for key, value in body.items()}
    if masked != body and behavior == "BLOCK":
        verdict = {"flagged": False, "categories": None, "category_scores": None, "pii_detection": True}
        raise guardrail(side, {**verdict, f"anonymized_{side}": _texts_in(masked, side)})
    return masked


def _masked(value: Any) -> Any:
    """A JSON value with the name of its kind in place of all personal data."""
    if isinstance(value, str):
        for kind, pattern in _PII.items():
            value = pattern.sub(f"<{kind}>", value)
        return value
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def _texts_in(body: JSONObject, side: Side) -> list[Any]:
    return [body[key] for key in TEXTS[side] if key in body]
