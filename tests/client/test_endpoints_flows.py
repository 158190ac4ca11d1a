"""The control-plane flows, driven by next, send and throw: no server, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stage import Stage, described, finish, reply

from fm_client import (
    APIConnectionError,
    AsyncClient,
    Client,
    ConflictError,
    EndpointFailedError,
    InvalidRequestError,
    NotFoundError,
    ResponseFormatError,
    Route,
)
from fm_client._endpoint_calls import get_endpoint
from fm_client._endpoints import AsyncEndpoints, Endpoints
from fm_client._wire import Reply, Token
from fm_client.types import (
    AiGatewayConfig,
    Endpoint,
    EndpointConfig,
    ExternalModel,
    OpenAIConfig,
    RateLimit,
    ServedEntity,
    Switch,
    Tag,
)

SECRET = "key-for-tests-4711"
API = "/api/2.0/serving-endpoints"
BUSY = {"ready": "NOT_READY", "config_update": "IN_PROGRESS"}
OPENAI = ExternalModel(
    provider="openai", name="gpt-4o", task="llm/v1/chat", openai_config=OpenAIConfig(openai_api_key_plaintext=SECRET)
)


@pytest.fixture(params=["sync", "async"])
def verbs(request: pytest.FixtureRequest) -> Callable[[Stage], Callable[..., Any]]:
    """`verbs(stage)("create", …)` calls the resource of either client."""

    def of(stage: Stage) -> Callable[..., Any]:
        if request.param == "sync":
            return lambda verb, *args, **kwargs: getattr(Endpoints(stage.run, stage.context), verb)(*args, **kwargs)
        return lambda verb, *args, **kwargs: finish(
            getattr(AsyncEndpoints(stage.arun, stage.context), verb)(*args, **kwargs)
        )

    return of


@pytest.mark.parametrize(
    ("verb", "args", "kwargs", "answer", "method", "path", "body"),
    [
        ("list", (), {}, {"endpoints": []}, "GET", API, None),
        ("get", ("e",), {}, {"name": "e"}, "GET", f"{API}/e", None),
        ("delete", ("e",), {}, b"", "DELETE", f"{API}/e", None),
        (
            "create",
            ("e",),
            {"external_model": OPENAI, "served_name": "a", "tags": {"team": "x", "bare": None}, "description": "d"},
            {"name": "e"},
            "POST",
            API,
            {
                "name": "e",
                "config": {"served_entities": [{"name": "a", "external_model": OPENAI.to_wire()}]},
                "description": "d",
                "tags": [{"key": "team", "value": "x"}, {"key": "bare"}],
            },
        ),
        (
            "create",
            ("e",),
            {
                "entity_name": "a.b.c",
                "entity_version": 2,
                "provisioned_model_units": 50,
                "burst_scaling_enabled": False,
            },
            {"name": "e"},
            "POST",
            f"{API}/pt",
            {
                "name": "e",
                "config": {
                    "served_entities": [
                        {
                            "entity_name": "a.b.c",
                            "entity_version": "2",
                            "provisioned_model_units": 50,
                            "burst_scaling_enabled": False,
                        }
                    ]
                },
            },
        ),
        (
            "create",
            ("e",),
            {"entity_name": "a.b.c", "min_provisioned_throughput": 0, "max_provisioned_throughput": 980},
            {"name": "e"},
            "POST",
            API,
            {
                "name": "e",
                "config": {
                    "served_entities": [
                        {"entity_name": "a.b.c", "min_provisioned_throughput": 0, "max_provisioned_throughput": 980}
                    ]
                },
            },
        ),
        (
            "create",
            ("e",),
            {
                "config": {"served_entities": [{"external_model": OPENAI}]},
                "ai_gateway": AiGatewayConfig(),
                "tags": [Tag(key="k")],
            },
            {"name": "e"},
            "POST",
            API,
            {
                "name": "e",
                "config": {"served_entities": [{"external_model": OPENAI.to_wire()}]},
                "ai_gateway": {},
                "tags": [{"key": "k"}],
            },
        ),
        (
            "update",
            ("e",),
            {"config": EndpointConfig(served_entities=[ServedEntity(external_model=OPENAI)])},
            {"name": "e"},
            "PUT",
            f"{API}/e/config",
            {"served_entities": [{"external_model": OPENAI.to_wire()}]},
        ),
        (
            "update",
            ("e",),
            {"entity_name": "a.b.c", "provisioned_model_units": 100},
            {"name": "e"},
            "PUT",
            f"{API}/pt/e/config",
            {"config": {"served_entities": [{"entity_name": "a.b.c", "provisioned_model_units": 100}]}},
        ),
        (
            "update_tags",
            ("e",),
            {"add": {"a": "1"}, "delete": ["b"]},
            {"tags": []},
            "PATCH",
            f"{API}/e/tags",
            {"add_tags": [{"key": "a", "value": "1"}], "delete_tags": ["b"]},
        ),
        (
            "update_rate_limits",
            ("e", [RateLimit(calls=10, key="user", renewal_period="minute")]),
            {},
            {"rate_limits": []},
            "PUT",
            f"{API}/e/rate-limits",
            {"rate_limits": [{"calls": 10, "key": "user", "renewal_period": "minute"}]},
        ),
        (
            "update_ai_gateway",
            ("e", {"usage_tracking_config": {"enabled": True}}),
            {},
            {},
            "PUT",
            f"{API}/e/ai-gateway",
            {"usage_tracking_config": {"enabled": True}},
        ),
    ],
)
def test_each_verb_sends_what_the_api_takes(
    verbs: Any, verb: str, args: Any, kwargs: Any, answer: Any, method: str, path: str, body: Any
) -> None:
    stage = Stage(reply(answer))
    verbs(stage)(verb, *args, **kwargs)

    assert stage.last == (method, path, body)
    assert stage.sent[-1].headers["authorization"] == "Bearer token-for-tests"


def test_answers_are_typed(verbs: Any) -> None:
    entity = {"foundation_model": {"name": "m"}}
    listed = verbs(Stage(reply({"endpoints": [{"name": "e", "config": {"served_entities": [entity]}}]})))("list")

    assert [(type(endpoint), endpoint.name, endpoint.route) for endpoint in listed] == [(Endpoint, "e", Route.HOSTED)]
    assert verbs(Stage(reply({"rate_limits": [{"calls": 1}]})))("update_rate_limits", "e", [])[0].calls == 1
    assert verbs(Stage(reply({"usage_tracking_config": {"enabled": True}})))(
        "update_ai_gateway", "e", {}
    ) == AiGatewayConfig(usage_tracking_config=Switch(enabled=True))
    assert verbs(Stage(reply(b"")))("delete", "e") is None


@pytest.mark.parametrize("answer", [{}, {"endpoints": None}, {"endpoints": []}])
def test_a_workspace_without_endpoints_is_an_empty_list(verbs: Any, answer: Any) -> None:
    assert verbs(Stage(reply(answer)))("list") == []


@pytest.mark.parametrize("answer", [{"tags": [{"key": "a", "value": "1"}]}, [{"key": "a", "value": "1"}]])
def test_tags_are_read_in_the_new_and_the_old_form(verbs: Any, answer: Any) -> None:
    assert verbs(Stage(reply(answer)))("update_tags", "e", {"a": "1"}) == [Tag(key="a", value="1")]


@pytest.mark.parametrize("body", [b"", b"<html>proxy</html>", b"[]", b'{"endpoints": {"a": 1}}', b'{"endpoints": [7]}'])
def test_an_answer_that_is_none_of_the_api_is_a_format_error(verbs: Any, body: bytes) -> None:
    stage = Stage(reply(body))
    if body == b"[]":
        with pytest.raises(ResponseFormatError, match="Endpoint"):
            verbs(stage)("get", "e")
    else:
        with pytest.raises(ResponseFormatError) as caught:
            verbs(stage)("list")
        assert caught.value.request_id == "r-1"


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"config": {}, "external_model": OPENAI},
        {"external_model": OPENAI, "provisioned_model_units": 50},
        {"config": {}, "served_name": "a"},
        {"entity_name": "a.b.c"},
        {"entity_name": "a.b.c", "provisioned_model_units": 50, "max_provisioned_throughput": 980},
        {"entity_name": "a.b.c", "provisioned_model_units": 50, "description": "d"},
        {"external_model": "gpt-4o"},
        {"external_model": OPENAI, "tags": ["team"]},
        {"external_model": OPENAI, "no_such_field": 1},
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused_before_anything_is_sent(verbs: Any, spec: dict[str, Any]) -> None:
    stage = Stage(described())
    with pytest.raises(InvalidRequestError) as caught:
        verbs(stage)("create", "e", **spec)

    assert stage.sent == []
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("verb", ["get", "delete", "wait", "update_tags"])
def test_a_bad_name_is_refused_before_anything_is_sent(verbs: Any, verb: str) -> None:
    stage = Stage(described())
    with pytest.raises(InvalidRequestError, match="endpoint name"):
        verbs(stage)(verb, "../secrets")

    assert stage.sent == []


def test_an_error_names_its_endpoint(verbs: Any) -> None:
    missing = reply({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Endpoint not found"}, 404)
    with pytest.raises(NotFoundError) as caught:
        verbs(Stage(missing))("get", "e")

    assert (caught.value.endpoint, caught.value.request_id) == ("e", "r-1")


def test_a_change_under_way_is_a_conflict_and_not_repeated(verbs: Any) -> None:
    stage = Stage(reply({"error_code": "RESOURCE_CONFLICT", "message": "being updated"}, 409))
    with pytest.raises(ConflictError):
        verbs(stage)("update", "e", external_model=OPENAI)

    assert len(stage.sent) == 1


def test_a_creation_that_may_have_happened_is_not_repeated(verbs: Any) -> None:
    stage = Stage(APIConnectionError("reset"), described())
    with pytest.raises(APIConnectionError):
        verbs(stage)("create", "e", external_model=OPENAI)

    assert len(stage.sent) == 1


def test_a_read_is_repeated_after_a_lost_connection(verbs: Any) -> None:
    stage = Stage(APIConnectionError("reset"), described())

    assert verbs(stage)("get", "e").name == "e"
    assert len(stage.sent) == 2


def test_wait_returns_at_once_when_the_endpoint_is_ready(verbs: Any) -> None:
    stage = Stage(described())

    assert verbs(stage)("wait", "e").is_ready
    assert stage.waits == [0.0]


def test_wait_looks_again_in_growing_steps_until_ready(verbs: Any) -> None:
    half = {"ready": "READY", "config_update": "IN_PROGRESS"}
    stage = Stage(*[described(state=BUSY)] * 11, described(state=half), described())
    seen: list[str] = []
    endpoint = verbs(stage)("wait", "e", on_state=lambda endpoint: seen.append(str(endpoint.state)))

    assert endpoint.is_ready
    assert stage.waits == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 10.0, 10.0]
    assert seen == ["NOT_READY, IN_PROGRESS", "READY, IN_PROGRESS", "READY, NOT_UPDATING"]


def test_wait_keeps_the_steps_it_is_given(verbs: Any) -> None:
    stage = Stage(*[described(state=BUSY)] * 4, described())
    verbs(stage)("wait", "e", first_poll=0.5, last_poll=2.0)

    assert stage.waits == [0.0, 0.5, 1.5, 2.0, 2.0]


def test_on_state_hears_of_a_deployments_progress(verbs: Any) -> None:
    def deploying(message: str) -> Reply:
        state = {"deployment": "DEPLOYMENT_CREATING", "deployment_state_message": message}
        return described(state=BUSY, pending_config={"served_entities": [{"name": "a", "state": state}]})

    stage = Stage(deploying("Building"), deploying("Building"), deploying("Starting"), described())
    seen: list[Endpoint] = []
    verbs(stage)("wait", "e", on_state=seen.append)

    assert len(seen) == 3


@pytest.mark.parametrize(("update", "word"), [("UPDATE_FAILED", "failed"), ("UPDATE_CANCELED", "cancelled")])
def test_wait_raises_what_the_deployment_says(verbs: Any, update: str, word: str) -> None:
    failed = {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": "No capacity."}
    pending = {"served_entities": [{"name": "a", "state": failed}]}
    stage = Stage(
        described(state=BUSY), described(state={"ready": "READY", "config_update": update}, pending_config=pending)
    )
    with pytest.raises(EndpointFailedError, match=f"{word} .*; a: No capacity") as caught:
        verbs(stage)("wait", "e")

    assert caught.value.state.config_update == update
    assert caught.value.endpoint == "e"


@pytest.mark.parametrize("state", [BUSY, {"ready": "NOT_READY", "config_update": "NOT_UPDATING"}, None])
def test_wait_ends_in_time_and_says_the_last_state(verbs: Any, state: Any) -> None:
    stage = Stage(described(state=state))
    with pytest.raises(EndpointFailedError, match=r"not ready after 4 s: (NOT_READY|None)") as caught:
        verbs(stage)("wait", "e", timeout=4)

    assert stage.waits == [0.0, 1.0, 2.0, 1.0]
    assert (caught.value.state and caught.value.state.to_dict()) == state


def test_an_endpoint_that_vanishes_ends_the_wait(verbs: Any) -> None:
    stage = Stage(described(state=BUSY), reply({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}, 404))
    with pytest.raises(NotFoundError):
        verbs(stage)("wait", "e")


@pytest.mark.parametrize("verb", ["create", "update"])
@pytest.mark.parametrize("wait", [True, {"timeout": 60}])
def test_create_and_update_can_wait(verbs: Any, verb: str, wait: Any) -> None:
    stage = Stage(described(state=BUSY), described(state=BUSY), described())
    endpoint = verbs(stage)(verb, "e", external_model=OPENAI, wait=wait)

    assert endpoint.is_ready
    assert [request.method for request in stage.sent] == ["POST" if verb == "create" else "PUT", "GET", "GET"]


def test_without_wait_the_answer_is_returned_as_it_came(verbs: Any) -> None:
    stage = Stage(described(state=BUSY))

    assert verbs(stage)("create", "e", external_model=OPENAI).is_updating
    assert len(stage.sent) == 1


def test_a_flow_does_nothing_before_it_is_driven() -> None:
    stage = Stage(described())
    flow = get_endpoint(stage.context, "e")

    assert isinstance(next(flow), Token)
    flow.close()
    assert stage.sent == []


def test_both_clients_carry_their_resource() -> None:
    assert isinstance(Client(host="https://example.test", token="token-for-tests").endpoints, Endpoints)
    assert isinstance(AsyncClient(host="https://example.test", token="token-for-tests").endpoints, AsyncEndpoints)


def test_both_resources_have_the_same_verbs() -> None:
    def names(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert names(Endpoints) == names(AsyncEndpoints)
