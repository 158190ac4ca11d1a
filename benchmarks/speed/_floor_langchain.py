"""The least that LangChain costs: a chat model and embeddings that do no I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from . import _floors
from ._server import TEXT, WORD


def result() -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(content=TEXT))])


class Chat(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "floor"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return result()

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return result()

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(_floors.CHUNKS):
            yield ChatGenerationChunk(message=AIMessageChunk(content=WORD))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(_floors.CHUNKS):
            yield ChatGenerationChunk(message=AIMessageChunk(content=WORD))


class Vectors(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return _floors.same(len(texts))

    def embed_query(self, text: str) -> list[float]:
        return _floors.same(1)[0]
