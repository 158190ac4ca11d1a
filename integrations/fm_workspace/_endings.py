"""Whether a vendor's stream is whole: what its own wire says at the end of an answer, looked for in the bytes.

A connection that closes early looks like the end of a stream, and what reads it on the way may make up the finish
reason. Only the vendor's own word counts.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

_HINTS = (b"finishReason", b"finish_reason", b"blockReason", b"stop_reason", b"message_stop")
"""One of them is in every line that may end an answer; the other lines are not parsed."""
_STOP_FRAME = b":event-type\x07\x00\x0bmessageStop"
"""A header of Amazon's event stream. Its length in binary keeps texts, which are JSON, from looking like it."""


class Ending(Protocol):
    """Looks for the end of an answer in the pieces of a stream, however they are cut."""

    told: bool
    """Whether the vendor has said that its answer is over."""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""


class EventEnding:
    """The end of server-sent events: Google's, Anthropic's, OpenAI's.

    >>> ending = EventEnding()
    >>> ending.feed(b'data: {"candidates": [{"finishRea')
    >>> ending.feed(b'son": "STOP"}]}' + bytes([10]))
    >>> ending.told
    True
    """

    def __init__(self) -> None:
        self.told = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.told = self.told or any(map(_ends, lines)) or _ends(self._rest)


class FrameEnding:
    """The end of Amazon's event stream, which is binary."""

    def __init__(self) -> None:
        self.told = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        seen = self._rest + data
        self.told = self.told or _STOP_FRAME in seen
        self._rest = seen[-len(_STOP_FRAME) :]


def _ends(line: bytes) -> bool:
    if not line.startswith(b"data:") or not any(hint in line for hint in _HINTS):
        return False
    try:
        said = json.loads(line[5:])
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and (_google_ends(said) or _anthropic_ends(said) or _openai_ends(said))


def _google_ends(said: dict[str, Any]) -> bool:
    """A candidate that is over, or a prompt that was blocked and gets none."""
    over = any(candidate.get("finishReason") for candidate in _objects(said.get("candidates")))
    return over or any(feedback.get("blockReason") for feedback in _objects([said.get("promptFeedback")]))


def _anthropic_ends(said: dict[str, Any]) -> bool:
    return said.get("type") == "message_stop" or any(
        delta.get("stop_reason") for delta in _objects([said.get("delta")])
    )


def _openai_ends(said: dict[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in _objects(said.get("choices")))


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
