"""The least of an adapter for LlamaIndex, to time what importing one costs: classes that do nothing, in a file."""

from __future__ import annotations

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms.function_calling import FunctionCallingLLM


class Model(FunctionCallingLLM):
    @classmethod
    def class_name(cls) -> str:
        return "least"


class Vectors(BaseEmbedding):
    def _get_text_embedding(self, text: str) -> list[float]:
        return []

    def _get_query_embedding(self, query: str) -> list[float]:
        return []

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return []
