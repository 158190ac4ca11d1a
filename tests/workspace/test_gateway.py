"""The gateway: traffic, limits, fallback and guardrails of an endpoint."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from workspace_api import CHAT, CONTROL, Api, Clock, external, provisioned

from fm_workspace import Workspace
from fm_workspace._errors import ServiceError
from fm_workspace._limits import RateLimiter

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
PER_MINUTE = {"renewal_period": "minute", "key": "endpoint"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Workspace]:
    with Workspace.start() as workspace:
        yield workspace


def test_traffic_is_shared_out_in_proportion_and_well_mixed(api: Api) -> None:
    shares = [("a", 50), ("b", 30), ("c", 20), ("d", 0)]
    routes = [{"served_entity_name": name, "traffic_percentage": share} for name, share in shares]
    api.created("mixed", *(provisioned(name=name) for name, _ in shares), routes=routes)
    served = [api.query("mixed", HELLO).headers["served-model-name"] for _ in range(20)]
    assert Counter(served) == {"a": 10, "b": 6, "c": 4}
    assert set(served[:4]) == {"a", "b", "c"}


@pytest.mark.parametrize("route", ["ai-gateway", "rate-limits"])
def test_calls_over_the_limit_are_refused(api: Api, route: str) -> None:
    name = api.created(f"limited-{route}")
    api.http.put(f"{CONTROL}/{name}/{route}", json={"rate_limits": [{"calls": 2, **PER_MINUTE}]})
    assert [api.query(name, HELLO).status_code for _ in range(3)] == [200, 200, 429]
    answer = api.query(name, HELLO)
    assert answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert f"User defined rate limit(s) exceeded for '{name}'" in answer.json()["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_what_the_gateway_refuses_takes_nothing_of_the_services_own_limit(api: Api) -> None:
    limit = {"rate_limits": [{"calls": 0, **PER_MINUTE}]}
    name = api.created("both-limits", tags={"fm_tokens_per_minute": "100"}, ai_gateway=limit)
    for _ in range(3):
        assert "User defined" in api.query(name, {**HELLO, "max_tokens": 90}).json()["message"]
    assert api.http.put(f"{CONTROL}/{name}/ai-gateway", json={}).status_code == 200
    assert api.query(name, {**HELLO, "max_tokens": 90}).status_code == 200


def test_traffic_begins_anew_with_another_configuration(api: Api) -> None:
    def routes(*shares: int) -> list[dict[str, Any]]:
        return [
            {"served_entity_name": name, "traffic_percentage": share} for name, share in zip("ab", shares, strict=True)
        ]

    entities = [provisioned(name="a"), provisioned(name="b")]
    api.created("moved", *entities, routes=routes(90, 10))
    assert [api.query("moved", HELLO).headers["served-model-name"] for _ in range(3)] == ["a", "a", "a"]
    body = {"served_entities": entities, "traffic_config": {"routes": routes(50, 50)}}
    assert api.http.put(f"{CONTROL}/moved/config", json=body).status_code == 200
    assert Counter(api.query("moved", HELLO).headers["served-model-name"] for _ in range(10)) == {"a": 5, "b": 5}


@pytest.mark.parametrize("route", ["ai-gateway", "rate-limits"])
@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({}, "needs calls or tokens"),
        ({"key": "user_group", "calls": 1}, "key user_group needs a principal"),
        ({"key": "service_principal", "calls": 1, "principal": ""}, "key service_principal needs a principal"),
        ({"key": "endpoint", "calls": 1, "principal": "ada"}, "takes no principal"),
        ({"calls": 1, "principal": "ada"}, "takes no principal"),
    ],
)
def test_a_limit_that_would_limit_nothing_is_refused(api: Api, route: str, limit: Any, says: str) -> None:
    body = {"rate_limits": [{"renewal_period": "minute", **limit}]}
    answer = api.http.put(f"{CONTROL}/{CHAT}/{route}", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert says in answer.json()["message"]


def test_tokens_over_the_limit_are_refused_before_they_are_spent(api: Api) -> None:
    name = api.created("frugal", ai_gateway={"rate_limits": [{"tokens": 100, **PER_MINUTE}]})
    assert api.query(name, {**HELLO, "max_tokens": 90}).status_code == 200
    answer = api.query(name, {**HELLO, "max_tokens": 90})
    assert answer.status_code == 429
    assert "TPM" in answer.json()["message"]


def test_the_window_slides() -> None:
    clock = Clock()
    limiter, limits = RateLimiter(clock), [{"calls": 2}]
    limiter.admit("x", limits, 1)
    clock.now += 30
    limiter.admit("x", limits, 1)
    with pytest.raises(ServiceError) as refused:
        limiter.admit("x", limits, 1)
    assert refused.value.headers == {"Retry-After": "30"}
    limiter.admit("y", limits, 1)
    clock.now += 30
    limiter.admit("x", limits, 1)


def broken_then_good(provider: Workspace) -> list[dict[str, Any]]:
    down = external("http://127.0.0.1:1", "token-for-tests", name="down")
    return [down, external(provider.host, provider.token, name="good")]


FIRST_ONLY = [{"served_entity_name": "down", "traffic_percentage": 100}]


def test_fallback_asks_the_next_entity_when_one_fails(api: Api, provider: Workspace) -> None:
    entities = broken_then_good(provider)
    api.created("fragile", *entities, routes=FIRST_ONLY)
    api.created("sturdy", *entities, routes=FIRST_ONLY, ai_gateway={"fallback_config": {"enabled": True}})
    assert api.query("fragile", HELLO).status_code == 502
    answer = api.query("sturdy", HELLO)
    assert (answer.status_code, answer.headers["served-model-name"]) == (200, "good")
    assert api.stream("sturdy", "Hello")


def test_fallback_does_not_hide_a_bad_request_and_ends_with_the_last_failure(api: Api, provider: Workspace) -> None:
    fallback = {"ai_gateway": {"fallback_config": {"enabled": True}}}
    wrong = external(provider.host, provider.token, "nobody", name="down")
    api.created("wrong", wrong, broken_then_good(provider)[1], routes=FIRST_ONLY, **fallback)
    assert api.query("wrong", HELLO).status_code == 404
    down = broken_then_good(provider)[0]
    api.created("hopeless", down, {**down, "name": "also-down"}, routes=FIRST_ONLY, **fallback)
    assert api.query("hopeless", HELLO).status_code == 502


@pytest.mark.parametrize(("side", "prompt"), [("input", 'My "SECRET" word'), ("output", "Is it a secret?")])
def test_guardrails_refuse_keywords_with_a_message_that_is_json(api: Api, side: str, prompt: str) -> None:
    name = f"guarded-{side}"
    keywords = ["nothing", "secret"]
    api.created(name, ai_gateway={"guardrails": {side: {"invalid_keywords": keywords}}})
    answer = api.query(name, {"messages": [{"role": "user", "content": prompt}]})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert json.loads(answer.json()["message"])["finishReason"] == f"{side}_guardrail_triggered"
    assert api.query(name, HELLO).status_code == 200


def test_settings_of_hosted_endpoints_count_too(start: Callable[..., Api]) -> None:
    api = start()
    api.http.put(f"{CONTROL}/{CHAT}/ai-gateway", json={"rate_limits": [{"calls": 0, **PER_MINUTE}]})
    assert api.query(CHAT, HELLO).status_code == 429


def test_an_endpoint_that_was_deleted_and_made_again_starts_with_no_queries_counted() -> None:
    limiter, limits = RateLimiter(clock=lambda: 0.0), [{"calls": 1}]
    limiter.admit("x", limits, 1, life="first")
    limiter.admit("x", limits, 1, life="second")
    with pytest.raises(ServiceError):
        limiter.admit("x", limits, 1, life="second")
