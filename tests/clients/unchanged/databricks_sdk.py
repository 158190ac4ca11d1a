"""Databricks' own SDK, unchanged, on the embedded workspace."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from databricks import sdk
from databricks.sdk import errors
from databricks.sdk.service import serving
from databricks.sdk.service.workspace import AclPermission

LLAMA, GTE = "databricks-meta-llama-3-3-70b-instruct", "databricks-gte-large-en"
PATIENCE = timedelta(seconds=30)


@pytest.fixture
def databricks() -> Any:
    return sdk.WorkspaceClient()


@pytest.fixture
def user() -> Callable[[str], Any]:
    """A client of another user: ada or bob."""
    return lambda name: sdk.WorkspaceClient(token=os.environ[f"TOKEN_OF_{name.upper()}"])


@pytest.fixture
def endpoint(databricks: Any) -> Iterator[str]:
    """An endpoint with provisioned throughput, deployed."""
    entity = serving.ServedEntityInput(
        name="one",
        entity_name="main.default.llama",
        entity_version="1",
        max_provisioned_throughput=980,
        min_provisioned_throughput=0,
    )
    config = serving.EndpointCoreConfigInput(name="config", served_entities=[entity])
    made = databricks.serving_endpoints.create_and_wait(
        "sdk-endpoint", config=config, tags=[serving.EndpointTag("team", "search")], timeout=PATIENCE
    )
    assert made.state.ready is serving.EndpointStateReady.READY
    yield made.name
    databricks.serving_endpoints.delete(made.name)


def said(role: str, text: str) -> Any:
    return serving.ChatMessage(role=serving.ChatMessageRole(role), content=text)


def test_it_lists_and_gets_endpoints(databricks: Any, endpoint: str) -> None:
    names = {each.name for each in databricks.serving_endpoints.list()}
    assert {endpoint, LLAMA, GTE} <= names
    hosted = databricks.serving_endpoints.get(LLAMA)
    assert hosted.task == "llm/v1/chat"
    assert hosted.config.served_entities[0].foundation_model.name == LLAMA
    own = databricks.serving_endpoints.get(endpoint)
    assert (own.config.config_version, own.pending_config, own.tags[0].key) == (1, None, "team")


def test_it_queries_a_chat(databricks: Any, endpoint: str) -> None:
    messages = [said("system", "Be short."), said("user", "The sky is blue. What colour is the sky?")]
    for name in (LLAMA, endpoint):
        answer = databricks.serving_endpoints.query(name, messages=messages, max_tokens=50, temperature=0.0)
        assert "blue" in answer.choices[0].message.content
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.served_model_name == "one"


def test_it_embeds(databricks: Any) -> None:
    answer = databricks.serving_endpoints.query(GTE, input=["one", "two"])
    assert [len(each.embedding) for each in answer.data] == [1024, 1024]
    assert [each.index for each in answer.data] == [0, 1]


def test_it_updates_and_waits(databricks: Any, endpoint: str) -> None:
    entities = [
        serving.ServedEntityInput(
            name=name, entity_name="main.default.llama", entity_version=version, max_provisioned_throughput=980
        )
        for name, version in (("one", "1"), ("two", "2"))
    ]
    routes = [serving.Route(served_model_name="one", traffic_percentage=25)]
    routes.append(serving.Route(served_model_name="two", traffic_percentage=75))
    changed = databricks.serving_endpoints.update_config_and_wait(
        endpoint, served_entities=entities, traffic_config=serving.TrafficConfig(routes), timeout=PATIENCE
    )
    assert changed.config.config_version == 2
    shares = {route.served_model_name: route.traffic_percentage for route in changed.config.traffic_config.routes}
    assert shares == {"one": 25, "two": 75}


def test_a_second_update_is_a_conflict(databricks: Any, endpoint: str) -> None:
    entity = serving.ServedEntityInput(entity_name="main.default.llama", entity_version="3")
    waiter = databricks.serving_endpoints.update_config(endpoint, served_entities=[entity])
    with pytest.raises(errors.ResourceConflict):
        databricks.serving_endpoints.update_config(endpoint, served_entities=[entity])
    assert waiter.result(PATIENCE).state.config_update is serving.EndpointStateConfigUpdate.NOT_UPDATING


def test_it_patches_tags_and_sets_the_gateway(databricks: Any, endpoint: str) -> None:
    tags = databricks.serving_endpoints.patch(
        endpoint, add_tags=[serving.EndpointTag("stage", "test")], delete_tags=["team"]
    )
    assert [(tag.key, tag.value) for tag in tags.tags] == [("stage", "test")]
    limit = serving.AiGatewayRateLimit(renewal_period=serving.AiGatewayRateLimitRenewalPeriod.MINUTE, calls=1)
    gateway = databricks.serving_endpoints.put_ai_gateway(endpoint, rate_limits=[limit])
    assert gateway.rate_limits[0].calls == 1
    assert databricks.serving_endpoints.get(endpoint).ai_gateway.rate_limits[0].calls == 1


def test_it_reads_metrics_logs_and_the_description(databricks: Any, endpoint: str) -> None:
    databricks.serving_endpoints.query(endpoint, messages=[said("user", "Hello")])
    metrics = databricks.serving_endpoints.export_metrics(endpoint).contents.read().decode()
    assert "request_count_total" in metrics
    assert "READY" in databricks.serving_endpoints.logs(endpoint, "one").logs
    assert databricks.serving_endpoints.build_logs(endpoint, "one").logs
    assert b"invocations" in databricks.serving_endpoints.get_open_api(endpoint).contents.read()


def test_an_external_model_shows_no_key(databricks: Any, workspace: Any) -> None:
    config = serving.OpenAiConfig(
        openai_api_base=f"{workspace.host}/serving-endpoints", openai_api_key_plaintext=workspace.token
    )
    model = serving.ExternalModel(
        provider=serving.ExternalModelProvider.OPENAI, name=LLAMA, task="llm/v1/chat", openai_config=config
    )
    entity = serving.ServedEntityInput(name="other", external_model=model)
    databricks.serving_endpoints.create_and_wait(
        "sdk-external",
        config=serving.EndpointCoreConfigInput(name="config", served_entities=[entity]),
        timeout=PATIENCE,
    )
    shown = databricks.serving_endpoints.get("sdk-external")
    assert workspace.token not in str(shown.as_dict())
    answer = databricks.serving_endpoints.query("sdk-external", messages=[said("user", "Hello")])
    assert answer.choices[0].message.content
    databricks.serving_endpoints.delete("sdk-external")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda endpoints: endpoints.get("nobody"), "ResourceDoesNotExist"),
        (lambda endpoints: endpoints.query("nobody", messages=[said("user", "Hello")]), "NotFound"),
        (lambda endpoints: endpoints.query(LLAMA, messages=[]), "BadRequest"),
        (lambda endpoints: endpoints.create("bad name!"), "InvalidParameterValue"),
        (lambda endpoints: endpoints.delete(LLAMA), "PermissionDenied"),
    ],
    ids=["get", "query", "messages", "name", "delete"],
)
def test_errors_arrive_as_its_own(databricks: Any, call: Any, error: str) -> None:
    with pytest.raises(getattr(errors, error)):
        call(databricks.serving_endpoints)


def test_a_name_that_is_taken_is_its_own_error(databricks: Any, endpoint: str) -> None:
    entity = serving.ServedEntityInput(entity_name="main.default.llama", entity_version="1")
    with pytest.raises(errors.ResourceAlreadyExists, match="already exists"):
        databricks.serving_endpoints.create(
            endpoint, config=serving.EndpointCoreConfigInput(name="config", served_entities=[entity])
        )


def test_a_wrong_token_is_its_own_error(workspace: Any) -> None:
    with pytest.raises(errors.Unauthenticated):
        list(sdk.WorkspaceClient(host=workspace.host, token="wrong-token-for-tests").serving_endpoints.list())


@pytest.mark.filterwarnings("ignore:get_open_ai_client:DeprecationWarning")
def test_it_hands_out_an_openai_client(databricks: Any) -> None:
    client = databricks.serving_endpoints.get_open_ai_client()
    answer = client.chat.completions.create(model=LLAMA, messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content
    client.close()


def test_it_sets_permissions_and_meets_them(databricks: Any, endpoint: str, user: Any) -> None:
    level, identity = serving.ServingEndpointPermissionLevel, databricks.serving_endpoints.get(endpoint).id
    request = serving.ServingEndpointAccessControlRequest(user_name="ada", permission_level=level.CAN_QUERY)
    databricks.serving_endpoints.set_permissions(identity, access_control_list=[request])
    assert user("ada").serving_endpoints.query(endpoint, messages=[said("user", "Hello")]).choices
    assert user("ada").serving_endpoints.get(endpoint).permission_level.value == "CAN_QUERY"
    with pytest.raises(errors.PermissionDenied):
        user("ada").serving_endpoints.delete(endpoint)
    with pytest.raises(errors.PermissionDenied):
        user("bob").serving_endpoints.query(endpoint, messages=[said("user", "Hello")])
    databricks.serving_endpoints.set_permissions(identity, access_control_list=[])


def test_it_gives_others_access_to_secrets(databricks: Any, user: Any) -> None:
    ada = user("ada").secrets
    databricks.secrets.create_scope("sdk-shared")
    databricks.secrets.put_secret("sdk-shared", "key", string_value="value")
    with pytest.raises(errors.PermissionDenied):
        ada.get_secret("sdk-shared", "key")
    databricks.secrets.put_acl("sdk-shared", "ada", AclPermission.READ)
    assert base64.b64decode(ada.get_secret("sdk-shared", "key").value) == b"value"
    assert [(acl.principal, acl.permission.value) for acl in databricks.secrets.list_acls("sdk-shared")] == [
        ("ada", "READ"),
        ("local-user", "MANAGE"),
    ]
    assert databricks.secrets.get_acl("sdk-shared", "ada").permission is AclPermission.READ
    databricks.secrets.delete_acl("sdk-shared", "ada")
    with pytest.raises(errors.PermissionDenied):
        list(ada.list_secrets("sdk-shared"))
    databricks.secrets.delete_scope("sdk-shared")
