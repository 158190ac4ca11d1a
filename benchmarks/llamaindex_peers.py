"""The official Databricks package for LlamaIndex, in our conformance kit. Run by `llamaindex_conformance`, not alone.

Both classes are set up as well as their user can: what the LLM takes for unknown (window, tools) is given by hand.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from conformance import EmbeddingConformance, EmbeddingWireConformance, LLMConformance, LLMWireConformance
from llama_index.embeddings.databricks import DatabricksEmbedding
from llama_index.llms.databricks import Databricks

HOST, TOKEN = os.environ["KIT_HOST"], os.environ["KIT_TOKEN"]
LLAMA, GTE = "databricks-meta-llama-3-3-70b-instruct", "databricks-gte-large-en"
KNOWN = {"is_function_calling_model": True, "context_window": 128_000}


def base(host: str) -> str:
    return f"{host}/serving-endpoints"


class OnWorkspace:
    secret = TOKEN
    environment: ClassVar = {"DATABRICKS_TOKEN": TOKEN, "DATABRICKS_SERVING_ENDPOINT": base(HOST)}


class TestLLM(OnWorkspace, LLMConformance):
    window = 128_000

    def make(self, **fields: Any) -> Databricks:
        return Databricks(**{"model": LLAMA, "api_base": base(HOST), "api_key": TOKEN, **KNOWN, **fields})


class TestEmbedding(OnWorkspace, EmbeddingConformance):
    dimension = 1024
    tuning = (*EmbeddingConformance.tuning, {"timeout": 5}, {"max_retries": 0})

    def make(self, **fields: Any) -> DatabricksEmbedding:
        return DatabricksEmbedding(**{"model": GTE, "endpoint": base(HOST), "api_key": TOKEN, **fields})

    def rotated(self) -> DatabricksEmbedding:
        return self.make(api_key="another")


class TestLLMWire(LLMWireConformance):
    def make_at(self, host: str, **fields: Any) -> Databricks:
        return Databricks(**{"model": "e", "api_base": base(host), "api_key": self.secret, **KNOWN, **fields})

    def make_without_token(self, host: str) -> Databricks:
        return Databricks(model="e", api_base=base(host), **KNOWN)


class TestEmbeddingWire(EmbeddingWireConformance):
    def make_at(self, host: str, **fields: Any) -> DatabricksEmbedding:
        return DatabricksEmbedding(**{"model": "e", "endpoint": base(host), "api_key": self.secret, **fields})
