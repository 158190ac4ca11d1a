"""What happens when a route refuses a field, fails, or does not exist."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import (
    BUSY,
    DONE,
    FaultServer,
    chat,
    chunked,
    reply,
    reset,
    text,
    words,
)  # fmt: skip
from timing import HELD, SOON, eventually

from fm_client import (
    BadRequestError,
    Client,
    DroppedParameterWarning,
    EndpointNotReadyError,
    InvalidRequestError,
    NotFoundError,
    RetiringModelWarning,
    ServerError,
    StreamInterruptedError,
)


@pytest.mark.parametrize(
    ("message", "name", "params"),
    [
        ('Bad request: json: unknown field "seed"', "seed", {"seed": 1}),
        ("temperature: not supported by this model", "temperature", {"temperature": 0.5}),
        ("tools.0.function.strict: Extra inputs are not permitted", "strict", {"tools": [{"function": {"name": "f", "strict": True}}]}),
    ],
)  # fmt: skip
def test_an_optional_field_that_is_refused_is_left_out_remembered_and_told(
    fm: Any, server: FaultServer, message: str, name: str, params: dict[str, Any]
) -> None:
    server.script("ep", reply(400, message), reply(200, chat()))
    with pytest.warns(DroppedParameterWarning, match=f"'ep' refused the field '{name}'"):
        answer = fm.chat("ep", "Hi", **params)
    assert (name,) == answer.dropped_params
    assert name in str(server.seen[0].json) and name not in str(server.seen[1].json)
    assert (name,) == fm.chat("ep", "Hi", **params).dropped_params
    assert 3 == server.attempts("ep"), "the second call did not ask again"


def test_a_field_that_has_no_meaning_without_another_goes_with_it(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(400, "logprobs is not supported by this model"), reply(200, chat()))
    with pytest.warns(DroppedParameterWarning, match="'logprobs'"):
        answer = fm.chat("ep", "Hi", logprobs=True, top_logprobs=2)
    assert ("logprobs", "top_logprobs") == answer.dropped_params
    assert {"messages"} == server.seen[-1].json.keys()


def test_calls_made_together_are_told_one_by_one_to_a_model_that_wants_it_so(fm: Any, server: FaultServer) -> None:
    """As GPT OSS does, of a conversation in which another model made them; nothing is lost, so nobody is warned."""
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)]
    results = [{"role": "tool", "tool_call_id": f"c{n}", "content": str(n)} for n in (1, 2)]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Well", "tool_calls": calls},
        *reversed(results),
        {"role": "user", "content": "And?"},
    ]
    server.script("ep", reply(400, {"message": "Multiple tool calls are not supported."}), reply(200, chat()))
    assert () == fm.chat("ep", messages).dropped_params
    expected = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Well", "tool_calls": calls[:1]},
        results[0],
        {"role": "assistant", "content": None, "tool_calls": calls[1:]},
        results[1],
        {"role": "user", "content": "And?"},
    ]
    assert expected == server.seen[-1].json["messages"]
    fm.chat("ep", messages)
    assert (3, expected) == (server.attempts("ep"), server.seen[-1].json["messages"]), (
        "the second call did not ask again"
    )
    assert 2 == len(messages[1]["tool_calls"]), "what the caller gave is not changed"


def test_a_call_alone_is_no_reason_to_send_again(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(400, {"message": "Multiple tool calls are not supported."}))
    with pytest.raises(BadRequestError):
        fm.chat("ep", "Hi")
    assert 1 == server.attempts("ep")


@pytest.mark.parametrize("tools", [None, 5, "strict", {}, [5], [{"type": "custom"}], [{"function": None}]], ids=str)
def test_tools_that_are_none_leave_the_services_own_error(fm: Any, server: FaultServer, tools: Any) -> None:
    server.script("ep", reply(400, "tools: strict is not supported"))
    for api in ("chat", "responses"):
        with pytest.raises(BadRequestError, match="strict is not supported"):
            fm.chat("ep", "Hi", extra_body={"tools": tools}, api=api)


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. Supported values are: 'low'.",
        "role 'tool' is not allowed after 'user'",
        "Unexpected role 'user' after role 'tool'",
    ],
)
def test_a_refused_value_and_a_name_in_passing_cost_no_field(fm: Any, server: FaultServer, message: str) -> None:
    server.script("ep", reply(400, message))
    with pytest.raises(BadRequestError):
        fm.chat("ep", "Hi", reasoning_effort="minimal", user="u-1")
    assert 1 == server.attempts("ep")


@pytest.mark.parametrize(
    "message",
    [
        "This model does not support temperature",
        "`temperature` is deprecated for this model.",
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.",
        "temperature: Extra inputs are not permitted",
    ],
)
def test_a_field_is_refused_in_many_words(fm: Any, server: FaultServer, message: str) -> None:
    server.script("ep", reply(400, message), reply(200, chat()))
    with pytest.warns(DroppedParameterWarning):
        assert ("temperature",) == fm.chat("ep", "Hi", temperature=0.5).dropped_params


def test_what_did_not_cure_it_is_not_remembered(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(400, 'unknown field "seed"'))
    with pytest.raises(BadRequestError), pytest.warns(DroppedParameterWarning):
        fm.chat("ep", "Hi", seed=1)
    server.script("ep", reply(200, chat()))
    assert () == fm.chat("ep", "Hi", seed=1).dropped_params


def test_strict_params_and_required_fields_are_not_negotiated(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script("ep", reply(400, 'Bad request: json: unknown field "seed"'))
    with pytest.raises(BadRequestError):
        connect(server.host, strict_params=True).chat("ep", "Hi", seed=1)
    server.script("ep2", reply(400, "stop is not supported"), reply(200, chat()))
    with pytest.raises(BadRequestError):
        connect(server.host).chat("ep2", "Hi", stop=["x"])
    assert 1 == server.attempts("ep2")


def test_a_stream_whose_route_refuses_stream_options_is_asked_without_them(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(400, 'Bad request: json: unknown field "stream_options"'), chunked(*words("a"), DONE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chunks = list(fm.stream_chat("ep", "Hi"))
    assert "a" == text(chunks) and () == chunks[-1].dropped_params
    assert ["stream_options" in request.json for request in server.seen] == [True, False]


@pytest.mark.parametrize(
    "failure",
    [BUSY, reset, reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED"}, retry_after="60")],
    ids=["503", "reset", "429"],
)
def test_the_next_route_answers_at_once_and_is_named(fm: Any, server: FaultServer, failure: Any) -> None:
    server.script("first", failure)
    server.script("second", reply(200, chat("from the second")))
    begun = time.monotonic()
    answer = fm.chat(["first", "second"], "Hi")
    assert ("second", "from the second") == (answer.endpoint, answer.text)
    assert 1 == server.attempts("first") and time.monotonic() - begun < SOON


def test_a_request_that_is_wrong_does_not_fall_back_and_a_begun_stream_neither(fm: Any, server: FaultServer) -> None:
    server.script("first", reply(400, "bad"))
    with pytest.raises(BadRequestError):
        fm.chat(["first", "second"], "Hi")
    server.script("first", chunked(*words("a", finish=None), end="cut"))
    with pytest.raises(StreamInterruptedError):
        list(fm.stream_chat(["first", "second"], "Hi"))
    assert 0 == server.attempts("second")


def test_a_stream_falls_back_before_its_first_event(fm: Any, server: FaultServer) -> None:
    server.script("first", BUSY)
    server.script("second", chunked(*words("b"), DONE))
    chunks = list(fm.stream_chat(["first", "second"], "Hi"))
    assert ("b", "second") == (text(chunks), chunks[-1].endpoint)


def test_when_all_routes_fail_the_error_tells_of_each(fm: Any, server: FaultServer) -> None:
    server.script("first", reply(503, "first is down"))
    server.script("second", reply(503, "second is down"))
    with pytest.raises(ServerError, match="second is down") as caught:
        fm.chat(["first", "second"], "Hi", max_retries=0)
    assert any("first is down" in note for note in caught.value.__notes__)


def test_an_unknown_endpoint_names_those_that_are_close(fm: Any, server: FaultServer) -> None:
    server.script("/api/2.0/serving-endpoints", reply(200, {"endpoints": [{"name": "my-endpoint"}, {"name": "other"}]}))
    with pytest.raises(NotFoundError, match="close name: my-endpoint") as caught:
        fm.chat("my-endpont", "Hi")
    assert (1, 404) == (server.attempts("my-endpont"), caught.value.status_code)


def test_where_listing_is_not_allowed_the_catalog_knows_the_hosted_ones(fm: Any, server: FaultServer) -> None:
    server.script("/api/2.0/serving-endpoints", reply(403, {"error_code": "PERMISSION_DENIED"}))
    with pytest.raises(NotFoundError, match="databricks-meta-llama-3-3-70b-instruct"):
        list(fm.stream_chat("databricks-meta-llama-3-3-70b-instrukt", "Hi"))


def test_a_retired_model_names_its_replacement(fm: Any, server: FaultServer) -> None:
    instead = "retired on 2024-12-11; use 'databricks-meta-llama-3-3-70b-instruct'"
    with pytest.raises(NotFoundError, match=instead), pytest.warns(RetiringModelWarning, match=instead):
        fm.chat("databricks-meta-llama-3-1-70b-instruct", "Hi")
    assert 1 == len(server.seen)


@pytest.mark.parametrize(
    "name", ["", ".", "../x", "a/b", "a?x=1", "a#f", "%2e%2e", "a b", "a\n", "ünï", "x" * 64, None, []], ids=repr
)
def test_names_that_could_lead_elsewhere_are_refused_before_a_url_is_built(
    fm: Any, server: FaultServer, name: Any
) -> None:
    for call in (fm.chat, fm.stream_chat, fm.complete, fm.embed):
        with pytest.raises(InvalidRequestError):
            call(name, "Hi")
    assert [] == server.seen


# -------------------------------------------------------------------------------------------- endpoints not yet ready

NOT_READY = reply(
    503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Endpoint ep is not ready"}, retry_after="0.1"
)


def test_an_endpoint_that_is_not_ready_is_an_error_of_its_own(fm: Any, server: FaultServer) -> None:
    """H6"""
    server.script("ep", NOT_READY)
    with pytest.raises(EndpointNotReadyError):
        fm.chat("ep", "Hi", max_retries=0)
    assert 1 == server.attempts("ep")


def test_with_wait_ready_it_is_asked_until_it_is_without_costing_retries(fm: Any, server: FaultServer) -> None:
    """H6"""
    server.script("ep", *[NOT_READY] * 5, reply(200, chat()))
    assert "hello" == fm.chat("ep", "Hi", wait_ready=5, max_retries=0).text
    assert 6 == server.attempts("ep")
    server.script("ep2", *[NOT_READY] * 3, chunked(*words("a"), DONE))
    assert "a" == text(fm.stream_chat("ep2", "Hi", wait_ready=5))


def test_patience_has_an_end(fm: Any, server: FaultServer) -> None:
    server.script("ep", NOT_READY)
    begun = time.monotonic()
    with pytest.raises(EndpointNotReadyError):
        fm.chat("ep", "Hi", wait_ready=0.35, max_retries=0)
    assert time.monotonic() - begun < SOON and 1 < server.attempts("ep") <= 4


def test_who_waits_for_the_one_that_asks_has_patience_of_its_own(server: FaultServer) -> None:
    server.script("ep", NOT_READY)
    with Client(server.host, "t", max_retries=0) as fm:
        other = threading.Thread(target=lambda: fm.chat("ep", "Hi", wait_ready=HELD))
        other.start()
        assert eventually(lambda: server.attempts("ep") > 0)
        begun = time.monotonic()
        with pytest.raises(EndpointNotReadyError):
            fm.chat("ep", "Hi", wait_ready=0.5)
        assert time.monotonic() - begun < SOON and other.is_alive()
        server.script("ep", reply(200, chat()))
        other.join()


def test_one_call_asks_on_behalf_of_all_that_wait(server: FaultServer) -> None:
    """H6: one prober per endpoint."""
    server.script("ep", *[NOT_READY] * 8, reply(200, chat()))
    answers: list[str] = []
    with Client(server.host, "t") as fm:
        ask = lambda: answers.append(fm.chat("ep", "Hi", wait_ready=10).text)  # noqa: E731  # a thread's target
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ["hello"] * 6 == answers
    assert server.attempts("ep") <= 8 + 6
