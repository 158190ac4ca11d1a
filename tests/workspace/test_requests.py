"""What the query API refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from workspace_api import BGE, CHAT, CLAUDE, GTE, Api, provisioned

USER = {"role": "user", "content": "Hello"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
QWEN_EMBEDDING = "databricks-qwen3-embedding-0-6b"


def part(**content: Any) -> dict[str, Any]:
    return {"role": "user", "content": [content]}


@pytest.mark.parametrize(
    ("endpoint", "body", "field"),
    [
        (CHAT, {"messages": [USER], "inputs": 1}, "inputs"),
        (CHAT, {"messages": [USER], "databricks_options": {}}, "databricks_options"),
        (CHAT, {"messages": [USER], "input": "text"}, "input"),
        (CHAT, {"messages": [{**USER, "id": "m1"}]}, "id"),
        (CHAT, {"messages": [part(type="text", text="x", extras={})]}, "extras"),
        (CHAT, {"messages": [USER], "stream": True, "stream_options": {"all": True}}, "all"),
        (CHAT, {"messages": [USER], "max_completion_tokens": 5}, "max_completion_tokens"),
        (CLAUDE, {"messages": [USER], "stream": True, "stream_options": {"include_usage": True}}, "stream_options"),
        (GTE, {"messages": [USER]}, "messages"),
        (GTE, {"input": "x", "dimensions": 8}, "dimensions"),
    ],
)
def test_unknown_fields_are_refused_in_plain_text(api: Api, endpoint: str, body: Any, field: str) -> None:
    answer = api.query(endpoint, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == f'Bad request: json: unknown field "{field}"'


@pytest.mark.parametrize(
    "params",
    [
        {"max_tokens": "5"},
        {"max_tokens": True},
        {"max_tokens": 1.5},
        {"temperature": "hot"},
        {"stream": "yes"},
        {"stop": [1]},
        {"n": "2"},
        {"tools": "f"},
        {"messages": "Hello"},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": ["Hello"]},
        {"usage_context": {"a": 1}},
    ],
)
def test_wrong_types_are_refused_by_the_json_reader(api: Api, params: Any) -> None:
    answer = api.query(CHAT, {"messages": [USER], **params})
    assert answer.status_code == 400
    assert answer.text.startswith("Bad request: ")


@pytest.mark.parametrize(
    "params",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": 0},
        {"n": 0},
        {"n": 6},
        {"frequency_penalty": 3},
        {"reasoning_effort": "utmost"},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"max_tokens": 10, "thinking": {"type": "enabled", "budget_tokens": 10}},
        {"thinking": {"type": "enabled", "budget_tokens": 10}, "tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL] * 2},
        {"tools": [{"type": "function", "function": {"name": f"f{at}", "parameters": {}}} for at in range(33)]},
        {"tools": [{"type": "retrieval"}]},
        {"tools": [{"type": "function", "function": {"name": "a b", "parameters": {}}}]},
        {"tool_choice": "auto"},
        {"tools": [TOOL], "tool_choice": "any"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
    ],
)
def test_values_out_of_range_are_refused(api: Api, params: Any) -> None:
    answer = api.query(CHAT, {"messages": [USER], **params})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert answer.json()["message"].startswith("Bad request: ")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "king", "content": "Hello"}],
        [{"content": "Hello"}],
        [{"role": "user"}],
        [{"role": "system", "content": "Be brief."}],
        [USER, {"role": "system", "content": "Be brief."}],
        [part(type="text", text="")],
        [{"role": "user", "content": []}],
        [part(type="image", base64="AAAA")],
        [part(type="tool_use", id="x", name="f", input={})],
        [part(type="image_url", image_url={"url": "file:///etc/passwd"})],
        [part(type="image_url")],
        [USER, {"role": "assistant", "content": None}],
        [USER, {"role": "assistant", "content": ""}],
        [USER, RESULT],
        [USER, ASKED, USER, RESULT],
        [USER, ASKED, {**RESULT, "tool_call_id": "call_2"}],
        [USER, ASKED, {"role": "tool", "content": "42"}],
        [USER, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}],
    ],
)
def test_messages_that_make_no_conversation_are_refused(api: Api, messages: Any) -> None:
    answer = api.query(CHAT, {"messages": messages})
    assert answer.status_code == 400
    assert "Bad request: " in answer.text


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER, USER],
        [USER, {"role": "assistant", "content": "Hi"}, {"role": "assistant", "content": "there"}, USER],
        [{**USER, "name": "example_user"}],
        [USER, ASKED, RESULT],
        [USER, {**ASKED, "content": ""}, RESULT, USER],
        [USER, {**ASKED, "tool_calls": [CALL, {**CALL, "id": "call_2"}]}, {**RESULT, "tool_call_id": "call_2"}, RESULT],
        [part(type="text", text="x", cache_control={"type": "ephemeral"})],
        [part(type="image_url", image_url={"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"})],
        [part(type="image_url", image_url={"url": "https://example.com/a.png"})],
        [USER, {"role": "assistant", "content": [{"type": "reasoning", "summary": []}]}, USER],
    ],
)
def test_conversations_of_all_kinds_are_answered(api: Api, messages: Any) -> None:
    answer = api.query(CHAT, {"messages": messages})
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


def test_tool_without_parameters_is_refused_in_the_services_words(api: Api) -> None:
    answer = api.query(CHAT, {"messages": [USER], "tools": [{"type": "function", "function": {"name": "f"}}]})
    says = 'Bad request: "parameters" is a required property for "function" object in parameter "tools"'
    assert (answer.status_code, answer.json()["message"]) == (400, says)


@pytest.mark.parametrize(("endpoint", "parameter"), [(CHAT, "messages"), (GTE, "input")])
def test_the_missing_parameter_is_named(api: Api, endpoint: str, parameter: str) -> None:
    assert f"Missing required parameter: '{parameter}'" in api.query(endpoint, {}).json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"input": []},
        {"input": 5},
        {"input": [1, 2]},
        {"input": None},
        {"input": "x", "encoding_format": "hex"},
        {"input": "x", "instruction": 5},
    ],
)
def test_bad_embedding_requests_are_refused(api: Api, body: Any) -> None:
    assert api.query(BGE, body).status_code == 400


@pytest.mark.parametrize(("size", "status"), [(8, 200), (1024, 200), (1025, 400), (0, 400)])
def test_only_qwen3_vectors_can_be_shortened(api: Api, size: int, status: int) -> None:
    assert api.query(QWEN_EMBEDDING, {"input": "x", "dimensions": size}).status_code == status


@pytest.mark.parametrize(
    "body",
    [{"prompt": ""}, {"prompt": []}, {"prompt": 5}, {"prompt": "x", "logprobs": 1}, {"prompt": "x", "tools": []}],
)
def test_bad_completion_requests_are_refused(api: Api, body: Any) -> None:
    name = "completer"
    if api.http.get(f"/api/2.0/serving-endpoints/{name}").status_code == 404:
        api.created(name, provisioned("main.default.my_base"))
    assert api.query(name, body).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"messages": NaN}', b"[" * 100_000, b"\xff"])
def test_bodies_that_are_no_json_object_are_refused(api: Api, body: bytes) -> None:
    path, headers = f"/serving-endpoints/{CHAT}/invocations", {"content-type": "application/json"}
    answer = api.http.post(path, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.text.startswith("Bad request: json: ")


@pytest.mark.parametrize(("endpoint", "status"), [(CHAT, 200), (CLAUDE, 400)])
def test_claude_has_no_json_mode(api: Api, endpoint: str, status: int) -> None:
    answer = api.query(endpoint, {"messages": [USER], "response_format": {"type": "json_object"}})
    assert answer.status_code == status
    assert ("json_object" in answer.json().get("message", "")) is (status == 400)


def test_fields_are_refused_by_tag(api: Api) -> None:
    name = api.created("picky", tags={"fm_reject_fields": "temperature, strict"})
    body = {"messages": [USER]}
    assert api.query(name, body).status_code == 200
    assert api.query(name, {**body, "temperature": 0}).text == 'Bad request: json: unknown field "temperature"'
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    assert api.query(name, {**body, "tools": [strict]}).text == 'Bad request: json: unknown field "strict"'
    assert api.query(name, {**body, "tools": [TOOL]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "endpoint", "body"),
    [
        ("chat/completions", CHAT, {"messages": [USER]}),
        ("embeddings", GTE, {"input": "x"}),
    ],
)
def test_the_openai_paths_take_the_endpoint_as_model(api: Api, path: str, endpoint: str, body: Any) -> None:
    url = f"/serving-endpoints/{path}"
    assert api.post(url, {**body, "model": endpoint}).status_code == 200
    assert "'model'" in api.post(url, body).json()["message"]
    assert api.post(url, {**body, "model": "nobody"}).json()["error_code"] == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize(("path", "endpoint"), [("embeddings", CHAT), ("completions", CHAT), ("chat/completions", GTE)])
def test_an_endpoint_answers_only_its_own_task(api: Api, path: str, endpoint: str) -> None:
    answer = api.post(f"/serving-endpoints/{path}", {"model": endpoint})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert "cannot answer" in answer.json()["message"]


def test_a_served_entity_is_asked_by_name(api: Api) -> None:
    api.created("pair", provisioned(name="one"), provisioned(name="two", version="2"))
    url = "/serving-endpoints/pair/served-models/{}/invocations"
    for served in ("one", "two", "two"):
        answer = api.post(url.format(served), {"messages": [USER]})
        assert answer.headers["served-model-name"] == served
    assert api.post(url.format("three"), {"messages": [USER]}).json()["error_code"] == "ENDPOINT_NOT_FOUND"
