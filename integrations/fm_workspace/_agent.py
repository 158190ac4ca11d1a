"""The agent behind agent endpoints: the simulated engine, with two tools of its own that it runs itself."""

from __future__ import annotations

import ast
import asyncio
import json
import operator
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _tokens
from ._engine import Answer, Events, JSONObject, Query, Whole
from ._extract import content_text
from ._items import as_chat
from ._items_out import call_item, message_item, result_item
from ._quirks import AGENT_TASKS
from ._rendering import DONE, TOKENS_PER_CHUNK, Call, event, grouped
from ._simulated import output_of

MAX_SUM_CHARS = 500
_SUM = re.compile(r"(?<![\w.])\d[\d.]*(?:\s*[-+*/x]\s*\d[\d.]*)+")
_OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the agent says."""

    text: str


@dataclass(frozen=True, slots=True)
class Ran:
    """A tool that the agent has called, and its result."""

    call: Call
    result: str


Step = Said | Ran


class Agent:
    """Answers agent endpoints, in either of the two forms.

    It works out sums and counts words by calling a tool, so that such an answer has several messages: one that
    announces the calls, the calls, their results, and the answer. Anything else gets one message.
    """

    async def answer(self, query: Query) -> Answer:
        """The answer to one query."""
        body = query.body
        chat = as_chat(body) if query.task == AGENT_TASKS["responses-agent"] else body
        steps = list(_steps(query, chat))
        prompt_tokens = _tokens.count_chat(chat["messages"])
        render = _Rendered(query, steps, prompt_tokens)
        if query.task == AGENT_TASKS["responses-agent"]:
            return Events(_sent(render.item_events())) if query.stream else Whole(render.items())
        return Events(_sent(render.message_chunks())) if query.stream else Whole(render.messages())

    async def aclose(self) -> None:
        """There is nothing to let go of."""


def _steps(query: Query, chat: JSONObject) -> Iterator[Step]:
    """What the agent does, in order."""
    asked = next((content_text(m) for m in reversed(chat["messages"]) if m["role"] == "user"), "")
    calls = list(_wanted(asked))
    if not calls:
        yield Said(output_of(query, {"messages": chat["messages"]}).text)
        return
    yield Said(f"I will use {' and '.join(dict.fromkeys(name for name, _ in calls))}.")
    results = []
    for name, arguments in calls:
        call = Call(f"call_{uuid.uuid4().hex[:24]}", name, json.dumps(arguments, ensure_ascii=False))
        results.append(TOOLS[name](**arguments))
        yield Ran(call, results[-1])
    yield Said(" ".join(results))


def _wanted(text: str) -> Iterator[tuple[str, JSONObject]]:
    for found in _SUM.findall(text):
        yield "calculate", {"expression": found.strip()}
    if re.search(r"how many words|count (?:the |all )?words", text, re.IGNORECASE):
        yield "count_words", {"text": text.rpartition(":")[2].strip()}


def calculate(expression: str) -> str:
    """The value of a sum.

    >>> calculate("2 + 3 * 4")
    '2 + 3 * 4 = 14.'
    """
    if len(expression) > MAX_SUM_CHARS:
        return "The sum is too long to be worked out."
    try:
        value = _value(ast.parse(expression.replace("x", "*"), mode="eval").body)
        return f"{expression} = {value:.12g}."
    except (ArithmeticError, SyntaxError, ValueError) as exc:
        return f"{expression} cannot be worked out ({type(exc).__name__})."


def count_words(text: str) -> str:
    """How many words a text has."""
    return f"The text has {len(text.split())} words."


TOOLS: Mapping[str, Callable[..., str]] = {"calculate": calculate, "count_words": count_words}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    raise ValueError("no number")


class _Rendered:
    """The steps of an agent in the two forms, whole and streamed."""

    def __init__(self, query: Query, steps: Sequence[Step], prompt_tokens: int) -> None:
        self._query, self._steps, self._prompt = query, steps, prompt_tokens

    def messages(self) -> JSONObject:
        """An answer of a chat agent."""
        return {"messages": list(self._messages()), "finish_reason": "stop", "usage": self._usage(), **self._beside()}

    def message_chunks(self) -> Iterator[JSONObject]:
        """The same in chunks: texts in pieces of one id, calls and results whole, the end on an empty piece."""
        messages = list(self._messages())
        for message in messages:
            whole = message["role"] == "tool" or message.get("tool_calls")
            pieces = (
                [message["content"]] if whole else [piece for piece, _ in grouped(message["content"], TOKENS_PER_CHUNK)]
            )
            for piece in pieces:
                yield {"delta": {**message, "content": piece}}
        last = {"delta": {**messages[-1], "content": ""}, "finish_reason": "stop"}
        yield {**last, "usage": self._usage(), **self._beside()}

    def items(self) -> JSONObject:
        """An answer of a Responses agent."""
        usage = self._usage()
        counts = {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        }
        head = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "model": self._query.model,
            "status": "completed",
        }
        return {**head, "output": list(self._items()), "usage": counts, **self._beside()}

    def item_events(self) -> Iterator[JSONObject]:
        """The same as agents stream it: texts in pieces, then each item whole, and no word about the end."""
        items = list(self._items())
        for item in items:
            text = item["content"][0]["text"] if item["type"] == "message" else ""
            for piece, _ in grouped(text, TOKENS_PER_CHUNK):
                yield {"type": "response.output_text.delta", "item_id": item["id"], "delta": piece}
            beside = self._beside() if item is items[-1] else {}
            yield {"type": "response.output_item.done", "item": item, **beside}

    def _messages(self) -> Iterator[JSONObject]:
        for step in self._steps:
            if isinstance(step, Said):
                yield {"role": "assistant", "content": step.text, "id": self._id()}
                continue
            call = step.call
            function = {"name": call.name, "arguments": call.arguments}
            calls = [{"id": call.id, "type": "function", "function": function}]
            yield {"role": "assistant", "content": "", "id": self._id(), "tool_calls": calls}
            yield {"role": "tool", "content": step.result, "id": self._id(), "name": call.name, "tool_call_id": call.id}

    def _items(self) -> Iterator[JSONObject]:
        for step in self._steps:
            if isinstance(step, Said):
                yield message_item(step.text)
            else:
                yield call_item(step.call)
                yield result_item(step.call.id, step.result)

    def _usage(self) -> JSONObject:
        texts = [step.text if isinstance(step, Said) else step.call.arguments for step in self._steps]
        spent = sum(map(_tokens.count, texts))
        return {"prompt_tokens": self._prompt, "completion_tokens": spent, "total_tokens": self._prompt + spent}

    def _beside(self) -> JSONObject:
        """What agents give besides their answer: what they were given, and the trace that was asked for."""
        body = self._query.body
        found: JSONObject = {}
        if body.get("custom_inputs") is not None:
            found["custom_outputs"] = {"custom_inputs": body["custom_inputs"], "steps": len(self._steps)}
        if (body.get("databricks_options") or {}).get("return_trace"):
            spans = [{"name": step.call.name if isinstance(step, Ran) else "answer"} for step in self._steps]
            found["databricks_output"] = {"trace": {"info": {"state": "OK"}, "data": {"spans": spans}}}
        return found

    def _id(self) -> str:
        return str(uuid.uuid4())


async def _sent(payloads: Iterator[JSONObject]) -> AsyncIterator[bytes]:
    for payload in payloads:
        yield event(payload)
        await asyncio.sleep(0)  # others get their turn, and a client that has gone is noticed
    yield DONE
