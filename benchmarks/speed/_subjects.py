"""What is measured, each behind the same few calls: imported in the environment of the subject, and nowhere else.

A class opens one subject as its own documentation says, with defaults. `chat` returns the text of an answer, `stream`
gives the texts of its chunks, `embed` the vectors; the forms with an `a` are async, and None where there are none.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

CHAT, EMBED = "databricks-meta-llama-3-3-70b-instruct", "databricks-gte-large-en"
QUESTION = "What does the fox do?"
MESSAGES = [{"role": "user", "content": QUESTION}]
Vectors = list[list[float]]
MOST = 2048
"""Texts in one request of those that leave splitting to the caller: OpenAI's own limit."""


def split(texts: list[str]) -> list[list[str]]:
    return [texts[i : i + MOST] for i in range(0, len(texts), MOST)]


class Subject:
    """`host` is an address, `token` a bearer token."""

    achat: Any = None
    stream: Any = None
    astream: Any = None
    aembed: Any = None

    def __init__(
        self, host: str, token: str, chat: str = CHAT, embed: str = EMBED, timeout: float | None = None
    ) -> None:
        self.host, self.token, self.model, self.embedder = host, token, chat, embed
        self.limits = {} if timeout is None else {"timeout": timeout}
        os.environ |= {"DATABRICKS_HOST": host, "DATABRICKS_TOKEN": token}
        self.open()

    def open(self) -> None: ...


class LangChain(Subject):
    """Any chat model and embeddings of LangChain."""

    llm: Any
    vectors: Any

    def chat(self) -> str:
        return self.llm.invoke(QUESTION).text

    async def achat(self) -> str:
        return (await self.llm.ainvoke(QUESTION)).text

    def stream(self) -> Iterator[str]:
        for chunk in self.llm.stream(QUESTION):
            yield chunk.text

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in self.llm.astream(QUESTION):
            yield chunk.text

    def embed(self, texts: list[str]) -> Vectors:
        return self.vectors.embed_documents(texts)

    async def aembed(self, texts: list[str]) -> Vectors:
        return await self.vectors.aembed_documents(texts)


class OursLangChain(LangChain):
    def open(self) -> None:
        from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings

        self.llm = ChatFoundationModel(model=self.model, **self.limits)
        self.vectors = FoundationModelEmbeddings(model=self.embedder)


class ChatOpenAI(LangChain):
    def open(self) -> None:
        from langchain_openai import ChatOpenAI, OpenAIEmbeddings

        where = {"base_url": f"{self.host}/serving-endpoints", "api_key": self.token}
        self.llm = ChatOpenAI(model=self.model, **where, **self.limits)
        # Without the switch it downloads a tokenizer of OpenAI's; its documentation names it for other providers.
        self.vectors = OpenAIEmbeddings(model=self.embedder, check_embedding_ctx_length=False, **where)


class ChatDatabricks(LangChain):
    def open(self) -> None:
        from databricks_langchain import ChatDatabricks, DatabricksEmbeddings

        self.llm = ChatDatabricks(model=self.model, **self.limits)
        self.vectors = DatabricksEmbeddings(endpoint=self.embedder)


class LangChainFloor(LangChain):
    def open(self) -> None:
        from ._floor_langchain import Chat, Vectors

        self.llm, self.vectors = Chat(), Vectors()


class LlamaIndex(Subject):
    """Any LLM and embedding of LlamaIndex."""

    llm: Any
    vectors: Any

    def message(self) -> list[Any]:
        from llama_index.core.llms import ChatMessage

        return [ChatMessage(role="user", content=QUESTION)]

    def chat(self) -> str:
        return self.llm.chat(self.message()).message.content

    async def achat(self) -> str:
        return (await self.llm.achat(self.message())).message.content

    def stream(self) -> Iterator[str]:
        for chunk in self.llm.stream_chat(self.message()):
            yield chunk.delta

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in await self.llm.astream_chat(self.message()):
            yield chunk.delta

    def embed(self, texts: list[str]) -> Vectors:
        return self.vectors.get_text_embedding_batch(texts)

    async def aembed(self, texts: list[str]) -> Vectors:
        return await self.vectors.aget_text_embedding_batch(texts)


class OursLlamaIndex(LlamaIndex):
    def open(self) -> None:
        from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

        self.llm = FoundationModelLLM(self.model, **self.limits)
        self.vectors = FoundationModelEmbedding(self.embedder)


class LlamaIndexDatabricks(LlamaIndex):
    def open(self) -> None:
        from llama_index.embeddings.databricks import DatabricksEmbedding
        from llama_index.llms.databricks import Databricks

        base = f"{self.host}/serving-endpoints"
        self.llm = Databricks(model=self.model, api_key=self.token, api_base=base, **self.limits)
        self.vectors = DatabricksEmbedding(model=self.embedder, api_key=self.token, endpoint=base)


class LlamaIndexFloor(LlamaIndex):
    def open(self) -> None:
        from ._floor_llamaindex import Chat, Vectors

        self.llm, self.vectors = Chat(), Vectors()


class Deployments(Subject):
    """Any deployments client of MLflow."""

    target = "databricks"

    def open(self) -> None:
        from mlflow.deployments import get_deploy_client

        if self.limits:
            os.environ["MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT"] = f"{self.limits['timeout']:g}"
        else:
            os.environ.pop("MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT", None)
        self.client: Any = get_deploy_client(self.target)

    def chat(self) -> str:
        answer = self.client.predict(endpoint=self.model, inputs={"messages": MESSAGES})
        return answer["choices"][0]["message"]["content"]

    def stream(self) -> Iterator[str]:
        for chunk in self.client.predict_stream(endpoint=self.model, inputs={"messages": MESSAGES}):
            for choice in chunk["choices"]:
                yield choice["delta"]["content"] or ""

    def embed(self, texts: list[str]) -> Vectors:
        parts = [self.client.predict(endpoint=self.embedder, inputs={"input": part}) for part in self.split(texts)]
        return [row["embedding"] for part in parts for row in part["data"]]

    def split(self, texts: list[str]) -> list[list[str]]:
        return split(texts)


class OursMLflow(Deployments):
    target = "fm"

    async def achat(self) -> str:
        answer = await self.client.apredict(endpoint=self.model, inputs={"messages": MESSAGES})
        return answer["choices"][0]["message"]["content"]

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in self.client.apredict_stream(endpoint=self.model, inputs={"messages": MESSAGES}):
            for choice in chunk["choices"]:
                yield choice["delta"]["content"] or ""

    async def aembed(self, texts: list[str]) -> Vectors:
        answer = await self.client.apredict(endpoint=self.embedder, inputs={"input": texts})
        return [row["embedding"] for row in answer["data"]]

    def split(self, texts: list[str]) -> list[list[str]]:
        return [texts]  # it does that itself


class OursCore(Subject):
    def open(self) -> None:
        from fm_client import AsyncClient, Client

        self.sync, self.aio = Client(**self.limits), AsyncClient(**self.limits)

    def chat(self) -> str:
        return self.sync.chat(self.model, QUESTION).text

    async def achat(self) -> str:
        return (await self.aio.chat(self.model, QUESTION)).text

    def stream(self) -> Iterator[str]:
        for chunk in self.sync.stream_chat(self.model, QUESTION):
            yield chunk.text

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in self.aio.stream_chat(self.model, QUESTION):
            yield chunk.text

    def embed(self, texts: list[str]) -> Vectors:
        return self.sync.embed(self.embedder, texts).vectors

    async def aembed(self, texts: list[str]) -> Vectors:
        return (await self.aio.embed(self.embedder, texts)).vectors


class OpenAI(Subject):
    def open(self) -> None:
        from openai import AsyncOpenAI, OpenAI

        where = {"base_url": f"{self.host}/serving-endpoints", "api_key": self.token}
        self.sync, self.aio = OpenAI(**where, **self.limits), AsyncOpenAI(**where, **self.limits)

    def chat(self) -> str:
        return self.sync.chat.completions.create(model=self.model, messages=MESSAGES).choices[0].message.content

    async def achat(self) -> str:
        answer = await self.aio.chat.completions.create(model=self.model, messages=MESSAGES)
        return answer.choices[0].message.content

    def stream(self) -> Iterator[str]:
        for chunk in self.sync.chat.completions.create(model=self.model, messages=MESSAGES, stream=True):
            for choice in chunk.choices:
                yield choice.delta.content or ""

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in await self.aio.chat.completions.create(model=self.model, messages=MESSAGES, stream=True):
            for choice in chunk.choices:
                yield choice.delta.content or ""

    def embed(self, texts: list[str]) -> Vectors:
        parts = [self.sync.embeddings.create(model=self.embedder, input=part) for part in split(texts)]
        return [row.embedding for part in parts for row in part.data]

    async def aembed(self, texts: list[str]) -> Vectors:
        parts = [await self.aio.embeddings.create(model=self.embedder, input=part) for part in split(texts)]
        return [row.embedding for part in parts for row in part.data]
