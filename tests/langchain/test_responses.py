"""The Responses API, and agents of both kinds: what is sent, what comes back, and sending it back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from fault_server import DONE, chunked, event, reply
from langchain.agents import create_agent
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from response_events import (
    REPLAYS,
    agent_events,
    answer,
    bare,
    call,
    cut,
    message,
    reasoning,
    result,
    search,
    stream,
    summarised,
)

from fm_client import StreamInterruptedError
from langchain_fm import ChatFoundationModel

PATH = "/serving-endpoints/responses"
GPT = "databricks-gpt-5-mini"
USAGE = {
    "input_tokens": 5,
    "output_tokens": 2,
    "total_tokens": 7,
    "input_token_details": {"cache_read": 3},
    "output_token_details": {"reasoning": 1},
}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Place(BaseModel):
    """A place."""

    city: str


@pytest.fixture
def asked(chat: Any, server: Any, drive: Any, merged: Any) -> Any:
    """`asked(*items, is_streamed=…)`: the answer of these items, and the model that gave it."""

    def ask(*items: Any, is_streamed: bool = False, **fields: Any) -> Any:
        whole = reply(200, answer(*items))
        server.script(PATH, chunked(*stream(*items)) if is_streamed else whole, reply(200, answer(message("ok"))))
        driven = drive(chat(model=GPT, use_responses_api=True, **fields))
        return (merged(driven.stream("Hi")) if is_streamed else driven.invoke("Hi")), driven

    return ask


each_way = pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])


@each_way
def test_an_answer_is_complete(is_streamed: bool, asked: Any) -> None:
    found, _ = asked(message("hello"), is_streamed=is_streamed)

    assert (found.text, found.usage_metadata) == ("hello", USAGE)
    assert found.response_metadata == {
        "model_provider": "databricks",
        "model_name": "gpt-5",
        "id": "resp_1",
        "created": 1,
        "endpoint": GPT,
        "route": "hosted",
        "request_id": "req-1",
        "finish_reason": "stop",
    }


@each_way
def test_calls_are_tool_calls(is_streamed: bool, asked: Any) -> None:
    found, _ = asked(message("Well"), call(), call("g", '{"b":', "2"), is_streamed=is_streamed)

    assert found.text == "Well"
    assert [(c["id"], c["name"], c["args"]) for c in found.tool_calls] == [("call_1", "f", {"a": 1})]
    assert [c["id"] for c in found.invalid_tool_calls] == ["call_2"]
    assert found.response_metadata["finish_reason"] == "tool_calls"


def stripped(item: Any) -> Any:
    """An item as it goes back: without its status."""
    return {key: value for key, value in item.items() if key != "status"}


@pytest.mark.parametrize("version", ["v0", "v1"])
@each_way
@pytest.mark.parametrize("items", REPLAYS.values(), ids=REPLAYS.keys())
def test_an_answer_goes_back_as_it_came(items: Any, is_streamed: bool, version: str, asked: Any, sent: Any) -> None:
    found, driven = asked(*items, is_streamed=is_streamed, output_version=version)
    before = copy.deepcopy(found)
    driven.invoke(["Hi", found, "And?"])

    assert sent()["input"][1:-1] == [stripped(item) for item in items]
    assert found == before


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("items", REPLAYS.values(), ids=REPLAYS.keys())
def test_a_stream_has_the_texts_reasoning_and_items_of_the_whole_answer(items: Any, version: str, asked: Any) -> None:
    """Calls aside, which a stream tells as soon as they come."""
    whole, _ = asked(*items, output_version=version)
    streamed, _ = asked(*items, is_streamed=True, output_version=version)
    assert said(streamed) == said(whole)


def said(found: AIMessage) -> list[Any]:
    """The blocks without their numbers, and without ids that LangChain made up."""
    blocks = [block for block in found.content_blocks if "tool_call" not in block["type"]]
    return [
        {k: v for k, v in block.items() if k != "index" and not (k == "id" and str(v).startswith("lc_"))}
        for block in blocks
    ]


def test_a_call_beats_the_constructor_in_the_choice_of_the_api(chat: Any, server: Any, drive: Any) -> None:
    server.script("a", reply(200, {"choices": [{"index": 0, "message": {"content": "by messages"}}]}))
    server.script("b", reply(200, answer(message("by items"))))

    assert drive(chat(model="a", use_responses_api=True)).invoke("Hi", use_responses_api=False).text == "by messages"
    assert drive(chat(model="b")).invoke("Hi", use_responses_api=True).text == "by items"


def test_parameters_have_the_names_of_that_api(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(PATH, reply(200, answer(message('{"city": "Paris"}'))))
    llm = chat(model=GPT, use_responses_api=True, max_tokens=9, reasoning_effort="low", stop=[], n=1)
    drive(llm.bind_tools([add], tool_choice="add", parallel_tool_calls=False)).invoke("Hi")
    body = sent()
    assert (body["max_output_tokens"], body["reasoning"], body["parallel_tool_calls"]) == (9, {"effort": "low"}, False)
    assert body["tool_choice"] == {"type": "function", "name": "add"}
    assert (body["tools"][0]["name"], "stop" in body, "n" in body) == ("add", False, False)

    assert drive(llm.with_structured_output(Place, method="json_schema")).invoke("Hi") == Place(city="Paris")
    assert sent()["text"]["format"]["type"] == "json_schema"


def test_what_that_api_lacks_is_refused_before_anything_is_sent(chat: Any, server: Any, drive: Any) -> None:
    with pytest.raises(ModelInvalidRequestError, match="stop does not exist in the Responses API"):
        drive(chat(model=GPT, use_responses_api=True)).invoke("Hi", stop=["x"])
    assert server.seen == []


def test_messages_of_every_kind_are_items_and_are_never_changed(chat: Any, server: Any, sent: Any) -> None:
    server.script(PATH, reply(200, answer(message("ok"))))
    messages = [
        SystemMessage("Be kind"),
        HumanMessage(["Look", {"type": "image", "base64": "iVBO", "mime_type": "image/png"}]),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]),
        ToolMessage([{"type": "image", "url": "https://example.test/a.png"}], tool_call_id="c1"),
    ]
    before = copy.deepcopy(messages)
    chat(model=GPT, use_responses_api=True).invoke(messages)

    assert sent()["input"] == [
        {"role": "system", "content": "Be kind"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"},
            ],
        },
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_image", "image_url": "https://example.test/a.png", "detail": "auto"}],
        },
    ]
    assert messages == before


@each_way
def test_items_are_left_out_where_chat_is_asked(is_streamed: bool, asked: Any, server: Any, sent: Any) -> None:
    """A conversation may begin with one model and go on with another."""
    items = [reasoning(), search(), call(), result(), message("4 it is")]
    found, driven = asked(*items, is_streamed=is_streamed)
    server.script(GPT, reply(200, {"choices": [{"index": 0, "message": {"content": "ok"}}]}))
    driven.invoke(["Hi", found, "And?"], use_responses_api=False)
    assert sent()["messages"][1] == {"role": "assistant", "content": "4 it is"}


@pytest.mark.parametrize("version", ["v0", "v1"])
@each_way
def test_reasoning_is_a_standard_block(is_streamed: bool, version: str, asked: Any) -> None:
    found, _ = asked(reasoning("I think"), message("hello"), is_streamed=is_streamed, output_version=version)
    blocks = [
        {key: value for key, value in block.items() if key not in ("index", "id")} for block in found.content_blocks
    ]
    assert blocks == [
        {"type": "reasoning", "reasoning": "I think", "extras": {"id": "rs_1", "encrypted_content": "sealed=="}},
        {"type": "text", "text": "hello"},
    ]


@pytest.mark.parametrize("version", ["v0", "v1"])
@each_way
def test_pieces_of_a_reasoning_are_a_block_each(is_streamed: bool, version: str, asked: Any) -> None:
    found, _ = asked(summarised("First", "Then"), message("hello"), is_streamed=is_streamed, output_version=version)
    texts = [block["reasoning"] for block in found.content_blocks if block["type"] == "reasoning"]
    assert (texts, found.text) == (["First", "Then"], "hello")


@pytest.mark.parametrize("version", ["v0", "v1"])
@each_way
def test_sources_of_an_answer_are_kept(is_streamed: bool, version: str, asked: Any, sent: Any) -> None:
    """Also those of one that is nothing but a text, which a stream tells of when the text is over."""
    sources = [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 5}]
    found, driven = asked(message("hello", annotations=sources), is_streamed=is_streamed, output_version=version)
    told = [source for part in found.content if isinstance(part, dict) for source in part.get("annotations", [])]
    assert (found.text, [source["url"] for source in told]) == ("hello", ["u"])
    driven.invoke(["Hi", found, "And?"])
    assert [stripped(part) for part in sent()["input"][1]["content"]] == [
        {"type": "output_text", "text": "hello", "annotations": sources}
    ]


@each_way
def test_an_answer_that_was_cut_off_says_so(is_streamed: bool, chat: Any, server: Any, drive: Any, merged: Any) -> None:
    end = cut("max_output_tokens", message("hel"))
    server.script(PATH, chunked(*stream(message("hel"), end=end)) if is_streamed else reply(200, end))
    driven = drive(chat(model=GPT, use_responses_api=True))
    found = merged(driven.stream("Hi")) if is_streamed else driven.invoke("Hi")
    assert (found.text, found.response_metadata["finish_reason"]) == ("hel", "length")


def test_a_stream_that_fails_raises_with_what_had_arrived(chat: Any, server: Any, drive: Any) -> None:
    failure = bare({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "fell over"}}})
    server.script(PATH, chunked(*stream(message("hello"))[:5], failure))
    with pytest.raises(StreamInterruptedError, match="fell over") as caught:
        drive(chat(model=GPT, use_responses_api=True)).stream("Hi")
    assert caught.value.partial_text


def test_answers_of_the_two_apis_do_not_share_a_cache_entry() -> None:
    keys = {ChatFoundationModel(model="e", use_responses_api=flag)._get_llm_string() for flag in (True, False, None)}
    assert len(keys) == 2


@each_way
def test_steps_of_an_agent_are_told_apart_from_calls_for_the_caller(
    is_streamed: bool, chat: Any, server: Any, drive: Any, merged: Any
) -> None:
    items = [message("I add."), call(), result(), message("4 it is", "msg_2")]
    events = [*map(bare, agent_events(items)), DONE]
    server.script(PATH, chunked(*events) if is_streamed else reply(200, answer(*items, custom_outputs={"seen": 1})))
    driven = drive(chat(model="agent", use_responses_api=True))
    found = merged(driven.stream("Hi")) if is_streamed else driven.invoke("Hi")

    assert (found.tool_calls, found.text) == ([], "I add.4 it is")
    kinds = [part if isinstance(part, str) else part["type"] for part in found.content]
    assert kinds[-3:] == ["function_call", "function_call_output", "text"]


STEPS = [
    {"role": "assistant", "content": "I add.", "id": "m1"},
    {
        "role": "assistant",
        "content": "",
        "id": "m2",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "content": "4", "id": "t1", "name": "add", "tool_call_id": "call_1"},
    {"role": "assistant", "content": "4 it is.", "id": "m3"},
]


@each_way
def test_a_chat_agent_answers_with_its_last_message_and_shows_its_steps(
    is_streamed: bool, chat: Any, server: Any, drive: Any, merged: Any, sent: Any
) -> None:
    beside = {"finish_reason": "stop", "custom_outputs": {"seen": 1}}
    beside["usage"] = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    events = [event({"delta": step}) for step in STEPS[:-1]] + [event({"delta": STEPS[-1], **beside})]
    server.script("agent", chunked(*events, DONE) if is_streamed else reply(200, {"messages": STEPS, **beside}))
    driven = drive(chat(model="agent", custom_inputs={"session": 1}))
    found = merged(driven.stream("Hi")) if is_streamed else driven.invoke("Hi")

    assert found.text == ("I add.4 it is." if is_streamed else "4 it is.")
    assert (found.tool_calls, found.usage_metadata["total_tokens"]) == ([], 12)
    assert found.response_metadata["custom_outputs"] == {"seen": 1}
    assert [step["role"] for step in found.response_metadata["messages"]] == [
        "assistant",
        "assistant",
        "tool",
        "assistant",
    ]
    assert "not_implemented" not in dumps(found)
    assert sent()["custom_inputs"] == {"session": 1}

    server.script("agent", reply(200, {"messages": STEPS[-1:], **beside}))
    driven.invoke(["Hi", found, "And?"])
    assert {wire["role"] for wire in sent()["messages"]} == {"user", "assistant"}


def test_an_agent_of_langchain_works_over_that_api(live: Any, drive: Any) -> None:
    agent = create_agent(live(model=GPT, use_responses_api=True, reasoning_effort="low"), [add])
    messages = drive(agent).invoke({"messages": [HumanMessage("Add the numbers 3 and 4.")]})["messages"]

    assert [step.type for step in messages] == ["human", "ai", "tool", "ai"]
    assert "7" in messages[-1].text


@each_way
def test_a_conversation_goes_on_with_the_workspace(is_streamed: bool, live: Any, drive: Any, merged: Any) -> None:
    driven = drive(live(model=GPT, use_responses_api=True, reasoning_effort="low"))
    first = merged(driven.stream("Hello")) if is_streamed else driven.invoke("Hello")
    second = driven.invoke([HumanMessage("Hello"), first, HumanMessage("The sky is blue. What colour is the sky?")])
    assert "The sky is blue." in second.text


@pytest.mark.parametrize(("kind", "use"), [("chat-agent", False), ("responses-agent", True)])
@each_way
def test_agents_of_the_workspace_answer(
    is_streamed: bool, kind: str, use: bool, deployed: Any, live: Any, drive: Any, merged: Any
) -> None:
    driven = drive(live(model=deployed(fm_task=kind), use_responses_api=use, custom_inputs={"unit": "apples"}))
    found = merged(driven.stream("What is 2 + 3?")) if is_streamed else driven.invoke("What is 2 + 3?")

    assert "2 + 3 = 5." in found.text
    assert found.tool_calls == []
    assert found.response_metadata["custom_outputs"]["custom_inputs"] == {"unit": "apples"}
    again = driven.invoke([HumanMessage("What is 2 + 3?"), found, HumanMessage("What is 2 + 4?")])
    assert "2 + 4 = 6." in again.text
