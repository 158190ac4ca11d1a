"""Endpoints of an embedded workspace: listed, created, changed and deleted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployments_api import CHAT, GTE, client_of, user
from fault_server import FaultServer, chat, reply
from mlflow.exceptions import MlflowException

from fm_client import EndpointFailedError
from mlflow_fm import FoundationModelDeploymentClient

LLAMA = {"entity_name": "main.default.llama", "entity_version": "3", "max_provisioned_throughput": 1000}
_counter = itertools.count()
PATH = "/api/2.0/serving-endpoints/e"


@pytest.fixture
def name(client: FoundationModelDeploymentClient) -> Iterator[str]:
    """The name of an endpoint that is gone after the test, and that no other test has."""
    fresh = f"under-test-{next(_counter)}"
    yield fresh
    client.delete_endpoint(fresh)


def external(server: FaultServer, **model: Any) -> dict[str, Any]:
    """An external model whose provider is the scripted server."""
    return {
        "name": "gpt-4o",
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {"openai_api_key_plaintext": "key-for-tests", "openai_api_base": f"{server.host}/v1"},
        **model,
    }


def test_hosted_endpoints_are_listed_with_their_task(client: FoundationModelDeploymentClient) -> None:
    listed = {endpoint.name: endpoint.task for endpoint in client.list_endpoints()}
    assert listed[CHAT] == "llm/v1/chat"
    assert listed[GTE] == "llm/v1/embeddings"


def test_an_endpoint_has_the_services_fields_and_the_type_that_mlflow_reads(
    client: FoundationModelDeploymentClient,
) -> None:
    endpoint = client.get_endpoint(GTE)
    assert endpoint["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert endpoint.config.served_entities[0].foundation_model.name == GTE
    assert endpoint.endpoint_type == endpoint.task == "llm/v1/embeddings"


def test_an_external_model_says_the_task_that_its_endpoint_does_not(server: FaultServer) -> None:
    """As an endpoint that is still being deployed."""
    described = {"name": "e", "config": {"served_entities": [{"name": "a", "external_model": external(server)}]}}
    server.script(PATH, reply(200, described))
    endpoint = client_of(server).get_endpoint("e")
    assert endpoint.get("task") == endpoint.endpoint_type == "llm/v1/chat"


def test_an_endpoint_that_is_created_is_ready(client: FoundationModelDeploymentClient, name: str) -> None:
    config = {"served_entities": [{**LLAMA, "name": "llama"}]}
    tags = [{"key": "fm_deploy_seconds", "value": "0.2"}]
    created = client.create_endpoint(config={"name": name, "config": config, "tags": tags})
    assert created.state.ready == "READY"
    assert created.config.served_entities[0].name == "llama"
    assert client.predict(endpoint=name, inputs=user("Hi")).choices


@pytest.mark.parametrize("wait", [False, "false"])
def test_without_wait_an_endpoint_is_created_and_deploys_on(
    client: FoundationModelDeploymentClient, name: str, wait: Any
) -> None:
    created = client.create_endpoint(name, {**LLAMA, "tags": {"fm_deploy_seconds": "60"}, "wait": wait})
    assert (created.state.ready, created.state.config_update) == ("NOT_READY", "IN_PROGRESS")


def test_waiting_has_an_end(client: FoundationModelDeploymentClient, name: str) -> None:
    config = {**LLAMA, "tags": {"fm_deploy_seconds": "60"}, "wait_timeout": "0.1"}
    with pytest.raises(EndpointFailedError, match="not ready after") as caught:
        client.create_endpoint(name, config)
    assert isinstance(caught.value, MlflowException)


def test_a_deployment_that_fails_is_an_error_that_says_why(client: FoundationModelDeploymentClient, name: str) -> None:
    with pytest.raises(MlflowException, match="no capacity") as caught:
        client.create_endpoint(name, {**LLAMA, "tags": {"fm_deploy_fail": "no capacity"}})
    assert caught.value.error_code == "INVALID_STATE"


def test_the_older_form_takes_tags_and_rate_limits_too(client: FoundationModelDeploymentClient, name: str) -> None:
    limits = [{"calls": 7, "key": "endpoint", "renewal_period": "minute"}]
    created = client.create_endpoint(
        name, {"served_entities": [LLAMA], "tags": [{"key": "team", "value": "search"}], "rate_limits": limits}
    )
    assert {"key": "team", "value": "search"} in created.tags
    assert created.rate_limits[0].calls == 7


def test_texts_of_a_command_line_create_the_same_endpoint(
    client: FoundationModelDeploymentClient, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"name": name, "config": {"served_entities": [LLAMA]}}), encoding="utf-8")
    created = client.create_endpoint(None, {"config": f"@{path}", "description": "from a file"})
    assert (created.name, created.description) == (name, "from a file")


def test_an_external_endpoint_forwards_to_its_provider(
    client: FoundationModelDeploymentClient, name: str, server: FaultServer
) -> None:
    server.script("/v1/chat/completions", reply(200, chat("from the provider")))
    created = client.create_endpoint(name, {"external_model": external(server)})
    assert "key-for-tests" not in repr(created)
    assert created.endpoint_type == "llm/v1/chat"
    answer = client.predict(endpoint=name, inputs=user("Hi"))
    assert answer.choices[0].message.content == "from the provider"
    assert server.seen[-1].headers["authorization"] == "Bearer key-for-tests"


def test_a_name_that_is_taken_is_a_conflict(client: FoundationModelDeploymentClient, name: str) -> None:
    client.create_endpoint(name, LLAMA)
    with pytest.raises(MlflowException) as caught:
        client.create_endpoint(name, LLAMA)
    assert caught.value.error_code in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT", "ALREADY_EXISTS")


def test_an_endpoint_that_does_not_exist_is_an_error(client: FoundationModelDeploymentClient) -> None:
    with pytest.raises(MlflowException) as caught:
        client.get_endpoint("nowhere")
    assert caught.value.get_http_status_code() == 404


def test_deleting_twice_is_as_good_as_once(client: FoundationModelDeploymentClient, name: str) -> None:
    client.create_endpoint(name, LLAMA)
    client.delete_endpoint(name)
    client.delete_endpoint(name)
    assert name not in {endpoint.name for endpoint in client.list_endpoints()}


@pytest.mark.parametrize("method", ["update_endpoint_config", "update_endpoint"])
def test_what_is_served_can_be_changed(client: FoundationModelDeploymentClient, name: str, method: str) -> None:
    client.create_endpoint(name, {**LLAMA, "tags": {"fm_deploy_seconds": "0.1"}})
    updated = getattr(client, method)(name, {"served_entities": [{**LLAMA, "entity_version": "4"}]})
    assert updated.config.served_entities[0].entity_version == "4"
    assert updated.config.config_version == 2


@pytest.mark.parametrize("method", ["update_endpoint_tags", "update_endpoint"])
def test_tags_can_be_set_and_deleted(client: FoundationModelDeploymentClient, name: str, method: str) -> None:
    client.create_endpoint(name, {**LLAMA, "tags": {"team": "search", "old": "1"}})
    changes = {"add_tags": '[{"key": "tier", "value": "gold"}]', "delete_tags": ["old"]}
    updated = getattr(client, method)(name, changes)
    assert sorted((tag.key, tag.value) for tag in updated.tags) == [("team", "search"), ("tier", "gold")]


@pytest.mark.parametrize("method", ["update_endpoint_rate_limits", "update_endpoint"])
def test_rate_limits_can_be_replaced(client: FoundationModelDeploymentClient, name: str, method: str) -> None:
    client.create_endpoint(name, LLAMA)
    limits = {"rate_limits": [{"calls": 1, "key": "endpoint", "renewal_period": "minute"}]}
    assert getattr(client, method)(name, limits).rate_limits[0].calls == 1
    client.predict(endpoint=name, inputs=user("Hi"))
    with pytest.raises(MlflowException) as caught:
        client.predict(endpoint=name, inputs=user("Hi"), timeout=20)
    assert caught.value.get_http_status_code() == 429


def test_the_gateway_can_be_replaced(client: FoundationModelDeploymentClient, name: str) -> None:
    client.create_endpoint(name, LLAMA)
    updated = client.update_endpoint_ai_gateway(name, {"usage_tracking_config": {"enabled": True}})
    assert updated.usage_tracking_config.enabled is True
    again = client.update_endpoint(name, {"ai_gateway": {"usage_tracking_config": {"enabled": False}}})
    assert again.usage_tracking_config.enabled is False
    assert client.get_endpoint(name).ai_gateway.usage_tracking_config.enabled is False


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("update_endpoint_tags", {"tags": []}),
        ("update_endpoint_rate_limits", {"limits": []}),
        ("update_endpoint_config", {}),
        ("update_endpoint", None),
        ("update_endpoint", {"config": "{"}),
    ],
)
def test_a_change_of_nothing_is_refused(client: FoundationModelDeploymentClient, method: str, config: Any) -> None:
    with pytest.raises(MlflowException) as caught:
        getattr(client, method)(CHAT, config)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
