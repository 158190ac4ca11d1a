"""Fault matrix through the LangChain models: one layer of retries, errors of both families, nothing half as whole."""

from __future__ import annotations

import functools
import operator
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
from langchain_core import exceptions as lc
from matrix import ENDPOINT, FINE, VECTOR, Outcome, Row

import fm_client as fm
from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings, FoundationModelLLM

lab = pytest.fixture(params=["sync", "async"])(laboratory)

# What is counted here are requests for an answer; test_route counts questions to endpoints.
chat_model = functools.partial(ChatFoundationModel, model=ENDPOINT, look_up_route=False)
llm = functools.partial(FoundationModelLLM, model=ENDPOINT, look_up_route=False)
embeddings = functools.partial(FoundationModelEmbeddings, model=ENDPOINT)


def joined(chunks: list[Any]) -> str:
    return str(functools.reduce(operator.add, chunks).text)


def shown(vector: list[float]) -> str:
    return FINE if vector == VECTOR else repr(vector)


WAYS = {
    "chat": Way("chat", chat_model, "invoke", "Hi", lambda message: message.text),
    "stream": Way("stream", chat_model, "stream", "Hi", joined),
    "embed": Way("embed", embeddings, "embed_documents", ["a text"], lambda vectors: shown(vectors[0])),
}
MORE = {
    "invoke, streaming": Way("stream", chat_model, "invoke", "Hi", lambda message: message.text, {"streaming": True}),
    "batch": Way("chat", chat_model, "batch", ["Hi"], lambda messages: messages[0].text),
    "query": Way("embed", embeddings, "embed_query", "a text", shown),
    "complete": Way("complete", llm, "invoke", "Hi", str),
    "complete, stream": Way("complete-stream", llm, "stream", "Hi", "".join),
    "complete, batch": Way("complete", llm, "batch", ["Hi"], lambda texts: texts[0]),
}
ALL = {**WAYS, **MORE}
STREAMS = [name for name, way in ALL.items() if way.method == "stream"]

FAMILY: dict[type[fm.APIError], type[Exception]] = {
    fm.APIConnectionError: lc.ModelConnectionError,
    fm.StreamInterruptedError: lc.ModelConnectionError,
    fm.AuthenticationError: lc.ModelAuthenticationError,
    fm.PermissionDeniedError: lc.ModelPermissionDeniedError,
    fm.NotFoundError: lc.ModelNotFoundError,
    fm.RateLimitError: lc.ModelRateLimitError,
    fm.BadRequestError: lc.ModelInvalidRequestError,
    fm.RequestTooLargeError: lc.ModelInvalidRequestError,
    fm.ServerError: lc.ModelAPIError,
    fm.ResponseFormatError: lc.ModelAPIError,
    fm.EmbeddingContractError: lc.ModelAPIError,
}


@pytest.fixture
def rig(lab: Lab) -> Rig:
    return Rig(lab, lambda model: model.clients, FAMILY.__getitem__)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.id}-{row.fault}" for row in ROWS])
def test_a_fault_of_the_service_comes_to_what_the_core_makes_of_it(rig: Rig, row: Row, name: str) -> None:
    """H1, H8, H10 to H13, T1"""
    rig.play(row, WAYS[name])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("retries", [0, 1, 2, None])
def test_nobody_but_the_core_sends_again(rig: Rig, name: str, retries: int | None) -> None:
    """H2: the service sees max_retries + 1 attempts, whatever LangChain would add."""
    rig.play(limited(retries), ALL[name], rig.model(ALL[name], max_retries=retries))


def test_each_call_of_a_batch_has_its_own_attempts(rig: Rig) -> None:
    """H2"""
    model = rig.model(WAYS["chat"], max_retries=1)
    rig.lab.server.script(ENDPOINT, *limited(1).answers)
    rig.lab.expect(3 * 2)
    way = Way("chat", chat_model, "batch", {"inputs": ["a", "b", "c"], "return_exceptions": True}, str)
    errors = rig.call(model, way)
    rig.lab.errors += errors
    assert [2, 2, 2] == [error.attempts for error in errors]
    assert all(isinstance(error, lc.ModelRateLimitError) for error in errors)


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
    whole = functools.reduce(operator.add, got)
    assert ("AAA BBB ", None, None) == (whole.text, whole.chunk_position, whole.usage_metadata)
    assert "finish_reason" not in whole.response_metadata


@pytest.mark.parametrize("fault", BROKEN)
def test_invoke_that_streams_returns_no_part(rig: Rig, fault: str) -> None:
    """S1, S3, S6, H13"""
    breaking(rig, MORE["invoke, streaming"], fault, [])


def test_a_completion_that_is_cut_off_is_an_error(rig: Rig) -> None:
    """T3"""
    got: list[Any] = []
    outcome = Outcome(1, fm.StreamInterruptedError)
    error = rig.play(Row("T3", "cut", (CUT_STREAM,), outcome), MORE["complete, stream"], got=got)
    assert "AAA " == error.partial_text == "".join(got)


@pytest.mark.parametrize("name", ["chat", "stream"])
def test_arguments_that_are_cut_off_are_no_valid_call(rig: Rig, name: str) -> None:
    """P2: though the service says that the answer is whole."""
    rig.lab.server.script(ENDPOINT, CUT_CALL[name])
    rig.lab.expect(1)
    result = rig.call(rig.model(WAYS[name]), WAYS[name])
    message = functools.reduce(operator.add, result) if name == "stream" else result
    assert [] == message.tool_calls
    (invalid,) = message.invalid_tool_calls
    assert ("weather", "call_1") == (invalid["name"], invalid["id"])
    assert invalid["args"].startswith(CUT_ARGUMENTS)


def test_vectors_come_in_the_order_of_the_texts(rig: Rig) -> None:
    """E1"""
    rig.lab.server.script(ENDPOINT, SHUFFLED)
    rig.lab.expect(1)
    assert VECTORS == rig.call(rig.model(WAYS["embed"]), Way("embed", embeddings, "embed_documents", TEXTS, str))


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_vectors_is_an_error(rig: Rig, defect: str) -> None:
    """E2, E3"""
    way = Way("embed", embeddings, "embed_documents", TEXTS, str)
    outcome = Outcome(1, fm.EmbeddingContractError, 200)
    rig.play(Row("E", defect, (DEFECTS[defect],), outcome), way)


def test_texts_too_many_for_one_request_are_sent_in_several(rig: Rig) -> None:
    """H10"""
    rig.lab.server.script(ENDPOINT, either(lambda seen: halved(seen.json["input"]), rig.lab.server))
    way = Way("embed", embeddings, "embed_documents", TEXTS, str)
    assert VECTORS == rig.call(rig.model(way), way)
    rig.lab.expect(rig.lab.server.attempts(ENDPOINT))
    assert 3 == sum(len(seen.json["input"]) == 1 for seen in rig.lab.server.seen)


@pytest.mark.parametrize("name", ["stream", "invoke, streaming"])
def test_usage_on_every_chunk_is_counted_once(rig: Rig, name: str) -> None:
    """S7: hosted models send it so far, with each chunk."""
    rig.lab.server.script(ENDPOINT, chunked(*words("a", "b", "c", "d"), DONE))
    rig.lab.expect(1)
    result = rig.call(rig.model(ALL[name]), ALL[name])
    message = functools.reduce(operator.add, result) if isinstance(result, list) else result
    assert {"input_tokens": 5, "output_tokens": 4, "total_tokens": 9} == message.usage_metadata


@pytest.mark.parametrize("name", STREAMS)
def test_a_consumer_that_leaves_lets_go_of_the_connection(rig: Rig, name: str) -> None:
    """S10"""
    leaving(rig, ALL[name])
