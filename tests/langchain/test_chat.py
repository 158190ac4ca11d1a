"""Calls of `ChatFoundationModel`: what is sent, what comes back, whole and in a stream."""

from __future__ import annotations

from typing import Any

import pytest
from fault_server import DONE, chunked, delta, event, reply, words
from fault_server import chat as answer
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage, HumanMessage

from fm_client import DroppedParameterWarning, InvalidRequestError

ENDPOINT = "databricks-meta-llama-3-3-70b-instruct"


def stream_of(*events: bytes) -> Any:
    return chunked(*events, DONE)


class Tokens(BaseCallbackHandler):
    """Keeps what a stream's listener is told."""

    def __init__(self) -> None:
        self.tokens: list[Any] = []
        self.results: list[Any] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.results.append(response)


def test_a_whole_answer_says_everything(chat: Any, server: Any, drive: Any) -> None:
    server.script(ENDPOINT, reply(200, answer("Hello"), served_model_name="llama-a"))
    message = drive(chat()).invoke("Hi")

    assert (type(message), message.text, message.tool_calls) == (AIMessage, "Hello", [])
    assert message.usage_metadata == {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    assert message.response_metadata == {
        "model_provider": "databricks",
        "model_name": "meta-llama-3.3-70b-instruct-121024",
        "id": "chatcmpl-1",
        "created": 1,
        "endpoint": ENDPOINT,
        "served_model": "llama-a",
        "route": "hosted",
        "request_id": "req-1",
        "finish_reason": "stop",
    }


def test_a_stream_says_the_same_as_a_whole_answer(chat: Any, server: Any, drive: Any, merged: Any) -> None:
    server.script(ENDPOINT, stream_of(*words("Hel", "lo")), reply(200, answer("Hello")))
    driven = drive(chat())
    whole, streamed = merged(driven.stream("Hi")), driven.invoke("Hi")

    assert whole.text == streamed.text == "Hello"
    assert whole.response_metadata == streamed.response_metadata
    assert whole.usage_metadata == {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}


def test_cumulative_usage_on_every_chunk_is_told_once(chat: Any, server: Any, drive: Any) -> None:
    server.script(ENDPOINT, stream_of(*words("a", "b", "c")))
    chunks = drive(chat()).stream("Hi")

    assert [chunk.usage_metadata is not None for chunk in chunks] == [False, False, False, True]
    assert chunks[-1].chunk_position == "last"
    assert [chunk.text for chunk in chunks] == ["a", "b", "c", ""]


@pytest.mark.parametrize("style", ["cumulative", "nulls", "final", "never"])
def test_usage_of_a_stream_is_right_in_every_style_of_the_service(
    style: str, deployed: Any, live: Any, drive: Any, merged: Any
) -> None:
    driven = drive(live(model=deployed(fm_usage_style=style)))
    streamed, whole = merged(driven.stream("Hello there")), driven.invoke("Hello there")

    assert streamed.text == whole.text
    assert streamed.usage_metadata == (None if style == "never" else whole.usage_metadata)


def test_details_of_usage_keep_the_sum_right(chat: Any, server: Any) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "cache_read_input_tokens": 30}
    details = {
        "cache_creation_input_tokens": 20,
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 3},
    }
    server.script(ENDPOINT, reply(200, answer() | {"usage": usage | details}))

    assert chat().invoke("Hi").usage_metadata == {
        "input_tokens": 150,
        "output_tokens": 50,
        "total_tokens": 200,
        "input_token_details": {"cache_read": 30, "cache_creation": 20},
        "output_token_details": {"reasoning": 5, "audio": 3},
    }


def test_the_usage_callback_counts_a_streamed_call_once(chat: Any, server: Any) -> None:
    server.script(ENDPOINT, stream_of(*words("a", "b")))
    with get_usage_metadata_callback() as counted:
        list(chat().stream("Hi"))

    (usage,) = counted.usage_metadata.values()
    assert usage["total_tokens"] == 7


def test_what_is_not_set_is_not_sent(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(ENDPOINT, reply(200, answer()))
    drive(chat(stop=[])).invoke("Hi")
    assert sent() == {"messages": [{"role": "user", "content": "Hi"}]}


FIELDS: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 9,
    "top_p": 0.9,
    "top_k": 3,
    "stop": ["x"],
    "n": 1,
    "seed": 7,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "user": "ann",
    "logprobs": True,
    "top_logprobs": 2,
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}


def test_every_field_of_the_constructor_is_sent(chat: Any, server: Any, sent: Any) -> None:
    server.script(ENDPOINT, reply(200, answer()))
    chat(**FIELDS, extra_body={"usage_context": {"team": "a"}}).invoke("Hi")

    body = sent()
    del body["messages"]
    assert body == FIELDS | {"usage_context": {"team": "a"}}


def test_a_call_beats_the_constructor(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(ENDPOINT, reply(200, answer()))
    llm = chat(temperature=0.9, max_tokens=10, stop=["A"], seed=1, extra_body={"a": 1, "b": 1})
    drive(llm).invoke("Hi", temperature=0, max_tokens=99, stop=["B"], seed=None, extra_body={"b": 2})

    assert sent() == {
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0,
        "max_tokens": 99,
        "stop": ["B"],
        "a": 1,
        "b": 2,
    }


@pytest.mark.parametrize("given", [{}, {"custom_inputs": {"session": 2}}], ids=["constructor", "call"])
def test_inputs_of_an_agent_go_along_and_its_outputs_come_back(
    given: Any, chat: Any, server: Any, sent: Any, drive: Any, merged: Any
) -> None:
    piece = delta("Yes") | {"custom_outputs": {"seen": 1}}
    server.script(
        ENDPOINT,
        reply(200, answer("Yes") | {"custom_outputs": {"seen": 1}}),
        reply(200, answer("Yes", custom_outputs={"seen": 1})),
        stream_of(event(piece), event(delta("", finish="stop"))),
    )
    driven = drive(chat(custom_inputs={"session": 1}, extra_body={"a": 1}))
    messages = [driven.invoke("Hi", **given), driven.invoke("Hi", **given), merged(driven.stream("Hi", **given))]

    assert [message.response_metadata["custom_outputs"] for message in messages] == [{"seen": 1}] * 3
    assert (sent()["custom_inputs"], sent()["a"]) == (given.get("custom_inputs", {"session": 1}), 1)


def test_a_call_can_take_fields_of_the_constructor_back(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(ENDPOINT, reply(200, answer()))
    drive(chat(custom_inputs={"session": 1}, extra_body={"a": 1})).invoke("Hi", custom_inputs=None, extra_body=None)
    assert sent().keys() == {"messages"}


def test_what_stands_beside_an_answer_is_kept(chat: Any, server: Any, drive: Any, merged: Any) -> None:
    """Sources of a search, spoken answers and the like, whole and at the end of a stream."""
    notes = [{"type": "url_citation", "url": "https://example.test"}]
    pieces = stream_of(event(delta("Yes", annotations=notes)), event(delta("", finish="stop")))
    server.script(ENDPOINT, reply(200, answer("Yes", annotations=notes)), pieces)
    driven = drive(chat())

    assert driven.invoke("Hi").additional_kwargs == {"annotations": notes}
    assert merged(driven.stream("Hi")).additional_kwargs == {"annotations": notes}


def test_another_endpoint_can_be_named_for_a_call(chat: Any, server: Any, drive: Any) -> None:
    server.script("other", reply(200, answer()))
    message = drive(chat()).invoke("Hi", model="other")

    assert message.response_metadata["endpoint"] == "other"


def test_the_next_endpoint_answers_when_the_first_cannot(chat: Any, server: Any, drive: Any) -> None:
    server.script("mine", reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}))
    server.script(ENDPOINT, reply(200, answer()))
    message = drive(chat(model=["mine", ENDPOINT])).invoke("Hi")
    assert message.response_metadata["endpoint"] == ENDPOINT


def test_an_unknown_argument_of_a_call_is_an_error(chat: Any, server: Any, drive: Any) -> None:
    with pytest.raises(InvalidRequestError, match="did you mean 'temperature'"):
        drive(chat()).invoke("Hi", temprature=0)
    assert server.seen == []


def test_a_dropped_field_is_named(chat: Any, server: Any, drive: Any) -> None:
    refusal = reply(400, {"error_code": "BAD_REQUEST", "message": "seed: Extra inputs are not permitted"})
    server.script(ENDPOINT, refusal, reply(200, answer()))
    with pytest.warns(DroppedParameterWarning, match="seed"):
        message = drive(chat(seed=1)).invoke("Hi")
    assert message.response_metadata["dropped_params"] == ["seed"]


def test_several_answers_are_several_generations_with_one_usage(chat: Any, server: Any, drive: Any) -> None:
    choices = [
        {"index": i, "message": {"role": "assistant", "content": f"A{i}"}, "finish_reason": "stop"} for i in (0, 1)
    ]
    server.script(ENDPOINT, reply(200, answer() | {"choices": choices}))
    (generations,) = drive(chat(n=2)).generate([[HumanMessage("Hi")]]).generations

    assert [generation.text for generation in generations] == ["A0", "A1"]
    assert [generation.message.usage_metadata is None for generation in generations] == [False, True]


@pytest.mark.parametrize("streaming", [None, True])
def test_several_answers_come_whole_whoever_wants_to_stream(streaming: Any, live: Any, drive: Any) -> None:
    driven = drive(live(n=2, streaming=streaming))
    (generations,) = driven.generate([[HumanMessage("Hello")]], callbacks=[Tokens()]).generations
    assert [bool(generation.message.text) for generation in generations] == [True, True]
    assert [bool(message.text) for message in driven.batch(["Hello", "Goodbye"])] == [True, True]
    assert len(driven.stream("Hello", n=1)) > 1


def test_several_answers_are_not_streamed(chat: Any, server: Any, drive: Any) -> None:
    with pytest.raises(ModelInvalidRequestError, match=r"n=2 cannot be streamed.* generate\(\) gives all"):
        drive(chat(n=2)).stream("Hi")
    assert server.seen == []


def test_other_answers_in_a_stream_do_not_mix_with_the_first(chat: Any, server: Any, drive: Any, merged: Any) -> None:
    server.script(ENDPOINT, stream_of(event(delta("A")), event(delta("B", index=1)), event(delta("", finish="stop"))))
    assert merged(drive(chat()).stream("Hi")).text == "A"


def test_listeners_get_each_token_of_a_stream(chat: Any, server: Any, drive: Any) -> None:
    server.script(ENDPOINT, stream_of(*words("Hel", "lo")))
    tokens = Tokens()
    drive(chat()).stream("Hi", config={"callbacks": [tokens]})

    assert tokens.tokens == ["Hel", "lo", ""]
    assert tokens.results[0].generations[0][0].message.usage_metadata["total_tokens"] == 7


@pytest.mark.parametrize(("streaming", "is_streamed"), [(True, True), (False, False), (None, False)])
def test_streaming_decides_how_invoke_asks(
    streaming: Any, is_streamed: bool, chat: Any, server: Any, sent: Any, drive: Any
) -> None:
    server.script(ENDPOINT, stream_of(*words("Hello")) if is_streamed else reply(200, answer("Hello")))
    message = drive(chat(streaming=streaming)).invoke("Hi")

    assert message.text == "Hello"
    assert message.usage_metadata is not None
    assert sent().get("stream", False) is is_streamed


def test_logprobs_are_the_same_whole_and_streamed(chat: Any, server: Any, drive: Any, merged: Any) -> None:
    entries = [{"token": "Hel", "logprob": -0.1}, {"token": "lo", "logprob": -0.2}]
    whole = answer("Hello")
    whole["choices"][0]["logprobs"] = {"content": entries}
    pieces = [delta(entry["token"]) for entry in entries]
    for piece, entry in zip(pieces, entries, strict=True):
        piece["choices"][0]["logprobs"] = {"content": [entry]}
    server.script(ENDPOINT, reply(200, whole), stream_of(*map(event, pieces), event(delta("", finish="stop"))))
    driven = drive(chat(logprobs=True))

    assert driven.invoke("Hi").response_metadata["logprobs"] == {"content": entries}
    assert merged(driven.stream("Hi")).response_metadata["logprobs"] == {"content": entries}


def test_batch_answers_in_order(live: Any, drive: Any) -> None:
    messages = drive(live()).batch([f"Number {i}?" for i in range(8)])
    assert [f"Number {i}?" in message.text for i, message in enumerate(messages)] == [True] * 8


def test_reasoning_beside_the_content_is_kept_apart(chat: Any, server: Any, drive: Any) -> None:
    server.script(ENDPOINT, reply(200, answer("Yes", reasoning_content="Hm")))
    message = drive(chat()).invoke("Hi")

    assert message.text == "Yes"
    assert message.content_blocks == [{"type": "reasoning", "reasoning": "Hm"}, {"type": "text", "text": "Yes"}]
