"""The least that each framework costs: an adapter that does no I/O, and answers what the server of the benchmark would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from ._server import TEXT, WORD, vectors

CHUNKS = 0
"""Chunks of a stream of the floors; set by who measures, as the server's mode is."""


def langchain() -> tuple[Any, Any]:
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

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
            for _ in range(CHUNKS):
                yield ChatGenerationChunk(message=AIMessageChunk(content=WORD))

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            for _ in range(CHUNKS):
                yield ChatGenerationChunk(message=AIMessageChunk(content=WORD))

    class Vectors(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return same(len(texts))

        def embed_query(self, text: str) -> list[float]:
            return same(1)[0]

    return Chat(), Vectors()


def llamaindex() -> tuple[Any, Any]:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
    from llama_index.core.llms.callbacks import llm_chat_callback
    from llama_index.core.llms.function_calling import FunctionCallingLLM

    def answer(text: str, delta: str | None = None) -> ChatResponse:
        return ChatResponse(message=ChatMessage(role="assistant", content=text), delta=delta)

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
            def chunks() -> Iterator[ChatResponse]:
                text = ""
                for _ in range(CHUNKS):
                    text += WORD
                    yield answer(text, WORD)

            return chunks()

        @llm_chat_callback()
        async def astream_chat(self, messages: Any, **kwargs: Any) -> AsyncIterator[ChatResponse]:
            async def chunks() -> AsyncIterator[ChatResponse]:
                text = ""
                for _ in range(CHUNKS):
                    text += WORD
                    yield answer(text, WORD)

            return chunks()

        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            return CompletionResponse(text=TEXT)

        stream_complete = acomplete = astream_complete = complete

        def _prepare_chat_with_tools(self, tools: Any, **kwargs: Any) -> dict[str, Any]:
            return {}

    class Vectors(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return same(1)[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return same(len(texts))

        async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return same(len(texts))

        _get_query_embedding = _get_text_embedding

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return same(1)[0]

    return Chat(), Vectors(embed_batch_size=2048)


def same(count: int) -> list[list[float]]:
    made = vectors(1024)
    return [made[i % len(made)] for i in range(count)]
