"""Optional fields that a route refuses are left out, once found out, and the caller is told."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ._context import Context
from ._errors import BadRequestError, UnprocessableEntityError
from ._tool_calls import have_calls_together, one_call_each
from ._wire import Flow
from .types._base import JSONObject

T = TypeVar("T")

DROPPABLE = (
    "stream_options",
    "parallel_tool_calls",
    "reasoning_effort",
    "reasoning",
    "frequency_penalty",
    "presence_penalty",
    "encoding_format",
    "top_logprobs",
    "logprobs",
    "temperature",
    "top_p",
    "top_k",
    "strict",
    "seed",
    "user",
)
"""Fields without which the answer still answers the question; messages, tools, stop, limits and formats are none."""

TOGETHER = "several tool calls in one message"
"""No field, but a form that some models refuse (GPT OSS, in a conversation that went on elsewhere): one call each."""
_OURS = ("stream_options", "encoding_format", TOGETHER)
"""How things are sent, not what is said: their loss is none to the caller."""
_NEEDED_BY = {"logprobs": ("top_logprobs",)}
"""What has no meaning without a field."""
_VALUES = r"(?i)supported values|allowed values|must be one of|invalid value"
_REFUSAL = (
    r"(?i)unknown field|unrecogni[sz]ed|unsupported|not supported|does not support|doesn't support|not permitted|"
    r"extra inputs|unexpected|not allowed|no longer support|deprecated"
)
_SEVERAL_CALLS = r"(?i)multiple tool calls (?:are |is )?not supported"


class DroppedParameterWarning(UserWarning):
    """A route refused an optional field; the request was sent again without it."""


def negotiated(
    context: Context, endpoint: str, body: JSONObject, call: Callable[[JSONObject], Flow[T]]
) -> Flow[tuple[T, tuple[str, ...]]]:
    """`call(body)`, without the fields that `endpoint` refuses; returns its result and the fields left out."""
    strict = context.settings.strict_params
    refused = context.refused.setdefault(endpoint, set())
    dropped: tuple[str, ...] = ()
    if refused and not strict:
        dropped = tuple(name for name in (*DROPPABLE, TOGETHER) if name in refused and has(body, name))
    for name in dropped:
        body = without(body, name)
    while True:
        try:
            result = yield from call(body)
        except (BadRequestError, UnprocessableEntityError) as error:
            failure = error
        else:
            refused.update(dropped)  # only now is it known that their absence cures it
            return result, tuple(name for name in dropped if name not in _OURS)
        found = None if strict else refused_field(failure.message, body)
        if found is None:
            raise failure
        for name in (found, *_NEEDED_BY.get(found, ())):
            if has(body, name):
                dropped, body = (*dropped, name), without(body, name)
        if found not in _OURS:
            warnings.warn(_text(endpoint, found), DroppedParameterWarning, stacklevel=2)


def refused_field(message: str, body: Mapping[str, Any]) -> str | None:
    """The optional field of `body` that an error message refuses by name, or the form of its tool calls."""
    if re.search(_SEVERAL_CALLS, message) and has(body, TOGETHER):
        return TOGETHER
    if re.search(_VALUES, message):
        return None
    return next((name for name in DROPPABLE if has(body, name) and _refuses(message, name)), None)


def _refuses(message: str, name: str) -> bool:
    """Whether the field itself is refused: 'unknown field "seed"', 'seed: not permitted', 'does not support seed'.

    A name that merely stands in the text is none of that: 'user' may be a role, and a refused value is the caller's.
    """
    ways = (
        rf"\b(?:field|parameter|param|argument|property|key|input)s?\W{{1,4}}{name}\b",
        rf"\b{name}\b[\"'`]?\s*:?\s*(?:is |are )?(?:not |no longer |un|extra |deprecated)",
        rf"\bsupport(?:s|ed)?\W{{1,3}}(?:the )?[\"'`]?{name}\b",
        rf"\b{name}\b.*only the default",
    )
    refusing = re.search(_REFUSAL, message) is not None
    return refusing and any(re.search(way, message, re.IGNORECASE | re.DOTALL) for way in ways)


def has(body: Mapping[str, Any], name: str) -> bool:
    """Whether the body has the field; `strict` is one of its tools' functions."""
    if name == TOGETHER:
        return have_calls_together(body.get("messages"))
    if name == "strict":
        return any("strict" in _function_of(tool) for tool in _tools(body))
    return name in body


def without(body: Mapping[str, Any], name: str) -> JSONObject:
    """A copy of the body without the field."""
    if name == TOGETHER:
        return {**body, "messages": one_call_each(body["messages"])}
    if name != "strict":
        return {key: value for key, value in body.items() if key != name}
    return {**body, "tools": [_loose(tool) for tool in _tools(body)]}


def _tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tools, if they are such: `extra_body` may hold anything under that name."""
    tools = body.get("tools")
    fit = isinstance(tools, (list, tuple)) and all(isinstance(tool, Mapping) for tool in tools)
    return list(tools) if fit and tools else []


def _function_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where `strict` stands: in a tool's function, or (in the Responses API) in the tool itself."""
    function = tool.get("function")
    return function if isinstance(function, Mapping) else tool


def _loose(tool: Mapping[str, Any]) -> JSONObject:
    loose = {key: value for key, value in _function_of(tool).items() if key != "strict"}
    return loose if _function_of(tool) is tool else {**tool, "function": loose}


def _text(endpoint: str, name: str) -> str:
    return (
        f"endpoint {endpoint!r} refused the field {name!r}: it was left out, and will be from now on. "
        "strict_params=True makes it an error instead"
    )
