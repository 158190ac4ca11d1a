"""What is sent, and what is refused before anything is."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from fm_client import InvalidRequestError, Message, RequestTooLargeError
from fm_client._context import encode
from fm_client._requests import chat_body, completion_body

USER = {"role": "user", "content": "Hi"}


def test_a_text_is_one_user_message() -> None:
    assert {"messages": [USER]} == chat_body("Hi", {})


def test_none_is_not_sent_and_everything_else_is() -> None:
    assert {"messages": [USER], "temperature": 0, "stop": ["x"]} == chat_body(
        "Hi", {"temperature": 0, "max_tokens": None, "stop": ["x"]}
    )


def test_extra_body_is_merged_in() -> None:
    body = chat_body("Hi", {"extra_body": {"custom_inputs": {"a": 1}, "top_k": 5}, "timeout": 3, "max_retries": 0})
    assert {"messages": [USER], "custom_inputs": {"a": 1}, "top_k": 5} == body


def test_an_answer_can_be_sent_back_without_its_id_and_with_its_parts_untouched() -> None:
    parts = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "signature": "Eqo=", "x": None}]}]
    answer = Message.model_validate({"role": "assistant", "id": "msg_1", "content": parts, "annotations": []})
    assert {"role": "assistant", "content": parts} == chat_body([USER, answer], {})["messages"][1]


def test_the_callers_objects_are_not_changed() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    tool = {"type": "function", "function": {"name": "f"}}
    body = chat_body([message], {"tools": [tool]})
    assert {"type": "object", "properties": {}} == body["tools"][0]["function"]["parameters"]
    assert {"type": "function", "function": {"name": "f"}} == tool
    assert {"role": "user", "content": [{"type": "text", "text": "Hi"}]} == message


@pytest.mark.parametrize(
    "messages",
    [
        [], None, 5, b"Hi", USER, [None], ["Hi"], [{}], [{"role": "wizard", "content": "Hi"}], [{"content": "Hi"}],
        [{"role": "user"}], [{"role": "user", "content": None}], [{"role": "user", "content": 5}],
        [{"role": "user", "content": b"Hi"}], [{"role": "user", "content": ["Hi"]}], [{"role": "user", "content": [{"text": "Hi"}]}],
        [{"role": "tool", "content": "4"}], [{"role": "assistant", "content": None}],
    ],
    ids=repr,
)  # fmt: skip
def test_messages_that_are_none(messages: Any) -> None:
    """Bad input: messages."""
    with pytest.raises(InvalidRequestError, match="messages"):
        chat_body(messages, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"), ("temperature", math.nan), ("temperature", -1), ("temperature", 2.1), ("temperature", True),
        ("temperature", Decimal("0.5")), ("max_tokens", 0), ("max_tokens", -1), ("max_tokens", 10**12), ("max_tokens", True),
        ("max_tokens", 1.5), ("n", 0), ("n", 1000), ("top_p", 0), ("top_p", 1.1), ("top_k", 0), ("stop", ["x"] * 1000), ("stop", ""),
        ("stop", [1]), ("stop", 5), ("tools", "f"), ("tools", [{}]), ("tools", [{"type": "function", "function": {}}]),
        ("tool_choice", 1), ("response_format", {"a": 1}), ("thinking", "enabled"), ("top_logprobs", 21), ("extra_body", [1]),
        ("extra_body", {1: 2}), ("parallel_tool_calls", 1), ("logprobs", "yes"), ("seed", "x"), ("user", 1),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_parameters_that_are_none(name: str, value: Any) -> None:
    """Bad input: parameters. The error names the parameter."""
    with pytest.raises(InvalidRequestError, match=name):
        chat_body("Hi", {name: value})


def test_an_unknown_argument_names_the_one_that_was_meant() -> None:
    with pytest.raises(InvalidRequestError, match="'temprature' .did you mean 'temperature'.*extra_body"):
        chat_body("Hi", {"temprature": 1})
    with pytest.raises(InvalidRequestError, match="unknown argument 'tools'"):
        completion_body("Hi", {"tools": []})


@pytest.mark.parametrize("prompt", ["", [], [""], None, 5, [5], {"a": 1}])
def test_prompts_that_are_none(prompt: Any) -> None:
    with pytest.raises(InvalidRequestError, match="prompt"):
        completion_body(prompt, {})


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def deep() -> Any:
    value: Any = 1
    for _ in range(200_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    ["\ud800", math.nan, math.inf, Decimal(1), object(), b"x", {1, 2}, {(1, 2): 3}, cyclic(), deep()],
    ids=["surrogate", "nan", "inf", "Decimal", "object", "bytes", "set", "tuple key", "cycle", "depth"],
)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    """Bad input: values."""
    with pytest.raises(InvalidRequestError):
        encode({"value": value}, 1 << 20)


def test_text_goes_out_as_utf_8_byte_for_byte() -> None:
    assert '{"a":"東京\u2028😀\\u0000"}'.encode() == encode({"a": "東京\u2028😀\0"}, 1000)


def test_a_body_over_the_limit_is_refused_with_its_size() -> None:
    with pytest.raises(RequestTooLargeError, match=r"has 5,000,0\d\d bytes.*was not sent") as caught:
        encode({"a": "x" * 5_000_000}, 4 * 1024 * 1024, "ep")
    assert (0, 413, "ep") == (caught.value.attempts, caught.value.status_code, caught.value.endpoint)
