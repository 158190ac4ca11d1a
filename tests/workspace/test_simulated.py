"""The simulated engine: deterministic, follows what a request asks for, and says what it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workspace_api import CHAT, CLAUDE, Api, provisioned


def tool(tool_name: str, description: str = "", required: bool = True, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties) if required else []}
    return {"type": "function", "function": {"name": tool_name, "description": description, "parameters": schema}}


TEXT, INTEGER = {"type": "string"}, {"type": "integer"}
WEATHER = tool("get_weather", "Get the weather at a location.", location=TEXT)
MULTIPLY = tool("multiply", "Multiply two numbers.", a=INTEGER, b=INTEGER)
MAGIC = tool("magic_function", "Applies a magic function to an input.", input=INTEGER)


def calls(api: Api, prompt: str, *tools: Any, **params: Any) -> list[tuple[str, Any]]:
    choice = api.chat(CHAT, prompt, tools=list(tools), **params)["choices"][0]
    found = choice["message"].get("tool_calls") or []
    assert choice["finish_reason"] == ("tool_calls" if found else "stop")
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in found]


def test_it_says_that_it_is_no_language_model(api: Api) -> None:
    text = api.text(CHAT, "Hello")
    assert "not by a language model" in text
    assert "Hello" in text


def test_equal_requests_have_equal_answers(api: Api) -> None:
    first, second = (api.chat(CHAT, "Say something", temperature=1.5) for _ in range(2))
    assert first["choices"] == second["choices"]


LABELLED = """Use the following context to answer the question.
Paris is the capital of France. Berlin is the capital of Germany.
Question: What is the capital of Germany?
Answer:"""
FENCED = """Context information is below.
---
Refunds are paid within 30 days.
Shipping takes a week.
---
Given the context information and not prior knowledge, answer the query.
Query: How long does shipping take?
Answer:"""


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (LABELLED, "Berlin is the capital of Germany."),
        (FENCED, "Shipping takes a week."),
        ("富士山は日本で一番高い山です。東京は首都です。首都はどこですか？", "東京は首都です。"),
        ("The pump is rated at 3.5 bar. The valve is red. What is the pump rated at?", "The pump is rated at 3.5 bar."),
        (
            "富士山は日本で一番高い山です。\nQuestion: Mount Everest height?\nEverest is 8849 m high.",
            "Everest is 8849 m high.",
        ),
    ],
)
def test_a_question_about_a_given_text_is_answered_with_the_texts_own_words(api: Api, prompt: str, answer: str) -> None:
    assert api.text(CHAT, prompt) == answer


def test_earlier_messages_are_remembered(api: Api) -> None:
    messages = [
        {"role": "system", "content": "The office closes at six."},
        {"role": "user", "content": "My dog is called Rex."},
        {"role": "assistant", "content": "Noted."},
        {"role": "user", "content": "What is my dog called?"},
    ]
    answer = api.query(CHAT, {"messages": messages}).json()
    assert answer["choices"][0]["message"]["content"] == "My dog is called Rex."


def test_a_question_without_a_fitting_text_is_not_answered_by_guessing(api: Api) -> None:
    assert "not by a language model" in api.text(CHAT, "The sky is blue. How tall is Mount Everest?")


@pytest.mark.parametrize(
    ("prompt", "tools", "expected"),
    [
        (
            "What is the weather in San Francisco, CA?",
            [MULTIPLY, WEATHER],
            [("get_weather", {"location": "San Francisco, CA"})],
        ),
        ("Multiply 6 by 7", [WEATHER, MULTIPLY], [("multiply", {"a": 6, "b": 7})]),
        ("What is the value of magic_function(3)? Use the tool.", [MAGIC], [("magic_function", {"input": 3})]),
        ("Hello!", [WEATHER, MULTIPLY], []),
    ],
)
def test_auto_calls_a_tool_that_the_prompt_speaks_of(api: Api, prompt: str, tools: Any, expected: Any) -> None:
    assert calls(api, prompt, *tools) == expected


def test_tool_choice_is_obeyed(api: Api) -> None:
    named = {"type": "function", "function": {"name": "multiply"}}
    assert [name for name, _ in calls(api, "Hello!", WEATHER, MULTIPLY, tool_choice=named)] == ["multiply"]
    assert len(calls(api, "Hello!", WEATHER, MULTIPLY, tool_choice="required")) == 1
    assert calls(api, "Multiply 6 by 7", MULTIPLY, tool_choice="none") == []


def test_a_tool_without_arguments_is_called_without(api: Api) -> None:
    assert calls(api, "Please ping the server", tool("ping", "Ping the server.")) == [("ping", {})]


def test_quoted_text_of_any_script_becomes_an_argument(api: Api) -> None:
    create = tool("create_customer", "Create a customer.", customer_name=TEXT)
    for name in ("你好啊集团", "こんにちは株式会社"):
        assert calls(api, f"Create a customer named '{name}'", create) == [("create_customer", {"customer_name": name})]


def test_after_a_tools_result_the_answer_is_made_of_it(api: Api) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "Rome"}'}}
    messages = [
        {"role": "user", "content": "What is the weather in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny, 25 degrees"},
    ]
    message = api.query(CHAT, {"messages": messages, "tools": [WEATHER]}).json()["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "sunny, 25 degrees"}


def test_several_tools_that_are_named_are_called_in_their_order(api: Api) -> None:
    found = calls(api, "First magic_function(4), then multiply(2, 3).", MULTIPLY, MAGIC)
    assert found == [("magic_function", {"input": 4}), ("multiply", {"a": 2, "b": 3})]


def test_json_schema_answers_follow_the_schema(api: Api) -> None:
    schema = {
        "type": "object",
        "properties": {"name": TEXT, "age": INTEGER, "mood": {"enum": ["good", "bad"]}},
        "required": ["name", "age", "mood"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    text = api.text(CHAT, "Ada Lovelace is 36 and in a bad mood.", response_format=form)
    assert json.loads(text) == {"name": "Ada Lovelace", "age": 36, "mood": "bad"}


def test_json_object_answers_have_the_keys_that_the_prompt_names(api: Api) -> None:
    prompt = "Tell a joke about cats. Answer in JSON with the keys 'setup' and 'punchline'."
    answer = json.loads(api.text(CHAT, prompt, response_format={"type": "json_object"}))
    assert list(answer) == ["setup", "punchline"]
    assert all(isinstance(value, str) and value for value in answer.values())
    assert json.loads(api.text(CHAT, "JSON please", response_format={"type": "json_object"})).keys() == {"answer"}


@pytest.mark.parametrize(
    "wish",
    [
        *("Return nothing other than JSON", "no text but JSON", "Answer with only valid JSON"),
        *("Answer in JSON", "Look it up. Respond with a JSON object", "Please return JSON"),
    ],
)
def test_a_prompt_for_nothing_but_json_is_obeyed(api: Api, wish: str) -> None:
    assert json.loads(api.text(CLAUDE, f"{wish}, with the key 'city'. Paris!")).keys() == {"city"}
    assert "rules" in api.text(CLAUDE, "Do you like JSON, and 'keys'?")
    assert "{" not in api.text(CLAUDE, "Our services return JSON, with 'keys'.")


def test_a_system_message_may_ask_for_json_too(api: Api) -> None:
    order = {"role": "system", "content": "Answer in JSON, with the key 'city'."}
    body = {"messages": [order, {"role": "user", "content": "I live in Paris."}]}
    assert json.loads(api.query(CLAUDE, body).json()["choices"][0]["message"]["content"]).keys() == {"city"}


@pytest.mark.parametrize("form", ["json_object", "json_schema"])
def test_a_key_in_quotes_is_no_value_and_a_value_in_quotes_is_no_key(api: Api, form: str) -> None:
    prompt = 'Answer in JSON with the keys "city" and "land". I live in the city "Paris"; the land is "France".'
    schema = {"type": "object", "properties": {"city": TEXT, "land": TEXT}, "required": ["city", "land"]}
    described = {"json_schema": {"name": "place", "schema": schema}} if form == "json_schema" else {}
    answer = api.text(CHAT, prompt, response_format={"type": form, **described})
    assert json.loads(answer) == {"city": "Paris", "land": "France"}


@pytest.mark.parametrize("limit", [1, 5, 10])
def test_max_tokens_ends_the_answer(api: Api, limit: int) -> None:
    whole, cut = api.text(CHAT, "Hello"), api.chat(CHAT, "Hello", max_tokens=limit)
    assert cut["choices"][0]["finish_reason"] == "length"
    assert whole.startswith(cut["choices"][0]["message"]["content"])
    assert cut["usage"]["completion_tokens"] == limit


def test_claude_stops_after_a_thousand_tokens_unless_told_otherwise(api: Api) -> None:
    schema = {"type": "object", "properties": {f"field_{at}": TEXT for at in range(300)}}
    form = {"type": "json_schema", "json_schema": {"name": "wide", "schema": schema}}
    answer = api.chat(CLAUDE, "Fill", response_format=form)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 1000
    assert api.chat(CLAUDE, "Fill", response_format=form, max_tokens=9000)["choices"][0]["finish_reason"] == "stop"


def test_a_tool_call_cut_off_by_max_tokens_is_broken_as_with_a_model(api: Api) -> None:
    answer = api.chat(CHAT, "What is the weather in San Francisco, CA?", tools=[WEATHER], max_tokens=4)
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert answer["choices"][0]["finish_reason"] == "length"
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads(call["function"]["arguments"])


@pytest.mark.parametrize("stop", ["language", ["nowhere", "language"]])
def test_stop_sequences_end_the_answer_and_are_not_part_of_it(api: Api, stop: Any) -> None:
    answer = api.chat(CHAT, "Hello", stop=stop)["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert answer["message"]["content"].endswith("not by a ")


def test_usage_counts_prompt_tools_and_answer(api: Api) -> None:
    plain = api.chat(CHAT, "Hello")["usage"]
    assert plain["total_tokens"] == plain["prompt_tokens"] + plain["completion_tokens"]
    with_tools = api.chat(CHAT, "Hello", tools=[WEATHER])["usage"]
    longer = api.chat(CHAT, "Hello " * 50)["usage"]
    assert with_tools["prompt_tokens"] > plain["prompt_tokens"]
    assert longer["prompt_tokens"] == plain["prompt_tokens"] + 49 + 1  # and the space at the end


def test_completions_answer_from_the_prompt(api: Api) -> None:
    name = api.created("completer", provisioned("main.default.my_base"))
    prompt = "Rome is in Italy. Oslo is in Norway. Where is Oslo?"
    answer = api.post("/serving-endpoints/completions", {"model": name, "prompt": prompt}).json()
    assert answer["choices"][0]["text"] == "Oslo is in Norway."
    assert len(api.query(name, {"prompt": prompt, "n": 2}).json()["choices"]) == 2
