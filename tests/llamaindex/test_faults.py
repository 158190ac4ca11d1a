"""Fault matrix through the LlamaIndex classes: one layer of retries, the core's errors, nothing half as whole."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from adapter_faults import (
    BROKEN,
    CUT_ARGUMENTS,
    CUT_CALL,
    CUT_STREAM,
    DEFECTS,
    ROWS,
    SHUFFLED,
    TEXTS,
    VECTORS,
    Rig,
    Way,
    breaking,
    halved,
    leaving,
    limited,
    naming,
    renewing,
)
from fault_lab import Lab, laboratory
from fault_server import DONE, chunked, either, words
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from matrix import ENDPOINT, FINE, VECTOR, Outcome, Row

import fm_client as fm
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

lab = pytest.fixture(params=["sync", "async"])(laboratory)

llm = functools.partial(FoundationModelLLM, ENDPOINT, task="llm/v1/chat")
embed_model = functools.partial(FoundationModelEmbedding, ENDPOINT)
COMPLETIONS = {"task": "llm/v1/completions"}
HI = [ChatMessage("Hi")]


def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


TOOL = FunctionTool.from_defaults(weather)
WITH_TOOLS = {"tools": [TOOL], "user_msg": "Hi"}


def said(answer: Any) -> str:
    return str(answer.message.content)


def shown(vector: list[float]) -> str:
    return FINE if vector == VECTOR else repr(vector)


WAYS = {
    "chat": Way("chat", llm, "chat", HI, said),
    "stream": Way("stream", llm, "stream_chat", HI, lambda items: said(items[-1])),
    "embed": Way("embed", embed_model, "get_text_embedding", "a text", shown),
}
MORE = {
    "tools": Way("chat", llm, "chat_with_tools", WITH_TOOLS, said),
    "tools, stream": Way("stream", llm, "stream_chat_with_tools", WITH_TOOLS, lambda items: said(items[-1])),
    "prompt": Way("chat", llm, "complete", "Hi", str),
    "prompt, stream": Way("stream", llm, "stream_complete", "Hi", lambda items: items[-1].text),
    "query": Way("embed", embed_model, "get_query_embedding", "a text", shown),
    "batch": Way("embed", embed_model, "get_text_embedding_batch", ["a text"], lambda vectors: shown(vectors[0])),
    "complete": Way("complete", llm, "complete", "Hi", str, COMPLETIONS),
    "complete, stream": Way("complete-stream", llm, "stream_complete", "Hi", lambda items: items[-1].text, COMPLETIONS),
}
ALL = {**WAYS, **MORE}
STREAMS = [name for name, way in ALL.items() if way.method.startswith("stream_")]
BATCH = Way("embed", embed_model, "get_text_embedding_batch", TEXTS, str)


@pytest.fixture
def rig(lab: Lab) -> Rig:
    return Rig(lab, lambda model: model._clients, lambda error: error)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.id}-{row.fault}" for row in ROWS])
def test_a_fault_of_the_service_comes_to_what_the_core_makes_of_it(rig: Rig, row: Row, name: str) -> None:
    """H1, H8, H10 to H13, T1"""
    rig.play(row, WAYS[name])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("retries", [0, 1, 2, None])
def test_nobody_but_the_core_sends_again(rig: Rig, name: str, retries: int | None) -> None:
    """H2: the service sees max_retries + 1 attempts, whatever LlamaIndex would add."""
    rig.play(limited(retries), ALL[name], rig.model(ALL[name], max_retries=retries))


@pytest.mark.parametrize("name", ALL)
def test_an_expired_token_is_renewed_once(rig: Rig, name: str) -> None:
    """H8"""
    renewing(rig, ALL[name])


@pytest.mark.parametrize("name", ["chat", "stream", "complete", "embed"])
def test_an_unknown_endpoint_is_an_error_with_close_names(rig: Rig, name: str) -> None:
    """H10"""
    naming(rig, ALL[name])


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_stream_is_an_error_and_never_a_whole_answer(rig: Rig, fault: str) -> None:
    """S1, S3, S6, H13"""
    got: list[Any] = []
    breaking(rig, WAYS["stream"], fault, got)
    assert ["AAA ", "AAA BBB "] == [said(item) for item in got]
    assert all(item.additional_kwargs == {"partial": True} for item in got), "no item says that it is the last one"


def test_a_completion_that_is_cut_off_is_an_error(rig: Rig) -> None:
    """T3"""
    got: list[Any] = []
    outcome = Outcome(1, fm.StreamInterruptedError)
    error = rig.play(Row("T3", "cut", (CUT_STREAM,), outcome), MORE["complete, stream"], got=got)
    assert ("AAA ", ["AAA "]) == (error.partial_text, [item.text for item in got])


@pytest.mark.parametrize("name", ["tools", "tools, stream"])
def test_arguments_that_are_cut_off_are_no_call_to_be_executed(rig: Rig, name: str) -> None:
    """P2: though the service says that the answer is whole."""
    rig.lab.server.script(ENDPOINT, CUT_CALL[ALL[name].kind])
    rig.lab.expect(1)
    model = rig.model(ALL[name])
    result = rig.call(model, ALL[name])
    answer = result[-1] if isinstance(result, list) else result
    with pytest.raises(ValueError, match="are no JSON object"):
        model.get_tool_calls_from_response(answer)
    (block,) = (block for block in answer.message.blocks if block.block_type == "tool_call")
    assert CUT_ARGUMENTS == block.tool_kwargs, "text, which no tool can be called with"


def test_a_tool_is_not_called_with_arguments_that_are_cut_off(rig: Rig) -> None:
    """P2"""
    rig.lab.server.script(ENDPOINT, CUT_CALL["chat"])
    rig.lab.expect(1)
    called: list[str] = []
    tool = FunctionTool.from_defaults(called.append, name="weather", description="the weather")
    way = Way("chat", llm, "predict_and_call", {"tools": [tool], "user_msg": "Hi"}, str)
    with pytest.raises(ValueError, match="are no JSON object"):
        rig.call(rig.model(way), way)
    assert [] == called


def test_vectors_come_in_the_order_of_the_texts(rig: Rig) -> None:
    """E1"""
    rig.lab.server.script(ENDPOINT, SHUFFLED)
    rig.lab.expect(1)
    model = rig.model(BATCH)
    assert VECTORS == rig.call(model, BATCH)
    assert (3, 3) == (model.usage.input_tokens, model.usage.sum_tokens)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_vectors_is_an_error(rig: Rig, defect: str) -> None:
    """E2, E3"""
    rig.play(Row("E", defect, (DEFECTS[defect],), Outcome(1, fm.EmbeddingContractError, 200)), BATCH)


def test_texts_too_many_for_one_request_are_sent_in_several(rig: Rig) -> None:
    """H10"""
    rig.lab.server.script(ENDPOINT, either(lambda seen: halved(seen.json["input"]), rig.lab.server))
    assert VECTORS == rig.call(rig.model(BATCH), BATCH)
    rig.lab.expect(rig.lab.server.attempts(ENDPOINT))
    assert 3 == sum(len(seen.json["input"]) == 1 for seen in rig.lab.server.seen)


def test_usage_on_every_chunk_is_counted_once(rig: Rig) -> None:
    """S7: hosted models send it so far, with each chunk."""
    rig.lab.server.script(ENDPOINT, chunked(*words("a", "b", "c", "d"), DONE))
    rig.lab.expect(1)
    *others, last = rig.call(rig.model(WAYS["stream"]), WAYS["stream"])
    assert [{"partial": True}] * 4 == [item.additional_kwargs for item in others]
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [5, 4, 9] == [last.additional_kwargs[name] for name in counts]


@pytest.mark.parametrize("name", STREAMS)
def test_a_consumer_that_leaves_lets_go_of_the_connection(rig: Rig, name: str) -> None:
    """S10"""
    leaving(rig, ALL[name])
