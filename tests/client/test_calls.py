"""Whole answers and their retries, sync and async, over real loopback HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import (
    BUSY,
    DONE,
    FaultServer,
    chat,
    chunked,
    delta,
    event,
    hang_up,
    reply,
    reset,
    silence,
)  # fmt: skip
from timing import HELD, SOON

from fm_client import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    RateLimitError,
    ResponseFormatError,
    ServerError,
)


def test_a_chat_answer(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(200, chat("Hello!"), served_model_name="llama-1"))
    answer = fm.chat("ep", "Hi", temperature=0)
    assert ("Hello!", "stop", "ep", "req-1", "llama-1", 1) == (
        answer.text, answer.finish_reason, answer.endpoint, answer.request_id, answer.served_model, answer.attempts
    )  # fmt: skip
    assert (5, 7) == (answer.usage.input_tokens, answer.usage.output_tokens)
    request = server.seen[0]
    assert ("POST", "/serving-endpoints/ep/invocations") == (request.method, request.path)
    assert {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0} == request.json
    assert request.headers["user-agent"].startswith("fm-integrations/")


def test_a_completion(fm: Any, server: FaultServer) -> None:
    body = {
        "id": "c",
        "object": "text_completion",
        "choices": [{"index": 0, "text": " world", "finish_reason": "stop"}],
    }
    server.script("ep", reply(200, body | {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}))
    answer = fm.complete("ep", "Hello", max_tokens=5)
    assert (" world", "stop", 2, "ep") == (
        answer.text,
        answer.finish_reason,
        answer.usage.output_tokens,
        answer.endpoint,
    )
    assert {"prompt": "Hello", "max_tokens": 5} == server.seen[0].json


def test_nulls_where_the_service_means_absent_are_accepted(fm: Any, server: FaultServer) -> None:
    message = {"role": None, "content": None, "tool_calls": None}
    choices = [{"index": 0, "message": message, "finish_reason": None}]
    server.script("ep", reply(200, {"id": None, "model": None, "usage": None, "choices": choices}))
    got = fm.chat("ep", "Hi")
    assert ("", None, [], None) == (got.text, got.finish_reason, got.tool_calls, got.usage)


UNTOLD = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}


@pytest.mark.parametrize("usage", [{}, UNTOLD])
def test_a_usage_that_counts_nothing_is_none_as_in_a_stream(fm: Any, server: FaultServer, usage: Any) -> None:
    server.script("ep", reply(200, chat() | {"usage": usage}))
    assert fm.chat("ep", "Hi").usage is None
    server.script("ep", chunked(event({**delta("a", finish="stop"), "usage": usage}), DONE))
    assert list(fm.stream_chat("ep", "Hi"))[-1].usage is None
    server.script("ep", reply(200, {"choices": [{"text": "a"}], "usage": usage}))
    assert fm.complete("ep", "Hi").usage is None
    server.script("ep", reply(200, {"output": [], "usage": usage}))
    assert fm.chat("ep", "Hi", api="responses").usage is None


@pytest.mark.parametrize("head", [{"created": 1.5}, {"id": 7}, {"model": ["m"], "object": {}}])
def test_an_answer_is_not_thrown_away_for_what_stands_above_it(fm: Any, server: FaultServer, head: Any) -> None:
    """As agents write it by hand: `"created": time.time()`."""
    server.script("ep", reply(200, chat() | head))
    answer = fm.chat("ep", "Hi")
    assert "hello" == answer.text and not head.keys() & answer.model_fields_set
    server.script("ep", chunked(event({**delta("a", finish="stop"), **head}), DONE))
    *_, last = fm.stream_chat("ep", "Hi")
    assert "a" == last.response.text


def test_tool_calls_without_id_get_one(fm: Any, server: FaultServer) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    server.script("ep", reply(200, chat("", tool_calls=[call])))
    (found,) = fm.chat("ep", "Hi").tool_calls
    assert (found.name, found.args) == ("f", {"x": 1}) and found.id.startswith("call_")


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, "<html>login</html>", content_type="text/html"), reply(200, b""), reply(200, "not json"),
        reply(200, {"choices": []}), reply(200, {"choices": "x"}), reply(200, [1]), reply(200, b'{"choices": [{"ind'),
    ],
    ids=["html", "empty", "text", "no choices", "wrong type", "array", "cut"],
)  # fmt: skip
def test_a_200_that_is_no_answer_is_an_error_and_not_repeated(fm: Any, server: FaultServer, answer: Any) -> None:
    """H12, P1"""
    server.script("ep", answer)
    with pytest.raises(ResponseFormatError) as caught:
        fm.chat("ep", "Hi")
    assert (1, "ep", 1) == (server.attempts("ep"), caught.value.endpoint, caught.value.attempts)


def test_an_error_inside_a_200_answer_is_what_it_says(fm: Any, server: FaultServer) -> None:
    """H13"""
    server.script("ep", reply(200, {"error_code": "BAD_REQUEST", "message": "no"}))
    with pytest.raises(BadRequestError, match="no"):
        fm.chat("ep", "Hi")
    server.script("ep", reply(200, {"error": {"message": "later", "code": 429}}), reply(200, chat()))
    assert "hello" == fm.chat("ep", "Hi", max_retries=1).text


def test_an_error_beside_choices_is_an_error_all_the_same(fm: Any, server: FaultServer) -> None:
    """H13"""
    server.script("ep", reply(200, {**chat("half"), "error": {"message": "no", "code": 400}}))
    with pytest.raises(BadRequestError, match="no"):
        fm.chat("ep", "Hi")
    server.script("ep", reply(200, {**chat("whole"), "error": {}, "error_code": None}))
    assert "whole" == fm.chat("ep", "Hi").text


def test_arguments_that_came_as_an_object_are_read(fm: Any, server: FaultServer) -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
    server.script("ep", reply(200, chat("", tool_calls=[call])))
    (found,) = fm.chat("ep", "Hi").tool_calls
    assert ({"x": 1}, '{"x": 1}') == (found.args, found.function.arguments)


NESTED = b'{"choices": [{"message": {"content": "a", "x": ' + b"[" * 990 + b"]" * 990 + b"}}]}"


@pytest.mark.parametrize("body", [b"[" * 100_000, NESTED, b'{"error":' * 5_000 + b"1" + b"}" * 5_000])
@pytest.mark.parametrize(("status", "error"), [(200, ResponseFormatError), (400, BadRequestError)])
def test_a_body_nested_too_deeply_is_a_typed_error(
    fm: Any, server: FaultServer, body: bytes, status: int, error: type[Exception]
) -> None:
    """P1"""
    server.script("ep", reply(status, body))
    with pytest.raises(error):
        fm.chat("ep", "Hi")


LIMITED = reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED"}, retry_after="0.05")


@pytest.mark.parametrize("failure", [BUSY, reset, hang_up, LIMITED], ids=["503", "reset", "hang up", "429"])
def test_the_server_sees_the_configured_number_of_attempts(fm: Any, server: FaultServer, failure: Any) -> None:
    server.script("ep", failure)
    with pytest.raises((ServerError, APIConnectionError, RateLimitError)) as caught:
        fm.chat("ep", "Hi", max_retries=1)
    assert 2 == server.attempts("ep") == caught.value.attempts
    server.script("ep", failure, reply(200, chat("again")))
    answer = fm.chat("ep", "Hi", max_retries=1)
    assert ("again", 2) == (answer.text, answer.attempts)


def test_a_dead_server_is_a_connection_error(connect: Callable[..., Any]) -> None:
    with pytest.raises(APIConnectionError) as caught:
        connect("http://127.0.0.1:9").chat("ep", "Hi", max_retries=1)
    assert (2, "connect") == (caught.value.attempts, caught.value.phase)


def test_the_deadline_ends_a_call(fm: Any, server: FaultServer) -> None:
    server.script("ep", silence(HELD))
    begun = time.monotonic()
    with pytest.raises(APITimeoutError):
        fm.chat("ep", "Hi", timeout=0.3)
    assert time.monotonic() - begun < SOON and server.attempts("ep") == 1


def test_a_look_at_an_endpoint_can_be_short(fm: Any, server: FaultServer) -> None:
    path = "/api/2.0/serving-endpoints/ep"
    server.script(path, reply(503, "busy"))
    with pytest.raises(ServerError):
        fm.call("endpoints.get", "ep", max_retries=0)
    server.script(path, silence(HELD))
    with pytest.raises(APITimeoutError):
        fm.call("endpoints.get", "ep", timeout=0.3, max_retries=0)
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            reply(400, 'json: unknown field "messages"'),
            'field "messages". The endpoint serves another task: chat takes',
        ),
        (reply(401, {"error_code": "UNAUTHENTICATED", "message": "no."}), "no. Check the token for http://127.0.0.1:"),
        (reply(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no"}), "endpoints.list() shows"),
    ],
    ids=["task", "token", "name"],
)
def test_an_error_says_what_to_look_at(fm: Any, server: FaultServer, answer: Any, advice: str) -> None:
    server.script("zzz", answer)
    with pytest.raises(APIStatusError) as caught:
        fm.chat("zzz", "Hi")
    assert advice in str(caught.value)
