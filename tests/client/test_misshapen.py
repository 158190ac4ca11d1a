"""Answers with one thing wrong in them, wherever it may be: an answer all the same, or an error of ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fault_server import chat, delta, event

from fm_client import FMError
from fm_client._items_parser import ItemStreamParser, items_response
from fm_client._responses import StreamParser, chat_response
from fm_client._wire import Reply
from fm_client.types import ChatChunk

JUNK: list[Any] = [None, -1, "x", [5], [[1]], {"x": [5]}]
STRAY = (
    "messages",
    "choices",
    "delta",
    "usage",
    "finish_reason",
    "tool_calls",
    "content",
    "response",
    "item",
    "summary",
)
"""Fields that mean something elsewhere."""
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
SAID = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a", "signature": "s"}]}]
STEPS = [
    {"role": "assistant", "content": "", "id": "m1", "tool_calls": [CALL]},
    {"role": "tool", "content": "4", "id": "t1", "tool_call_id": "call_1"},
    {"role": "assistant", "content": "It is 4.", "id": "m2"},
]
ITEMS = [
    {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "a"}], "encrypted_content": "s"},
    {"type": "function_call", "id": "f1", "call_id": "call_1", "name": "add", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "4"},
    {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]},
]
ANSWER = {"id": "resp_1", "status": "completed", "output": ITEMS, "usage": {"input_tokens": 5, "output_tokens": 7}}
WHOLE: dict[str, tuple[Callable[[Reply, str], Any], Any]] = {
    "chat": (chat_response, chat(tool_calls=[CALL])),
    "agent": (chat_response, {"messages": STEPS, "finish_reason": "stop", "usage": USAGE}),
    "responses": (items_response, ANSWER),
}
STREAMS: dict[str, tuple[type[StreamParser], list[Any]]] = {
    "chat": (StreamParser, [delta(SAID), delta("a", tool_calls=[{"index": 0, **CALL}]), delta(finish="stop", usage=USAGE)]),
    "agent": (StreamParser, [*({"delta": step} for step in STEPS), {"delta": {}, "finish_reason": "stop"}]),
    "responses": (
        ItemStreamParser,
        [
            {"type": "response.output_text.delta", "item_id": "m0", "output_index": 0, "delta": "a"},
            *({"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate(ITEMS)),
            {"type": "response.completed", "response": ANSWER},
        ],
    ),
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside `value`, and to each field that could stand in it."""
    if isinstance(value, dict):
        yield from ((*path, name) for name in STRAY if name not in value)
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def spoilt(value: Any) -> Iterator[Any]:
    """`value`, with each kind of junk in each place."""
    for path in places(value):
        for junk in JUNK:
            changed = copy.deepcopy(value)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = junk
            yield changed


def looked_at(answer: Any) -> None:
    """What a caller would ask of an answer."""
    assert isinstance(answer.text, str) and isinstance(answer.tool_calls, list)
    assert (answer.message, answer.finish_reason, repr(answer)) is not None


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_answer(kind: str) -> None:
    read, good = WHOLE[kind]
    looked_at(read(Reply(200, {}, json.dumps(good).encode()), "ep"))
    for answer in spoilt(good):
        try:
            looked_at(read(Reply(200, {}, json.dumps(answer).encode()), "ep"))
        except FMError:
            pass
        except Exception as exc:  # noqa: BLE001 - the test is that there is none
            pytest.fail(f"{exc!r} for {answer}")


def stream_of(cls: type[StreamParser], events: list[Any]) -> StreamParser:
    reply = Reply(200, {"content-type": "text/event-stream"})
    parser = cls(ChatChunk, reply, "ep", stream_end="either", limit=1_000_000)
    chunks = parser.feed(b"".join(map(event, events)))
    if not parser.done and parser.failure is None:
        chunks += parser.feed(b"")
    assert all(isinstance(chunk.text, str) for chunk in chunks)
    looked_at(chunks[-1].response if parser.done else parser.partial())
    return parser


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream(kind: str) -> None:
    cls, good = STREAMS[kind]
    assert stream_of(cls, good).done
    for events in spoilt(good):
        try:
            stream_of(cls, events)
        except Exception as exc:  # noqa: BLE001 - a parser never raises: it says what ended it
            pytest.fail(f"{exc!r} for {events}")
