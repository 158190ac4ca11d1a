"""The Responses API and agents of the embedded workspace, asked by the OpenAI SDK and by plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response, ResponseCompletedEvent
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


@pytest.fixture
def openai(api: Api) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{api.workspace.host}/serving-endpoints", api_key=api.workspace.token) as client:
        yield client


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


class TestWithTheOpenAISDK:
    def test_a_whole_answer(self, openai: OpenAI) -> None:
        found = openai.responses.create(model=GPT, input=QUESTION)
        assert (found.output_text, found.status) == ("The sky is blue.", "completed")
        assert found.usage is not None and found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens  # fmt: skip
        assert Response.model_validate(found.model_dump(), strict=False)

    @pytest.mark.parametrize("params", [{}, {"tools": [WEATHER]}, {"reasoning": {"effort": "low", "summary": "auto"}}, {"max_output_tokens": 5}])  # fmt: skip
    def test_a_stream_has_the_events_of_the_api_in_their_order(self, openai: OpenAI, params: Any) -> None:
        prompt = "What is the weather in Paris? The sky is blue, they say, and will be for days."
        events = list(openai.responses.create(model=GPT, input=prompt, stream=True, **params))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert ["response.created", "response.in_progress"] == [event.type for event in events[:2]]
        last = events[-1]
        assert last.type == ("response.incomplete" if "max_output_tokens" in params else "response.completed")
        done = [event.item for event in events if event.type == "response.output_item.done"]
        assert done == last.response.output
        deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert deltas == last.response.output_text
        arguments = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
        assert arguments == "".join(item.arguments for item in done if item.type == "function_call")
        assert ("tools" in params) is (arguments != "")

    def test_its_stream_helper_puts_the_answer_together(self, openai: OpenAI) -> None:
        with openai.responses.stream(model=GPT, input=QUESTION) as stream:
            kinds = [event.type for event in stream]
        assert isinstance(ResponseCompletedEvent, type) and kinds[-1] == "response.completed"
        assert stream.get_final_response().output_text == "The sky is blue."

    def test_a_conversation_with_tools_and_reasoning(self, openai: OpenAI) -> None:
        history: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
        first = openai.responses.create(model=GPT, input=history, tools=[WEATHER], reasoning={"effort": "low"})
        thought, call = first.output
        assert (thought.type, call.type, json.loads(call.arguments)) == ("reasoning", "function_call", {"location": "Paris"})  # fmt: skip
        history += [item.model_dump(exclude={"status"}, exclude_none=True) for item in first.output]
        history.append({"type": "function_call_output", "call_id": call.call_id, "output": "Sunny in Paris."})
        second = openai.responses.create(model=GPT, input=history, tools=[WEATHER])
        assert second.output_text == "Sunny in Paris."

    def test_a_schema_is_kept_to(self, openai: OpenAI) -> None:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}  # fmt: skip
        form = {"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}}
        found = openai.responses.create(model=GPT, input="I live in Paris", instructions="Be short", text=form)
        assert json.loads(found.output_text) == {"city": "Paris"}

    def test_the_async_client(self, api: Api) -> None:
        async def ask() -> list[str]:
            base = f"{api.workspace.host}/serving-endpoints"
            async with AsyncOpenAI(base_url=base, api_key=api.workspace.token) as client:
                stream = await client.responses.create(model=GPT, input=QUESTION, stream=True)
                return [event.delta async for event in stream if event.type == "response.output_text.delta"]

        assert "".join(asyncio.run(ask())) == "The sky is blue."

    def test_an_agent(self, api: Api, openai: OpenAI) -> None:
        name = agent(api, "responses_agent")
        events = list(openai.responses.create(model=name, input=[{"role": "user", "content": "What is 2 + 3?"}], stream=True))  # fmt: skip
        done = [event.item.type for event in events if event.type == "response.output_item.done"]
        assert done == ["message", "function_call", "function_call_output", "message"]
        whole = openai.responses.create(model=name, input="What is 2 + 3?", extra_body={"custom_inputs": {"a": 1}})
        assert whole.output[-1].content[0].text == "2 + 3 = 5."  # type: ignore[union-attr]
        assert whole.custom_outputs["custom_inputs"] == {"a": 1}  # type: ignore[attr-defined]

    @pytest.mark.parametrize("extra", [{"store": False}, {"background": True}, {"conversation": "c"}, {"previous_response_id": "r"}, {"service_tier": "auto"}])  # fmt: skip
    def test_what_the_service_does_not_have_is_refused(self, openai: OpenAI, extra: Any) -> None:
        with pytest.raises(BadRequestError, match=next(iter(extra))):
            openai.responses.create(model=GPT, input="Hi", **extra)

    def test_an_endpoint_that_does_not_exist(self, openai: OpenAI) -> None:
        with pytest.raises(NotFoundError):
            openai.responses.create(model="nobody", input="Hi")


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
    with OpenAI(base_url=f"{ours.workspace.host}/serving-endpoints", api_key=ours.workspace.token) as client:
        *_, last = client.responses.create(model=CHAT, input=QUESTION, stream=True)
    assert last.type == "response.completed"
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
