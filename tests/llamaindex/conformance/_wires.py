"""What a service may answer in OpenAI's format, as scripts for the server of the kit."""

from __future__ import annotations

from typing import Any

from fault_server import DONE, Answer, chat, chunked, delta, event, reply


def call(index: int, id_: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    """A piece of a tool call."""
    head = {"id": id_, "type": "function"} if id_ else {}
    return {"index": index, **head, "function": {**({"name": name} if name else {}), "arguments": arguments}}


def streamed(*deltas: dict[str, Any], finish: str = "stop", usage: bool = True) -> Answer:
    """A stream of such chunks, with the usage in a chunk of its own at the end."""
    last = {**delta(""), "choices": [], "usage": USAGE}
    events = [*map(event, deltas), event(delta("", finish=finish)), *([event(last)] if usage else [])]
    return chunked(*events, DONE)


def thought(text: str, **more: str) -> list[dict[str, Any]]:
    """Reasoning as a list of parts."""
    return [{"type": "reasoning", "summary": [{"type": "summary_text", "text": text, **more}]}]


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
FIRST, SECOND = '{"a": 1, "b": 2}', '{"a": 3, "b": 4}'
TWO_CALLS = {
    "one after the other": streamed(
        delta(tool_calls=[call(0, "c0", "add", FIRST)]), delta(tool_calls=[call(1, "c1", "add", SECOND)])
    ),
    "in one chunk": streamed(delta(tool_calls=[call(0, "c0", "add", FIRST), call(1, "c1", "add", SECOND)])),
    "interleaved": streamed(
        delta(tool_calls=[call(0, "c0", "add")]),
        delta(tool_calls=[call(1, "c1", "add")]),
        delta(tool_calls=[call(0, arguments=FIRST[:7])]),
        delta(tool_calls=[call(1, arguments=SECOND[:7])]),
        delta(tool_calls=[call(0, arguments=FIRST[7:])]),
        delta(tool_calls=[call(1, arguments=SECOND[7:])]),
    ),
}
"""Two parallel tool calls, as streams may cut them."""

PARTS = [*thought("let me see", signature="sig"), {"type": "text", "text": "four"}]
WHOLE_THOUGHTS = {
    "list of parts": reply(200, chat(PARTS)),  # type: ignore[arg-type]  # content may be a list
    "reasoning_content": reply(200, chat("four", reasoning_content="let me see")),
}
STREAMED_THOUGHTS = {
    "list of parts": streamed(delta(thought("let me ")), delta(thought("see", signature="sig")), delta("four")),
    "reasoning_content": streamed(delta(reasoning_content="let me "), delta(reasoning_content="see"), delta("four")),
}
BUSY = reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}, retry_after="0")
REFUSED = reply(400, {"error_code": "BAD_REQUEST", "message": "this cannot be"})
CUT = chunked(event(delta("half an")), end="cut")


def two_whole_calls() -> Answer:
    """A whole answer with two tool calls."""
    made = [
        {k: v for k, v in call(i, f"c{i}", "add", text).items() if k != "index"}
        for i, text in enumerate((FIRST, SECOND))
    ]
    answer = chat("", tool_calls=made)
    answer["choices"][0]["finish_reason"] = "tool_calls"
    return reply(200, answer)
