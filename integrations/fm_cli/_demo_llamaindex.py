"""LlamaIndex on serving endpoints: text files to an index, and a question that is answered from it, with its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.bridge.pydantic import Field
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # it is how LlamaIndex documents it
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.core.node_parser import SentenceSplitter

from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM, offline

from ._corpus import corpus
from ._demo_places import Outcome, Place, Steps

CHUNK_TOKENS = 200
CHUNK_OVERLAP = 20
TOP_K = 2
MAX_TOKENS = 200
QUESTION = "What happens when a stream breaks after its first event?"


def steps(place: Place) -> Steps:
    """The two examples, the second of which uses what the first has made."""
    pipeline = Pipeline(place)
    return {"index": pipeline.index_corpus, "query": pipeline.ask}


class Pipeline:
    """From text files to answers."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._index: VectorStoreIndex | None = None

    def index_corpus(self) -> Outcome:
        """Read, split and embed the files, and index them."""
        offline()  # the splitter's data come from the installed package, not from the internet
        embed_model = FoundationModelEmbedding(self._place.embedding, host=self._place.host, normalize=True)
        files = SimpleDirectoryReader(input_files=corpus(), file_metadata=_metadata).load_data()
        splitter = SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=CHUNK_OVERLAP)
        nodes = IngestionPipeline(transformations=[splitter, embed_model]).run(documents=files)
        self._index = VectorStoreIndex(list(nodes), embed_model=embed_model)
        text = f"{len(files)} files, {len(nodes)} chunks, {len(nodes[0].embedding or ())} dimensions"
        return Outcome(embed_model.model, text, embed_model.usage.input_tokens, 0)

    def ask(self) -> Outcome:
        """Find the chunks that fit a question, and answer it from them."""
        if self._index is None:
            raise RuntimeError("there is no index to ask")
        llm = FoundationModelLLM(self._place.chat, host=self._place.host, max_tokens=MAX_TOKENS)
        engine = self._index.as_query_engine(llm=llm, similarity_top_k=TOP_K)
        with Witness() as witness:
            answer = engine.query(QUESTION)
        source = answer.source_nodes[0].metadata["file_name"]
        return witness.outcome(f"[{source}] {answer}")


def _metadata(path: str) -> dict[str, Any]:
    return {"file_name": Path(path).name}


class Witness(BaseEventHandler):
    """Notes what the answers of an LLM say of endpoint and tokens, while it is entered."""

    facts: list[dict[str, Any]] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex wants it."""
        return "Witness"

    def __enter__(self) -> Self:
        get_dispatcher().add_event_handler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        get_dispatcher().event_handlers.remove(self)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Note an answer."""
        if isinstance(event, LLMChatEndEvent) and event.response is not None:
            self.facts.append(event.response.additional_kwargs)

    def outcome(self, text: str) -> Outcome:
        """The sum over all answers."""
        tokens_in = [fact["prompt_tokens"] for fact in self.facts if "prompt_tokens" in fact]
        tokens_out = [fact["completion_tokens"] for fact in self.facts if "completion_tokens" in fact]
        return Outcome(
            self.facts[-1]["endpoint"],
            text,
            sum(tokens_in) if tokens_in else None,
            sum(tokens_out) if tokens_out else None,
        )
