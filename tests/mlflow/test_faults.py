"""Fault matrix through the deployments client: one layer of retries, errors of both families, nothing half as whole."""

from __future__ import annotations

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
)
from deployments_api import user
from fault_lab import CANARY, Lab, laboratory
from fault_server import DONE, chunked, either, reply, words
from matrix import ENDPOINT, FINE, VECTOR, Outcome, Row, good
from matrix_http import EXPIRED
from mlflow.exceptions import MlflowException

import fm_client as fm
from mlflow_fm import FoundationModelDeploymentClient
from mlflow_fm._settings import MAX_RETRIES

lab = pytest.fixture(params=["sync", "async"])(laboratory)


def deployments(host: str, token: str) -> FoundationModelDeploymentClient:
    """The token is in the environment: the deployments client takes none."""
    return FoundationModelDeploymentClient(host.replace("http://", "fm://"))


def chunk_text(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def completion_text(chunks: list[Any]) -> str:
    return "".join(choice.text for chunk in chunks for choice in chunk.choices)


def shown(answer: Any) -> str:
    vectors = [item.embedding for item in answer.data]
    return FINE if vectors == [VECTOR] else repr(vectors)


def asking(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"endpoint": ENDPOINT, "inputs": inputs}


HI, PROMPT = asking(user("Hi")), asking({"prompt": "Hi"})
WAYS = {
    "chat": Way("chat", deployments, "predict", HI, lambda answer: answer.choices[0].message.content),
    "stream": Way("stream", deployments, "predict_stream", HI, chunk_text),
    "embed": Way("embed", deployments, "predict", asking({"input": ["a text"]}), shown),
}
MORE = {
    "complete": Way("complete", deployments, "predict", PROMPT, lambda answer: answer.choices[0].text),
    "complete, stream": Way("complete-stream", deployments, "predict_stream", PROMPT, completion_text),
}
ALL = {**WAYS, **MORE}
STREAMS = [name for name, way in ALL.items() if way.method == "predict_stream"]
BATCH = Way("embed", deployments, "predict", asking({"input": TEXTS}), str)


@pytest.fixture
def rig(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setenv("DATABRICKS_TOKEN", CANARY)
    return Rig(lab, lambda client: client._clients, lambda error: MlflowException)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.id}-{row.fault}" for row in ROWS])
def test_a_fault_of_the_service_comes_to_what_the_core_makes_of_it(rig: Rig, row: Row, name: str) -> None:
    """H1, H8, H10 to H13, T1"""
    rig.play(row, WAYS[name])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("retries", [0, 1, 2, None])
def test_nobody_but_the_core_sends_again(
    rig: Rig, name: str, retries: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H2: the service sees as many repeats as MLflow's variable says, and no layer multiplies them."""
    if retries is not None:
        monkeypatch.setenv(MAX_RETRIES, str(retries))
    rig.play(limited(retries), ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_an_expired_token_is_renewed_once(rig: Rig, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """H8: by the client credentials in the environment."""
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "me")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", CANARY)
    grants = [reply(200, {"access_token": f"{CANARY}-{i}", "expires_in": 3600}) for i in (1, 2)]
    rig.lab.server.script("/oidc/v1/token", *grants)
    rig.lab.expect(2, at="/oidc/v1/token")
    rig.lab.expect(2, at="/oidc/.well-known/oauth-authorization-server")
    rig.play(Row("H8", "403 expired", (EXPIRED["403 invalid"], good), Outcome(2)), ALL[name])
    sent = [seen.headers["authorization"] for seen in rig.lab.server.seen if seen.endpoint]
    assert [f"Bearer {CANARY}-1", f"Bearer {CANARY}-2"] == sent


@pytest.mark.parametrize("name", ["chat", "stream", "complete", "embed"])
def test_an_unknown_endpoint_is_an_error_with_close_names(rig: Rig, name: str) -> None:
    """H10"""
    naming(rig, ALL[name])


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_stream_is_an_error_and_never_a_whole_answer(rig: Rig, fault: str) -> None:
    """S1, S3, S6, H13"""
    got: list[Any] = []
    breaking(rig, WAYS["stream"], fault, got)
    assert "AAA BBB " == chunk_text(got)
    assert [] == [chunk for chunk in got if "usage" in chunk or chunk.choices[0].get("finish_reason")]


def test_a_completion_that_is_cut_off_is_an_error(rig: Rig) -> None:
    """T3"""
    got: list[Any] = []
    outcome = Outcome(1, fm.StreamInterruptedError)
    error = rig.play(Row("T3", "cut", (CUT_STREAM,), outcome), MORE["complete, stream"], got=got)
    assert "AAA " == error.partial_text == completion_text(got)


def test_arguments_that_are_cut_off_come_as_the_text_they_are(rig: Rig) -> None:
    """P2: MLflow has the service's own form, in which arguments are text; nothing makes an object of them."""
    rig.lab.server.script(ENDPOINT, CUT_CALL["chat"])
    rig.lab.expect(1)
    (call,) = rig.call(rig.model(WAYS["chat"]), WAYS["chat"]).choices[0].message.tool_calls
    assert ("weather", CUT_ARGUMENTS) == (call.function.name, call.function.arguments)


def test_vectors_come_in_the_order_of_the_texts(rig: Rig) -> None:
    """E1"""
    rig.lab.server.script(ENDPOINT, SHUFFLED)
    rig.lab.expect(1)
    answer = rig.call(rig.model(BATCH), BATCH)
    assert [(i, vector) for i, vector in enumerate(VECTORS)] == [(item.index, item.embedding) for item in answer.data]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_vectors_is_an_error(rig: Rig, defect: str) -> None:
    """E2, E3"""
    rig.play(Row("E", defect, (DEFECTS[defect],), Outcome(1, fm.EmbeddingContractError, 200)), BATCH)


def test_texts_too_many_for_one_request_are_sent_in_several(rig: Rig) -> None:
    """H10"""
    rig.lab.server.script(ENDPOINT, either(lambda seen: halved(seen.json["input"]), rig.lab.server))
    answer = rig.call(rig.model(BATCH), BATCH)
    assert VECTORS == [item.embedding for item in answer.data]
    rig.lab.expect(rig.lab.server.attempts(ENDPOINT))
    assert 3 == sum(len(seen.json["input"]) == 1 for seen in rig.lab.server.seen)


def test_usage_on_every_chunk_is_counted_once(rig: Rig) -> None:
    """S7: hosted models send it so far, with each chunk."""
    rig.lab.server.script(ENDPOINT, chunked(*words("a", "b", "c", "d"), DONE))
    rig.lab.expect(1)
    *others, last = rig.call(rig.model(WAYS["stream"]), WAYS["stream"])
    assert [] == [chunk for chunk in others if "usage" in chunk]
    assert ([], {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}) == (last.choices, last.usage)


@pytest.mark.parametrize("name", STREAMS)
def test_a_consumer_that_leaves_lets_go_of_the_connection(rig: Rig, name: str) -> None:
    """S10"""
    leaving(rig, ALL[name])
