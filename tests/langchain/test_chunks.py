"""Chunks of a stream: those of mere text are copies of one, and no different from any other."""

from __future__ import annotations

import pickle

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from fm_client import ChatChunk
from langchain_fm._answers import PROVIDER, ChunkReader


def read(text: str) -> ChatGenerationChunk:
    delta = {"role": "assistant", "content": text}
    found = ChunkReader().read(ChatChunk.model_validate({"choices": [{"index": 0, "delta": delta}]}))
    assert found is not None
    return found


def built(text: str) -> ChatGenerationChunk:
    """As LangChain's constructors make it."""
    message = AIMessageChunk(
        content=text, tool_call_chunks=[], additional_kwargs={}, response_metadata={"model_provider": PROVIDER}
    )
    return ChatGenerationChunk(message=message, generation_info=None)


@pytest.mark.parametrize("text", [" fox", "\n", "é🦊", "[DONE]"])
def test_a_chunk_of_text_is_what_the_constructors_make(text: str) -> None:
    """A chunk's cost"""
    ours, theirs = read(text), built(text)
    assert ours == theirs and repr(ours) == repr(theirs)
    assert (ours.text, ours.message.text, ours.message.content_blocks) == (text, text, theirs.message.content_blocks)
    assert pickle.loads(pickle.dumps(ours)) == theirs  # noqa: S301  # made here
    assert dumpd(ours) == dumpd(theirs)
    for mine, other in ((ours, theirs), (ours.message, theirs.message)):
        assert vars(mine) == vars(other) and list(vars(mine)) == list(vars(other))
        assert mine.model_fields_set == other.model_fields_set
        assert mine.model_dump(exclude_unset=True) == other.model_dump(exclude_unset=True)
        assert (mine.__pydantic_extra__, mine.__pydantic_private__) == (
            other.__pydantic_extra__,
            other.__pydantic_private__,
        )


def test_chunks_of_text_add_up_as_others_do() -> None:
    assert read("a") + read("b") == built("a") + built("b")


def test_what_is_done_to_one_chunk_is_done_to_no_other() -> None:
    first = read("a")
    assert isinstance(first.message, AIMessageChunk)
    first.message.additional_kwargs["x"] = first.message.response_metadata["x"] = 1
    first.message.tool_calls.append({"name": "f", "args": {}, "id": "1"})
    first.message.tool_call_chunks.append({"name": "f", "args": "", "id": "1", "index": 0})
    first.message.id = "1"
    assert read("a") == built("a")
