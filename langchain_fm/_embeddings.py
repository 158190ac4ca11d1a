"""`FoundationModelEmbeddings`: vectors of texts (task `llm/v1/embeddings`)."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings

from fm_client import EmbedParams, profile_for

from ._config import CONFIG, Connection
from ._errors import model_errors


class FoundationModelEmbeddings(Connection, Embeddings):
    """An embedding model behind a serving endpoint.

    >>> embeddings = FoundationModelEmbeddings(model="databricks-gte-large-en", host="local", normalize=True)
    >>> len(embeddings.embed_query("A text"))
    1024

    Any number of texts: they are split into requests, several at a time, and come back in their order, checked.
    """

    model_config = CONFIG

    model: str
    query_instruction: str | None = None
    """Sent with queries. None: the one that is documented for the hosted model (BGE and Qwen3 have one); "": none."""
    document_instruction: str | None = None
    """Sent with documents."""
    dimensions: int | None = None
    """Length of the vectors, where the model lets one choose."""
    normalize: bool = False
    """Scale each vector to length 1, on this side. GTE's come as they are, BGE's have length 1 already."""
    batch_size: int | None = None
    """Most texts in one request (default 100); a batch that the service refuses as too large is halved."""
    extra_body: dict[str, Any] | None = None
    """Further fields of the request body, sent as they are."""
    query_params: dict[str, Any] | None = None
    """The same, for queries only: {"input_type": "search_query"} for Cohere."""
    documents_params: dict[str, Any] | None = None
    """The same, for documents only."""
    show_progress: bool = False
    """Draw a progress bar on stderr while documents are embedded (needs tqdm)."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of documents."""
        return self._embed(texts, self._documents)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        return self._embed([text], self._query)[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of documents."""
        return await self._aembed(texts, self._documents)

    async def aembed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        return (await self._aembed([text], self._query))[0]

    def _embed(self, texts: list[str], params: EmbedParams) -> list[list[float]]:
        if not texts:
            return []
        with model_errors():
            return self.clients.sync.embed(self.model, texts, **params).vectors

    async def _aembed(self, texts: list[str], params: EmbedParams) -> list[list[float]]:
        if not texts:
            return []
        with model_errors():
            return (await self.clients.aio.embed(self.model, texts, **params)).vectors

    @property
    def _query(self) -> EmbedParams:
        return self._params(self._query_instruction, self.query_params)

    @property
    def _documents(self) -> EmbedParams:
        params = self._params(self.document_instruction, self.documents_params)
        return {**params, "show_progress": self.show_progress}

    @property
    def _query_instruction(self) -> str | None:
        if self.query_instruction is not None:
            return self.query_instruction
        return profile_for(self.model).get("query_instruction")

    def _params(self, instruction: str | None, extra: dict[str, Any] | None) -> EmbedParams:
        return {
            "instruction": instruction or None,
            "dimensions": self.dimensions,
            "normalize": self.normalize,
            "batch_size": self.batch_size,
            "extra_body": {**(self.extra_body or {}), **(extra or {})} or None,
            **({} if self.client is None else {"timeout": self.timeout, "max_retries": self.max_retries}),
        }
