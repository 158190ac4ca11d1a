"""`FoundationModelEmbedding`: an embedding endpoint as an embedding model of LlamaIndex."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from inspect import unwrap
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding, mean_agg
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.embeddings.loading import RECOGNIZED_EMBEDDINGS

from fm_client import AsyncClient, Client, Clients, EmbeddingResponse, Usage, profile_for

from ._cache import KeyedCache, are_queries, as_queries
from ._connection import Connected, one_name
from ._progress import bar, reporter

BATCH_SIZE = 2048
"""Texts that LlamaIndex hands over at once (its maximum): the core splits them as the endpoint needs it."""
WORKERS = 2
"""Such batches in flight at once in async calls; the core keeps several requests of each going."""

Aggregate = Callable[..., Embedding]
_query: Callable[..., Embedding] = unwrap(BaseEmbedding.get_query_embedding)
_aquery: Callable[..., Awaitable[Embedding]] = unwrap(BaseEmbedding.aget_query_embedding)
_batch: Callable[..., list[Embedding]] = unwrap(BaseEmbedding.get_text_embedding_batch)
_abatch: Callable[..., Awaitable[list[Embedding]]] = unwrap(BaseEmbedding.aget_text_embedding_batch)


class Meter:
    """A sum of usages. A copy starts with the same sum; a pickle too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prompt = self._total = 0

    def add(self, usage: Usage) -> None:
        """Count one call."""
        with self._lock:
            self._prompt += usage.input_tokens
            self._total += usage.sum_tokens

    @property
    def total(self) -> Usage:
        """The sum so far."""
        with self._lock:
            return Usage(prompt_tokens=self._prompt, completion_tokens=0, total_tokens=self._total)

    def __getstate__(self) -> tuple[int, int]:
        return self._prompt, self._total

    def __setstate__(self, state: tuple[int, int]) -> None:
        self._lock = threading.Lock()
        self._prompt, self._total = state


class FoundationModelEmbedding(Connected, BaseEmbedding):
    """An embedding model behind a serving endpoint.

    >>> embed_model = FoundationModelEmbedding("databricks-gte-large-en", host="local", normalize=True)
    >>> len(embed_model.get_text_embedding("hello"))
    1024

    `model` (or `endpoint`, or `model_name`) names the endpoint; `host`, `token`, `profile` and `client` are as for
    `FoundationModelLLM`. Queries are sent with `query_instruction`: None means the one that the model's makers
    document, if any (BGE, Qwen3), "" means none. Texts are sent with `text_instruction`, by default none.
    Settings that only tune (`timeout`, `max_retries`, batch size, workers) are in no dump, so that an ingestion cache
    outlives their change.
    """

    query_instruction: str | None = Field(default=None, description="For queries; None: the model's own.")
    text_instruction: str | None = Field(default=None, description="For texts.")
    dimensions: int | None = Field(default=None, gt=0, description="Length of the vectors, where it can be chosen.")
    normalize: bool = Field(default=False, description="Scale each vector to length 1.")
    embed_batch_size: int = Field(default=BATCH_SIZE, gt=0, le=2048, exclude=True)
    num_workers: int | None = Field(default=WORKERS, exclude=True)
    embeddings_cache: Any | None = Field(default=None, exclude=True)

    _meter: Meter = PrivateAttr(default_factory=Meter)

    def __init__(
        self,
        model: str | None = None,
        *,
        endpoint: str | None = None,
        model_name: str | None = None,
        token: Any = None,
        client: Client | AsyncClient | Clients | None = None,
        **fields: Any,
    ) -> None:
        fields["model_name"] = one_name(model=model, endpoint=endpoint, model_name=model_name)
        super().__init__(**fields)
        self._connect(client, token)
        if self.embeddings_cache is not None:
            self.embeddings_cache = self._keyed(self.embeddings_cache)

    @classmethod
    def class_name(cls) -> str:
        """The id of this class in dumps and registries."""
        return "FoundationModelEmbedding"

    @property
    def model(self) -> str:
        """The endpoint: `model_name`, as LlamaIndex calls it."""
        return self.model_name

    @property
    def usage(self) -> Usage:
        """What all calls of this object have used, as the service counted it; safe to read from any thread."""
        return self._meter.total

    # Each is reported as one call: what it adds to the base class's goes around that one's undecorated function.

    def get_query_embedding(self, query: str) -> Embedding:
        """The vector of a query."""
        with as_queries():
            return _query(self, query)

    async def aget_query_embedding(self, query: str) -> Embedding:
        """The vector of a query."""
        with as_queries():
            return await _aquery(self, query)

    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Embedding]:
        """The vectors of any number of texts, in their order."""
        with bar(len(texts), shown=show_progress):
            return _batch(self, texts, **kwargs)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """The vectors of any number of texts, in their order."""
        with bar(len(texts), shown=show_progress):
            return await _abatch(self, texts, **kwargs)

    def get_agg_embedding_from_queries(self, queries: list[str], agg_fn: Aggregate | None = None) -> Embedding:
        """One vector for several queries, which are sent together: their mean, or what `agg_fn` makes of theirs."""
        with as_queries():
            vectors = self.get_text_embedding_batch(queries)
        return (agg_fn or mean_agg)(vectors)

    async def aget_agg_embedding_from_queries(self, queries: list[str], agg_fn: Aggregate | None = None) -> Embedding:
        """One vector for several queries, which are sent together: their mean, or what `agg_fn` makes of theirs."""
        with as_queries():
            vectors = await self.aget_text_embedding_batch(queries)
        return (agg_fn or mean_agg)(vectors)

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([query], self._query_instruction)[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([query], self._query_instruction))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed([text], self.text_instruction)[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aembed([text], self.text_instruction))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed(texts, self._instruction)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed(texts, self._instruction)

    def _embed(self, texts: list[str], instruction: str | None) -> list[Embedding]:
        if not texts:
            return []
        return self._counted(self._clients.sync.embed(self.model_name, texts, **self._params(instruction)))

    async def _aembed(self, texts: list[str], instruction: str | None) -> list[Embedding]:
        if not texts:
            return []
        return self._counted(await self._clients.aio.embed(self.model_name, texts, **self._params(instruction)))

    def _params(self, instruction: str | None) -> Any:
        fields = {"instruction": instruction or None, "dimensions": self.dimensions, "normalize": self.normalize}
        return self._merged(fields, {"on_progress": reporter()})

    def _counted(self, response: EmbeddingResponse) -> list[Embedding]:
        self._meter.add(response.usage)
        return response.vectors

    @property
    def _instruction(self) -> str | None:
        """Of a batch, which may be one of queries."""
        return self._query_instruction if are_queries() else self.text_instruction

    @property
    def _query_instruction(self) -> str | None:
        if self.query_instruction is not None:
            return self.query_instruction
        return profile_for(self.model_name).get("query_instruction")

    def _keyed(self, cache: Any) -> KeyedCache:
        store = cache.store if isinstance(cache, KeyedCache) else cache
        vector = self.model_dump(include={"model_name", "host", "profile", "dimensions", "normalize", "extra_body"})
        query = {**vector, "instruction": self._query_instruction}
        return KeyedCache(store, query, {**vector, "instruction": self.text_instruction})


FoundationModelEmbedding.__module__ = "llamaindex_fm"  # as for the LLM
RECOGNIZED_EMBEDDINGS[FoundationModelEmbedding.class_name()] = FoundationModelEmbedding
