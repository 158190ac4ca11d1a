"""Errors are the core's and LangChain's at once."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from fault_server import chunked, event, reply, words
from langchain_core import exceptions as lc

import fm_client as fm
from langchain_fm._errors import as_model_error

CHAT = "databricks-meta-llama-3-3-70b-instruct"


@pytest.mark.parametrize(
    ("status", "message", "ours", "theirs", "retryable"),
    [
        (400, "bad", fm.BadRequestError, lc.ModelInvalidRequestError, False),
        (400, "prompt is too long: 9 tokens", fm.BadRequestError, lc.ContextOverflowError, False),
        (401, "who?", fm.AuthenticationError, lc.ModelAuthenticationError, False),
        (403, "no", fm.PermissionDeniedError, lc.ModelPermissionDeniedError, False),
        (404, "gone", fm.NotFoundError, lc.ModelNotFoundError, False),
        (307, "elsewhere", fm.RedirectError, lc.ModelError, False),
        (409, "not now", fm.ConflictError, lc.ModelError, False),
        (413, "large", fm.RequestTooLargeError, lc.ModelInvalidRequestError, False),
        (422, "odd", fm.UnprocessableEntityError, lc.ModelInvalidRequestError, False),
        (429, "slow down", fm.RateLimitError, lc.ModelRateLimitError, True),
        (500, "oops", fm.ServerError, lc.ModelAPIError, True),
        (503, "endpoint is not ready", fm.EndpointNotReadyError, lc.ModelAPIError, True),
    ],
)
def test_a_status_is_an_error_of_both_families(
    status: int, message: str, ours: Any, theirs: Any, retryable: bool, chat: Any, server: Any, drive: Any
) -> None:
    server.script(CHAT, reply(status, {"message": message}))
    with pytest.raises(theirs, match=message) as caught:
        drive(chat(max_retries=0)).invoke("Hi")

    assert isinstance(caught.value, ours)
    assert caught.value.is_retryable is retryable
    assert (caught.value.endpoint, caught.value.status_code, caught.value.request_id) == (CHAT, status, "req-1")


@pytest.mark.parametrize(
    "error", [fm.RateLimitError("slow", endpoint="e", retry_after=3.0), fm.InvalidRequestError("x")]
)
def test_an_error_survives_pickling(error: Any) -> None:
    twin = as_model_error(error)
    copied = pickle.loads(pickle.dumps(twin))  # noqa: S301  # our own bytes

    assert type(copied) is type(twin)
    assert (str(copied), vars(copied)) == (str(error), vars(error))


def test_a_tls_error_is_not_worth_another_try() -> None:
    twin: Any = as_model_error(fm.TLSError("expired"))
    assert isinstance(twin, lc.ModelConnectionError)
    assert twin.is_retryable is False


def test_an_error_of_the_settings_is_no_error_of_a_model() -> None:
    error = fm.ConfigurationError("no host")
    assert as_model_error(error) is error


def test_an_error_inside_a_stream_is_raised_with_what_had_arrived(chat: Any, server: Any, drive: Any) -> None:
    failure = event({"error_code": "INTERNAL_ERROR", "message": "the model fell over"})
    server.script(CHAT, chunked(*words("Hel", "lo", finish=None), failure))
    with pytest.raises(lc.ModelConnectionError, match="the model fell over") as caught:
        drive(chat()).stream("Hi")

    assert isinstance(caught.value, fm.StreamInterruptedError)
    assert caught.value.partial_text == "Hello"


@pytest.mark.parametrize(
    ("failure", "retryable"),
    [
        ({"error_code": "INTERNAL_ERROR", "message": "the model fell over"}, True),
        ({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}, True),
        ({"error": {"code": 400, "message": "output_guardrail_triggered"}}, False),
        ({"error": {"code": 400, "message": "prompt is too long: 9 tokens"}}, False),
    ],
)
def test_a_stream_that_breaks_is_worth_another_try_if_what_broke_it_is(
    failure: Any, retryable: bool, chat: Any, server: Any, drive: Any
) -> None:
    server.script(CHAT, chunked(*words("Hel", "lo", finish=None), event(failure)))
    with pytest.raises(lc.ModelConnectionError) as caught:
        drive(chat()).stream("Hi")
    assert caught.value.is_retryable is retryable
    assert pickle.loads(pickle.dumps(caught.value)).is_retryable is retryable  # noqa: S301  # our own bytes


@pytest.mark.parametrize(("status", "word", "retryable"), [(503, "false", False), (400, "true", True)])
def test_what_the_service_says_of_another_try_counts(
    status: int, word: str, retryable: bool, chat: Any, server: Any, drive: Any
) -> None:
    server.script(CHAT, reply(status, {"message": "no"}, x_should_retry=word))
    with pytest.raises(lc.ModelError) as caught:
        drive(chat(max_retries=0)).invoke("Hi")
    assert caught.value.is_retryable is retryable


def test_a_stream_that_just_ends_is_an_error(chat: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, chunked(*words("Hel", "lo", finish=None)))
    with pytest.raises(fm.StreamInterruptedError, match="without a finish_reason"):
        drive(chat()).stream("Hi")


def test_a_refused_connection_is_a_connection_error_of_both(chat: Any, drive: Any) -> None:
    with pytest.raises(lc.ModelConnectionError) as caught:
        drive(chat(host="http://127.0.0.1:9", max_retries=0)).invoke("Hi")
    assert isinstance(caught.value, fm.APIConnectionError)


def test_embeddings_and_completions_raise_them_too(embeddings: Any, llm: Any, server: Any, drive: Any) -> None:
    server.default = reply(429, {"message": "slow down"})
    with pytest.raises(lc.ModelRateLimitError):
        drive(embeddings(max_retries=0)).embed_query("x")
    with pytest.raises(lc.ModelRateLimitError):
        drive(llm(max_retries=0)).invoke("x")
    with pytest.raises(lc.ModelRateLimitError):
        drive(llm(max_retries=0)).stream("x")
