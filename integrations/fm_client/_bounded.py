"""Memories by the names of endpoints, which may come from anywhere: of too many, the oldest goes."""

from __future__ import annotations

from typing import Any

MOST = 1_000
"""Names that are kept: more than a workspace has endpoints."""


def make_room(memory: dict[Any, Any], name: object) -> None:
    """Let the oldest go, if `name` is to come in addition and there are too many already."""
    if name not in memory and len(memory) >= MOST:
        memory.pop(next(iter(tuple(memory))), None)  # a tuple at one go: other threads add some meanwhile
