"""Every error body that the service is known to send becomes the right typed error with its text."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

import fm_client
from fm_client import APIError, FMError, Timeout
from fm_client._error_bodies import error_for, error_in, is_expired_token
from fm_client._wire import Reply

GUARDRAIL = json.dumps(
    {
        "usage": {"prompt_tokens": 0},
        "input_guardrail": [{"flagged": False}],
        "finishReason": "input_guardrail_triggered",
    }
)
CASES = [
    ("coded JSON", 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "The given endpoint does not exist."}, "NotFoundError", "ENDPOINT_NOT_FOUND", "does not exist"),
    ("nested JSON", 429, {"error": {"message": "ITPM limit of 200,000 tokens reached", "type": "rate_limit_exceeded", "code": 429, "retry_after": 15}}, "RateLimitError", "rate_limit_exceeded", "ITPM limit"),
    ("external message", 400, {"error": "Received error", "external_model_message": {"error_code": "INVALID_PARAMETER_VALUE", "message": "Missing 'input'"}}, "BadRequestError", "INVALID_PARAMETER_VALUE", "Missing 'input'"),
    ("external error", 400, {"external_model_provider": "openai", "external_model_error": {"error": {"message": "Missing name.", "type": "invalid_request_error"}}}, "BadRequestError", "invalid_request_error", "openai answered: Missing name."),
    ("content filter of a provider", 400, {"error": "x", "external_model_message": {"error": {"message": "filtered", "code": "content_filter"}}}, "ContentFilteredError", "content_filter", "filtered"),
    ("plain text", 400, 'Bad request: json: unknown field "inputs"', "BadRequestError", None, 'unknown field "inputs"'),
    ("coded text", 429, "REQUEST_LIMIT_EXCEEDED: Exceeded workspace QPS rate limit", "RateLimitError", "REQUEST_LIMIT_EXCEEDED", "Exceeded workspace"),
    ("HTML", 502, "<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>", "ServerError", None, "502 Bad Gateway nginx"),
    ("JSON in a string", 400, {"error_code": "BAD_REQUEST", "message": json.dumps({"message": "content blocks must be non-empty"})}, "BadRequestError", "BAD_REQUEST", "content blocks must be"),
    ("code repeated in the text", 429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "REQUEST_LIMIT_EXCEEDED: Exceeded"}, "RateLimitError", "REQUEST_LIMIT_EXCEEDED", "Exceeded"),
    ("guardrail", 400, {"error_code": "BAD_REQUEST", "message": GUARDRAIL}, "ContentFilteredError", "BAD_REQUEST", "input_guardrail_triggered"),
    ("code beats status", 500, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}, "NotFoundError", "RESOURCE_DOES_NOT_EXIST", "no such model"),
    ("not ready", 503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Endpoint is not ready"}, "EndpointNotReadyError", "TEMPORARILY_UNAVAILABLE", "not ready"),
    ("bare message", 400, {"message": "response_format: Extra inputs are not permitted"}, "BadRequestError", None, "Extra inputs"),
    ("empty", 500, "", "ServerError", None, "answered 500 without saying why"),
    ("latin-1 bytes", 400, "Größe".encode("latin-1"), "BadRequestError", None, "Gr"),
    ("redirect", 307, "", "RedirectError", None, "307"),
    ("payload", 413, "too large", "RequestTooLargeError", None, "too large"),
    ("unprocessable", 422, {"detail": [{"loc": ["body"]}]}, "UnprocessableEntityError", None, "body"),
    ("conflict", 409, {"error_code": "RESOURCE_CONFLICT", "message": "update in progress"}, "ConflictError", "RESOURCE_CONFLICT", "update in progress"),
    ("denied", 403, {"error_code": "PERMISSION_DENIED", "message": "no"}, "PermissionDeniedError", "PERMISSION_DENIED", "no"),
    ("oauth", 400, {"error": "invalid_client", "error_description": "wrong secret"}, "BadRequestError", None, "wrong secret"),
]  # fmt: skip


def as_bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()


@pytest.mark.parametrize(("status", "body", "cls", "code", "text"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_each_body_shape(status: int, body: Any, cls: str, code: str | None, text: str) -> None:
    error = error_for(Reply(status, {"x-request-id": "req-9"}, as_bytes(body)), endpoint="ep")
    assert (cls, status, code, "req-9", "ep") == (
        type(error).__name__, error.status_code, error.error_code, error.request_id, error.endpoint
    )  # fmt: skip
    assert text in error.message and "endpoint=ep" in str(error)


def test_a_documented_429_says_when_to_come_back() -> None:
    assert 15.0 == error_for(Reply(429, {}, as_bytes(CASES[1][2]))).retry_after


@pytest.mark.parametrize(
    ("payload", "cls"),
    [
        ({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow"}, "RateLimitError"),
        ({"error": {"message": "boom", "code": 500}}, "ServerError"),
        ({"error": "plain"}, "ServerError"),
    ],
)
def test_errors_inside_a_200_answer_are_found(payload: Any, cls: str) -> None:
    error = error_in(payload)
    assert error is not None and cls == type(error).__name__


@pytest.mark.parametrize("payload", [{"choices": []}, {"error": None, "choices": []}, [1], None, "error"])
def test_answers_without_an_error_have_none(payload: Any) -> None:
    assert error_in(payload) is None


def test_a_services_text_cannot_forge_lines_of_a_log_and_is_cut_to_size() -> None:
    error = error_for(Reply(400, {}, b"first\nERROR second\x1b[31m\xe2\x80\xa8third" + b"x" * 10_000))
    assert error.message.isprintable() and len(error.message) < 3_000
    assert error.body.isprintable() and len(error.body) < 3_000


@pytest.mark.parametrize(
    ("status", "message", "expired"),
    [(401, "x", True), (403, "Invalid access token. [ReqId: 1]", True), (403, "Token is expiring within 30 seconds", True), (403, "no permission", False), (400, "token expired", False)],
)  # fmt: skip
def test_what_a_fresh_token_may_help(status: int, message: str, expired: bool) -> None:
    assert expired is is_expired_token(error_for(Reply(status, {}, as_bytes({"message": message}))))


ERRORS = [value for value in vars(fm_client).values() if isinstance(value, type) and issubclass(value, FMError)]


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickle_and_copy_with_its_facts(cls: type[FMError]) -> None:
    error = cls("text", status_code=429, endpoint="ep") if issubclass(cls, APIError) else cls("text")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  # our own bytes
        assert (type(error), str(error), vars(error)) == (type(again), str(again), vars(again))


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = [
        line.split("─ ")[-1].split()[0] for line in (fm_client._errors.__doc__ or "").splitlines() if "── " in line
    ]
    assert sorted(cls.__name__ for cls in ERRORS if cls not in (FMError, fm_client.APIStatusError)) == sorted(
        set(drawn) - {"APIStatusError"}
    )
    for cls in ERRORS:
        assert cls.__doc__


def test_timeouts_document_their_defaults() -> None:
    assert Timeout() == Timeout(connect=5.0, write=30.0, read=300.0, pool=30.0, total=300.0, idle=120.0)
