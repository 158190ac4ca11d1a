"""`FoundationModelEmbeddings`: vectors of queries and documents."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fault_server import embeddings as vectors
from fault_server import reply
from langchain_core.vectorstores import InMemoryVectorStore

from fm_client import ResponseFormatError
from fm_workspace import Workspace
from langchain_fm import FoundationModelEmbeddings

GTE = "databricks-gte-large-en"
BGE = "databricks-bge-large-en"
BGE_INSTRUCTION = "Represent this sentence for searching relevant passages:"


def test_no_texts_need_no_request(embeddings: Any, server: Any, drive: Any) -> None:
    assert drive(embeddings()).embed_documents([]) == []
    assert server.seen == []


def test_vectors_come_in_the_order_of_the_texts(embeddings: Any, server: Any, drive: Any) -> None:
    server.script(GTE, reply(200, vectors([[3.0], [1.0], [2.0]], order=[2, 0, 1])))
    assert drive(embeddings()).embed_documents(["a", "b", "c"]) == [[3.0], [1.0], [2.0]]


def test_vectors_are_scaled_on_request(embeddings: Any, server: Any, drive: Any) -> None:
    server.script(GTE, reply(200, vectors([[3.0, 4.0]])))
    assert drive(embeddings()).embed_query("a") == [3.0, 4.0]
    assert drive(embeddings(normalize=True)).embed_query("a") == pytest.approx([0.6, 0.8])


def test_fields_are_sent(embeddings: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(GTE, reply(200, vectors([[1.0]])))
    drive(embeddings(dimensions=1, extra_body={"usage_context": {"team": "a"}})).embed_documents(["a"])
    assert sent() == {"input": ["a"], "dimensions": 1, "usage_context": {"team": "a"}}


@pytest.mark.parametrize(
    ("model", "fields", "query", "document"),
    [
        (GTE, {}, None, None),
        (BGE, {}, BGE_INSTRUCTION, None),
        (BGE, {"query_instruction": None}, None, None),
        (BGE, {"query_instruction": "q:", "document_instruction": "d:"}, "q:", "d:"),
    ],
)
def test_queries_and_documents_have_instructions_of_their_own(
    model: str, fields: Any, query: Any, document: Any, embeddings: Any, server: Any, sent: Any, drive: Any
) -> None:
    server.script(model, reply(200, vectors([[1.0]])))
    driven = drive(embeddings(model=model, **fields))

    driven.embed_query("a")
    assert sent().get("instruction") == query
    driven.embed_documents(["a"])
    assert sent().get("instruction") == document


def test_texts_are_split_into_requests(embeddings: Any, server: Any, drive: Any) -> None:
    server.script(GTE, reply(200, vectors([[1.0], [2.0]])))
    assert drive(embeddings(batch_size=2)).embed_documents(["a", "b", "c", "d"]) == [[1.0], [2.0], [1.0], [2.0]]
    assert len(server.seen) == 2


def test_vectors_that_are_missing_are_an_error(embeddings: Any, server: Any, drive: Any) -> None:
    server.script(GTE, reply(200, vectors([[1.0]])))
    with pytest.raises(ResponseFormatError):
        drive(embeddings()).embed_documents(["a", "b"])


def test_a_list_of_models_is_no_embedding_model() -> None:
    with pytest.raises(ValueError, match="model"):
        FoundationModelEmbeddings(model=["a", "b"])


def test_a_vector_store_finds_what_is_alike(workspace: Workspace, keep: Any, drive: Any) -> None:
    model = keep(FoundationModelEmbeddings(model=GTE, host=workspace.host, token=workspace.token, normalize=True))
    texts = ["Cats purr and sleep.", "The stock market fell.", "Rain is expected in Oslo."]
    store = InMemoryVectorStore(model)
    store.add_texts(texts)

    (found,) = drive(store).similarity_search("Will the stock market recover?", k=1)
    assert found.page_content == texts[1]
    assert math.hypot(*drive(model).embed_query("a")) == pytest.approx(1)
