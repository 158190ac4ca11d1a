"""LlamaIndex's `embeddings_cache` with keys that tell models, instructions and queries from texts apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

_query: ContextVar[bool] = ContextVar("llamaindex_fm_query", default=False)


def are_queries() -> bool:
    """Whether what is embedded or looked up are queries."""
    return _query.get()


@contextmanager
def as_queries() -> Iterator[None]:
    """Within: what is embedded or looked up are queries, which the same words as a text are not."""
    token = _query.set(True)
    try:
        yield
    finally:
        _query.reset(token)


class KeyedCache(BaseKVStore):
    """A store as one embedding model uses it. LlamaIndex itself files a vector under its bare text."""

    def __init__(self, store: BaseKVStore, query: dict[str, Any], text: dict[str, Any]) -> None:
        self.store = store
        self._prefixes = {True: _prefix(query), False: _prefix(text)}

    def _key(self, key: str) -> str:
        return self._prefixes[_query.get()] + key

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """File a vector."""
        self.store.put(self._key(key), val, collection=collection)

    async def aput(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """File a vector."""
        await self.store.aput(self._key(key), val, collection=collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """The vector of a text or query, if it is there."""
        return self.store.get(self._key(key), collection=collection)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """The vector of a text or query, if it is there."""
        return await self.store.aget(self._key(key), collection=collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """All of the store, of other models too."""
        return self.store.get_all(collection=collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """All of the store, of other models too."""
        return await self.store.aget_all(collection=collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Remove a vector; whether it was there."""
        return self.store.delete(self._key(key), collection=collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Remove a vector; whether it was there."""
        return await self.store.adelete(self._key(key), collection=collection)


def _prefix(made_by: dict[str, Any]) -> str:
    known = {name: value for name, value in made_by.items() if value}
    return json.dumps(known, sort_keys=True, ensure_ascii=False) + "\n"
