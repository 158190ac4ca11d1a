"""What the adapters of the floors answer: what the server of the benchmark would, without asking it."""

from __future__ import annotations

from ._server import vectors

CHUNKS = 0
"""Chunks of a stream; set by who measures, as the server's mode is."""


def same(count: int) -> list[list[float]]:
    made = vectors(1024)
    return [made[i % len(made)] for i in range(count)]
