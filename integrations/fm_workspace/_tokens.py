"""Token counts, approximately: up to seven letters, three digits, or one other character, with the space before it.

English text comes to about four characters a token, as with the tokenizers of the models; other scripts count one
token a character. The pieces put together are the text again, so a text can be cut at a number of tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

MESSAGE_OVERHEAD = 4
"""Tokens that a chat template adds per message (OpenAI's published rule of thumb)."""
IMAGE_TOKENS = 256
"""What one image, audio or file part counts, whatever its size."""
_PIECE = re.compile(r"\s?(?:[A-Za-z]{1,7}|\d{1,3}|[^\sA-Za-z\d])|\s+")


def pieces(text: str) -> list[str]:
    """`text` cut into tokens.

    >>> pieces("Hello, world!")
    ['Hello', ',', ' world', '!']
    """
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens `text` has."""
    return len(pieces(text))


def count_chat(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None) -> int:
    """Tokens of a chat prompt, tools included."""
    return sum(_count_message(message) for message in messages) + (count(json.dumps(tools)) if tools else 0)


def _count_message(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    calls = message.get("tool_calls")
    return MESSAGE_OVERHEAD + sum(map(_count_part, parts)) + (count(json.dumps(calls)) if calls else 0)


def _count_part(part: Mapping[str, Any]) -> int:
    if part.get("type") == "text":
        return count(part["text"])
    return count(json.dumps(part)) if part.get("type") == "reasoning" else IMAGE_TOKENS
