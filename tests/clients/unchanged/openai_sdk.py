"""OpenAI's own SDK, unchanged, on the embedded workspace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

LLAMA, CLAUDE, GTE = "databricks-meta-llama-3-3-70b-instruct", "databricks-claude-sonnet-4-5", "databricks-gte-large-en"
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(workspace: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{workspace.host}/serving-endpoints", api_key=workspace.token) as made:
        yield made


@pytest.fixture(scope="session")
def completing(workspace: Any) -> str:
    """An endpoint for completions."""
    made: str = workspace.create("completing", tags=[{"key": "fm_task", "value": "completions"}])
    return made


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", [LLAMA, CLAUDE])
def test_it_chats(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=user("The sky is blue. What colour is the sky?"))
    assert "blue" in str(answer.choices[0].message.content)
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("model", [LLAMA, CLAUDE])
def test_it_streams(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=user("Say hello"), stream=True))
    whole = client.chat.completions.create(model=model, messages=user("Say hello"))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_it_calls_tools(client: openai.OpenAI) -> None:
    messages = user("What is the weather in Paris?")
    asked = client.chat.completions.create(model=LLAMA, messages=messages, tools=[TOOL], tool_choice="required")
    (call,) = asked.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "It is sunny in Paris."}
    messages = [*messages, asked.choices[0].message.model_dump(exclude_none=True, exclude={"annotations"}), result]
    answer = client.chat.completions.create(model=LLAMA, messages=messages, tools=[TOOL])
    assert "sunny" in str(answer.choices[0].message.content)


def test_its_own_stream_helper_puts_tool_calls_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=LLAMA, messages=user("The weather in Paris?"), tools=[TOOL]) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_it_parses_a_model_of_pydantic(client: openai.OpenAI) -> None:
    class Place(BaseModel):
        city: str
        population: int

    answer = client.chat.completions.parse(
        model=LLAMA, messages=user('The city "Bern" has 134000 people.'), response_format=Place
    )
    assert answer.choices[0].message.parsed == Place(city="Bern", population=134_000)


def test_it_asks_by_the_responses_api(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=LLAMA, input="The sky is blue. What colour is the sky?")
    assert "blue" in answer.output_text
    with client.responses.stream(model=LLAMA, input="The sky is blue. What colour is the sky?") as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_text == answer.output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


def test_it_calls_tools_by_the_responses_api(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "strict": None, **TOOL["function"]}
    answer = client.responses.create(model=LLAMA, input="What is the weather in Paris?", tools=[tool])
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Paris"}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "It is sunny in Paris."}
    again = call.to_dict(mode="json", exclude_unset=True)
    del again["status"]  # which the service refuses in a request
    told: Any = [{"role": "user", "content": "What is the weather in Paris?"}, again, result]
    assert "sunny" in client.responses.create(model=LLAMA, input=told, tools=[tool]).output_text


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_it_embeds(client: openai.OpenAI, form: Any) -> None:
    options = {"encoding_format": form} if form == "float" else {}  # without it, the SDK asks for base64 and decodes it
    answer = client.embeddings.create(model=GTE, input=["one", "two"], **options)
    assert [len(each.embedding) for each in answer.data] == [1024, 1024]
    assert answer.usage.prompt_tokens > 0


def test_it_completes(client: openai.OpenAI, completing: str) -> None:
    answer = client.completions.create(model=completing, prompt="Once upon a time", max_tokens=20)
    chunks = list(client.completions.create(model=completing, prompt="Once upon a time", max_tokens=20, stream=True))
    assert answer.choices[0].text
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == answer.choices[0].text


def test_its_async_client_chats_and_streams(workspace: Any) -> None:
    async def ask() -> None:
        base = f"{workspace.host}/serving-endpoints"
        async with openai.AsyncOpenAI(base_url=base, api_key=workspace.token) as client:
            stream = await client.chat.completions.create(model=LLAMA, messages=user("Say hello"), stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            whole = await client.chat.completions.create(model=LLAMA, messages=user("Say hello"))
            assert "".join(pieces) == whole.choices[0].message.content

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("model", "options", "error"),
    [
        ("nobody", {}, openai.NotFoundError),
        (LLAMA, {"temperature": 9}, openai.BadRequestError),
        (LLAMA, {"extra_body": {"nonsense": 1}}, openai.BadRequestError),
        (GTE, {}, openai.BadRequestError),
    ],
    ids=["endpoint", "range", "field", "task"],
)
def test_errors_arrive_as_its_own(client: openai.OpenAI, model: str, options: Any, error: Any) -> None:
    with pytest.raises(error):
        client.chat.completions.create(model=model, messages=user("Hello"), **options)


def test_a_rate_limit_arrives_as_its_own_with_the_time_to_wait(client: openai.OpenAI, workspace: Any) -> None:
    limits = {"rate_limits": [{"calls": 0, "renewal_period": "minute"}]}
    workspace.send("PUT", f"/api/2.0/serving-endpoints/{workspace.create('limited')}/ai-gateway", limits)
    with pytest.raises(openai.RateLimitError) as caught:
        client.with_options(max_retries=0).chat.completions.create(model="limited", messages=user("Hello"))
    assert int(caught.value.response.headers["retry-after"]) > 0
