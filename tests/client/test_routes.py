"""Routes are recognised by what an endpoint serves; names are checked before they are part of a URL."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_client import InvalidRequestError, Route
from fm_client._routes import ROUTES, check_endpoint_name, endpoint_path, invocations_path, pt_config_path, route_of
from fm_client.types import Endpoint

BAD_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a?x=1",
    "a#f",
    "%2e%2e",
    "%2F",
    "a\\b",
    ";",
    "a b",
    " a",
    "a\tb",
    "a\r\nX-Evil: 1",
    "a\n",
    "a\x00",
    "ünï",
    "a\u202eb",
    "a\x1b[31m",
    "-a",
    "_a",
    "a" * 64,
    "a" * 10_000,
    None,
    7,
    b"bytes",
]


def endpoint(
    *entities: dict[str, Any], task: str | None = None, key: str = "config", form: str = "served_entities"
) -> Any:
    return {"name": "e", "task": task, key: {form: list(entities)}}


@pytest.mark.parametrize(
    ("described", "route"),
    [
        (endpoint({"external_model": {"provider": "openai", "name": "gpt-4o", "task": "llm/v1/chat"}}), Route.EXTERNAL),
        (endpoint({"foundation_model": {"name": "databricks-gte-large-en"}}), Route.HOSTED),
        (endpoint({"entity_name": "a.b.c", "provisioned_model_units": 50}), Route.PROVISIONED),
        (
            endpoint({"entity_name": "a.b.c", "min_provisioned_throughput": 0, "max_provisioned_throughput": 980}),
            Route.PROVISIONED,
        ),
        (endpoint({"foundation_model": {"name": "x"}, "provisioned_model_units": 50}), Route.PROVISIONED),
        (endpoint({"entity_name": "a.b.c"}, task="llm/v1/chat"), Route.PROVISIONED),
        (endpoint({"model_name": "a.b.c", "max_provisioned_throughput": 980}, form="served_models"), Route.PROVISIONED),
        (endpoint({"entity_name": "a.b.c", "provisioned_model_units": 50}, key="pending_config"), Route.PROVISIONED),
        (endpoint({"entity_name": "a.b.agent"}, task="agent/v1/responses"), Route.CUSTOM),
        (
            endpoint({"entity_name": "a.b.c", "min_provisioned_throughput": 0, "max_provisioned_throughput": 0}),
            Route.CUSTOM,
        ),
        (endpoint({"entity_name": "a.b.c", "min_provisioned_concurrency": 4}), Route.CUSTOM),
        ({"name": "e"}, Route.CUSTOM),
        ({"name": "e", "config": None, "task": "llm/v1/chat"}, Route.CUSTOM),
    ],
)
def test_the_route_follows_from_what_is_served(described: dict[str, Any], route: Route) -> None:
    assert route_of(described) is route
    assert Endpoint.model_validate(described).route is route


def test_every_route_has_its_facts() -> None:
    assert set(ROUTES) == set(Route)
    assert {route: facts.payload_limit_bytes // 2**20 for route, facts in ROUTES.items()} == {
        Route.HOSTED: 4,
        Route.PROVISIONED: 4,
        Route.EXTERNAL: 4,
        Route.CUSTOM: 16,
    }
    assert ROUTES[Route.HOSTED].create_path is None
    assert all(facts.recognised_by and facts.notes and facts.source for facts in ROUTES.values())


@pytest.mark.parametrize("name", ["a", "databricks-meta-llama-3-3-70b-instruct", "system.ai.kimi-k3", "A_1", "a" * 63])
def test_a_good_name_is_kept(name: str) -> None:
    assert check_endpoint_name(name) == name
    assert invocations_path(name) == f"/serving-endpoints/{name}/invocations"


@pytest.mark.parametrize("build", [check_endpoint_name, invocations_path, endpoint_path, pt_config_path])
@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: f"{ascii(name)[:20]}-{len(str(name))}")
def test_a_bad_name_never_reaches_a_path(name: Any, build: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"1 to 63 letters") as caught:
        build(name)

    message = str(caught.value)
    assert message.isascii() or "…" in message
    assert message.isprintable()
    assert len(message) < 400


def test_a_bad_segment_below_an_endpoint_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="path segment"):
        endpoint_path("good", "served-models", "../x")


@given(st.text(max_size=80))
def test_any_text_is_refused_or_exactly_one_segment(text: str) -> None:
    try:
        path = endpoint_path(text, "config")
    except InvalidRequestError:
        return
    assert path.split("/") == ["", "api", "2.0", "serving-endpoints", text, "config"]
    assert text not in (".", "..")
