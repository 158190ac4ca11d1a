"""Embeddings (task `llm/v1/embeddings`)."""

from __future__ import annotations

from pydantic import Field

from .usage import Served, Usage


class EmbeddingResponse(Served):
    """The vectors of any number of texts, in the order of the texts.

    `vectors[i]` (floats, one dimension for all) belongs to input `i`; `usage` is summed over all requests it took.
    """

    model: str | None = None
    vectors: list[list[float]] = Field(default_factory=list)
    usage: Usage = Field(default_factory=Usage)

    @property
    def dimension(self) -> int:
        """Length of each vector; 0 if there are none."""
        return len(self.vectors[0]) if self.vectors else 0
