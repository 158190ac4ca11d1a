"""The limits of time that MLflow's environment sets, on whole answers and on streams, sync and async."""

from __future__ import annotations

import time
from typing import Any

import pytest
from deployments_api import CHAT, Asked, client_of, user
from fault_server import DONE, FaultServer, chunked, silence, words
from mlflow.exceptions import MlflowException

from fm_client import StreamInterruptedError, Timeout
from mlflow_fm import FoundationModelDeploymentClient
from mlflow_fm._settings import MAX_RETRIES, PREDICT_TIMEOUT, REQUEST_TIMEOUTS, TOTAL_TIMEOUT, predict_timeout

PINGS = [b": ping\n\n", 0.1] * 20
BEGUN = words("a", finish=None)


def test_a_time_limit_of_a_call_ends_it(server: FaultServer, ask: Asked) -> None:
    server.script("e", silence(3))
    with pytest.raises(MlflowException) as caught:
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"), timeout=0.2)
    assert caught.value.error_code == "DEADLINE_EXCEEDED"


def test_the_time_limit_of_the_environment_ends_a_call(
    server: FaultServer, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOTAL_TIMEOUT, "1")
    server.script("e", silence(4))
    with pytest.raises(MlflowException) as caught:
        ask.predict(client_of(server), endpoint="e", inputs=user("Hi"))
    assert caught.value.error_code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    ("single", "total", "limits"),
    [
        (None, None, (300.0, 300.0, 120.0)),
        ("60", None, (60.0, 300.0, 60.0)),
        ("900", None, (900.0, 900.0, 900.0)),
        (None, "600", (300.0, 600.0, 120.0)),
        ("120", "600", (120.0, 600.0, 120.0)),
    ],
)
def test_mlflows_two_time_limits_are_kept(
    monkeypatch: pytest.MonkeyPatch, single: str | None, total: str | None, limits: tuple[float, float, float]
) -> None:
    for variable, value in ((PREDICT_TIMEOUT, single), (TOTAL_TIMEOUT, total)):
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert predict_timeout() == Timeout(read=limits[0], total=limits[1], idle=limits[2])
    assert predict_timeout(2.5) == 2.5


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_a_time_limit_that_is_none_is_refused(
    client: FoundationModelDeploymentClient, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(PREDICT_TIMEOUT, value)
    with pytest.raises(MlflowException, match=PREDICT_TIMEOUT) as caught:
        client.predict(endpoint=CHAT, inputs=user("Hi"))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("variable", REQUEST_TIMEOUTS)
def test_requests_that_are_no_queries_have_a_time_limit_of_their_own(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "0.3")
    monkeypatch.setenv(MAX_RETRIES, "0")
    client = client_of(server)
    server.default = silence(3)
    with pytest.raises(MlflowException) as caught:
        client.get_endpoint("e")
    assert caught.value.error_code == "DEADLINE_EXCEEDED"
    server.script("e", chunked(0.6, *words("late"), DONE))
    assert next(client.predict_stream(endpoint="e", inputs=user("Hi"))).choices, "queries are another matter"


@pytest.mark.parametrize("begun", [[], BEGUN], ids=["before an event", "after an event"])
@pytest.mark.parametrize("rest", [PINGS, []], ids=["pings", "silence"])
def test_a_stream_without_events_ends_within_the_time_for_one_request(
    server: FaultServer, ask: Asked, monkeypatch: pytest.MonkeyPatch, begun: list[bytes], rest: list[Any]
) -> None:
    monkeypatch.setenv(PREDICT_TIMEOUT, "0.4")
    monkeypatch.setenv(MAX_RETRIES, "0")
    server.script("e", chunked(*begun, *rest, end="hold"))
    started = time.monotonic()
    with pytest.raises(MlflowException) as caught:
        list(ask.stream(client_of(server), endpoint="e", inputs=user("Hi")))
    assert 0.35 <= time.monotonic() - started < 1.5
    if begun:
        assert isinstance(caught.value, StreamInterruptedError)
        assert ("TEMPORARILY_UNAVAILABLE", "a") == (caught.value.error_code, caught.value.partial_text)
    else:
        assert "DEADLINE_EXCEEDED" == caught.value.error_code and "0.4 s" in str(caught.value)


def test_a_stream_that_only_pings_is_not_asked_for_again(
    server: FaultServer, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREDICT_TIMEOUT, "0.4")
    server.script("e", chunked(*PINGS, end="hold"))
    with pytest.raises(MlflowException):
        list(ask.stream(client_of(server), endpoint="e", inputs=user("Hi")))
    assert 1 == server.attempts("e")


def test_a_stream_whose_events_come_in_time_goes_on_for_longer_than_one_request_may_wait(
    server: FaultServer, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREDICT_TIMEOUT, "0.8")
    pieces = [piece for word in words(*"abcdef") for piece in (0.3, word)]
    server.script("e", chunked(*pieces, DONE))
    chunks = list(ask.stream(client_of(server), endpoint="e", inputs=user("Hi")))
    assert "abcdef" == "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
