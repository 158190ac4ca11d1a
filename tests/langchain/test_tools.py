"""Tools and structured output: what is sent for them, and what is read out of the answers."""

from __future__ import annotations

import copy
from typing import Any, TypedDict

import pytest
from fault_server import DONE, chunked, delta, event, reply
from fault_server import chat as answer
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from fm_client import InvalidRequestError
from langchain_fm._structured import wire_tool_choice

CHAT = "databricks-meta-llama-3-3-70b-instruct"
CLAUDE = "databricks-claude-sonnet-4-5"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Place(BaseModel):
    """A place."""

    city: str


class PlaceDict(TypedDict):
    """A place."""

    city: str


JSON_SCHEMA = {"title": "Place", "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "add"}}, {"type": "function", "function": {"name": "sub"}}]
NAMED = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (None, None),
        (False, None),
        (True, "required"),
        ("any", "required"),
        ("required", "required"),
        ("auto", "auto"),
        ("none", "none"),
        ("add", NAMED),
        (NAMED, NAMED),
        ({"type": "tool", "name": "add"}, NAMED),
        ({"type": "any"}, "required"),
    ],
)
def test_every_way_to_choose_a_tool_is_understood(choice: Any, wire: Any) -> None:
    assert wire_tool_choice(choice, TOOLS) == wire


def test_choosing_a_tool_that_is_not_there_is_an_error(chat: Any) -> None:
    with pytest.raises(InvalidRequestError, match="none of the tools: add"):
        chat().bind_tools([add], tool_choice="multiply")


def test_what_is_bound_is_sent(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    drive(chat().bind_tools([add], tool_choice=True, strict=True, parallel_tool_calls=False, temperature=0)).invoke(
        "Hi"
    )
    body = sent()

    assert (body["tool_choice"], body["parallel_tool_calls"], body["temperature"]) == ("required", False, 0)
    assert body["tools"][0]["function"]["name"] == "add"
    assert body["tools"][0]["function"]["strict"] is True
    assert body["tools"][0]["function"]["parameters"]["additionalProperties"] is False


@pytest.mark.parametrize("kind", ["function", "LangChain's form", "the service's form"])
def test_strict_holds_for_tools_of_every_form(kind: str, chat: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    function = {"name": "add", "description": "Add.", "parameters": schema}
    wire = {"type": "function", "function": function}
    tools = {"function": add, "LangChain's form": function, "the service's form": wire}
    given = copy.deepcopy(tools)
    (bound,) = chat().bind_tools([tools[kind]], strict=True).kwargs["tools"]

    assert bound["type"] == "function" and bound["function"]["name"] == "add"
    assert bound["function"]["strict"] is True
    assert bound["function"]["parameters"]["additionalProperties"] is False
    assert tools == given


def test_no_tools_are_sent_for_an_empty_list(chat: Any, server: Any, sent: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    chat().bind_tools([], tool_choice="any").invoke("Hi")
    assert sent().keys() == {"messages"}


def test_calls_that_cannot_be_read_are_kept_apart(chat: Any, server: Any, drive: Any) -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}, "thought_signature": "t"},
        {"id": "2", "type": "function", "function": {"name": "add", "arguments": '{"a": '}},
        {"id": "3", "type": "function", "function": {"name": "add", "arguments": ""}},
    ]
    server.script(CHAT, reply(200, answer(None, tool_calls=calls)))
    message = drive(chat()).invoke("Hi")

    assert message.content == ""
    assert [(call["id"], call["args"]) for call in message.tool_calls] == [("1", {"a": 1}), ("3", {})]
    assert [(call["id"], call["args"]) for call in message.invalid_tool_calls] == [("2", '{"a": ')]
    assert (
        message.invalid_tool_calls[0]["error"]
        == """the model's arguments for tool 'add' are no JSON object: '{"a": '"""
    )


def test_what_a_route_wants_back_with_a_call_is_sent_back(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1}'},
        "thought_signature": "t",
    }
    server.script(CHAT, reply(200, answer(None, tool_calls=[call])))
    driven = drive(chat())
    driven.invoke(["Hi", driven.invoke("Hi")])
    assert sent()["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize("repeats", [False, True])
def test_parallel_calls_in_pieces_are_put_together(
    repeats: bool, chat: Any, server: Any, drive: Any, merged: Any
) -> None:
    """Some routes say with every piece whose it is."""
    names = {0: {"id": "x", "name": "add"}, 1: {"id": "y", "name": "sub"}}

    def piece(index: int, arguments: str, **start: Any) -> bytes:
        start = names[index] if repeats else start
        function = {"arguments": arguments, **({"name": start["name"]} if start else {})}
        call = {"index": index, "function": function, **({"id": start["id"], "type": "function"} if start else {})}
        return event(delta(None, tool_calls=[call]))

    begins = (piece(0, "", id="x", name="add"), piece(0, '{"a"'), piece(1, '{"b"', id="y", name="sub"))
    server.script(
        CHAT, chunked(*begins, piece(0, ": 1}"), piece(1, ": 2}"), event(delta("", finish="tool_calls")), DONE)
    )
    message = merged(drive(chat()).stream("Hi"))

    assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == [
        ("x", "add", {"a": 1}),
        ("y", "sub", {"b": 2}),
    ]
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "cut", ['{"path": "/tmp/a', '{"path"', '{"paths": ["/tmp/a"', '{"paths": ["/tmp/a', "{", '{"a": "\\']
)
def test_a_call_that_was_cut_off_in_a_stream_is_not_offered_for_execution(
    cut: str, chat: Any, server: Any, sent: Any, drive: Any, merged: Any
) -> None:
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": "delete", "arguments": cut}}
    stream = chunked(event(delta(None, tool_calls=[call])), event(delta("", finish="length")), DONE)
    server.script(CHAT, stream, reply(200, answer()))
    driven = drive(chat())
    message = merged(driven.stream("Hi"))
    driven.invoke(["Hi", message, "Go on"])

    assert message.tool_calls == []
    assert [call["id"] for call in message.invalid_tool_calls] == ["x"]
    assert sent()["messages"][1]["tool_calls"][0]["function"]["arguments"] == cut


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])
def test_a_call_whose_texts_have_line_breaks_can_be_executed(
    is_streamed: bool, chat: Any, server: Any, drive: Any, merged: Any
) -> None:
    """Models that write code forget to escape them, and LangChain's parser does not mind."""
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": "run", "arguments": '{"code": "a\nb"}'}}
    pieces = chunked(event(delta(None, tool_calls=[call])), event(delta("", finish="tool_calls")), DONE)
    server.script(CHAT, pieces if is_streamed else reply(200, answer(None, tool_calls=[call])))
    message = merged(drive(chat()).stream("Hi")) if is_streamed else drive(chat()).invoke("Hi")
    assert [call["args"] for call in message.tool_calls] == [{"code": "a\nb"}]


@pytest.mark.parametrize("cut", [0, 1])
def test_of_two_calls_with_one_id_the_one_that_was_cut_off_is_not_offered(
    cut: int, chat: Any, server: Any, drive: Any, merged: Any
) -> None:
    texts = ['{"a": 1}', '{"city": "Par'][:: 1 if cut else -1]
    calls = [
        {"index": i, "id": "x", "type": "function", "function": {"name": f"tool_{i}", "arguments": text}}
        for i, text in enumerate(texts)
    ]
    pieces = [event(delta(None, tool_calls=[call])) for call in calls]
    server.script(CHAT, chunked(*pieces, event(delta("", finish="length")), DONE))
    message = merged(drive(chat()).stream("Hi"))

    assert [(call["name"], call["args"]) for call in message.tool_calls] == [(f"tool_{1 - cut}", {"a": 1})]
    assert [call["name"] for call in message.invalid_tool_calls] == [f"tool_{cut}"]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])
def test_a_tool_is_called_and_its_result_is_answered(is_streamed: bool, live: Any, drive: Any, merged: Any) -> None:
    driven = drive(live().bind_tools([add]))
    messages: list[Any] = [HumanMessage("Add the numbers 3 and 4.")]
    first = merged(driven.stream(messages)) if is_streamed else driven.invoke(messages)
    results = [add.invoke(call) for call in first.tool_calls]
    last = driven.invoke([*messages, first, *results])

    assert [call["args"] for call in first.tool_calls] == [{"a": 3, "b": 4}]
    assert "7" in last.text


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode", None])
@pytest.mark.parametrize("schema", [Place, PlaceDict, JSON_SCHEMA], ids=["pydantic", "typeddict", "json schema"])
def test_answers_follow_a_schema(schema: Any, method: Any, live: Any, drive: Any) -> None:
    prompt = "Say in JSON, with the key 'city': where is the Louvre?"
    found = drive(live().with_structured_output(schema, method=method)).invoke(prompt)

    assert isinstance(found, Place if schema is Place else dict)
    assert list(dict(found)) == ["city"]


@pytest.mark.parametrize(
    ("endpoint", "method"),
    [(CHAT, "json_schema"), ("databricks-claude-sonnet-4-5", "function_calling"), ("my-endpoint", "function_calling")],
)
def test_the_model_decides_the_method(endpoint: str, method: str, chat: Any) -> None:
    bound = chat(model=endpoint).with_structured_output(Place).first
    assert bound.kwargs["ls_structured_output_format"]["kwargs"]["method"] == method


@pytest.mark.parametrize(("endpoint", "has_mode"), [(CHAT, True), ("my-endpoint", True), (CLAUDE, False)])
def test_json_mode_is_asked_for_where_the_model_may_have_it(
    endpoint: str, has_mode: bool, chat: Any, server: Any, sent: Any, drive: Any
) -> None:
    """Claude answers `json_object` with a 400; what it is asked for by the prompt is read all the same."""
    server.script(endpoint, reply(200, answer('```json\n{"city": "Paris"}\n```')))
    driven = drive(chat(model=endpoint).with_structured_output(Place, method="json_mode"))

    assert driven.invoke("Return nothing but JSON, with the key 'city'.") == Place(city="Paris")
    assert sent().get("response_format") == ({"type": "json_object"} if has_mode else None)


@pytest.mark.parametrize("model", [[CHAT, CLAUDE], [CLAUDE, CHAT]])
def test_json_mode_is_not_asked_for_where_one_of_several_routes_lacks_it(model: list[str], chat: Any) -> None:
    assert "response_format" not in chat(model=model).with_structured_output(Place, method="json_mode").first.kwargs


def test_json_mode_goes_by_the_model_that_an_endpoint_says_it_serves(chat: Any, server: Any) -> None:
    model = {"name": "claude-sonnet-4-5", "provider": "anthropic", "task": "llm/v1/chat"}
    described = {"name": "mine", "config": {"served_entities": [{"name": "e", "external_model": model}]}}
    server.script("/api/2.0/serving-endpoints/mine", reply(200, described))
    llm = chat(model="mine")
    before = llm.with_structured_output(Place, method="json_mode").first.kwargs
    llm.load_profile()
    after = llm.with_structured_output(Place, method="json_mode").first.kwargs

    assert before["response_format"] == {"type": "json_object"}
    assert "response_format" not in after


def test_a_schema_is_sent_by_name(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer('{"city": "Paris"}')))
    drive(chat().with_structured_output(Place, method="json_schema", strict=True)).invoke("Hi")
    wanted = sent()["response_format"]

    assert (wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]) == (
        "json_schema",
        "Place",
        True,
    )
    assert wanted["json_schema"]["schema"]["additionalProperties"] is False


def test_a_schema_without_a_title_has_a_name_too(chat: Any, server: Any, sent: Any) -> None:
    server.script(CHAT, reply(200, answer('{"city": "Paris"}')))
    schema = {key: value for key, value in JSON_SCHEMA.items() if key != "title"}

    assert chat().with_structured_output(schema, method="json_schema").invoke("Hi") == {"city": "Paris"}
    assert sent()["response_format"]["json_schema"]["name"] == "answer"


def test_the_raw_answer_comes_along_on_request(chat: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer('{"city": "Paris"}')), reply(200, answer("no JSON")))
    driven = drive(chat().with_structured_output(Place, method="json_schema", include_raw=True))
    good, bad = driven.invoke("Hi"), driven.invoke("Hi")

    assert (good["parsed"], good["parsing_error"]) == (Place(city="Paris"), None)
    assert bad["parsed"] is None
    assert isinstance(bad["parsing_error"], OutputParserException)
    assert isinstance(bad["raw"], AIMessage)


THINKING = {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize("where", ["constructor", "binding"])
def test_a_model_that_thinks_is_not_forced_to_call(where: str, chat: Any, server: Any, sent: Any, drive: Any) -> None:
    """Claude refuses that: it is asked to, and an answer without a call is an error instead of nothing."""
    call = {"id": "1", "type": "function", "function": {"name": "Place", "arguments": '{"city": "Paris"}'}}
    server.script(CLAUDE, reply(200, answer(None, tool_calls=[call])), reply(200, answer("In Paris.")))
    fields = {"thinking": THINKING}
    in_constructor = where == "constructor"
    llm = chat(model=CLAUDE, **(fields if in_constructor else {}))
    driven = drive(llm.with_structured_output(Place, **({} if in_constructor else fields)))

    assert driven.invoke("Hi") == Place(city="Paris")
    assert (sent()["thinking"], "tool_choice" in sent()) == (THINKING, False)
    with pytest.raises(OutputParserException, match=r"without calling the tool: In Paris\."):
        driven.invoke("Hi")


@pytest.mark.parametrize(("schema", "method"), [(None, "json_schema"), (Place, "yaml")])
def test_a_method_that_cannot_work_is_an_error(schema: Any, method: Any, chat: Any) -> None:
    with pytest.raises(InvalidRequestError, match="method"):
        chat().with_structured_output(schema, method=method)


def test_an_agent_works_with_it(live: Any) -> None:
    from langchain.agents import create_agent

    result = create_agent(live(), [add]).invoke({"messages": [HumanMessage("Add the numbers 3 and 4.")]})
    assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
