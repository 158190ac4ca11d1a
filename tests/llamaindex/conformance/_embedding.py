"""The suite for a `BaseEmbedding`: vectors, caches, reports, and ingestion pipelines in one process and in several."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any, ClassVar

import pytest
from llama_index.core import Settings
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import Document, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from ._kit import Calls, watched
from ._lifecycle import Lifecycle

TEXTS = [f"text number {i}" for i in range(25)]
NAMES = ("get_text_embedding", "get_query_embedding", "get_text_embedding_batch")
each_call = pytest.mark.parametrize("name", NAMES)


def question(name: str) -> Any:
    """What to embed in a call of that name."""
    return list(TEXTS) if name.endswith("batch") else TEXTS[0]


class EmbeddingConformance(Lifecycle):
    """Override `make`; `dimension` says how long vectors are, `tuning` which arguments change no vector."""

    dimension: ClassVar[int | None] = None
    tuning: ClassVar[tuple[dict[str, Any], ...]] = ({"embed_batch_size": 7}, {"num_workers": 4})
    """Arguments that change how vectors are asked for, but not the vectors."""

    instructions: ClassVar[dict[str, Any]] = {}
    """Arguments by which queries are embedded in another way than texts."""

    def use(self, model: Any) -> Any:
        """One call."""
        return model.get_text_embedding("hello")

    def rotated(self) -> Any:
        """The model of `make`, with another token; None if it has none."""
        return None

    # Vectors

    def test_a_vector_is_a_list_of_numbers(self, model: BaseEmbedding, call: Calls) -> None:
        for name in NAMES[:2]:
            vector = call.run(model, name, TEXTS[0])
            assert isinstance(vector, list)
            assert all(isinstance(number, float) and math.isfinite(number) for number in vector)
            assert self.dimension in (None, len(vector))

    def test_a_batch_keeps_its_order(self, model: BaseEmbedding, call: Calls) -> None:
        vectors = call.run(model, "get_text_embedding_batch", TEXTS)
        assert len(vectors) == len(TEXTS)
        for i in (0, 11, 24):
            assert vectors[i] == pytest.approx(call.run(model, "get_text_embedding", TEXTS[i]), abs=1e-6)

    def test_no_texts_are_no_vectors(self, model: BaseEmbedding, call: Calls) -> None:
        assert call.run(model, "get_text_embedding_batch", []) == []

    def test_texts_are_not_changed(self, model: BaseEmbedding, call: Calls) -> None:
        texts = list(TEXTS)
        call.run(model, "get_text_embedding_batch", texts)
        assert texts == TEXTS

    def test_several_queries_have_one_vector(self, model: BaseEmbedding, call: Calls) -> None:
        vector = call.run(model, "get_agg_embedding_from_queries", TEXTS[:3])
        singles = [call.run(model, "get_query_embedding", text) for text in TEXTS[:3]]
        assert vector == pytest.approx([sum(numbers) / 3 for numbers in zip(*singles, strict=True)], abs=1e-6)

    # Reports

    @each_call
    def test_each_call_is_one_event_for_each_batch(self, call: Calls, keep: Any, name: str) -> None:
        model = keep(self.make(embed_batch_size=100))
        with watched() as witness:
            call.run(model, name, question(name))
        assert witness.named("StartEvent", "EndEvent") == ["EmbeddingStartEvent", "EmbeddingEndEvent"]

    @each_call
    def test_each_call_is_one_span(self, model: BaseEmbedding, call: Calls, name: str) -> None:
        with watched() as witness:
            call.run(model, name, question(name))
        assert witness.public_spans(type(model)) == [name if call.loop is None else f"a{name}"]

    def test_progress_can_be_shown(self, model: BaseEmbedding, call: Calls, capfd: pytest.CaptureFixture[str]) -> None:
        call.run(model, "get_text_embedding_batch", TEXTS, show_progress=True)
        assert "%" in capfd.readouterr().err

    # Settings, registry, caches

    def test_settings_take_it(self, model: BaseEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Settings, "_embed_model", None)
        Settings.embed_model = model
        assert Settings.embed_model is model

    def test_the_registry_loads_a_dump(self, model: BaseEmbedding, anew: None) -> None:
        assert isinstance(load_embed_model(model.to_dict()), type(model))

    def test_a_cache_has_queries_and_texts_apart(self, keep: Any, call: Calls) -> None:
        """The same words have another vector as a query."""
        if not self.instructions:
            pytest.skip("queries are embedded as texts are")
        store = SimpleKVStore()
        model = keep(self.make(embeddings_cache=store, **self.instructions))
        for _ in range(2):
            for name in ("get_query_embedding", "get_text_embedding"):
                call.run(model, name, "same words")
        assert len(store.get_all(collection="embeddings")) == 2

    def test_an_ingestion_cache_outlives_tuning(self) -> None:
        nodes = [TextNode(text="hello", id_="n")]
        first = get_transformation_hash(nodes, self.make())
        assert [change for change in self.tuning if get_transformation_hash(nodes, self.make(**change)) != first] == []

    def test_an_ingestion_cache_outlives_a_rotated_token(self) -> None:
        if (rotated := self.rotated()) is None:
            pytest.skip("there is no token")
        nodes = [TextNode(text="hello", id_="n")]
        assert get_transformation_hash(nodes, rotated) == get_transformation_hash(nodes, self.make())

    # Processes, threads, loops

    @pytest.mark.parametrize("state", ["fresh", "used"])
    def test_it_works_in_the_processes_of_a_pipeline(
        self, model: BaseEmbedding, call: Calls, anew: None, state: str
    ) -> None:
        if state == "used":
            self.use(model)
        documents = [Document(text=text) for text in TEXTS[:4]]
        nodes = call.run(IngestionPipeline(transformations=[model]), "run", documents=documents, num_workers=2)
        assert all(node.embedding for node in nodes)
        assert len(nodes) == len(documents)

    def test_one_model_serves_many_threads(self, model: BaseEmbedding) -> None:
        vectors: list[Any] = []
        threads = [threading.Thread(target=lambda: vectors.append(self.use(model))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(vectors) == 4

    def test_one_model_serves_one_event_loop_after_the_other(self, model: BaseEmbedding) -> None:
        async def ask() -> Any:
            vectors = await asyncio.gather(*(model.aget_text_embedding("hello") for _ in range(3)))
            await self.aclose(model)
            return vectors

        assert all(asyncio.run(ask()) for _ in range(3))
