"""Output guardrails of streams: what a whole answer may not say, a stream may not say in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from workspace_api import Api, external, provisioned

from fm_client import Client
from fm_workspace import _stream_guard
from fm_workspace._engine import Events

Start = Callable[..., Api]
MODELS = {
    "chat": "main.default.my_llama",
    "parts": "main.default.my_gpt_oss",
    "completions": "main.default.my_base",
    "responses": "main.default.my_llama",
    "chat-agent": "main.agents.my_agent",
    "responses-agent": "main.agents.my_responses_agent",
}
ADDRESS = "ada.lovelace+x@mail.example.com"
PROMPT = f"The address is {ADDRESS} today. What is the address today?"
MASKED = "The address is <EMAIL_ADDRESS> today."
KEYWORD = {"invalid_keywords": ["Lovelace+X@Mail"]}
BLOCK = {"pii": {"behavior": "BLOCK"}}
MASK = {"pii": {"behavior": "MASK"}}


def body(kind: str, prompt: str = PROMPT, **params: Any) -> dict[str, Any]:
    if kind == "completions":
        return {"prompt": prompt, "stream": True, **params}
    if kind.startswith("responses"):
        return {"input": [{"role": "user", "content": prompt}], "stream": True, **params}
    return {"messages": [{"role": "user", "content": prompt}], "stream": True, **params}


def created(api: Api, name: str, kind: str, rules: Any) -> str:
    return api.created(name, provisioned(MODELS[kind]), ai_gateway={"guardrails": {"output": rules}})


def lines(api: Api, name: str, query: Any) -> list[str]:
    answer = api.query(name, query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer.text.splitlines()


def events(api: Api, name: str, query: Any) -> list[Any]:
    found = lines(api, name, query)
    return [json.loads(line[6:]) for line in found if line.startswith("data: {")]


def said(kind: str, found: list[Any]) -> str:
    """All the text of a stream, put together from its pieces."""
    if kind == "chat-agent":
        return "".join(event["delta"]["content"] for event in found)
    if kind.startswith("responses"):
        return "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
    choices = [choice for event in found for choice in event["choices"]]
    if kind == "completions":
        return "".join(choice["text"] for choice in choices)
    parts = [choice["delta"]["content"] for choice in choices]
    texts = [part if isinstance(part, str) else part[0].get("text", "") for part in parts]
    return "".join(texts)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rules", [KEYWORD, BLOCK], ids=["keyword", "personal data"])
def test_a_stream_that_would_say_it_is_refused_before_it_begins(api: Api, kind: str, rules: Any) -> None:
    name = created(api, f"refused-{kind}-{'pii' in rules}", kind, rules)
    answer = api.query(name, body(kind))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert json.loads(answer.json()["message"])["finishReason"] == "output_guardrail_triggered"
    assert ADDRESS not in answer.text


@pytest.mark.parametrize("kind", MODELS)
def test_a_stream_is_masked_wherever_its_text_stands(api: Api, kind: str) -> None:
    name = created(api, f"masked-{kind}", kind, MASK)
    found = events(api, name, body(kind))
    assert MASKED in said(kind, found)
    assert "lovelace" not in json.dumps(found).lower()
    assert "mail.example" not in json.dumps(found)


@pytest.mark.parametrize("kind", MODELS)
def test_a_stream_that_says_nothing_of_it_is_the_same_as_without(api: Api, kind: str) -> None:
    query = body(kind, "The sky is blue. What colour is the sky?")
    plain = api.created(f"plain-{kind}", provisioned(MODELS[kind]), tags={"fm_model_name": "x"})
    name = created(api, f"watched-{kind}", kind, {**KEYWORD, **MASK})
    api.tag(name, fm_model_name="x")
    kept = [line.partition(":")[0] for line in lines(api, name, query)]
    assert kept == [line.partition(":")[0] for line in lines(api, plain, query)]
    assert said(kind, events(api, name, query)) == said(kind, events(api, plain, query))


def test_each_choice_and_each_call_is_a_text_of_its_own(api: Api) -> None:
    name = created(api, "several-choices", "chat", MASK)
    found = events(api, name, body("chat", n=2))
    for index in (0, 1):
        of_one = [{"choices": [one for one in event["choices"] if one["index"] == index]} for event in found]
        assert said("chat", of_one) == MASKED
    tool = {"name": "send_mail", "parameters": {"type": "object", "properties": {"to": {"type": "string"}}}}
    tools = [{"type": "function", "function": tool}]
    chunks = events(api, name, body("chat", f'send_mail "{ADDRESS}"', tools=tools))
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"to": "<EMAIL_ADDRESS>"}


def test_the_tag_refuses_streams_too(api: Api) -> None:
    name = api.created("strict-stream", tags={"fm_guardrail": "output"})
    assert api.query(name, body("chat", "Hello")).status_code == 400


def test_a_providers_stream_is_looked_into_as_well(start: Start) -> None:
    provider, api = start(), start()
    entity = external(provider.workspace.host, provider.workspace.token)
    for name, rules in (("masked", MASK), ("blocked", BLOCK)):
        api.created(name, entity, ai_gateway={"guardrails": {"output": rules}})
    assert said("chat", events(api, "masked", body("chat"))) == MASKED
    assert api.query("blocked", body("chat")).status_code == 400


def test_a_stream_without_end_is_not_held_without_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        async def answer(self, query: Any) -> Any:
            async def source() -> AsyncIterator[bytes]:
                while True:
                    yield b"data: {}\n\n" * 1_000
                    await asyncio.sleep(0)

            return Events(source())

        async def aclose(self) -> None: ...

    monkeypatch.setattr(_stream_guard, "MAX_HELD_BYTES", 1_000_000)
    api = start(engine=Endless())
    answer = api.query(created(api, "endless", "chat", MASK), body("chat"))
    assert (answer.status_code, answer.json()["error_code"]) == (502, "EXTERNAL_MODEL_ERROR")


class Saying:
    """An engine whose streams are these bytes."""

    def __init__(self, said: bytes) -> None:
        self.said = said

    async def answer(self, query: Any) -> Any:
        async def source() -> AsyncIterator[bytes]:
            yield self.said

        return Events(source())

    async def aclose(self) -> None: ...


def spelled(end: str, *pieces: str) -> bytes:
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    return "".join(f"data: {text}{end}{end}" for text in [*map(json.dumps, chunks), "[DONE]"]).encode()


@pytest.mark.parametrize(
    "stream",
    [spelled(end, "at ada.love", "lace@mail.example.com") for end in ("\r\n", "\r", "\n")]
    + [b"\xef\xbb\xbf" + spelled("\n", f"at {ADDRESS}")],
    ids=["CRLF", "CR", "LF", "byte order mark"],
)
def test_a_stream_is_looked_into_however_its_lines_end_and_begin(start: Start, stream: bytes) -> None:
    api = start(engine=Saying(stream))
    masked, blocked = (created(api, name, "chat", rule) for name, rule in (("masked", MASK), ("blocked", BLOCK)))
    assert said("chat", events(api, masked, body("chat"))) == "at <EMAIL_ADDRESS>"
    assert api.query(blocked, body("chat")).status_code == 400


@pytest.mark.parametrize("line", [f"data: {ADDRESS}", f'data: ["{ADDRESS}"]', f'data: {{"a":\ndata: "{ADDRESS}"}}'])
def test_what_cannot_be_looked_into_does_not_go_out(start: Start, line: str) -> None:
    api = start(engine=Saying(f"{line}\n\n".encode()))
    answer = api.query(created(api, "odd", "chat", MASK), body("chat"))
    assert (answer.status_code, answer.json()["error_code"]) == (502, "EXTERNAL_MODEL_ERROR")
    assert ADDRESS not in answer.text


def test_a_client_puts_a_masked_stream_together(api: Api) -> None:
    name = created(api, "read-by-a-client", "chat", MASK)
    with Client(api.workspace.host, api.workspace.token) as client:
        chunks = list(client.stream_chat(name, PROMPT))
    assert "".join(chunk.text for chunk in chunks) == MASKED
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 0


def test_a_refused_stream_gives_back_what_it_had_reserved_and_leaves_a_row(start: Start) -> None:
    api = start()
    table = {"enabled": True, "catalog_name": "main", "schema_name": "default"}
    limit = {"tokens": 1_000, "key": "endpoint", "renewal_period": "minute"}
    gateway = {"guardrails": {"output": BLOCK}, "rate_limits": [limit], "inference_table_config": table}
    name = api.created("counted", ai_gateway=gateway)
    for _ in range(3):
        assert api.query(name, body("chat", max_tokens=700)).status_code == 400
    rows = api.workspace.inference_rows(name)
    assert [row["status_code"] for row in rows] == [400] * 3
    assert "output_guardrail_triggered" in rows[0]["response"]
