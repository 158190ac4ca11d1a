"""When a vendor's stream is whole: by what its own wire says, and not by what its answer speaks of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from vendor_clouds import Bedrock, Vertex, frame
from vendor_fakes import Anthropic
from vendor_server import Asked, Turn, sse

from fm_workspace._endings import Ending, EventEnding, FrameEnding

TALK = 'data: {"candidates": [{"finishReason": "STOP"}]}\n{"type": "message_stop"} :event-type messageStop stop_reason'
"""What a model may well say, when it is asked about these formats."""
ASKED = Asked("/", {}, {"model": "m", "messages": [], "stream": True})


def pieces(vendor: str, turn: Turn) -> list[bytes]:
    """The vendor's whole stream, event by event."""
    if vendor == "bedrock":
        with Bedrock() as bedrock:
            return [frame(kind, payload) for kind, payload in bedrock.events(turn)]
    if vendor == "vertex":
        with Vertex() as vertex:
            return list(sse((None, body) for body in vertex.bodies(turn)))
    with Anthropic() as anthropic:
        return list(sse(anthropic.events(ASKED, turn, list(anthropic.blocks(ASKED, turn)))))


def told_in_pieces(vendor: str, stream: bytes) -> set[bool]:
    """What is found, by each size that the stream may come in."""
    found = set()
    for size in [*range(1, 40), len(stream)]:
        ending: Ending = FrameEnding() if vendor == "bedrock" else EventEnding()
        for at in range(0, len(stream), size):
            ending.feed(stream[at : at + size])
        found.add(ending.told)
    return found


@pytest.mark.parametrize("vendor", ["anthropic", "vertex", "bedrock"])
@pytest.mark.parametrize("tool", [None, "get_weather"])
def test_the_end_is_seen_however_the_stream_is_cut(vendor: str, tool: str | None) -> None:
    assert told_in_pieces(vendor, b"".join(pieces(vendor, Turn("Hello", tool=tool)))) == {True}


@pytest.mark.parametrize(
    ("vendor", "end"),
    [("anthropic", b'"stop_reason": "'), ("vertex", b'"finishReason": "'), ("bedrock", b"messageStop")],
)
def test_what_the_text_says_is_no_end(vendor: str, end: bytes) -> None:
    whole = pieces(vendor, Turn(TALK))
    last = max(at for at, piece in enumerate(whole) if end in piece)
    if vendor == "vertex":  # its last piece of text brings the end along
        whole[last] = whole[last].replace(b', "finishReason": "STOP"', b"")
        last += 1
    stream = b"".join(whole[:last])
    assert json.dumps(TALK)[1:-1].partition(" ")[2].encode() in stream, "the text is all there"
    assert told_in_pieces(vendor, stream) == {False}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"candidates": [{"content": {"parts": [{"text": "x"}]}}]}, False),
        ({"candidates": [{"content": {"parts": [{"functionCall": {"args": {"finishReason": "x"}}}]}}]}, False),
        ({"candidates": [{"finishReason": "MAX_TOKENS"}]}, True),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
        ({"choices": [{"delta": {"content": "x"}, "finish_reason": None}]}, False),
        ({"choices": [{"delta": {}, "finish_reason": "length"}]}, True),
        ({"type": "message_start", "message": {"stop_reason": None}}, False),
        ({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}, True),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "stop_reason"}}, False),
        (["finishReason"], False),
        ({"candidates": "finishReason", "choices": {"finish_reason": 1}, "delta": ["stop_reason"]}, False),
    ],
)
def test_what_counts_as_an_end(said: Any, told: bool) -> None:
    ending = EventEnding()
    ending.feed(f"data: {json.dumps(said)}\r\n\r\n".encode())
    assert ending.told is told
