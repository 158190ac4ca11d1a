"""LlamaIndex's own pipelines, from text to answer, on the embedded workspace."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.evaluation import SemanticSimilarityEvaluator
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter, TokenTextSplitter
from llama_index.core.retrievers import QueryFusionRetriever

from fm_workspace import Workspace
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

TEXTS = {
    "lighthouse": "The lighthouse of Harrow Point was built in 1871 from grey granite. Its lamp burned whale oil until "
    "1904, when a keeper named Ada Finch replaced it with an electric arc. The tower is forty-one metres tall.",
    "orchard": "The orchard behind the mill grows eleven kinds of apples. Pruning begins in February, before the sap "
    "rises. The oldest tree, a russet, was planted by the miller's grandmother.",
    "railway": "The narrow-gauge railway carried slate from the quarry to the harbour. Its steepest gradient was one "
    "in thirty. The last train ran in the autumn of 1962, drawn by an engine called Merlin.",
}
QUESTION = "Who replaced the lamp of the lighthouse with an electric arc?"


@pytest.fixture
def documents() -> list[Document]:
    """Real text, long enough to be split."""
    return [Document(text=" ".join([text] * 8), id_=name) for name, text in TEXTS.items()]


@pytest.fixture
def index(documents: list[Document], embed_model: FoundationModelEmbedding) -> VectorStoreIndex:
    """The documents, split into sentences and embedded."""
    splitter = SentenceSplitter(chunk_size=96, chunk_overlap=8)
    return VectorStoreIndex.from_documents(documents, embed_model=embed_model, transformations=[splitter])


def test_a_question_is_answered_from_the_documents(
    caller: Any, index: VectorStoreIndex, llm: FoundationModelLLM
) -> None:
    answer = caller.run(index.as_query_engine(llm=llm, similarity_top_k=3), "query", QUESTION)
    assert "Ada Finch" in str(answer)
    assert {node.node.ref_doc_id for node in answer.source_nodes} == {"lighthouse"}


def test_the_answer_streams(index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    answer = index.as_query_engine(llm=llm, similarity_top_k=3, streaming=True).query(QUESTION)
    pieces = list(answer.response_gen)
    assert len(pieces) > 1
    assert "Ada Finch" in "".join(pieces)


async def test_the_answer_streams_async(index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    answer = await index.as_query_engine(llm=llm, similarity_top_k=3, streaming=True).aquery(QUESTION)
    pieces = [piece async for piece in answer.async_response_gen()]
    assert len(pieces) > 1
    assert "Ada Finch" in "".join(pieces)
    for component in (llm, index._embed_model):
        await component.aclose()


def test_a_large_context_fits_into_one_call(embed_model: FoundationModelEmbedding, llm: FoundationModelLLM) -> None:
    """With the window that official adapters assume, the same takes many."""
    documents = [Document(text=" ".join([text] * 30)) for text in TEXTS.values() for _ in range(3)]
    index = VectorStoreIndex.from_documents(documents, embed_model=embed_model)
    engine = index.as_query_engine(llm=llm, similarity_top_k=40)
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    engine.query(QUESTION)
    assert counter.prompt_llm_token_count > 8_000
    assert len(counter.llm_token_counts) == 1


def test_one_index_answers_in_two_event_loops(index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    async def ask() -> str:
        answer = await index.as_query_engine(llm=llm).aquery(QUESTION)
        for component in (llm, index._embed_model):
            await component.aclose()
        return str(answer)

    assert "Ada Finch" in asyncio.run(ask())
    assert "Ada Finch" in asyncio.run(ask())


@pytest.mark.parametrize("mode", [ChatMode.CONTEXT, ChatMode.CONDENSE_PLUS_CONTEXT, ChatMode.SIMPLE])
def test_chat_engines(caller: Any, index: VectorStoreIndex, llm: FoundationModelLLM, mode: ChatMode) -> None:
    memory = ChatMemoryBuffer.from_defaults(llm=llm)  # the default one keeps a database open
    engine = index.as_chat_engine(chat_mode=mode, llm=llm, memory=memory)
    assert str(caller.run(engine, "chat", QUESTION))
    assert len(engine.chat_history) == 2
    assert str(caller.run(engine, "chat", "And how tall is the tower?"))


def test_retrieval_by_several_queries(caller: Any, index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    retriever = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=2)], llm=llm, num_queries=2, use_async=False, similarity_top_k=2
    )
    nodes = caller.run(retriever, "retrieve", QUESTION)
    assert nodes


def test_an_evaluator_compares_by_meaning(embed_model: FoundationModelEmbedding) -> None:
    evaluator = SemanticSimilarityEvaluator(embed_model=embed_model, similarity_threshold=0.99)
    result = asyncio.run(_evaluated(evaluator, embed_model))
    assert result.passing
    assert result.score == pytest.approx(1)


async def _evaluated(evaluator: SemanticSimilarityEvaluator, embed_model: FoundationModelEmbedding) -> Any:
    try:
        return await evaluator.aevaluate(response="the tower", reference="the tower")
    finally:
        await embed_model.aclose()


def test_ingestion_in_worker_processes(
    documents: list[Document], ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle has no token: the workers find it in their environment."""
    monkeypatch.setenv("DATABRICKS_TOKEN", ws.token)
    embed_model = FoundationModelEmbedding("databricks-gte-large-en", host=ws.host)
    splitter = TokenTextSplitter(chunk_size=96, chunk_overlap=8)
    nodes = IngestionPipeline(transformations=[splitter, embed_model]).run(documents=documents, num_workers=2)
    assert len(nodes) >= 6
    assert {len(node.embedding or []) for node in nodes} == {1024}
    assert {node.ref_doc_id for node in nodes} == set(TEXTS)
