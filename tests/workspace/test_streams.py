"""Event streams: how each family tells its usage, and how text and tool calls come in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workspace_api import CHAT, CLAUDE, Api, provisioned

OSS = "databricks-gpt-oss-20b"
GPT = "databricks-gpt-5-mini"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather at a location.",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    },
}


def text_of(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_a_stream_says_what_the_whole_answer_says(api: Api) -> None:
    whole, chunks = api.chat(CHAT, "Hello there"), api.stream(CHAT, "Hello there")
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert {chunk["model"] for chunk in chunks} == {whole["model"]} == {"meta-llama-3-3-70b-instruct-120124"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_the_role_is_in_every_delta_and_the_last_delta_is_empty(api: Api) -> None:
    chunks = api.stream(CHAT, "Hello")
    assert {chunk["choices"][0]["delta"]["role"] for chunk in chunks} == {"assistant"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1]["choices"][0]["delta"]["content"] == ""


def test_llama_counts_up_on_every_chunk(api: Api) -> None:
    usages = [chunk["usage"] for chunk in api.stream(CHAT, "Hello")]
    counts = [usage["completion_tokens"] for usage in usages]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert all(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] for usage in usages)


def test_claude_leaves_fields_null_until_the_end(api: Api) -> None:
    *early, last = [chunk["usage"] for chunk in api.stream(CLAUDE, "Hello")]
    assert {usage["completion_tokens"] for usage in early} == {None}
    assert {usage["total_tokens"] for usage in early} == {None}
    assert last["total_tokens"] == last["prompt_tokens"] + last["completion_tokens"]
    assert last["cache_read_input_tokens"] == last["cache_creation_input_tokens"] == 0


def test_openai_models_tell_usage_on_request_in_a_chunk_without_choices(api: Api) -> None:
    assert all("usage" not in chunk for chunk in api.stream(GPT, "Hello"))
    *early, last = api.stream(GPT, "Hello", stream_options={"include_usage": True})
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] > 0
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in early)


@pytest.mark.parametrize("endpoint", [CHAT, "styled"])
@pytest.mark.parametrize("style", ["cumulative", "nulls", "final", "never"])
def test_a_tag_sets_the_usage_style(api: Api, endpoint: str, style: str) -> None:
    if endpoint != CHAT and api.http.get(f"/api/2.0/serving-endpoints/{endpoint}").status_code == 404:
        api.created(endpoint)
    api.tag(endpoint, fm_usage_style=style)
    chunks = api.stream(endpoint, "Hello", stream_options={"include_usage": True})
    api.http.patch(f"/api/2.0/serving-endpoints/{endpoint}/tags", json={"delete_tags": ["fm_usage_style"]})
    told = [chunk.get("usage") for chunk in chunks]
    whole = [usage is not None and usage["completion_tokens"] is not None for usage in told]
    assert (sum(whole), whole[-1]) == {
        "cumulative": (len(chunks), True),
        "nulls": (1, True),
        "final": (1, True),
        "never": (0, False),
    }[style]
    assert (chunks[-1]["choices"] == []) == (style == "final")


def test_several_choices_come_interleaved(api: Api) -> None:
    chunks = api.stream(CHAT, "Hello", n=2)
    indexes = [chunk["choices"][0]["index"] for chunk in chunks]
    assert indexes[:4] == [0, 1, 0, 1]
    assert sum(chunk["choices"][0]["finish_reason"] == "stop" for chunk in chunks) == 2
    assert len(api.chat(CHAT, "Hello", n=3)["choices"]) == 3


def test_a_tool_call_comes_in_pieces_with_id_and_name_first(api: Api) -> None:
    chunks = api.stream(CHAT, "What is the weather in San Francisco, CA?", tools=[WEATHER])
    deltas = [delta for chunk in chunks for delta in chunk["choices"][0]["delta"].get("tool_calls") or []]
    assert deltas[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert deltas[0]["id"]
    assert deltas[0]["type"] == "function"
    assert all("id" not in delta and "name" not in delta["function"] for delta in deltas[1:])
    assert len(deltas) > 2
    arguments = "".join(delta["function"]["arguments"] for delta in deltas)
    assert json.loads(arguments) == {"location": "San Francisco, CA"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_parallel_tool_calls_have_an_index_each(api: Api) -> None:
    prompt = 'Call get_weather("Paris") and get_weather("Rome").'
    chunks = api.stream(CHAT, prompt, tools=[WEATHER])
    arguments: dict[int, str] = {}
    for chunk in chunks:
        for delta in chunk["choices"][0]["delta"].get("tool_calls") or []:
            arguments[delta["index"]] = arguments.get(delta["index"], "") + delta["function"]["arguments"]
    assert [json.loads(text) for text in arguments.values()] == [{"location": "Paris"}, {"location": "Rome"}]
    whole = api.chat(CHAT, prompt, tools=[WEATHER])["choices"][0]["message"]
    assert len(whole["tool_calls"]) == 2
    assert len({call["id"] for call in whole["tool_calls"]}) == 2
    assert (
        len(api.chat(CHAT, prompt, tools=[WEATHER], parallel_tool_calls=False)["choices"][0]["message"]["tool_calls"])
        == 1
    )


def test_gpt_oss_answers_in_parts_with_reasoning_first(api: Api) -> None:
    reasoning, text = api.chat(OSS, "Hello")["choices"][0]["message"]["content"]
    assert (reasoning["type"], text["type"]) == ("reasoning", "text")
    assert "signature" not in reasoning["summary"][0]
    parts = [part for chunk in api.stream(OSS, "Hello")[:-1] for part in chunk["choices"][0]["delta"]["content"]]
    assert "".join(part["text"] for part in parts if part["type"] == "text") == text["text"]
    thoughts = [part["summary"][0]["text"] for part in parts if part["type"] == "reasoning"]
    assert "".join(thoughts) == reasoning["summary"][0]["text"]


def test_claude_shows_signed_reasoning_when_told_to_think_and_takes_it_back(api: Api) -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 64}, "max_tokens": 128}
    message = api.chat(CLAUDE, "Hello", **thinking)["choices"][0]["message"]
    signature = message["content"][0]["summary"][0]["signature"]
    assert signature
    streamed = [chunk["choices"][0]["delta"]["content"] for chunk in api.stream(CLAUDE, "Hello", **thinking)[:-1]]
    signatures = [parts[0]["summary"][0].get("signature") for parts in streamed if parts[0]["type"] == "reasoning"]
    assert signatures == [None] * (len(signatures) - 1) + [signature]
    again = [{"role": "user", "content": "Hello"}, message, {"role": "user", "content": "And now?"}]
    assert api.query(CLAUDE, {"messages": again, **thinking}).status_code == 200


def test_a_tag_turns_parts_off_and_on(api: Api) -> None:
    api.tag(OSS, fm_content_style="text")
    assert isinstance(api.text(OSS, "Hello"), str)
    api.http.patch(f"/api/2.0/serving-endpoints/{OSS}/tags", json={"delete_tags": ["fm_content_style"]})
    name = api.created("parted", tags={"fm_content_style": "parts"})
    assert [part["type"] for part in api.text(name, "Hello")] == ["reasoning", "text"]


def test_completions_are_streamed(api: Api) -> None:
    name = api.created("completer", provisioned("main.default.my_base"))
    body = {"prompt": ["Once upon a time", "It was night"], "max_tokens": 8}
    whole = api.query(name, body).json()
    assert (whole["object"], [choice["index"] for choice in whole["choices"]]) == ("text_completion", [0, 1])
    chunks = api.events(name, {**body, "stream": True})
    for choice in whole["choices"]:
        pieces = [piece for chunk in chunks for piece in chunk["choices"] if piece["index"] == choice["index"]]
        assert "".join(piece["text"] for piece in pieces) == choice["text"]
        assert pieces[-1]["finish_reason"] == choice["finish_reason"] == "length"
    assert chunks[-1]["usage"] == whole["usage"]


def test_a_client_that_leaves_a_stream_is_noticed(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    schema = {"type": "object", "properties": {f"field_{at}": {"type": "string"} for at in range(2000)}}
    form = {"type": "json_schema", "json_schema": {"name": "wide", "schema": schema}}
    body = {"messages": [{"role": "user", "content": "Fill"}], "response_format": form, "stream": True}
    for _ in range(3):
        with api.http.stream("POST", f"/serving-endpoints/{CHAT}/invocations", json=body) as answer:
            next(answer.iter_bytes())
    assert api.text(CHAT, "Hello")
    assert not [record for record in caplog.records if record.name in ("asyncio", "uvicorn.error")]
