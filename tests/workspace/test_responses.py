"""The Responses API and agents of the embedded workspace, by plain HTTP. The OpenAI SDK's turn: tests/clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workspace_api import CHAT, CONTROL, GTE, Api, external

from fm_workspace import Upstream
from fm_workspace._agent import calculate

GPT = "databricks-gpt-5-mini"
PATH = "/serving-endpoints/responses"
QUESTION = "The sky is blue. What colour is the sky?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather at a location.",
    "strict": False,
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}


def agent(api: Api, name: str, **tags: str) -> str:
    """An agent endpoint: its model's name says what it is, unless a tag does."""
    if api.http.get(f"{CONTROL}/{name}").status_code == 404:
        model = "main.default.anything" if tags else f"main.agents.{name}"
        api.created(name, {"entity_name": model, "entity_version": "1"}, tags=tags)
    return name


def refused(api: Api, body: Any, path: str = PATH) -> str:
    answer = api.post(path, body)
    assert answer.status_code == 400, answer.text
    return answer.text


REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no input": ({}, "input"),
    "no items": ({"input": []}, "input"),
    "unknown field": ({"input": "Hi", "stop": ["x"]}, 'unknown field "stop"'),
    "messages": ({"messages": [{"role": "user", "content": "Hi"}]}, 'unknown field "messages"'),
    "unknown item": ({"input": [{"type": "hologram"}]}, "input[0].type"),
    "no item": ({"input": [{}]}, "input[0].type"),
    "status": ({"input": [{**CALL, "status": "completed"}]}, "input[0].status"),
    "null": ({"input": [{**CALL, "id": None}]}, "input[0].id"),
    "long id": ({"input": [{**CALL, "id": "x" * 65}]}, "input[0].id"),
    "chat part": ({"input": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "input[0].content"),
    "result without call": ({"input": [{"type": "function_call_output", "call_id": "c", "output": "4"}]}, "No tool call"),
    "reasoning at the end": ({"input": [REASONING]}, "required following item"),
    "reasoning changed": ({"input": [{**REASONING, "encrypted_content": "x"}, CALL]}, "could not be verified"),
    "nested tool": ({"input": "Hi", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
    "tool without parameters": ({"input": "Hi", "tools": [{"type": "function", "name": "f"}]}, "tools[0].parameters"),
    "unknown tool": ({"input": "Hi", "tools": [{"type": "file_search"}]}, "tools[0].type"),
    "choice without tools": ({"input": "Hi", "tool_choice": "required"}, "tool_choice"),
    "choice of no tool": ({"input": "Hi", "tools": [WEATHER], "tool_choice": {"type": "function", "name": "g"}}, "not found"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD.keys())
def test_what_makes_no_sense_is_refused(api: Api, body: Any, says: str) -> None:
    assert says in refused(api, {"model": GPT, **body})


def test_invocations_takes_input_too(api: Api) -> None:
    found = api.query(GPT, {"input": QUESTION}).json()
    assert ("response", "The sky is blue.") == (found["object"], found["output"][0]["content"][0]["text"])
    assert found["model"] == "gpt-5-mini-120124"


def test_endpoints_of_other_tasks_say_what_they_serve(api: Api) -> None:
    assert "llm/v1/embeddings" in refused(api, {"model": GTE, "input": "Hi"})
    assert "agent/v2/chat" in refused(api, {"model": agent(api, "chat_agent"), "input": "Hi"})
    assert "agent/v1/responses" in refused(
        api, {"model": agent(api, "responses_agent"), "messages": []}, "/serving-endpoints/chat/completions"
    )


def test_an_external_endpoint_sends_it_on(api: Api) -> None:
    name = api.created("outside", external(api.workspace.host, api.workspace.token, model=GPT))
    found = api.post(PATH, {"model": name, "input": QUESTION}).json()
    assert found["output"][0]["content"][0]["text"] == "The sky is blue."


def test_an_upstream_server_is_asked_in_the_same_way(api: Api, start: Any) -> None:
    upstream = Upstream(f"{api.workspace.host}/serving-endpoints", api_key=api.workspace.token, models={"*": GPT})
    ours = start(engine=upstream)
    assert ours.query(CHAT, {"input": QUESTION}).json()["output"][0]["content"][0]["text"] == "The sky is blue."
    with ours.http.stream("POST", PATH, json={"model": CHAT, "input": QUESTION, "stream": True}) as answer:
        *_, last = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    assert last["type"] == "response.completed"
    assert "agent/v2/chat" == ours.get(agent(ours, "chat_agent"))["task"]
    assert ours.query("chat_agent", {"messages": [{"role": "user", "content": "2 + 2"}]}).json()["messages"]


def test_limits_count_what_is_asked_in_this_way_too(api: Api) -> None:
    name = api.created("narrow")
    limit = {"rate_limits": [{"calls": 1, "renewal_period": "minute", "key": "endpoint"}]}
    assert api.http.put(f"{CONTROL}/{name}/ai-gateway", json=limit).status_code == 200
    body = {"model": name, "input": [{"role": "user", "content": "Hi"}], "max_output_tokens": 5}
    assert [200, 429] == [api.post(PATH, body).status_code for _ in range(2)]


def test_guardrails_read_the_answer(api: Api) -> None:
    name = api.created("guarded")
    rules = {"guardrails": {"output": {"invalid_keywords": ["simulated"]}}}
    assert api.http.put(f"{CONTROL}/{name}/ai-gateway", json=rules).status_code == 200
    assert "output_guardrail_triggered" in refused(api, {"model": name, "input": "Hello"})


class TestChatAgents:
    def test_an_answer_has_all_messages(self, api: Api) -> None:
        name = agent(api, "chat_agent")
        found = api.query(name, {"messages": [{"role": "user", "content": "What is 2 + 3 * 4?"}]}).json()
        said, called, told, last = found["messages"]
        assert ("assistant", "calculate") == (said["role"], called["tool_calls"][0]["function"]["name"])
        assert (called["tool_calls"][0]["id"], "calculate") == (told["tool_call_id"], told["name"])
        assert ("2 + 3 * 4 = 14.", "stop") == (last["content"], found["finish_reason"])
        assert len({message["id"] for message in found["messages"]}) == 4
        assert api.get(name)["task"] == "agent/v2/chat"

    def test_the_chunks_of_one_id_make_one_message(self, api: Api) -> None:
        name = agent(api, "tagged_agent", fm_task="chat-agent")
        body = {"messages": [{"role": "user", "content": "How many words: one two three"}], "stream": True}
        chunks = api.events(name, {**body, "custom_inputs": {"a": 1}, "databricks_options": {"return_trace": True}})
        texts: dict[str, str] = {}
        for chunk in chunks:
            texts[chunk["delta"]["id"]] = texts.get(chunk["delta"]["id"], "") + chunk["delta"]["content"]
        assert [*texts.values()][-1] == "The text has 3 words."
        assert chunks[-1]["custom_outputs"]["custom_inputs"] == {"a": 1}
        assert chunks[-1]["databricks_output"]["trace"]["data"]["spans"]

    def test_anything_else_gets_one_message(self, api: Api) -> None:
        found = api.query(agent(api, "chat_agent"), {"messages": [{"role": "user", "content": QUESTION}]}).json()
        assert ["The sky is blue."] == [message["content"] for message in found["messages"]]

    @pytest.mark.parametrize("message", [{"role": "user"}, {"role": "tool", "content": "4"}, {"role": "wizard", "content": "a"}])  # fmt: skip
    def test_what_makes_no_sense_is_refused(self, api: Api, message: Any) -> None:
        refused(api, {"messages": [message]}, f"/serving-endpoints/{agent(api, 'chat_agent')}/invocations")

    def test_it_can_be_asked_as_a_chat_completion(self, api: Api) -> None:
        body = {"model": agent(api, "chat_agent"), "messages": [{"role": "user", "content": "Hi"}]}
        assert "messages" in api.post("/serving-endpoints/chat/completions", body).json()


@pytest.mark.parametrize("name", ["chat_agent", "responses_agent"])
def test_an_agents_endpoint_describes_itself(api: Api, name: str) -> None:
    found = json.loads(api.http.get(f"{CONTROL}/{agent(api, name)}/openapi").text)
    schema = found["paths"][f"/serving-endpoints/{name}/invocations"]["post"]["requestBody"]["content"]
    assert "custom_inputs" in schema["application/json"]["schema"]["properties"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [("1 / 0", "cannot be worked out"), ("1.5.2 + 1", "cannot be worked out"), ("7 x 6", "42"), ("9 - 4 - 3", "2")],
)
def test_sums_are_worked_out_or_said_not_to_be(asked: str, says: str) -> None:
    assert says in calculate(asked)


def test_hosted_chat_endpoints_answer_by_either_api(api: Api) -> None:
    assert api.text(CHAT, QUESTION) == api.post(PATH, {"model": CHAT, "input": QUESTION}).json()["output"][0]["content"][0]["text"]  # fmt: skip
