"""Embeddings: batches, order, instructions, caches."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FaultServer, embeddings, reply
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import ValidationError

from fm_client import ConfigurationError
from llamaindex_fm import FoundationModelEmbedding

Embed = Callable[..., FoundationModelEmbedding]
BGE_QUERY = "Represent this sentence for searching relevant passages:"


def bodies(server: FaultServer) -> list[Any]:
    return [request.json for request in server.seen]


def test_texts_of_any_number_keep_their_order(caller: Any, embed_model: FoundationModelEmbedding) -> None:
    texts = [f"text number {i}" for i in range(230)]
    vectors = caller.run(embed_model, "get_text_embedding_batch", texts)
    assert len(vectors) == 230
    for i in (0, 99, 100, 229):
        assert vectors[i] == pytest.approx(caller.run(embed_model, "get_text_embedding", texts[i]))


def test_batches_go_to_the_core_whole(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    """LlamaIndex's default would make ten requests of a hundred texts."""
    model = scripted_embed(vectors=[[float(i), 1.0] for i in range(100)])
    assert len(caller.run(model, "get_text_embedding_batch", ["t"] * 100)) == 100
    assert server.attempts("e") == 1


def test_an_answer_in_another_order_is_put_right(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    model = scripted_embed("e")
    server.script("e", reply(200, embeddings([[3.0], [1.0], [2.0]], order=[2, 0, 1])))
    assert caller.run(model, "get_text_embedding_batch", ["a", "b", "c"]) == [[3.0], [1.0], [2.0]]


def test_text_is_sent_as_it_is(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    caller.run(scripted_embed(), "get_text_embedding", "two\nlines ")
    assert bodies(server) == [{"input": ["two\nlines "]}]


@pytest.mark.parametrize(
    ("endpoint", "fields", "query", "text"),
    [
        ("databricks-gte-large-en", {}, None, None),
        ("databricks-bge-large-en", {}, BGE_QUERY, None),
        ("databricks-bge-large-en", {"query_instruction": ""}, None, None),
        ("mine", {"query_instruction": "find:", "text_instruction": "keep:"}, "find:", "keep:"),
    ],
)
def test_queries_and_texts_have_their_own_instruction(
    caller: Any, server: FaultServer, scripted_embed: Embed, endpoint: str, fields: Any, query: Any, text: Any
) -> None:
    model = scripted_embed(endpoint, **fields)
    caller.run(model, "get_query_embedding", "q")
    caller.run(model, "get_text_embedding", "t")
    assert [body.get("instruction") for body in bodies(server)] == [query, text]


def test_dimensions_are_asked_for_and_vectors_scaled(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    model = scripted_embed(vectors=[[3.0, 4.0]], dimensions=2, normalize=True, extra_body={"user": "u"})
    assert caller.run(model, "get_text_embedding", "t") == [0.6, 0.8]
    assert bodies(server) == [{"input": ["t"], "dimensions": 2, "user": "u"}]


def test_normalized_vectors_have_length_one(caller: Any, embed_model: FoundationModelEmbedding) -> None:
    model = embed_model.model_copy(update={"normalize": True})
    assert math.hypot(*caller.run(model, "get_text_embedding", "hello")) == pytest.approx(1)


def test_usage_adds_up_over_all_calls(caller: Any, scripted_embed: Embed) -> None:
    model = scripted_embed()
    assert model.usage.total_tokens == 0
    caller.run(model, "get_text_embedding", "a")
    caller.run(model, "get_query_embedding", "b")
    assert (model.usage.prompt_tokens, model.usage.total_tokens) == (6, 6)


def test_no_texts_are_no_request(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    model = scripted_embed()
    assert caller.run(model, "get_text_embedding_batch", []) == []
    assert model._get_text_embeddings([]) == []
    assert server.seen == []


def test_arguments() -> None:
    names = [
        FoundationModelEmbedding("e"),
        FoundationModelEmbedding(endpoint="e"),
        FoundationModelEmbedding(model_name="e"),
    ]
    assert {model.model for model in names} == {"e"}
    with pytest.raises(ConfigurationError, match="different values"):
        FoundationModelEmbedding("e", model_name="f")
    with pytest.raises(ValidationError, match="did you mean dimensions?"):
        FoundationModelEmbedding("e", dimension=3)


# Several queries, progress


def test_several_queries_are_one_request(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    model = scripted_embed("databricks-bge-large-en", vectors=[[1.0, 2.0], [3.0, 6.0]])
    assert caller.run(model, "get_agg_embedding_from_queries", ["a", "b"]) == [2.0, 4.0]
    assert caller.run(model, "get_agg_embedding_from_queries", ["a", "b"], lambda vectors: vectors[1]) == [3.0, 6.0]
    assert bodies(server) == [{"input": ["a", "b"], "encoding_format": "base64", "instruction": BGE_QUERY}] * 2


def test_several_queries_are_cached_as_queries(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    model = scripted_embed("databricks-bge-large-en", embeddings_cache=SimpleKVStore())
    for call in ("get_text_embedding", "get_query_embedding"):
        caller.run(model, call, "a")
    assert caller.run(model, "get_agg_embedding_from_queries", ["a"]) == [1.0, 2.0]
    assert len(server.seen) == 2


@pytest.mark.parametrize("size", [2048, 50])
def test_a_bar_shows_how_many_texts_are_done(
    caller: Any, embed_model: FoundationModelEmbedding, capfd: pytest.CaptureFixture[str], size: int
) -> None:
    model = embed_model.model_copy(update={"embed_batch_size": size})
    vectors = caller.run(model, "get_text_embedding_batch", ["text"] * 230, show_progress=True)
    shown = capfd.readouterr().err
    assert len(vectors) == 230
    assert shown.count("\n") == 1, "one bar, whatever the batches: each ends its line"
    assert "230/230" in shown
    caller.run(model, "get_text_embedding_batch", ["text"] * 2)
    assert capfd.readouterr().err == ""


def test_texts_of_the_cache_are_done_too(caller: Any, scripted_embed: Embed, capfd: pytest.CaptureFixture[str]) -> None:
    model = scripted_embed(embeddings_cache=SimpleKVStore())
    for _ in range(2):
        caller.run(model, "get_text_embedding_batch", ["a"], show_progress=True)
        assert "1/1" in capfd.readouterr().err


class Recorder(BaseEventHandler):
    names: list[str] = []  # noqa: RUF012  # a pydantic model: each instance has its own

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.names.append(event.class_name())


@pytest.mark.parametrize("name", ["get_text_embedding", "get_query_embedding", "get_text_embedding_batch"])
def test_each_call_is_reported_once(caller: Any, embed_model: FoundationModelEmbedding, name: str) -> None:
    recorder, root = Recorder(), get_dispatcher()
    root.add_event_handler(recorder)
    try:
        caller.run(embed_model, name, ["a", "b"] if name.endswith("batch") else "a")
    finally:
        root.event_handlers.remove(recorder)
    assert recorder.names == ["EmbeddingStartEvent", "EmbeddingEndEvent"]


@pytest.mark.parametrize(
    "name", ["get_text_embedding", "get_query_embedding", "get_text_embedding_batch", "get_agg_embedding_from_queries"]
)
def test_each_call_is_one_span(caller: Any, embed_model: FoundationModelEmbedding, name: str) -> None:
    """Not one for our method and one for the base class's: a tracer would show each call twice."""
    spans, root = SimpleSpanHandler(), get_dispatcher()
    root.add_span_handler(spans)
    try:
        caller.run(embed_model, name, ["a", "b"] if name.endswith(("batch", "queries")) else "a")
    finally:
        root.span_handlers.remove(spans)
    ours = [span.id_ for span in spans.completed_spans if span.id_.startswith("FoundationModelEmbedding.")]
    assert len([name for name in ours if "._" not in name]) == 1


# Caches


def test_a_cache_tells_queries_texts_and_models_apart(caller: Any, server: FaultServer, scripted_embed: Embed) -> None:
    store = SimpleKVStore()
    model = scripted_embed("databricks-bge-large-en", embeddings_cache=store)
    for _ in range(2):
        caller.run(model, "get_query_embedding", "same words")
        caller.run(model, "get_text_embedding", "same words")
        caller.run(model, "get_text_embedding_batch", ["same words"])
    assert [body.get("instruction") for body in bodies(server)] == [BGE_QUERY, None]
    caller.run(scripted_embed("other", embeddings_cache=store), "get_text_embedding", "same words")
    caller.run(scripted_embed("other", embeddings_cache=store, dimensions=2), "get_text_embedding", "same words")
    assert len(server.seen) == 4


def test_a_cache_can_be_read_and_cleaned(caller: Any, scripted_embed: Embed) -> None:
    store = SimpleKVStore()
    model = scripted_embed(embeddings_cache=store)
    caller.run(model, "get_text_embedding", "a")
    keyed = model.embeddings_cache
    assert keyed.get_all(collection="embeddings") == store.get_all(collection="embeddings")
    assert keyed.delete("a", collection="embeddings")
    assert not keyed.delete("a", collection="embeddings")


@pytest.mark.parametrize(
    "change", [{"token": "rotated"}, {"timeout": 5}, {"max_retries": 0}, {"embed_batch_size": 7}, {"num_workers": 4}]
)
def test_an_ingestion_cache_outlives_rotation_and_tuning(
    server: FaultServer, scripted_embed: Embed, change: dict[str, Any]
) -> None:
    cache, nodes = IngestionCache(), [TextNode(text="hello", id_="n")]
    IngestionPipeline(transformations=[scripted_embed()], cache=cache).run(nodes=nodes)
    changed = scripted_embed(**change)
    IngestionPipeline(transformations=[changed], cache=cache).run(nodes=[TextNode(text="hello", id_="n")])
    assert server.attempts("e") == 1


@pytest.mark.parametrize(
    "change", [{"model": "f"}, {"dimensions": 3}, {"normalize": True}, {"text_instruction": "keep:"}]
)
def test_what_makes_another_vector_is_in_the_hash(change: dict[str, Any]) -> None:
    nodes = [TextNode(text="hello", id_="n")]
    first = get_transformation_hash(nodes, FoundationModelEmbedding("e"))
    assert get_transformation_hash(nodes, FoundationModelEmbedding(**{"model": "e", **change})) != first


def test_the_payload_of_events_has_no_secret() -> None:
    payload = FoundationModelEmbedding("e", host="https://example.com", token="secret-of-tests").to_payload()
    assert payload["model_name"] == "e"
    assert "secret-of-tests" not in json.dumps(payload)
