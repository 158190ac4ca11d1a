"""Ours, in the conformance kit."""

from __future__ import annotations

from typing import Any

import pytest
from conformance import (
    EmbeddingConformance,
    EmbeddingWireConformance,
    LLMConformance,
    LLMWireConformance,
)

from fm_workspace import Workspace
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

LLAMA = "databricks-meta-llama-3-3-70b-instruct"


class OnWorkspace:
    """With the workspace's token in the environment, where loaded models find it."""

    @pytest.fixture(autouse=True)
    def _workspace(self, ws: Workspace) -> None:
        self.host, self.secret, self.environment = ws.host, ws.token, {"DATABRICKS_TOKEN": ws.token}


class TestLLM(OnWorkspace, LLMConformance):
    window = 128_000

    def make(self, **fields: Any) -> FoundationModelLLM:
        return FoundationModelLLM(LLAMA, **{"host": self.host, "token": self.secret, **fields})


class TestEmbedding(OnWorkspace, EmbeddingConformance):
    dimension = 1024
    instructions = {"query_instruction": "find:"}  # noqa: RUF012  # declared as such in the suite
    tuning = (*EmbeddingConformance.tuning, {"timeout": 5}, {"max_retries": 0})

    def make(self, **fields: Any) -> FoundationModelEmbedding:
        return FoundationModelEmbedding(
            "databricks-gte-large-en", **{"host": self.host, "token": self.secret, **fields}
        )

    def rotated(self) -> FoundationModelEmbedding:
        return self.make(token="another")


class TestLLMWire(LLMWireConformance):
    def make_at(self, host: str, **fields: Any) -> FoundationModelLLM:
        given = {"model": "e", "host": host, "token": self.secret, "task": "llm/v1/chat", **fields}
        return FoundationModelLLM(**given)

    def make_without_token(self, host: str) -> FoundationModelLLM:
        return FoundationModelLLM("e", host=host)


class TestEmbeddingWire(EmbeddingWireConformance):
    def make_at(self, host: str, **fields: Any) -> FoundationModelEmbedding:
        return FoundationModelEmbedding("e", host=host, token=self.secret, **fields)
