"""`FoundationModelEmbeddings`: vectors of queries and documents."""

from __future__ import annotations

import asyncio
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
    assert sent() == {"input": ["a"], "encoding_format": "base64", "dimensions": 1, "usage_context": {"team": "a"}}


@pytest.mark.parametrize(
    ("model", "fields", "query", "document"),
    [
        (GTE, {}, None, None),
        (BGE, {}, BGE_INSTRUCTION, None),
        (BGE, {"query_instruction": ""}, None, None),
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


def test_queries_and_documents_have_fields_of_their_own(embeddings: Any, server: Any, sent: Any, drive: Any) -> None:
    """Cohere's models, for instance, refuse texts that do not say which of the two they are."""
    server.script(GTE, reply(200, vectors([[1.0]])))
    kinds = {f"{name}_params": {"input_type": f"search_{name}"} for name in ("query", "documents")}
    both = {"truncate": "END", "encoding_format": "float"}
    driven = drive(embeddings(extra_body={**both, "input_type": "x"}, **kinds))

    driven.embed_query("a")
    assert sent() == {"input": ["a"], **both, "input_type": "search_query"}
    driven.embed_documents(["a"])
    assert sent() == {"input": ["a"], **both, "input_type": "search_documents"}


def test_progress_is_shown_on_request(
    embeddings: Any, server: Any, drive: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script(GTE, reply(200, vectors([[1.0], [2.0]])))
    drive(embeddings(batch_size=2)).embed_documents(["a", "b", "c", "d"])
    assert capsys.readouterr().err == ""
    drive(embeddings(batch_size=2, show_progress=True)).embed_documents(["a", "b", "c", "d"])
    assert "4/4" in capsys.readouterr().err


def test_many_texts_keep_their_order_whatever_the_batches(workspace: Workspace, keep: Any, drive: Any) -> None:
    texts = [f"text number {i}" for i in range(250)]
    fields = {"model": GTE, "host": workspace.host, "token": workspace.token}
    driven, alone = (
        drive(keep(FoundationModelEmbeddings(**fields, batch_size=16))),
        keep(FoundationModelEmbeddings(**fields)),
    )
    found = driven.embed_documents(texts)

    assert len(found) == len(texts)
    assert [found[i] for i in (0, 15, 16, 131, 249)] == [alone.embed_query(texts[i]) for i in (0, 15, 16, 131, 249)]


def test_vectors_are_shortened_where_the_model_can(workspace: Workspace, keep: Any, drive: Any) -> None:
    fields = {"host": workspace.host, "token": workspace.token, "dimensions": 64, "normalize": True}
    vector = drive(keep(FoundationModelEmbeddings(model="databricks-qwen3-embedding-0-6b", **fields))).embed_query("a")
    assert (len(vector), math.hypot(*vector)) == (64, pytest.approx(1))


def test_many_queries_at_once_do_not_wait_for_each_other(embeddings: Any, server: Any) -> None:
    server.script(GTE, reply(200, vectors([[1.0]])))
    model = embeddings()

    async def ask() -> list[Any]:
        try:
            return await asyncio.gather(*(model.aembed_query("a") for _ in range(50)))
        finally:
            await model.aclose()

    assert asyncio.run(ask()) == [[1.0]] * 50
    assert 1 < server.connections <= 50


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
