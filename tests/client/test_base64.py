"""Vectors come as base64 where a route is known to take the request for it, and no call fails because of that."""

from __future__ import annotations

import base64
import threading
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import Connection, FaultServer, embeddings, reply
from timing import SOON

from fm_client import BadRequestError, Client, ContextLengthError, UnprocessableEntityError

GTE = "databricks-gte-large-en"
PACKED = base64.b64encode(array("f", [0.5, -2.0]).tobytes()).decode()
DESCRIBED = "/api/2.0/serving-endpoints/ep"
VALUES = "Invalid value for 'encoding_format': 'base64'. Supported values: 'float'."
UNKNOWN = 'Bad request: json: unknown field "encoding_format"'
TOO_LONG = {"error_code": "BAD_REQUEST", "message": "This model's maximum context length is 512 tokens"}


def asked(server: FaultServer) -> list[str | None]:
    """What each query asked for."""
    return [request.json.get("encoding_format") for request in server.seen if request.method == "POST"]


def external(provider: str) -> dict[str, Any]:
    model = {"provider": provider, "name": "m", "task": "llm/v1/embeddings"}
    return {"name": "ep", "config": {"served_entities": [{"name": "a", "external_model": model}]}}


@pytest.mark.parametrize("form", [PACKED, [0.5, -2.0]], ids=["base64", "numbers"])
@pytest.mark.parametrize("model", [GTE, "databricks-bge-large-en", "databricks-qwen3-embedding-0-6b"])
def test_a_hosted_model_is_asked_for_base64_and_may_answer_numbers(
    connect: Callable[..., Any], server: FaultServer, model: str, form: Any
) -> None:
    server.script(model, reply(200, embeddings([form])))
    assert [[0.5, -2.0]] == connect(server.host).embed(model, ["a"]).vectors
    assert ["base64"] == asked(server)


@pytest.mark.parametrize(("provider", "form"), [("openai", "base64"), ("cohere", None), ("amazon-bedrock", None)])
def test_an_external_model_is_asked_for_it_once_it_is_known_to_be_openais(
    connect: Callable[..., Any], server: FaultServer, provider: str, form: str | None
) -> None:
    server.script("ep", reply(200, embeddings([[1.0]])))
    server.script(DESCRIBED, reply(200, external(provider)))
    fm = connect(server.host)
    fm.embed("ep", ["a"])
    fm.call("endpoints.get", "ep")
    fm.embed("ep", ["a"])
    assert [None, form] == asked(server)


@pytest.mark.parametrize(
    ("options", "params", "form"),
    [
        ({}, {"encoding_format": "float"}, "float"),
        ({}, {"extra_body": {"encoding_format": "float"}}, "float"),
        ({"strict_params": True}, {}, None),
        ({"strict_params": True}, {"encoding_format": "base64"}, "base64"),
    ],
)
def test_a_callers_own_wish_goes_first(
    connect: Callable[..., Any], server: FaultServer, options: Any, params: Any, form: str | None
) -> None:
    server.script(GTE, reply(200, embeddings([[1.0]])))
    connect(server.host, **options).embed(GTE, ["a"], **params)
    assert [form] == asked(server)


@pytest.mark.parametrize(("status", "words"), [(400, UNKNOWN), (400, VALUES), (422, "no"), (400, {"odd": 1})])
def test_where_it_is_refused_in_whatever_words_it_is_left_out_for_good(
    connect: Callable[..., Any], server: FaultServer, status: int, words: Any
) -> None:
    """No warning either, which would fail this test: the caller has not asked for it, and loses nothing."""
    server.script(GTE, reply(status, words), reply(200, embeddings([[1.0]])))
    fm = connect(server.host)
    for _ in range(2):
        assert [[1.0]] == fm.embed(GTE, ["a"]).vectors
    assert ["base64", None, None] == asked(server)


@pytest.mark.parametrize(("status", "kind"), [(400, BadRequestError), (422, UnprocessableEntityError)])
def test_a_request_that_is_wrong_itself_is_told_and_says_nothing_about_base64(
    connect: Callable[..., Any], server: FaultServer, status: int, kind: type[Exception]
) -> None:
    server.script(GTE, *[reply(status, "input: too strange")] * 2, reply(200, embeddings([[1.0]])))
    fm = connect(server.host)
    with pytest.raises(kind, match="too strange"):
        fm.embed(GTE, ["a"])
    fm.embed(GTE, ["a"])
    assert ["base64", None, "base64"] == asked(server)


def test_where_it_was_taken_once_a_request_that_is_wrong_is_sent_once(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    server.script(GTE, reply(200, embeddings([[1.0]])), reply(400, "input: too strange"))
    fm = connect(server.host)
    fm.embed(GTE, ["a"])
    with pytest.raises(BadRequestError, match="too strange"):
        fm.embed(GTE, ["a"])
    assert ["base64", "base64"] == asked(server)


def test_what_another_batch_has_found_meanwhile_fails_no_call(connect: Callable[..., Any], server: FaultServer) -> None:
    """Two are asked for base64 at once; the second is refused when the first has got its numbers already."""
    told = threading.Event()

    def numbers(connection: Connection) -> bool:
        stays = reply(200, embeddings([[1.0]]))(connection)
        told.set()
        return stays

    def late(connection: Connection) -> bool:
        told.wait(SOON)
        connection.wait(0.1)
        return reply(422, "no")(connection)

    server.script(GTE, late, reply(422, "no"), numbers)
    assert [[1.0], [1.0]] == connect(server.host).embed(GTE, ["a", "b"], batch_size=1).vectors
    assert ["base64", "base64", None, None] == asked(server)


def test_where_it_was_taken_once_and_is_refused_by_name_later_it_is_left_out(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    """An endpoint may be given another model."""
    packed, numbers = reply(200, embeddings([PACKED])), reply(200, embeddings([[1.0]]))
    server.script(GTE, packed, reply(400, VALUES), numbers)
    fm = connect(server.host)
    for _ in range(3):
        fm.embed(GTE, ["a"])
    assert ["base64", "base64", None, None] == asked(server)


def test_a_text_that_is_too_long_is_not_sent_twice(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script(GTE, reply(400, TOO_LONG))
    with pytest.raises(ContextLengthError):
        connect(server.host).embed(GTE, ["a"])
    assert ["base64"] == asked(server)


def test_both_forms_say_the_same_to_seven_digits() -> None:
    texts = ["one", "two", "three"]
    with Client(host="local") as fm:
        packed, numbers = (fm.embed(GTE, texts, encoding_format=form).vectors for form in (None, "float"))
    for short, long in zip(packed, numbers, strict=True):
        assert short == pytest.approx(long, rel=2**-23, abs=1e-9)
        assert short == array("f", long).tolist()
