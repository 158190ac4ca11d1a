"""External models of vendors with wire formats of their own, against fakes of those formats.

Cohere is asked directly, the others through litellm, which is not in the development environment (docs/decisions.md):
`make test-providers` runs these tests in one of their own.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from vendor_api import MODELS, TOOL, connected, model, need_litellm, playing, private_key, urls
from vendor_clouds import VertexClaude
from vendor_fakes import CACHED, SIGNATURE
from vendor_server import ANSWER_TOKENS, KEY, PROMPT_TOKENS, VendorServer
from workspace_api import CONTROL, Api

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm's warnings are not ours to mend
Start = Callable[..., Api]
VENDORS = ("anthropic", "cohere", "amazon-bedrock", "google-cloud-vertex-ai")
EMBEDDERS = [name for name, task in MODELS if task == "embeddings"]


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Iterator[VendorServer]:
    """Each vendor in turn."""
    with playing(request.param) as server:
        yield server


def asks(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": text}], **more}


def counts(vendor: VendorServer) -> dict[str, int]:
    cached = CACHED if vendor.name == "anthropic" else 0
    total = PROMPT_TOKENS + cached + ANSWER_TOKENS
    told = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": ANSWER_TOKENS, "total_tokens": total}
    return told | ({"cache_read_input_tokens": cached, "cache_creation_input_tokens": 0} if cached else {})


def test_a_chat_is_answered_with_its_usage(start: Start, vendor: VendorServer) -> None:
    answer = connected(start, vendor).query("ext", asks("Hello there", temperature=0.5, max_tokens=50, stop=["END"]))
    assert answer.status_code == 200, answer.text
    (choice,) = answer.json()["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Echo: Hello there"}
    assert choice["finish_reason"] == "stop"
    assert answer.json()["usage"] == counts(vendor)
    assert answer.headers["served-model-name"] == "served"


def test_a_stream_brings_the_same_answer_and_the_usage_once(start: Start, vendor: VendorServer) -> None:
    chunks = connected(start, vendor).events("ext", asks("Hello there", stream=True))
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "Echo: Hello there"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert [chunk["usage"] for chunk in chunks if "usage" in chunk] == [counts(vendor)]
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_go_back(start: Start, vendor: VendorServer, stream: bool) -> None:
    api = connected(start, vendor)
    if stream:
        chunks = api.events("ext", asks("Weather in Paris?", tools=[TOOL], stream=True))
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        pieces = [call for delta in deltas for call in delta.get("tool_calls") or []]
        function = {"name": pieces[0]["function"]["name"], "arguments": ""}
        function["arguments"] = "".join(piece["function"]["arguments"] for piece in pieces)
        call = {"id": pieces[0]["id"], "type": "function", "function": function}
        reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    else:
        choice = api.query("ext", asks("Weather in Paris?", tools=[TOOL])).json()["choices"][0]
        (call,), reasons = choice["message"]["tool_calls"], [choice["finish_reason"]]
    assert reasons[-1] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    results = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": call["id"]},
    ]
    body = asks("Weather in Paris?", tools=[TOOL])
    answer = api.query("ext", {**body, "messages": body["messages"] + results})
    assert answer.status_code == 200, answer.text
    said = answer.json()["choices"][0]["message"]["content"]
    assert said.startswith("Result: ")
    assert "sunny" in said


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_is_answered_by_the_chat_api(start: Start, vendor: VendorServer, stream: bool) -> None:
    api = connected(start, vendor, "completions")
    if stream:
        chunks = api.events("ext", {"prompt": "Once", "stream": True})
        assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == "Echo: Once"
    else:
        answer = api.query("ext", {"prompt": ["Once", "Twice"]}).json()
        assert answer["object"] == "text_completion"
        assert [choice["text"] for choice in answer["choices"]] == ["Echo: Once", "Echo: Twice"]
        assert answer["usage"]["completion_tokens"] == 2 * ANSWER_TOKENS


@pytest.mark.parametrize("name", EMBEDDERS)
def test_texts_are_embedded(start: Start, name: str) -> None:
    with playing(name) as server:
        api = connected(start, server, "embeddings")
        answer = api.query("ext", {"input": ["a", "abc"]})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert [each["embedding"] for each in body["data"]] == [[1.0, 0.5], [3.0, 0.5]]
        assert [each["index"] for each in body["data"]] == [0, 1]
        assert body["usage"]["prompt_tokens"] > 0
        short = api.query("ext", {"input": "a", "encoding_format": "base64"}).json()
        assert short["data"][0]["embedding"] == "AACAPwAAAD8="


@pytest.mark.parametrize("stream", [False, True])
def test_a_claude_on_vertex_is_asked_in_anthropics_words_behind_googles_login(start: Start, stream: bool) -> None:
    need_litellm()
    with VertexClaude() as server:
        api = connected(start, server, name="claude-sonnet-4-5@20250929")
        if stream:
            choices = [choice for chunk in api.events("ext", asks("Hello", stream=True)) for choice in chunk["choices"]]
            assert "".join(choice["delta"].get("content") or "" for choice in choices) == "Echo: Hello"
        else:
            answer = api.query("ext", asks("Hello"))
            assert answer.status_code == 200, answer.text
            assert answer.json()["choices"][0]["message"]["content"] == "Echo: Hello"
            assert answer.json()["usage"]["prompt_tokens"] == PROMPT_TOKENS


@pytest.mark.parametrize(
    "name",
    ["cohere.command-r-plus-v1:0", "ai21.jamba-1-5-large-v1:0", "amazon.nova-pro-v1:0", "eu.amazon.nova-lite-v1:0"],
)
def test_all_families_on_bedrock_converse(start: Start, name: str) -> None:
    with playing("amazon-bedrock") as server:
        assert connected(start, server, name=name).text("ext", "Hello") == "Echo: Hello"
        assert server.seen[-1].path.endswith("/converse")


def test_coheres_embeddings_on_bedrock_are_invoked(start: Start) -> None:
    with playing("amazon-bedrock") as server:
        api = connected(start, server, "embeddings", name="cohere.embed-english-v3")
        answer = api.query("ext", {"input": ["a", "abc"]})
        assert answer.status_code == 200, answer.text
        assert [each["embedding"] for each in answer.json()["data"]] == [[1.0, 0.5], [3.0, 0.5]]


def test_cohere_is_told_whether_a_text_is_a_query(start: Start) -> None:
    with playing("cohere") as server:
        api = connected(start, server, "embeddings")
        api.query("ext", {"input": "a"})
        api.query("ext", {"input": "a", "instruction": "Find passages"})
        api.query("ext", {"input": "a", "extra_params": {"input_type": "clustering"}})
        kinds = [asked.body["input_type"] for asked in server.seen]
        assert kinds == ["search_document", "search_query", "clustering"]
        assert {asked.body["texts"][0] for asked in server.seen} == {"a"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("text", "status", "wait"), [("limit", 429, "17"), ("bad", 400, None)])
def test_the_vendors_error_comes_in_the_services_form(
    start: Start, vendor: VendorServer, text: str, status: int, wait: str | None, stream: bool
) -> None:
    answer = connected(start, vendor).query("ext", asks(text, stream=stream))
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, wait)
    body = answer.json()
    assert body["error"] == f"Received error from {vendor.name}"
    assert body["external_model_provider"] == vendor.name
    assert body["external_model_message"] == vendor.error(
        status, "slow down" if status == 429 else "that is not allowed"
    )
    assert len([asked for asked in vendor.seen if asked.path != "/token"]) == 1, "one layer retries, and not this one"


@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_key_is_refused_and_shown_nowhere(
    start: Start,
    vendor: VendorServer,
    stream: bool,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wrong = "key-of-somebody-else-0123"
    caplog.set_level(logging.DEBUG)
    api = connected(start, vendor, key=wrong)
    if vendor.name == "google-cloud-vertex-ai":
        api = connected(start, vendor)
        wrong = private_key().splitlines()[1]
        vendor.refusal = lambda asked: type(vendor).refusal(vendor, asked) or _quoted(vendor, asked)  # type: ignore[method-assign]
    answer = api.query("ext", asks("Hello", stream=stream))
    assert answer.status_code in (401, 403)
    printed = capfd.readouterr()
    shown = answer.text + caplog.text + printed.out + printed.err + api.http.get(f"{CONTROL}/ext").text
    assert wrong not in shown
    assert KEY not in shown


def _quoted(vendor: VendorServer, asked: Any) -> Any:
    from vendor_server import JSON, Said

    return Said(401, vendor.error(401, f"no such key: {private_key()}"), JSON)


def test_a_redirect_is_not_followed(start: Start, vendor: VendorServer) -> None:
    answer = connected(start, vendor).query("ext", asks("redirect"))
    assert answer.status_code == 502
    assert [asked.path for asked in vendor.seen if "elsewhere" in asked.path] == []


def test_an_answer_that_is_none_is_a_502(start: Start, vendor: VendorServer) -> None:
    answer = connected(start, vendor).query("ext", asks("garbage"))
    assert answer.status_code == 502, answer.text
    assert answer.json()["external_model_provider"] == vendor.name


@pytest.mark.parametrize("task", ["chat", "completions"])
def test_a_stream_that_ends_early_says_so(start: Start, vendor: VendorServer, task: str) -> None:
    """Whatever the vendor's answer speaks of: only its own wire says that it is over."""
    ends_early(connected(start, vendor, task), task)


def test_a_stream_of_a_claude_on_vertex_that_ends_early_says_so(start: Start) -> None:
    need_litellm()
    with VertexClaude() as server:
        ends_early(connected(start, server, name="claude-sonnet-4-5@20250929"), "chat")


def ends_early(api: Api, task: str) -> None:
    asked = asks("cut", stream=True) if task == "chat" else {"prompt": "cut", "stream": True}
    with api.http.stream("POST", "/serving-endpoints/ext/invocations", json=asked) as answer:
        lines = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    assert lines[-1]["error_code"] == "EXTERNAL_MODEL_ERROR"
    assert re.search("ended (without a finish reason|before a finish_reason)", lines[-1]["message"])
    assert [choice for line in lines[:-1] for choice in line["choices"] if choice.get("finish_reason")] == []


def test_an_unreachable_vendor_is_a_502(start: Start, vendor: VendorServer) -> None:
    api = start(provider_urls={**urls(vendor), vendor.name: "http://127.0.0.1:9"})
    api.created("ext", model(vendor))
    answer = api.query("ext", asks("Hello"))
    assert answer.status_code == 502, answer.text
    assert "cannot be reached" in answer.json()["external_model_message"]["message"]


def test_reasoning_comes_signed_and_goes_back_unchanged(start: Start) -> None:
    with playing("anthropic") as server:
        api = connected(start, server, name="claude-sonnet-4-5")
        thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
        message = api.query("ext", asks("Hello", **thinking)).json()["choices"][0]["message"]
        part = {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Let me see.", "signature": SIGNATURE}],
        }
        assert message["content"] == [part, {"type": "text", "text": "Echo: Hello"}]
        chunks = api.events("ext", asks("Hello", stream=True, **thinking))
        parts = [
            part
            for chunk in chunks
            for choice in chunk["choices"]
            for part in choice["delta"].get("content") or []
            if part["type"] == "reasoning"
        ]
        assert "".join(part["summary"][0]["text"] for part in parts) == "Let me see."
        assert [sign for part in parts if (sign := part["summary"][0].get("signature"))] == [SIGNATURE]
        more = [{"role": "assistant", "content": message["content"]}, {"role": "user", "content": "And now?"}]
        api.query("ext", {**asks("Hello", **thinking), "messages": asks("Hello")["messages"] + more})
        (sent,) = [each["content"] for each in server.seen[-1].body["messages"] if each["role"] == "assistant"]
        assert sent[0] == {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE}


def test_images_go_as_data_and_no_address_is_fetched(start: Start, vendor: VendorServer) -> None:
    api = connected(start, vendor)

    def image(url: str) -> dict[str, Any]:
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        return {"messages": [{"role": "user", "content": parts}]}

    refused = api.query("ext", image(f"{vendor.url}/picture.png"))
    assert (refused.status_code, vendor.seen) == (400, [])
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    if vendor.name != "cohere":  # the model has no eyes
        assert api.query("ext", image(f"data:image/png;base64,{pixel}")).status_code == 200
        assert pixel in json.dumps(vendor.seen[-1].body)


def test_no_parameter_leads_elsewhere(start: Start, vendor: VendorServer) -> None:
    api = connected(start, vendor)
    for name in ("api_base", "base_url", "custom_llm_provider", "mock_response", "api_key", "model_list"):
        answer = api.query("ext", asks("Hello", extra_params={name: "http://127.0.0.1:9"}))
        assert answer.status_code == 400
        assert api.query("ext", asks("Hello", **{name: "x"})).status_code == 400
    for name in ("metadata", "store", "service_tier"):  # which the workspace takes for models of OpenAI
        answer = api.query("ext", asks("Hello", **{name: "x"}))
        assert (answer.status_code, name in answer.text) == (400, True)
    assert vendor.seen == []


def test_the_machines_own_settings_lead_nowhere_else(
    start: Start, vendor: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A developer's own keys and addresses are for the developer's own programs."""
    for name in ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL", "COHERE_API_BASE", "VERTEXAI_API_BASE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("AWS_BEDROCK_RUNTIME_ENDPOINT", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("ANTHROPIC_API_KEY", "COHERE_API_KEY", "AWS_BEARER_TOKEN_BEDROCK", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "key-of-the-machine")
    assert connected(start, vendor).text("ext", "Hello") == "Echo: Hello"
    assert "key-of-the-machine" not in str([asked.headers for asked in vendor.seen])


def test_loading_litellm_asks_nobody_and_reads_no_file_of_variables(tmp_path: Path) -> None:
    need_litellm()
    (tmp_path / ".env").write_text("FM_READ_FROM_A_FILE=1\n", encoding="utf-8")
    code = """
import os, socket, time
asked = []
socket.getaddrinfo = lambda *args, **kwargs: asked.append(args)
socket.socket.connect = lambda self, address: asked.append(address)
from fm_workspace._litellm import imported
imported()
time.sleep(1)
print(asked, "FM_READ_FROM_A_FILE" in os.environ)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n", done.stdout + done.stderr
