"""The least that LlamaIndex costs: an LLM and an embedding that do no I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM

from . import _floors
from ._server import TEXT, WORD


def answer(text: str, delta: str | None = None) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role="assistant", content=text), delta=delta)


def chunks() -> Iterator[ChatResponse]:
    text = ""
    for _ in range(_floors.CHUNKS):
        text += WORD
        yield answer(text, WORD)


async def achunks() -> AsyncIterator[ChatResponse]:
    text = ""
    for _ in range(_floors.CHUNKS):
        text += WORD
        yield answer(text, WORD)


class Chat(FunctionCallingLLM):
    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="floor", is_chat_model=True)

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return answer(TEXT)

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return answer(TEXT)

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **kwargs: Any) -> Iterator[ChatResponse]:
        return chunks()

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> AsyncIterator[ChatResponse]:
        return achunks()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return CompletionResponse(text=TEXT)

    stream_complete = acomplete = astream_complete = complete

    def _prepare_chat_with_tools(self, tools: Any, **kwargs: Any) -> dict[str, Any]:
        return {}


class Vectors(BaseEmbedding):
    embed_batch_size: int = 2048

    def _get_text_embedding(self, text: str) -> list[float]:
        return _floors.same(1)[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return _floors.same(len(texts))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return _floors.same(len(texts))

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return _floors.same(1)[0]
