"""OpenAI's own SDK, unchanged, asking the embedded workspace by the Responses API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response, ResponseCompletedEvent

GPT = "databricks-gpt-5-mini"
QUESTION = "The sky is blue. What colour is the sky?"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather at a location.",
    "strict": False,
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}


@pytest.fixture
def openai(workspace: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{workspace.host}/serving-endpoints", api_key=workspace.token) as client:
        yield client


def test_a_whole_answer(openai: OpenAI) -> None:
    found = openai.responses.create(model=GPT, input=QUESTION)
    assert (found.output_text, found.status) == ("The sky is blue.", "completed")
    assert found.usage is not None and found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens  # fmt: skip
    assert Response.model_validate(found.model_dump(), strict=False)


@pytest.mark.parametrize("params", [{}, {"tools": [WEATHER]}, {"reasoning": {"effort": "low", "summary": "auto"}}, {"max_output_tokens": 5}])  # fmt: skip
def test_a_stream_has_the_events_of_the_api_in_their_order(openai: OpenAI, params: Any) -> None:
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


def test_its_stream_helper_puts_the_answer_together(openai: OpenAI) -> None:
    with openai.responses.stream(model=GPT, input=QUESTION) as stream:
        kinds = [event.type for event in stream]
    assert isinstance(ResponseCompletedEvent, type) and kinds[-1] == "response.completed"
    assert stream.get_final_response().output_text == "The sky is blue."


def test_a_conversation_with_tools_and_reasoning(openai: OpenAI) -> None:
    history: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = openai.responses.create(model=GPT, input=history, tools=[WEATHER], reasoning={"effort": "low"})
    thought, call = first.output
    assert (thought.type, call.type, json.loads(call.arguments)) == ("reasoning", "function_call", {"location": "Paris"})  # fmt: skip
    history += [item.model_dump(exclude={"status"}, exclude_none=True) for item in first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "Sunny in Paris."})
    second = openai.responses.create(model=GPT, input=history, tools=[WEATHER])
    assert second.output_text == "Sunny in Paris."


def test_a_schema_is_kept_to(openai: OpenAI) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}  # fmt: skip
    form = {"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}}
    found = openai.responses.create(model=GPT, input="I live in Paris", instructions="Be short", text=form)
    assert json.loads(found.output_text) == {"city": "Paris"}


def test_the_async_client(workspace: Any) -> None:
    async def ask() -> list[str]:
        base = f"{workspace.host}/serving-endpoints"
        async with AsyncOpenAI(base_url=base, api_key=workspace.token) as client:
            stream = await client.responses.create(model=GPT, input=QUESTION, stream=True)
            return [event.delta async for event in stream if event.type == "response.output_text.delta"]

    assert "".join(asyncio.run(ask())) == "The sky is blue."


def test_an_agent(workspace: Any, openai: OpenAI) -> None:
    name = workspace.create("agent", entity_name="main.agents.responses_agent", max_provisioned_throughput=None)
    events = list(openai.responses.create(model=name, input=[{"role": "user", "content": "What is 2 + 3?"}], stream=True))  # fmt: skip
    done = [event.item.type for event in events if event.type == "response.output_item.done"]
    assert done == ["message", "function_call", "function_call_output", "message"]
    whole = openai.responses.create(model=name, input="What is 2 + 3?", extra_body={"custom_inputs": {"a": 1}})
    assert whole.output[-1].content[0].text == "2 + 3 = 5."  # type: ignore[union-attr]
    assert whole.custom_outputs["custom_inputs"] == {"a": 1}  # type: ignore[attr-defined]


@pytest.mark.parametrize("extra", [{"store": False}, {"background": True}, {"conversation": "c"}, {"previous_response_id": "r"}, {"service_tier": "auto"}])  # fmt: skip
def test_what_the_service_does_not_have_is_refused(openai: OpenAI, extra: Any) -> None:
    with pytest.raises(BadRequestError, match=next(iter(extra))):
        openai.responses.create(model=GPT, input="Hi", **extra)


def test_an_endpoint_that_does_not_exist(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        openai.responses.create(model="nobody", input="Hi")
