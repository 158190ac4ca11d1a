"""Errors are MLflow's and the core's at once."""

from __future__ import annotations

import json
import pickle
import traceback
from typing import Any

import pytest
from deployments_api import Asked, client_of, user
from fault_server import FaultServer, reply
from mlflow.exceptions import MlflowException

import fm_client
from fm_client import FMError
from mlflow_fm._errors import DeploymentError, mlflow_error

LATER = {"retry_after": "120"}  # longer than the core waits, so that it raises at once


@pytest.mark.parametrize(
    ("status", "core", "code"),
    [
        (400, fm_client.BadRequestError, "BAD_REQUEST"),
        (401, fm_client.AuthenticationError, "UNAUTHENTICATED"),
        (403, fm_client.PermissionDeniedError, "PERMISSION_DENIED"),
        (404, fm_client.NotFoundError, "ENDPOINT_NOT_FOUND"),
        (409, fm_client.ConflictError, "ALREADY_EXISTS"),
        (413, fm_client.RequestTooLargeError, "BAD_REQUEST"),
        (422, fm_client.UnprocessableEntityError, "BAD_REQUEST"),
        (429, fm_client.RateLimitError, "RESOURCE_EXHAUSTED"),
        (500, fm_client.ServerError, "INTERNAL_ERROR"),
        (502, fm_client.ServerError, "INTERNAL_ERROR"),
        (503, fm_client.ServerError, "TEMPORARILY_UNAVAILABLE"),
        (504, fm_client.ServerError, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_status_is_the_right_error_in_both_worlds(
    server: FaultServer, ask: Asked, status: int, core: type[FMError], code: str
) -> None:
    """The OpenAI-style body has no code, so that the status decides."""
    server.script("e", reply(status, {"error": {"message": "no"}}, **LATER))
    with pytest.raises(core) as caught:
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"))
    error: Any = caught.value
    assert isinstance(error, MlflowException)
    assert (error.error_code, error.get_http_status_code(), error.status_code) == (code, status, status)
    assert error.request_id == "req-1"
    assert error.retry_after == (120 if status in (429, 500, 502, 503, 504) else error.retry_after)
    assert type(error).__name__ == core.__name__


def test_the_services_own_code_decides_where_mlflow_knows_it(server: FaultServer, ask: Asked) -> None:
    server.script("e", reply(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}))
    with pytest.raises(MlflowException) as caught:
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"))
    error: Any = caught.value
    assert (error.error_code, error.service_error_code) == ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_DOES_NOT_EXIST")


def test_an_error_says_what_is_known_as_text_and_as_json(server: FaultServer, ask: Asked) -> None:
    server.script("e", reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "QPS"}, **LATER))
    with pytest.raises(MlflowException, match=r"QPS \[endpoint=e status=429 .*request_id=req-1") as caught:
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"))
    shown = json.loads(caught.value.serialize_as_json())
    assert shown["message"] == "QPS"
    assert (shown["status_code"], shown["request_id"], shown["retry_after"]) == (429, "req-1", 120)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (fm_client.ConfigurationError("x"), "INVALID_PARAMETER_VALUE", 400),
        (fm_client.InvalidRequestError("x"), "INVALID_PARAMETER_VALUE", 400),
        (fm_client.APIConnectionError("x"), "TEMPORARILY_UNAVAILABLE", 503),
        (fm_client.APITimeoutError("x", phase="total"), "DEADLINE_EXCEEDED", 504),
        (fm_client.TLSError("x"), "TEMPORARILY_UNAVAILABLE", 503),
        (fm_client.StreamInterruptedError("x"), "TEMPORARILY_UNAVAILABLE", 503),
        (fm_client.EndpointFailedError("x"), "INVALID_STATE", 500),
        (fm_client.ResponseFormatError("x"), "INTERNAL_ERROR", 500),
        (fm_client.RedirectError("x", status_code=302), "INTERNAL_ERROR", 302),
    ],
)
def test_what_has_no_status_has_the_code_of_its_kind(error: FMError, code: str, status: int) -> None:
    made = mlflow_error(error)
    assert isinstance(made, type(error))
    assert (made.error_code, made.get_http_status_code()) == (code, status)


def test_every_error_of_the_core_becomes_both() -> None:
    kinds = [kind for kind in vars(fm_client).values() if isinstance(kind, type) and issubclass(kind, FMError)]
    assert len(kinds) > 20
    for kind in kinds:
        made = mlflow_error(kind("what happened"))
        assert isinstance(made, kind)
        assert isinstance(made, DeploymentError)
        assert str(made) == "what happened"
        assert type(mlflow_error(kind("again"))) is type(made)


def test_an_error_is_pickled_whole() -> None:
    made = mlflow_error(fm_client.RateLimitError("slow down", status_code=429, retry_after=2.5, request_id="r"))
    again: Any = pickle.loads(pickle.dumps(made))  # noqa: S301  # our own pickle
    assert type(again) is type(made)
    assert (str(again), again.retry_after, again.error_code) == (str(made), 2.5, "RESOURCE_EXHAUSTED")


def test_the_notes_of_an_error_are_kept_once() -> None:
    error = fm_client.ServerError("down", status_code=500)
    error.add_note("before that: busy")
    assert mlflow_error(error).__notes__ == ["before that: busy"]


def test_nobody_listens_is_an_error_of_both(server: FaultServer, ask: Asked) -> None:
    client = client_of(server)
    server.__exit__()
    with pytest.raises(fm_client.APIConnectionError) as caught:
        ask.predict(client, endpoint="e", inputs=user("Hi"))
    assert isinstance(caught.value, MlflowException)
    server.__post_init__()
    server.__enter__()


def test_a_traceback_tells_an_error_once(server: FaultServer, ask: Asked) -> None:
    server.script("e", reply(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone-for-good"}))
    with pytest.raises(MlflowException) as caught:
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"))
    text = "".join(traceback.format_exception(caught.value))
    assert 1 == text.count("gone-for-good")
    assert "/fm_client/" in text, "where it comes from is told as well"


def test_no_error_shows_the_token(server: FaultServer, ask: Asked) -> None:
    server.script("e", reply(401, {"error_code": "UNAUTHENTICATED", "message": "bad credential"}))
    with pytest.raises(MlflowException) as caught:
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"))
    shown = repr(caught.value) + str(caught.value) + caught.value.serialize_as_json() + repr(vars(caught.value))
    assert "token-for-tests" not in shown
