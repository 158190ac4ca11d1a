"""The control plane over real HTTP: each call is made on an embedded workspace, by both clients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fault_server import FaultServer, reply

from fm_client import (
    AiGatewayConfig,
    EndpointFailedError,
    ExternalModel,
    Grant,
    InvalidRequestError,
    NotFoundError,
    OpenAIConfig,
    PermissionDeniedError,
    RateLimit,
    RateLimitError,
    ServedEntity,
    Switch,
    parse_metrics,
)
from fm_workspace import Workspace

LLAMA = "system.ai.meta_llama_v3_1_8b_instruct"
LLAMA_1 = {"entity_name": LLAMA, "entity_version": "1"}
CHUNK = 980
CHAT = "databricks-meta-llama-3-3-70b-instruct"
_counter = itertools.count()


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with Workspace.start() as running:
        yield running


@pytest.fixture
def fm(connect: Callable[..., Any], workspace: Workspace) -> Any:
    return connect(workspace.host, workspace.token)


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"under-test-{next(_counter)}"


def llama(name: str, **size: Any) -> dict[str, Any]:
    return {"name": name, **LLAMA_1, **size}


def openai(workspace: Workspace, key: str = "", base: str = "") -> ExternalModel:
    """An external model whose provider is the workspace itself, or what answers at `base`."""
    config = OpenAIConfig(
        openai_api_base=base or f"{workspace.host}/serving-endpoints", openai_api_key_plaintext=key or workspace.token
    )
    return ExternalModel(provider="openai", name=CHAT, task="llm/v1/chat", openai_config=config)


def sizes(endpoint: Any) -> list[tuple[Any, ...]]:
    fields = ("name", "min_provisioned_throughput", "max_provisioned_throughput", "provisioned_model_units")
    return [tuple(getattr(entity, field) for field in fields) for entity in endpoint.served_entities]


def shares(endpoint: Any) -> dict[str, int]:
    return {route.served_entity_name: route.traffic_percentage for route in endpoint.config.traffic_config.routes}


def test_optimization_info_says_the_size_of_a_chunk(fm: Any) -> None:
    info = fm.call("endpoints.optimization_info", LLAMA, 1)

    assert (info.optimizable, info.model_type, info.throughput_chunk_size) == (True, "llama", CHUNK)
    assert info.tokens_per_second(3) == 3 * CHUNK
    assert not fm.call("endpoints.optimization_info", "main.default.forecast", "1").optimizable


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("llama", 1),
        ("a.b", 1),
        ("a.b.c.d", 1),
        ("a/../b.c.d", 1),
        ("a. .c", 1),
        (7, 1),
        ("a.b.c", "one"),
        ("a.b.c", True),
    ],
)
def test_what_is_no_model_of_unity_catalog_is_not_asked_for(fm: Any, model: Any, version: Any) -> None:
    with pytest.raises(InvalidRequestError):
        fm.call("endpoints.optimization_info", model, version)


def test_throughput_in_chunks_is_sent_as_tokens_per_second(fm: Any, name: str) -> None:
    spec = {"throughput_chunks": 3, "min_throughput_chunks": 0, "scale_to_zero_enabled": True}
    endpoint = fm.call("endpoints.create", name, served_name="a", **LLAMA_1, **spec, wait=True)

    assert sizes(endpoint) == [("a", 0, 3 * CHUNK, None)]
    assert endpoint.served_entities[0].scale_to_zero_enabled
    assert fm.chat(name, "Hi").text
    updated = fm.call(
        "endpoints.update", name, entity_name=LLAMA, entity_version=1, served_name="a", throughput_chunks=1, wait=True
    )
    assert sizes(updated) == [("a", None, CHUNK, None)]


def test_a_model_without_chunks_says_how_else_to_provision_it(fm: Any, name: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"forecast version 1 cannot be provisioned by throughput; give"):
        fm.call("endpoints.create", name, entity_name="main.default.forecast", entity_version=1, throughput_chunks=1)

    with pytest.raises(NotFoundError):
        fm.call("endpoints.get", name)


def test_scaling_changes_one_entity_and_leaves_the_rest(fm: Any, name: str) -> None:
    entities = [
        llama("a", throughput_chunks=1),
        ServedEntity.model_validate(llama("b", max_provisioned_throughput=980)),
    ]
    created = fm.call("endpoints.create", name, served_entities=entities, traffic={"a": 90, "b": 10}, wait=True)
    assert (sizes(created), shares(created)) == ([("a", None, 980, None), ("b", None, 980, None)], {"a": 90, "b": 10})

    scaled = fm.call("endpoints.scale", name, served="b", throughput_chunks=4, wait=True)
    assert (sizes(scaled), shares(scaled)) == ([("a", None, 980, None), ("b", None, 3920, None)], {"a": 90, "b": 10})

    moved = fm.call("endpoints.scale", name, traffic={"a": 0, "b": 100}, wait=True)
    assert (sizes(moved), shares(moved)) == (sizes(scaled), {"a": 0, "b": 100})

    with pytest.raises(InvalidRequestError, match="serves a, b: say with served="):
        fm.call("endpoints.scale", name, throughput_chunks=2)


def test_model_units_are_scaled_by_their_own_path_at_once(fm: Any, name: str) -> None:
    fm.call("endpoints.create", name, served_name="a", **LLAMA_1, provisioned_model_units=50, wait=True)
    scaled = fm.call("endpoints.scale", name, provisioned_model_units=100, burst_scaling_enabled=False)

    assert sizes(scaled) == [("a", None, None, 100)]
    assert scaled.is_ready
    assert not scaled.is_updating


def test_a_size_below_the_least_that_stays_is_refused(fm: Any, name: str) -> None:
    size = {"throughput_chunks": 4, "min_throughput_chunks": 2}
    fm.call("endpoints.create", name, served_entities=[llama("a", **size)], wait=True)
    with pytest.raises(InvalidRequestError, match=r"min_provisioned_throughput \(1960\) must not be above .* \(980\)"):
        fm.call("endpoints.scale", name, throughput_chunks=1)


def test_what_is_none_in_a_served_entity_is_not_sent(fm: Any, name: str) -> None:
    entities = [llama("a", throughput_chunks=1, min_throughput_chunks=None, provisioned_model_units=None)]
    made = fm.call("endpoints.create", name, served_entities=entities, wait=True)
    assert (CHUNK, "provisioned") == (made.served_entities[0].max_provisioned_throughput, made.route)
    with_units = [llama("a", provisioned_model_units=50, throughput_chunks=None)]
    made = fm.call("endpoints.create", f"{name}-units", served_entities=with_units, wait=True)
    assert 50 == made.served_entities[0].provisioned_model_units


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ({}, "nothing to change"),
        ({"throughput_chunks": 0}, "whole number of 1 or more"),
        ({"chunks": 1}, "unknown argument 'chunks'"),
        ({"throughput_chunks": 1, "max_provisioned_throughput": 1}, "give either"),
    ],
)
def test_a_size_that_is_none_is_refused(fm: Any, size: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        fm.call("endpoints.scale", "e", **size)


def test_an_external_endpoint_has_no_size(fm: Any, name: str, workspace: Workspace) -> None:
    fm.call("endpoints.create", name, external_model=openai(workspace), wait=True)
    with pytest.raises(InvalidRequestError, match="external models, which have no size"):
        fm.call("endpoints.scale", name, throughput_chunks=1)


def test_the_progress_of_a_deployment_is_told(fm: Any, name: str) -> None:
    seen: list[str] = []
    options = {"on_state": lambda endpoint: seen.append(str(endpoint.state)), "first_poll": 0.05, "last_poll": 0.05}
    tags = {"fm_deploy_seconds": "0.2"}
    fm.call("endpoints.create", name, tags=tags, served_entities=[llama("a", throughput_chunks=1)], wait=options)

    assert seen == ["NOT_READY, IN_PROGRESS", "READY, NOT_UPDATING"]


def test_a_failure_says_what_the_deployment_says_and_ends_with_the_build_log(fm: Any, name: str) -> None:
    tags = {"fm_deploy_fail": "No GPU capacity in this region."}
    with pytest.raises(EndpointFailedError, match="a: No GPU capacity in this region") as caught:
        fm.call("endpoints.create", name, tags=tags, served_entities=[llama("a", throughput_chunks=1)], wait=True)

    assert caught.value.build_log is not None
    assert caught.value.build_log.endswith("[a] build failed")
    assert any("the build log of a ends:" in note for note in caught.value.__notes__)
    assert fm.call("endpoints.build_logs", name) == caught.value.build_log
    assert "deployment failed: No GPU capacity" in fm.call("endpoints.logs", name, "a")


def test_a_failure_without_a_build_log_is_told_all_the_same(fm: Any, name: str, workspace: Workspace) -> None:
    with pytest.raises(EndpointFailedError, match="no quota") as caught:
        fm.call(
            "endpoints.create", name, external_model=openai(workspace), tags={"fm_deploy_fail": "no quota"}, wait=True
        )

    assert caught.value.build_log is None


def test_the_logs_of_several_are_asked_for_by_name(fm: Any, name: str) -> None:
    fm.call(
        "endpoints.create", name, served_entities=[llama("a", throughput_chunks=1), llama("b", throughput_chunks=1)]
    )

    assert "[b] build succeeded" in fm.call("endpoints.build_logs", name, "b")
    assert "served entity a" in fm.call("endpoints.logs", name, served="a")
    with pytest.raises(InvalidRequestError, match="serves several: say which with served=, one of a, b"):
        fm.call("endpoints.logs", name)
    with pytest.raises(NotFoundError):
        fm.call("endpoints.logs", name, "c")
    with pytest.raises(InvalidRequestError, match="not the name of a served entity"):
        fm.call("endpoints.logs", name, "../../x")


def test_metrics_are_text_and_samples(fm: Any, name: str) -> None:
    fm.call("endpoints.create", name, served_entities=[llama("a", throughput_chunks=1)], wait=True)
    fm.chat(name, "Hi")
    samples = {sample.name: sample for sample in parse_metrics(fm.call("endpoints.metrics", name))}

    assert samples["request_count_total"].value == 1
    assert samples["request_count_total"].labels == {"endpoint_name": name}
    assert samples["request_count_total"].kind == "counter"


def test_the_schema_of_queries_is_an_openapi_document(fm: Any) -> None:
    document = fm.call("endpoints.schema", CHAT)

    assert document["openapi"].startswith("3.")
    assert f"/serving-endpoints/{CHAT}/invocations" in document["paths"]


def test_permissions_are_granted_changed_and_replaced(fm: Any, name: str) -> None:
    fm.call("endpoints.create", name, served_entities=[llama("a", throughput_chunks=1)])

    def granted() -> dict[str, str]:
        entries = fm.call("endpoints.get_permissions", name).access_control_list
        return {entry.display_name: entry.all_permissions[0].permission_level for entry in entries}

    analysts = Grant(group_name="analysts", permission_level="CAN_QUERY")
    assert granted() == {"local-user": "CAN_MANAGE"}
    fm.call("endpoints.update_permissions", name, [analysts, {"user_name": "ada", "permission_level": "CAN_VIEW"}])
    assert granted() == {"local-user": "CAN_MANAGE", "analysts": "CAN_QUERY", "ada": "CAN_VIEW"}
    fm.call("endpoints.update_permissions", name, [{"user_name": "ada", "permission_level": "CAN_MANAGE"}])
    assert granted() == {"local-user": "CAN_MANAGE", "analysts": "CAN_QUERY", "ada": "CAN_MANAGE"}
    replaced = fm.call("endpoints.set_permissions", name, [analysts])
    assert granted() == {"local-user": "CAN_MANAGE", "analysts": "CAN_QUERY"}
    assert replaced.object_type == "serving-endpoint"
    assert {level.permission_level for level in fm.call("endpoints.permission_levels", name)} == {
        "CAN_MANAGE",
        "CAN_QUERY",
        "CAN_VIEW",
    }


@pytest.mark.parametrize(
    ("grant", "says"),
    [
        ({"permission_level": "CAN_QUERY"}, "a grant is for one of user_name, group_name"),
        ({"user_name": "a", "group_name": "b", "permission_level": "CAN_QUERY"}, "user_name and group_name"),
        ({"user_name": "a", "permission_level": "can_query"}, "must be one of CAN_MANAGE, CAN_QUERY, CAN_VIEW"),
        ({"user_name": "a"}, "permission_level must be"),
        ("a", "expected an object"),
    ],
)
def test_a_grant_that_is_none_is_refused(fm: Any, grant: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        fm.call("endpoints.set_permissions", "e", [grant])


def test_the_permissions_of_a_hosted_endpoint_are_the_services(fm: Any) -> None:
    with pytest.raises(PermissionDeniedError):
        fm.call("endpoints.set_permissions", CHAT, [{"user_name": "a", "permission_level": "CAN_QUERY"}])


def test_notifications_are_set(fm: Any, name: str) -> None:
    fm.call("endpoints.create", name, served_entities=[llama("a", throughput_chunks=1)])
    mails = fm.call("endpoints.update_notifications", name, on_update_failure=["team@example.com"])

    assert (mails.on_update_success, mails.on_update_failure) == (None, ["team@example.com"])
    assert fm.call("endpoints.get", name).email_notifications == {"on_update_failure": ["team@example.com"]}
    with pytest.raises(InvalidRequestError, match="on_update_failure must be texts, in a list"):
        fm.call("endpoints.update_notifications", name, on_update_failure="team@example.com")


def test_a_gateway_that_is_typed_is_in_force(fm: Any, name: str, workspace: Workspace, server: FaultServer) -> None:
    """Fallback over two external models, then a limit of calls."""
    server.script("/v1/chat/completions", reply(503, {"error": {"message": "down"}}))
    broken = {"name": "broken", "external_model": openai(workspace, base=f"{server.host}/v1")}
    working = {"name": "working", "external_model": openai(workspace)}
    gateway = AiGatewayConfig(fallback_config=Switch(enabled=True), usage_tracking_config=Switch(enabled=True))
    created = fm.call(
        "endpoints.create",
        name,
        served_entities=[broken, working],
        traffic={"broken": 100, "working": 0},
        ai_gateway=gateway,
        wait=True,
    )
    assert workspace.token not in repr(created)
    assert created.ai_gateway == gateway
    assert fm.chat(name, "Hi").served_model == "working"
    assert server.seen

    limited = fm.call("endpoints.update_ai_gateway", name, AiGatewayConfig(rate_limits=[RateLimit(calls=0)]))
    assert limited.rate_limits[0].renewal_period == "minute"
    with pytest.raises(RateLimitError):
        fm.chat(name, "Hi", max_retries=0)


def test_a_key_that_was_given_is_in_no_answer_and_no_error(fm: Any, name: str, workspace: Workspace) -> None:
    key = "key-for-tests-4711-4711"
    created = fm.call("endpoints.create", name, external_model=openai(workspace, key=key), wait=True)
    listed = fm.call("endpoints.list")
    with pytest.raises(Exception, match=name) as caught:
        fm.call("endpoints.create", name, external_model=openai(workspace, key=key))

    texts = (repr(created), str(created.to_dict()), repr(listed), repr(caught.value), str(caught.value.__dict__))
    assert [text for text in texts if key in text] == []
