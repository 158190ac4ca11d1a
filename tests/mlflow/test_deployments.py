"""MLflow's deployments, which are the served entities of an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from deployments_api import CHAT, user
from fault_server import FaultServer, chat, reply
from mlflow.exceptions import MlflowException

from mlflow_fm import FoundationModelDeploymentClient
from mlflow_fm._deployments import changed_entity, served_entity, with_share

MODEL = "models:/main.default.llama/3"
NEXT = "models:/main.default.llama/4"
THROUGHPUT = {"max_provisioned_throughput": 1000}


@pytest.fixture
def endpoint(client: FoundationModelDeploymentClient) -> Iterator[str]:
    """An endpoint with one served entity, `a`."""
    client.create_endpoint(
        "deployed",
        {"served_entities": [{"name": "a", "entity_name": "main.default.llama", "entity_version": "3", **THROUGHPUT}]},
    )
    yield "deployed"
    client.delete_endpoint("deployed")


def traffic(client: FoundationModelDeploymentClient, endpoint: str) -> dict[str, int]:
    routes = client.get_endpoint(endpoint).config.traffic_config.routes
    return {route.served_entity_name: route.traffic_percentage for route in routes}


def test_a_deployment_of_its_own_is_an_endpoint(client: FoundationModelDeploymentClient) -> None:
    created = client.create_deployment("alone", MODEL, config={**THROUGHPUT, "tags": {"team": "search"}})
    assert (created["name"], created["flavor"], created["state"]["ready"]) == ("alone", "provisioned", "READY")
    assert client.predict("alone", user("Hi")).choices
    assert client.get_deployment("alone").tags == [{"key": "team", "value": "search"}]
    updated = client.update_deployment("alone", NEXT)
    assert (updated.entity_version, updated.flavor) == ("4", "provisioned")
    assert "alone" in {deployment["name"] for deployment in client.list_deployments()}
    client.delete_deployment("alone")
    client.delete_deployment("alone")
    assert "alone" not in {deployment["name"] for deployment in client.list_deployments()}


def test_an_external_model_is_deployed_by_its_provider_and_name(
    client: FoundationModelDeploymentClient, server: FaultServer
) -> None:
    server.script("/v1/chat/completions", reply(200, chat("from the provider")))
    settings = {"openai_api_key_plaintext": "key-for-tests", "openai_api_base": f"{server.host}/v1"}
    created = client.create_deployment("outside", "openai:/gpt-4o", config={"openai_config": settings})
    assert created.flavor == "external"
    assert client.predict("outside", user("Hi")).choices[0].message.content == "from the provider"
    client.update_deployment("outside", "openai:/gpt-4o-mini")
    client.predict("outside", user("Hi"))
    assert server.seen[-1].json["model"] == "gpt-4o-mini"
    assert server.seen[-1].headers["authorization"] == "Bearer key-for-tests"
    client.delete_deployment("outside")


def test_a_second_deployment_gets_the_traffic_it_is_given(
    client: FoundationModelDeploymentClient, endpoint: str
) -> None:
    created = client.create_deployment("b", NEXT, config=THROUGHPUT, endpoint=endpoint)
    assert (created["name"], created["endpoint"], created["flavor"]) == ("b", endpoint, "provisioned")
    assert traffic(client, endpoint) == {"a": 100, "b": 0}
    client.update_deployment("b", config={"traffic_percentage": "30"}, endpoint=endpoint)
    assert traffic(client, endpoint) == {"a": 70, "b": 30}
    client.update_deployment("b", MODEL, endpoint=endpoint)
    assert traffic(client, endpoint) == {"a": 70, "b": 30}
    assert client.get_deployment("b", endpoint).entity_version == "3"
    assert client.get_deployment("b", endpoint).max_provisioned_throughput == 1000
    client.delete_deployment("a", endpoint=endpoint)
    assert traffic(client, endpoint) == {"b": 100}
    assert [deployment.name for deployment in client.list_deployments(endpoint)] == ["b"]


def test_deleting_what_is_not_there_does_nothing(client: FoundationModelDeploymentClient, endpoint: str) -> None:
    client.delete_deployment("nothing", endpoint=endpoint)
    client.delete_deployment("nothing", endpoint="nowhere")
    client.delete_deployment("nothing")
    assert [deployment.name for deployment in client.list_deployments(endpoint)] == ["a"]


def test_a_deployment_that_waits_for_nothing_returns_at_once(client: FoundationModelDeploymentClient) -> None:
    config = {**THROUGHPUT, "tags": {"fm_deploy_seconds": "60"}, "wait": "false"}
    assert client.create_deployment("slow", MODEL, config=config)["state"]["ready"] == "NOT_READY"
    assert client.get_deployment("slow", "slow").entity_version == "3"
    client.delete_deployment("slow")


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        (lambda c, e: c.create_deployment("a", MODEL, config=THROUGHPUT, endpoint=e), "ALREADY_EXISTS", "'a' already"),
        (lambda c, e: c.create_deployment("b", "runs:/1/model"), "INVALID_PARAMETER_VALUE", "cannot be served"),
        (lambda c, e: c.create_deployment("b", MODEL, "sklearn"), "INVALID_PARAMETER_VALUE", "flavor 'sklearn'"),
        (
            lambda c, e: c.create_deployment("b", NEXT, config={"tags": []}, endpoint=e),
            "INVALID_PARAMETER_VALUE",
            "tags: of an endpoint",
        ),
        (lambda c, e: c.delete_deployment("a", endpoint=e), "INVALID_PARAMETER_VALUE", "delete the endpoint"),
        (lambda c, e: c.get_deployment("b", e), "RESOURCE_DOES_NOT_EXIST", "it has: 'a'"),
        (lambda c, e: c.update_deployment("b", NEXT, endpoint=e), "RESOURCE_DOES_NOT_EXIST", "no deployment 'b'"),
        (lambda c, e: c.update_deployment("a", flavor="external", endpoint=e), "INVALID_PARAMETER_VALUE", "flavor"),
        (lambda c, e: c.explain(CHAT, None), "NOT_IMPLEMENTED", "no explanations"),
    ],
)
def test_what_cannot_be_done_is_an_mlflow_exception_that_says_why(
    client: FoundationModelDeploymentClient, endpoint: str, call: Any, code: str, reason: str
) -> None:
    with pytest.raises(MlflowException, match=reason) as caught:
        call(client, endpoint)
    assert caught.value.error_code == code


def test_which_of_several_deployments_is_meant_must_be_said(
    client: FoundationModelDeploymentClient, endpoint: str
) -> None:
    client.create_deployment("b", NEXT, config=THROUGHPUT, endpoint=endpoint)
    with pytest.raises(MlflowException, match="serves 'a', 'b'"):
        client.update_deployment(endpoint, NEXT)


@pytest.mark.parametrize(
    ("uri", "config", "entity"),
    [
        ("models:/a.b.c/3", {}, {"entity_name": "a.b.c", "entity_version": "3"}),
        ("a.b.c/12", {}, {"entity_name": "a.b.c", "entity_version": "12"}),
        ("models:/a.b.c", {"entity_version": 4}, {"entity_name": "a.b.c", "entity_version": "4"}),
        (
            "anthropic:/claude-x",
            {"task": "llm/v1/completions", "anthropic_config": {}},
            {
                "external_model": {
                    "name": "claude-x",
                    "provider": "anthropic",
                    "task": "llm/v1/completions",
                    "anthropic_config": {},
                }
            },
        ),
    ],
)
def test_a_model_uri_is_a_served_entity(uri: str, config: dict[str, Any], entity: dict[str, Any]) -> None:
    assert served_entity("n", uri, None, {**config, "traffic_percentage": 5}) == {"name": "n", **entity}


@pytest.mark.parametrize("uri", ["models:/a.b.c", "models:/a.b.c@champion", "models:/m/3", "s3://b/m", "m", ""])
def test_other_model_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="model URI"):
        served_entity("n", uri, None, {})


@pytest.mark.parametrize(
    ("shares", "share", "divided"),
    [
        ({"a": 75, "b": 25, "n": 0}, 20, {"a": 60, "b": 20, "n": 20}),
        ({"a": 34, "b": 33, "c": 33, "n": 0}, 50, {"a": 18, "b": 16, "c": 16, "n": 50}),
        ({"a": 0, "b": 0, "n": 100}, 0, {"a": 100, "b": 0, "n": 0}),
        ({"n": 40}, 10, {"n": 100}),
        ({"a": 100, "n": 0}, 100, {"a": 0, "n": 100}),
    ],
)
def test_shares_add_up_to_a_hundred(shares: dict[str, int], share: int, divided: dict[str, int]) -> None:
    assert with_share(shares, "n", share) == divided


@pytest.mark.parametrize("share", [101, -1, 12.5, [1]])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        with_share({"a": 100}, "n", share)


def test_model_units_go_to_the_paths_of_their_own(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service shows of an entity has sizes of 0, which are those not in use, and it does not take them back."""
    shown = {
        "name": "a",
        "entity_name": "main.default.llama",
        "entity_version": "3",
        "provisioned_model_units": 50,
        "min_provisioned_throughput": 0,
        "max_provisioned_throughput": 0,
        "scale_to_zero_enabled": False,
    }
    endpoint = {"name": "a", "config": {"served_entities": [shown]}, "state": {"ready": "READY"}}
    for path in (
        "/api/2.0/serving-endpoints/pt",
        "/api/2.0/serving-endpoints/a",
        "/api/2.0/serving-endpoints/pt/a/config",
    ):
        server.script(path, *[reply(200, endpoint)] * 3)
    monkeypatch.setenv("DATABRICKS_HOST", server.host)
    client = FoundationModelDeploymentClient("fm")
    client.create_deployment("a", MODEL, config={"provisioned_model_units": 50, "wait": False})
    client.update_deployment("a", config={"provisioned_model_units": 100, "wait": False})
    created, updated = (seen for seen in server.seen if seen.method != "GET")
    assert created.path == "/api/2.0/serving-endpoints/pt"
    assert updated.path == "/api/2.0/serving-endpoints/pt/a/config"
    (entity,) = updated.json["config"]["served_entities"]
    assert entity == {
        "name": "a",
        "entity_name": "main.default.llama",
        "entity_version": "3",
        "provisioned_model_units": 100,
    }


TOKENS = {"min_provisioned_throughput": 500, "max_provisioned_throughput": 1000}
UNITS = {"provisioned_model_units": 50, "burst_scaling_enabled": True}


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (TOKENS, {"max_provisioned_throughput": 2000}, {**TOKENS, "max_provisioned_throughput": 2000}),
        (TOKENS | {"scale_to_zero_enabled": True}, {"provisioned_model_units": 50}, {"provisioned_model_units": 50}),
        (TOKENS, {"throughput_chunks": 2}, {"min_provisioned_throughput": 500, "throughput_chunks": 2}),
        (TOKENS, {"min_throughput_chunks": 1}, {"max_provisioned_throughput": 1000, "min_throughput_chunks": 1}),
        (UNITS, {"provisioned_model_units": 100}, {**UNITS, "provisioned_model_units": 100}),
        (UNITS, {"max_provisioned_throughput": 1000}, {"max_provisioned_throughput": 1000}),
        (UNITS, {"throughput_chunks": 2}, {"throughput_chunks": 2}),
    ],
)
def test_a_size_takes_the_place_of_one_in_another_unit(
    before: dict[str, Any], change: dict[str, Any], after: dict[str, Any]
) -> None:
    model = {"name": "a", "entity_name": "main.default.llama", "entity_version": "3"}
    assert changed_entity(model | before, None, None, change) == model | after
