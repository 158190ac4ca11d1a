"""Queries of an embedded workspace, sync and async."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading

import pytest
from deployments_api import CHAT, GTE, Asked, client_of, user
from fault_server import DONE, FaultServer, chat, chunked, delta, event, meeting, reply, words
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from timing import SOON

from fm_client import Client
from fm_workspace import Workspace
from mlflow_fm import FoundationModelDeploymentClient
from mlflow_fm._settings import MAX_RETRIES, clients_for
from mlflow_fm._targets import Target

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_a_chat_is_answered_in_the_services_own_form(client: FoundationModelDeploymentClient, ask: Asked) -> None:
    answer = ask.predict(client, endpoint=CHAT, inputs={**user("Hi"), "max_tokens": 20, "temperature": 0})
    assert answer.object == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == answer.choices[0].message.role == "assistant"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert {"id", "created", "model"} <= answer.keys()


def test_nothing_of_an_answer_is_lost(server: FaultServer, ask: Asked) -> None:
    """Also what no model of ours knows: unknown fields, nulls, extra usage."""
    whole = chat("hello", reasoning_content="hm", refusal=None) | {"system_fingerprint": None, "id": None}
    whole["usage"] |= {"cache_read_input_tokens": 3}
    client = client_of(server)
    server.script("e", reply(200, whole))
    assert ask.predict(client, endpoint="e", inputs=user("Hi")) == whole


def test_the_body_is_sent_as_it_was_given(server: FaultServer, ask: Asked) -> None:
    server.script("e", reply(200, chat()))
    body = {**user("Hi"), "temperature": 0.5, "usage_context": {"team": "search"}, "tools": [TOOL]}
    ask.predict(client_of(server), endpoint="e", inputs=body)
    assert server.seen[-1].json == body


def test_tools_are_called(client: FoundationModelDeploymentClient, ask: Asked) -> None:
    inputs = {**user("What is the weather in Oslo?"), "tools": [TOOL], "tool_choice": "required"}
    answer = ask.predict(client, endpoint=CHAT, inputs=inputs)
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_prompt_is_completed(client: FoundationModelDeploymentClient, ask: Asked) -> None:
    client.create_endpoint(
        "words", {"entity_name": "main.default.base", "entity_version": "1", "max_provisioned_throughput": 1000}
    )
    answer = ask.predict(client, endpoint="words", inputs={"prompt": "Once upon a time", "max_tokens": 9})
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    chunks = list(ask.stream(client, endpoint="words", inputs={"prompt": "Once upon a time", "max_tokens": 9}))
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == answer.choices[0].text
    assert chunks[-1].usage == answer.usage
    client.delete_endpoint("words")


def test_any_number_of_texts_is_embedded_in_order(client: FoundationModelDeploymentClient, ask: Asked) -> None:
    texts = [f"text number {i}" for i in range(250)]
    answer = ask.predict(client, endpoint=GTE, inputs={"input": texts})
    assert answer.object == "list"
    assert [item.index for item in answer.data] == list(range(250))
    alone = ask.predict(client, endpoint=GTE, inputs={"input": texts[137]})
    assert answer.data[137].embedding == alone.data[0].embedding
    assert answer.data[137].embedding != answer.data[136].embedding
    assert answer.usage.prompt_tokens > alone.usage.prompt_tokens


@pytest.mark.parametrize("style", ["cumulative", "nulls", "final", "never"])
def test_a_stream_has_its_usage_once_in_its_last_chunk(
    client: FoundationModelDeploymentClient, ask: Asked, style: str
) -> None:
    client.create_endpoint(
        f"stream-{style}",
        {
            "entity_name": "main.default.llama",
            "entity_version": "1",
            "max_provisioned_throughput": 1000,
            "tags": {"fm_usage_style": style},
        },
    )
    whole = client.predict(endpoint=f"stream-{style}", inputs=user("Hi"))
    chunks = list(ask.stream(client, endpoint=f"stream-{style}", inputs=user("Hi")))
    client.delete_endpoint(f"stream-{style}")
    spoken = [chunk for chunk in chunks if chunk.choices]
    assert "".join(chunk.choices[0].delta.content for chunk in spoken) == whole.choices[0].message.content
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert not any("usage" in chunk for chunk in spoken)
    assert [chunk.usage for chunk in chunks[len(spoken) :]] == ([] if style == "never" else [whole.usage])


def test_a_closed_stream_lets_go_of_its_connection(server: FaultServer, ask: Asked) -> None:
    server.script("e", chunked(*words("a", "b", finish=None), end="hold"))
    chunks = ask.stream(client_of(server), endpoint="e", inputs=user("Hi"))
    assert next(chunks).choices[0].delta.content == "a"
    chunks.close()
    assert server.disconnected.wait(SOON)


def test_a_stream_that_was_never_read_sends_nothing(server: FaultServer) -> None:
    client = client_of(server)
    client.predict_stream(endpoint="e", inputs=user("Hi")).close()
    with client.predict_stream(endpoint="e", inputs=user("Hi")):
        pass
    gc.collect()
    assert server.seen == []


def test_what_is_wrong_with_a_stream_is_said_at_once(client: FoundationModelDeploymentClient) -> None:
    for stream in (client.predict_stream, client.apredict_stream):
        with pytest.raises(MlflowException, match="temperature"):
            stream(endpoint=CHAT, inputs={**user("Hi"), "temperature": 7})


def test_a_broken_stream_raises_with_what_had_arrived(server: FaultServer, ask: Asked) -> None:
    server.script("e", chunked(event(delta("half")), end="cut"))
    with pytest.raises(MlflowException) as caught:
        list(ask.stream(client_of(server), endpoint="e", inputs=user("Hi")))
    assert caught.value.partial_text == "half"  # type: ignore[attr-defined]  # of the core's error, which it is too
    assert caught.value.error_code == "TEMPORARILY_UNAVAILABLE"


def test_comments_and_pings_in_a_stream_are_no_errors(server: FaultServer, ask: Asked) -> None:
    server.script("e", chunked(b": ping\n\n", b"event: message\n", *words("a"), DONE))
    assert next(iter(ask.stream(client_of(server), endpoint="e", inputs=user("Hi")))).choices[0].delta.content == "a"


def test_deployment_name_means_the_endpoint(client: FoundationModelDeploymentClient, ask: Asked) -> None:
    assert ask.predict(client, deployment_name=CHAT, inputs=user("Hi")).choices
    assert ask.predict(client, deployment_name=CHAT, endpoint=CHAT, inputs=user("Hi")).choices
    with pytest.raises(MlflowException, match="two endpoints"):
        ask.predict(client, deployment_name="a", endpoint="b", inputs=user("Hi"))
    with pytest.raises(MlflowException, match="no endpoint is named") as caught:
        ask.predict(client, inputs=user("Hi"))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_the_next_endpoint_answers_where_the_first_cannot(server: FaultServer, ask: Asked) -> None:
    server.script("busy", reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "QPS"}))
    server.script("free", reply(200, chat("from free")))
    answer = ask.predict(client_of(server), endpoint=["busy", "free"], inputs=user("Hi"))
    assert answer.choices[0].message.content == "from free"
    assert server.attempts("busy") == 1


@pytest.mark.parametrize("repeats", [0, 1, 3])
def test_requests_are_repeated_as_often_as_the_environment_says(
    server: FaultServer, ask: Asked, monkeypatch: pytest.MonkeyPatch, repeats: int
) -> None:
    monkeypatch.setenv(MAX_RETRIES, str(repeats))
    server.script("e", reply(503, {"message": "busy"}, **{"Retry-After": "0"}))
    with pytest.raises(MlflowException):
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"))
    assert server.attempts("e") == repeats + 1


@pytest.mark.parametrize("value", ["-1", "many", "2.5", "21"])
def test_a_number_of_repeats_that_is_none_is_refused(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(MAX_RETRIES, value)
    with pytest.raises(MlflowException, match=f"{value}'?$") as caught:
        client_of(server).predict(endpoint="e", inputs=user("Hi"))
    assert (caught.value.error_code, server.seen) == ("INVALID_PARAMETER_VALUE", [])


def test_mlflow_finds_the_target_by_its_environment_variable(
    client: FoundationModelDeploymentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", "fm")
    found = get_deploy_client()
    assert isinstance(found, FoundationModelDeploymentClient)
    assert found.predict(endpoint=CHAT, inputs=user("Hi")).choices


@pytest.mark.parametrize("endpoint_type", [None, "llm/v1/chat"])
def test_mlflows_scorers_ask_the_target(
    client: FoundationModelDeploymentClient, monkeypatch: pytest.MonkeyPatch, endpoint_type: str | None
) -> None:
    """A plain text is made a body by `.endpoint_type`, which must be the task."""
    scoring = pytest.importorskip("mlflow.metrics.genai.model_utils", reason="mlflow-skinny comes without pandas")
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", "fm")
    assert (
        scoring.score_model_on_payload(f"endpoints:/{CHAT}", "The sky is blue.", endpoint_type=endpoint_type)
        is not None
    )


def test_the_embedded_workspace_is_a_target(ask: Asked) -> None:
    client = get_deploy_client("fm://local")
    assert ask.predict(client, endpoint=CHAT, inputs=user("Hi")).choices


def test_a_workspace_is_a_target_by_its_address(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", workspace.token)
    client = FoundationModelDeploymentClient(workspace.host.replace("http://", "fm://"))
    assert client.predict(endpoint=CHAT, inputs=user("Hi")).choices


def test_a_profile_is_a_target(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("profiles") / "databrickscfg"
    path.write_text(f"[staging]\nhost = {workspace.host}\ntoken = {workspace.token}\n", encoding="utf-8")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(path))
    assert FoundationModelDeploymentClient("fm:/staging").predict(endpoint=CHAT, inputs=user("Hi")).choices


def test_nothing_is_looked_up_before_the_first_call() -> None:
    client = FoundationModelDeploymentClient("fm")
    with pytest.raises(MlflowException, match="no workspace is configured") as caught:
        client.predict(endpoint=CHAT, inputs=user("Hi"))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_all_clients_of_a_target_share_their_connections(server: FaultServer) -> None:
    server.script("e", reply(200, chat()))
    client_of(server)
    for _ in range(3):
        client_of(server).predict(endpoint="e", inputs=user("Hi"))
    assert server.connections == 1


def test_one_client_works_in_several_event_loops(client: FoundationModelDeploymentClient) -> None:
    for _ in range(2):
        assert asyncio.run(client.apredict(endpoint=CHAT, inputs=user("Hi"))).choices


async def test_async_calls_run_side_by_side(server: FaultServer) -> None:
    """None is answered before all ten are there."""
    server.default = meeting(10)
    client = client_of(server)
    answers = await asyncio.gather(*(client.apredict(endpoint="e", inputs=user("Hi")) for _ in range(10)))
    assert {answer.choices[0].message.content for answer in answers} == {"met"}


@pytest.mark.parametrize("endpoint", ["a/b", "../x", ["a", "b/c"]])
def test_what_can_be_no_endpoint_is_refused(
    client: FoundationModelDeploymentClient, ask: Asked, endpoint: str | list[str]
) -> None:
    with pytest.raises(MlflowException, match="is not an endpoint name") as caught:
        ask.predict(client, endpoint=endpoint, inputs=user("Hi"))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_vectors_are_asked_of_one_endpoint_only(client: FoundationModelDeploymentClient, ask: Asked) -> None:
    with pytest.raises(MlflowException, match="a list is not an endpoint name"):
        ask.predict(client, endpoint=[GTE, "databricks-bge-large-en"], inputs={"input": "a"})


def test_threads_share_one_client_of_a_target(server: FaultServer) -> None:
    found: list[Client] = []
    target = Target(client_of(server) and server.host)
    threads = [threading.Thread(target=lambda: found.append(clients_for(target).sync)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in found}) == 1


def test_a_new_token_in_the_environment_is_used(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script("e", reply(200, chat()))
    client = client_of(server)
    client.predict(endpoint="e", inputs=user("Hi"))
    monkeypatch.setenv("DATABRICKS_TOKEN", "another-token-for-tests")
    client.predict(endpoint="e", inputs=user("Hi"))
    sent = [request.headers["authorization"] for request in server.seen]
    assert sent == ["Bearer token-for-tests", "Bearer another-token-for-tests"]


def test_a_client_is_pickled_without_secrets(client: FoundationModelDeploymentClient, workspace: Workspace) -> None:
    client.predict(endpoint=CHAT, inputs=user("Hi"))
    data = pickle.dumps(client)
    assert workspace.token.encode() not in data
    assert pickle.loads(data).predict(endpoint=CHAT, inputs=user("Hi")).choices  # noqa: S301  # our own pickle


def _of(server: FaultServer) -> FoundationModelDeploymentClient:
    return FoundationModelDeploymentClient(server.host.replace("http://", "fm://"))
