"""The route of an endpoint: from the catalog, or asked once for all clients of the process."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from stage import Answer, Stage, described, finish, reply

from fm_client import APIConnectionError, InvalidRequestError, Route, _known, _vendors
from fm_client._bounded import MOST
from fm_client._endpoints import AsyncEndpoints, Endpoints
from fm_client._known import KEEP_SECONDS, LOOK_SECONDS, PAUSE_SECONDS, route_told
from fm_client._wire import Attempt, Pause, Token, step

CONFIG = {"served_entities": [{"name": "e", "external_model": {"provider": "openai", "name": "gpt-4o"}}]}
DESCRIBED = described(config=CONFIG)


@pytest.fixture
def name() -> str:
    """A name that no other test has asked for."""
    return f"endpoint-{uuid.uuid4().hex[:8]}"


def test_a_hosted_model_is_not_asked() -> None:
    stage = Stage(DESCRIBED)
    assert Route.HOSTED is Endpoints(stage.run, stage.context).route("databricks-gte-large-en")
    assert Route.HOSTED is finish(AsyncEndpoints(stage.arun, stage.context).route("databricks-gte-large-en"))
    assert [] == stage.sent


def test_another_one_is_asked_once_in_a_while_within_narrow_limits(name: str) -> None:
    stage, other = Stage(DESCRIBED), Stage(DESCRIBED)
    for client in (stage, stage, other):
        assert Route.EXTERNAL is Endpoints(client.run, client.context).route(name)
    assert ("GET", f"/api/2.0/serving-endpoints/{name}", None) == stage.last
    assert (1, 0) == (len(stage.sent), len(other.sent))
    assert LOOK_SECONDS == stage.sent[0].timeout.total
    stage.time += KEEP_SECONDS
    assert Route.EXTERNAL is finish(AsyncEndpoints(stage.arun, stage.context).route(name))
    assert 2 == len(stage.sent)


def test_of_too_many_endpoints_the_oldest_is_forgotten(name: str) -> None:
    """Names may come from a caller's callers."""
    stage = Stage(DESCRIBED)
    ask = Endpoints(stage.run, stage.context).route
    for number in range(MOST + 1):
        ask(f"{name}-{number}")
    assert MOST == len(_known._looks) and MOST >= len(_vendors._known)
    asked = len(stage.sent)
    ask(f"{name}-{MOST}")
    assert asked == len(stage.sent), "the newest is known"
    ask(f"{name}-0")
    assert asked + 1 == len(stage.sent), "the oldest is not"


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (reply({"error_code": "PERMISSION_DENIED", "message": "no"}, 403), KEEP_SECONDS),
        (reply({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}, 404), KEEP_SECONDS),
        (reply({"message": "busy"}, 429), PAUSE_SECONDS),
        (reply({"message": "down"}, 503), PAUSE_SECONDS),
        (reply(b"<html>"), PAUSE_SECONDS),
        (reply([1]), PAUSE_SECONDS),
        (APIConnectionError("refused"), PAUSE_SECONDS),
    ],
    ids=["403", "404", "429", "503", "html", "list", "connection"],
)
def test_one_that_does_not_say_is_left_in_peace(name: str, answer: Answer, seconds: float) -> None:
    stage = Stage(answer, DESCRIBED)
    ask = Endpoints(stage.run, stage.context).route
    assert (None, None, 1) == (ask(name), ask(name), len(stage.sent)), "no repeat, and no list of names"
    stage.time += seconds
    assert Route.EXTERNAL is ask(name)


def test_what_is_known_can_be_had_without_asking(name: str) -> None:
    stage = Stage(DESCRIBED)
    ask = Endpoints(stage.run, stage.context).route
    assert (None, []) == (ask(name, within=0), stage.sent)
    assert Route.EXTERNAL is ask(name)
    assert Route.EXTERNAL is ask(name, within=0)


def test_one_call_asks_and_the_others_wait(name: str) -> None:
    stage = Stage(DESCRIBED)
    first, second = route_told(stage.context, name), route_told(stage.context, name)
    assert isinstance(step(first), Token)
    assert isinstance(step(first, "token-for-tests"), Attempt)
    assert isinstance(step(second), Pause)
    assert Route.EXTERNAL is step(first, DESCRIBED).value  # type: ignore[union-attr]
    assert Route.EXTERNAL is step(second).value  # type: ignore[union-attr]


def test_who_waits_does_not_wait_for_ever_and_takes_over_from_who_gave_up(name: str) -> None:
    stage = Stage(DESCRIBED)
    first, second, third = (route_told(stage.context, name) for _ in range(3))
    step(first)
    assert isinstance(step(second), Pause)
    assert isinstance(step(third), Pause)
    stage.time += LOOK_SECONDS
    assert step(second).value is None  # type: ignore[union-attr]
    first.close()
    assert Route.EXTERNAL is Endpoints(stage.run, stage.context).route(name)


def test_a_name_that_no_endpoint_can_have_is_refused() -> None:
    stage = Stage(DESCRIBED)
    with pytest.raises(InvalidRequestError, match="endpoint name"):
        Endpoints(stage.run, stage.context).route("../secret")


def test_what_a_token_function_raises_is_no_route_and_no_failure(connect: Any, name: str) -> None:
    """LangChain's models ask when they have their answer, which must not be lost."""

    def fails() -> str:
        raise ValueError("no token")

    assert connect("https://example.test", fails).call("endpoints.route", name) is None
