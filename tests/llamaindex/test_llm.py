"""Calls: what is sent, what comes back, and what is reported of it."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import DONE, FaultServer, chat, chunked, delta, event, reply, words
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    EventPayload,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.prompts import PromptTemplate
from pydantic import ValidationError
from timing import SOON

from fm_client import (
    BadRequestError,
    Client,
    ConfigurationError,
    InvalidRequestError,
    RateLimitError,
    StreamInterruptedError,
)
from fm_workspace import Workspace
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

HELLO = [ChatMessage(role="user", content="hello")]
Scripted = Callable[..., FoundationModelLLM]
COMPLETION = {
    "object": "text_completion",
    "model": "mpt-7b",
    "choices": [{"index": 0, "text": "once upon", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
}


def test_a_chat_is_answered_with_text_usage_and_plain_raw_data(caller: Any, llm: FoundationModelLLM) -> None:
    answer = caller.run(llm, "chat", [ChatMessage(content="Is it raining? The sky is blue.")])
    assert answer.message.role is MessageRole.ASSISTANT
    assert "sky is blue" in answer.message.content
    assert answer.raw["usage"]["total_tokens"] == answer.additional_kwargs["total_tokens"] > 0
    assert answer.raw["model"]
    assert answer.additional_kwargs["endpoint"] == llm.model
    assert json.loads(json.dumps(answer.raw)) == answer.raw


def test_a_prompt_is_one_user_message(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    answer = caller.run(scripted("e", chat("fine")), "complete", "how are you?")
    assert answer.text == "fine"
    assert server.seen[0].json == {"messages": [{"role": "user", "content": "how are you?"}]}


@pytest.mark.parametrize("name", ["stream_chat", "stream_complete"])
def test_a_stream_grows_and_its_last_item_is_the_whole_answer(caller: Any, scripted: Scripted, name: str) -> None:
    llm = scripted("e", chunked(*words("Hel", "lo ", "you"), DONE))
    items = caller.items(llm, name, HELLO if name == "stream_chat" else "hello")
    texts = [item.text if name == "stream_complete" else item.message.content for item in items]
    assert texts == ["Hel", "Hello ", "Hello you", "Hello you"]
    assert "".join(item.delta for item in items) == "Hello you"
    assert [item.raw.get("usage") for item in items[:-1]] == [None, None, None]
    assert items[-1].raw["usage"]["total_tokens"] == 8
    assert items[-1].additional_kwargs["finish_reason"] == "stop"
    assert items[-1].raw["model"]


def test_a_stream_without_any_usage_invents_none(caller: Any, scripted: Scripted) -> None:
    llm = scripted("e", chunked(event(delta("hi", finish="stop")), DONE))
    last = caller.items(llm, "stream_chat", HELLO)[-1]
    assert last.raw["usage"] is None
    assert "total_tokens" not in last.additional_kwargs


def test_usage_is_asked_for_where_it_comes_only_on_request(server: FaultServer, scripted: Scripted) -> None:
    list(scripted("mine", chunked(*words("hi"), DONE)).stream_chat(HELLO))
    assert server.seen[0].json["stream_options"] == {"include_usage": True}


def test_fields_left_out_are_not_sent_and_a_call_beats_the_constructor(
    caller: Any, server: FaultServer, scripted: Scripted
) -> None:
    llm = scripted("e", chat(), temperature=0.5, max_tokens=100, extra_body={"usage_context": {"a": "1"}})
    caller.run(llm, "chat", HELLO, max_tokens=5, top_p=0.9, extra_body={"client_request_id": "x"})
    sent = server.seen[0].json
    del sent["messages"]
    assert sent == {
        "temperature": 0.5,
        "max_tokens": 5,
        "top_p": 0.9,
        "usage_context": {"a": "1"},
        "client_request_id": "x",
    }


def test_a_call_can_unset_a_field_of_the_constructor(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    caller.run(scripted("e", chat(), temperature=0.5), "chat", HELLO, temperature=None)
    assert "temperature" not in server.seen[0].json


@pytest.mark.parametrize("name", ["chat", "stream_chat", "complete", "stream_complete"])
def test_an_unknown_argument_of_a_call_is_an_error_at_once(caller: Any, llm: FoundationModelLLM, name: str) -> None:
    prompt = HELLO if "chat" in name else "hello"
    with pytest.raises(InvalidRequestError, match="temperature"):
        caller.run(llm, name, prompt, temprature=1)


@pytest.mark.parametrize("name", ["complete", "stream_complete"])
@pytest.mark.parametrize("prompt", [None, 3, b"hello"])
def test_a_prompt_that_is_no_text_is_an_error_at_once(
    caller: Any, llm: FoundationModelLLM, name: str, prompt: object
) -> None:
    with pytest.raises(InvalidRequestError, match=f"must be a text, not {type(prompt).__name__}"):
        caller.run(llm, name, prompt)


def test_an_unknown_argument_of_the_constructor_is_an_error_that_does_not_quote_it() -> None:
    with pytest.raises(ValidationError, match="tokn") as caught:
        FoundationModelLLM("e", tokn="secret-misspelt")
    assert "secret-misspelt" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("temprature", "temperature"),
        ("contextwindow", "context_window"),
        ("tokn", "token"),
        ("api_key", "token"),
        ("api_base", "host"),
        ("additional_kwargs", "extra_body"),
        ("max_retrys", "max_retries"),
    ],
)
def test_the_name_that_was_meant_is_suggested(given: str, meant: str) -> None:
    with pytest.raises(ValidationError, match=f"no argument '{given}'; did you mean {meant}?"):
        FoundationModelLLM("e", **{given: "x"})
    with pytest.raises(ValidationError, match="no argument 'zzz'$|no argument 'zzz' "):
        FoundationModelLLM("e", zzz=1)


@pytest.mark.parametrize(
    ("given", "cure"), [("tokenizer", "leave it out"), ("openai_client", "client= takes a fm_client")]
)
def test_an_argument_of_the_official_package_that_has_no_other_name_is_answered(given: str, cure: str) -> None:
    with pytest.raises(ValidationError, match=f"no argument '{given}': {cure}"):
        FoundationModelLLM("e", **{given: "x"})


def test_an_address_in_place_of_a_name_is_told_where_it_belongs() -> None:
    """`DatabricksEmbedding` takes the address as `endpoint`."""
    address = "https://example.com/serving-endpoints"
    for make in (FoundationModelLLM, FoundationModelEmbedding):
        with pytest.raises(ConfigurationError, match="endpoint names an endpoint; .* host="):
            make("e", endpoint=address)


def test_a_model_that_is_no_text_is_an_error_that_says_what_is_taken() -> None:
    with pytest.raises(ValidationError, match="valid string"):
        FoundationModelLLM(3)  # type: ignore[arg-type]


def test_model_and_endpoint_are_names_of_one_argument() -> None:
    assert FoundationModelLLM(endpoint="e").model == FoundationModelLLM(model="e").model == "e"
    with pytest.raises(ConfigurationError, match="different values"):
        FoundationModelLLM("e", endpoint="f")
    with pytest.raises(ConfigurationError, match="name an endpoint"):
        FoundationModelLLM()


def test_construction_needs_no_workspace() -> None:
    assert FoundationModelLLM("nowhere").metadata.model_name == "nowhere"


def test_a_call_without_any_workspace_says_what_to_do(caller: Any) -> None:
    with pytest.raises(ConfigurationError, match="no workspace is configured"):
        caller.run(FoundationModelLLM("e"), "chat", HELLO)


def test_a_client_that_is_there_is_used_by_both_halves(caller: Any, ws: Workspace, keep: Any) -> None:
    with Client(ws.host, ws.token) as client:
        llm = keep(FoundationModelLLM("databricks-meta-llama-3-3-70b-instruct", client=client))
        assert caller.run(llm, "complete", "The sky is blue. What is the sky?").text
        with pytest.raises(ConfigurationError, match="either client="):
            FoundationModelLLM("e", client=client, host="https://example.com")


def test_the_next_endpoint_answers_when_the_first_cannot(caller: Any, server: FaultServer, keep: Any) -> None:
    server.script("first", reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "down"}))
    server.script("second", reply(200, chat("from the second")))
    llm = keep(FoundationModelLLM(["first", "second"], host=server.host, token="t"))
    answer = caller.run(llm, "chat", HELLO)
    assert (answer.message.content, answer.additional_kwargs["endpoint"]) == ("from the second", "second")
    assert llm.metadata.model_name == "first"


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (1, 2)])
def test_there_is_one_layer_of_retries(
    caller: Any, server: FaultServer, scripted: Scripted, retries: int, requests: int
) -> None:
    busy = reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "busy"}, retry_after="0")
    with pytest.raises(RateLimitError):
        caller.run(scripted("e", busy, max_retries=retries), "chat", HELLO)
    assert server.attempts("e") == requests


def test_a_broken_stream_is_an_error_that_carries_what_had_come(caller: Any, scripted: Scripted) -> None:
    llm = scripted("e", chunked(*words("half an", finish=None), end="cut"))
    with pytest.raises(StreamInterruptedError) as caught:
        caller.items(llm, "stream_chat", HELLO)
    assert caught.value.partial_text == "half an"


def test_an_abandoned_stream_lets_its_connection_go(server: FaultServer, scripted: Scripted) -> None:
    stream = scripted("e", chunked(*words("a", "b", finish=None), end="hold")).stream_chat(HELLO)
    assert next(stream).delta == "a"
    stream.close()
    assert server.disconnected.wait(SOON)


async def test_an_abandoned_async_stream_lets_its_connection_go(server: FaultServer, scripted: Scripted) -> None:
    llm = scripted("e", chunked(*words("a", "b", finish=None), end="hold"))
    async for item in await llm.astream_chat(HELLO):
        assert item.delta == "a"
        break
    assert await asyncio.to_thread(server.disconnected.wait, 5)
    await llm.aclose()


# Endpoints that complete text


def test_a_completion_endpoint_gets_the_prompt_as_it_is(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    llm = scripted("base", COMPLETION, task="llm/v1/completions", max_tokens=9)
    answer = caller.run(llm, "complete", "once")
    assert (answer.text, answer.additional_kwargs["total_tokens"]) == ("once upon", 4)
    assert server.seen[0].json == {"prompt": "once", "max_tokens": 9}
    assert not llm.metadata.is_chat_model
    assert not llm.metadata.is_function_calling_model


def test_a_chat_with_a_completion_endpoint_is_rendered_as_a_prompt(
    caller: Any, server: FaultServer, scripted: Scripted
) -> None:
    answer = caller.run(scripted("base", COMPLETION, task="llm/v1/completions"), "chat", HELLO)
    assert answer.message.content == "once upon"
    assert server.seen[0].json["prompt"] == "user: hello\nassistant: "


@pytest.mark.parametrize("name", ["stream_chat", "stream_complete"])
def test_a_completion_streams(caller: Any, scripted: Scripted, name: str) -> None:
    first = {**COMPLETION, "choices": [{"index": 0, "text": "once"}]}
    second = {**COMPLETION, "choices": [{"index": 0, "text": " upon", "finish_reason": "stop"}]}
    llm = scripted("base", chunked(event(first), event(second), DONE), task="llm/v1/completions")
    items = caller.items(llm, name, HELLO if name == "stream_chat" else "hello")
    assert [item.delta for item in items] == ["once", " upon", ""]
    assert items[-1].raw["usage"]["total_tokens"] == 4
    assert str(items[-1]).endswith("once upon")


def test_an_image_is_refused_before_it_is_sent_where_the_model_is_known_to_take_none(
    caller: Any, server: FaultServer, scripted: Scripted
) -> None:
    seen = [ChatMessage(role="user", blocks=[ImageBlock(url="https://example.com/a.png")])]
    with pytest.raises(InvalidRequestError, match="no images"):
        caller.run(scripted("databricks-gpt-oss-20b", chat()), "chat", seen)
    assert server.seen == []
    assert caller.run(scripted("mine", chat()), "chat", seen).message.content == "hello"


# What it says of itself


def test_metadata_comes_from_the_catalog() -> None:
    meta = FoundationModelLLM("databricks-meta-llama-3-3-70b-instruct", max_tokens=77).metadata
    assert (meta.context_window, meta.num_output) == (128_000, 77)
    assert meta.is_chat_model
    assert meta.is_function_calling_model


def test_what_is_known_better_overrides_the_catalog() -> None:
    meta = FoundationModelLLM("mine", context_window=5000, is_function_calling_model=False).metadata
    assert (meta.context_window, meta.is_function_calling_model, meta.num_output) == (5000, False, -1)


def test_the_name_of_an_endpoint_decides_nothing(server: FaultServer, scripted: Scripted) -> None:
    """An official adapter sends other roles and fields when an endpoint's name begins with "o1"."""
    scripted("o1-rollout", chat(), max_tokens=5, temperature=0.2).chat([ChatMessage(role="system", content="be brief")])
    assert server.seen[0].json == {
        "messages": [{"role": "system", "content": "be brief"}],
        "max_tokens": 5,
        "temperature": 0.2,
    }


class Recorder(BaseEventHandler):
    names: list[str] = []  # noqa: RUF012  # a pydantic model: each instance has its own

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.names.append(event.class_name())


@pytest.fixture
def events() -> Any:
    recorder = Recorder()
    root = get_dispatcher()
    root.add_event_handler(recorder)
    yield recorder.names
    root.event_handlers.remove(recorder)


CALLS = [
    ("chat", "LLMChat"),
    ("complete", "LLMCompletion"),
    ("stream_chat", "LLMChat"),
    ("stream_complete", "LLMCompletion"),
]


@pytest.mark.parametrize(("name", "kind"), CALLS)
def test_each_call_is_reported_once(
    caller: Any, llm: FoundationModelLLM, events: list[str], name: str, kind: str
) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    prompt = HELLO if "chat" in name else "hello"
    call = caller.items if "stream" in name else caller.run
    answer = call(llm, name, prompt)
    last = answer[-1] if isinstance(answer, list) else answer
    assert [event for event in events if not event.endswith("InProgressEvent")] == [
        f"{kind}StartEvent",
        f"{kind}EndEvent",
    ]
    assert counter.total_llm_token_count == last.additional_kwargs["total_tokens"]
    assert len(counter.llm_token_counts) == 1


@pytest.mark.parametrize("prefix", ["", "a"])
@pytest.mark.parametrize("name", [name for name, _ in CALLS])
def test_the_signature_that_llama_index_reads_in_each_call_is_there_and_right(prefix: str, name: str) -> None:
    function = inspect.unwrap(getattr(FoundationModelLLM, prefix + name), stop=lambda f: "__signature__" in vars(f))
    known = vars(function).pop("__signature__")
    try:
        assert known == inspect.signature(function)
    finally:
        function.__signature__ = known


def test_a_failed_call_is_reported_as_ended(caller: Any, scripted: Scripted) -> None:
    log = LlamaDebugHandler(print_trace_on_end=False)
    llm = scripted("e", reply(400, "Bad request"), callback_manager=CallbackManager([log]))
    with pytest.raises(BadRequestError):
        caller.run(llm, "chat", HELLO)
    [(_, end)] = log.get_event_pairs(CBEventType.LLM)
    assert isinstance(end.payload[EventPayload.EXCEPTION], BadRequestError)


def test_the_payload_of_events_names_the_model_and_no_secret(ws: Workspace) -> None:
    llm = FoundationModelLLM("e", host=ws.host, token="secret-of-tests", temperature=0.3)
    payload = llm.to_payload()
    assert (payload["model"], payload["temperature"], payload["model_name"]) == ("e", 0.3, "e")
    assert "secret-of-tests" not in json.dumps(payload)


def test_predict_formats_a_prompt_with_the_system_prompt(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    llm = scripted("e", chat("yes"), system_prompt="be brief")
    assert caller.run(llm, "predict", PromptTemplate("Is {x} blue?"), x="the sky") == "yes"
    assert [message["role"] for message in server.seen[0].json["messages"]] == ["system", "user"]


def test_log_probabilities_arrive(caller: Any, scripted: Scripted) -> None:
    answer = chat("a")
    tops = [{"token": "a", "logprob": -0.1, "bytes": [97]}, {"token": "b", "logprob": -2.5, "bytes": None}]
    answer["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": tops}]}
    got = caller.run(scripted("e", answer, logprobs=True, top_logprobs=2), "chat", HELLO)
    assert [(item.token, item.logprob) for item in got.logprobs[0]] == [("a", -0.1), ("b", -2.5)]
