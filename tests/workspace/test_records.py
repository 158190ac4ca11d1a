"""Rows of usage and inference: what the gateway of an endpoint keeps of its queries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workspace_api import CHAT, CONTROL, GTE, Api, external, provisioned

from fm_workspace import _records
from fm_workspace._database import Database
from fm_workspace._records import INFERENCE, USAGE, Records
from fm_workspace._simulated import REASONING

Start = Callable[..., Api]
TRACKED = {
    "usage_tracking_config": {"enabled": True},
    "inference_table_config": {
        "enabled": True,
        "catalog_name": "main",
        "schema_name": "default",
        "table_name_prefix": "x",
    },
}
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
INFERENCE_COLUMNS = {
    "databricks_request_id",
    "request_date",
    "client_request_id",
    "request_time",
    "status_code",
    "sampling_fraction",
    "execution_duration_ms",
    "request",
    "response",
    "logging_error_codes",
    "served_entity_id",
    "requester",
}
"""Those that were seen in tables of the service."""


def test_a_whole_answer_has_a_row_of_both_kinds(start: Start) -> None:
    api = start()
    name = api.created("tracked", ai_gateway=TRACKED)
    body = {**HELLO, "client_request_id": "mine", "usage_context": {"team": "a"}}
    answer = api.query(name, body)
    (usage,), (row,) = api.workspace.usage(name), api.workspace.inference_rows(name)
    told = answer.json()["usage"]
    assert (usage["input_token_count"], usage["output_token_count"]) == (
        told["prompt_tokens"],
        told["completion_tokens"],
    )
    assert usage["usage_context"] == {"team": "a"}
    assert (usage["endpoint_name"], usage["request_streaming"]) == (name, False)
    assert row.keys() == INFERENCE_COLUMNS
    assert json.loads(row["request"]) == body
    assert json.loads(row["response"]) == answer.json()
    assert row["databricks_request_id"] == usage["databricks_request_id"] == answer.headers["x-request-id"]
    assert (row["client_request_id"], row["requester"], row["status_code"]) == ("mine", "local-user", 200)
    assert row["request_time"].startswith(row["request_date"])


@pytest.mark.parametrize("style", ["cumulative", "nulls", "final"])
def test_a_stream_has_one_too_with_its_last_usage(start: Start, style: str) -> None:
    api = start()
    name = api.created("tracked", ai_gateway=TRACKED, tags={"fm_usage_style": style})
    chunks = api.stream(name, "Hello", stream_options={"include_usage": True})
    (usage,), (row,) = api.workspace.usage(), api.workspace.inference_rows(name)
    assert usage["output_token_count"] == chunks[-1]["usage"]["completion_tokens"]
    assert usage["request_streaming"] is True
    assert row["response"].endswith("data: [DONE]\n\n")


def test_a_stream_that_tells_no_usage_has_none(start: Start) -> None:
    api = start()
    name = api.created("tracked", ai_gateway=TRACKED, tags={"fm_usage_style": "never"})
    api.stream(name, "Hello")
    (usage,) = api.workspace.usage()
    assert usage["output_token_count"] is None


def test_a_stream_that_was_left_has_what_came_of_it(start: Start) -> None:
    api = start()
    name = api.created("tracked", ai_gateway=TRACKED)
    schema = {"type": "object", "properties": {f"field_{at}": {"type": "string"} for at in range(2000)}}
    form = {"type": "json_schema", "json_schema": {"name": "wide", "schema": schema}}
    body = {**HELLO, "response_format": form, "stream": True}
    with api.http.stream("POST", f"/serving-endpoints/{name}/invocations", json=body) as answer:
        next(answer.iter_bytes())
    for _ in range(500):
        if rows := api.workspace.inference_rows(name):
            break
        assert api.query(CHAT, HELLO).status_code == 200
    assert 0 < len(rows[0]["response"])
    assert not rows[0]["response"].endswith("data: [DONE]\n\n")


def test_embeddings_and_failures_are_kept_with_their_status(start: Start) -> None:
    api = start()
    api.http.put(f"{CONTROL}/{GTE}/ai-gateway", json=TRACKED)
    api.query(GTE, {"input": "x"})
    api.query(GTE, {"input": "x", "colour": "red"})
    api.query(GTE, {"input": []})
    assert [row["status_code"] for row in api.workspace.usage(GTE)] == [200, 400, 400]
    assert "unknown field" in api.workspace.inference_rows(GTE)[1]["response"]
    assert api.workspace.usage(GTE)[0]["output_token_count"] is None


def test_fallback_names_the_entity_that_answered(start: Start) -> None:
    provider, api = start(), start()
    down = external("http://127.0.0.1:1", "token-for-tests", name="down")
    good = external(provider.workspace.host, provider.workspace.token, name="good")
    gateway = {**TRACKED, "fallback_config": {"enabled": True}}
    routes = [{"served_entity_name": "down", "traffic_percentage": 100}]
    api.created("sturdy", down, good, routes=routes, ai_gateway=gateway)
    api.query("sturdy", HELLO)
    api.post("/serving-endpoints/sturdy/served-models/down/invocations", HELLO)
    good_row, down_row = api.workspace.usage()
    assert (good_row["status_code"], down_row["status_code"]) == (200, 502)
    assert good_row["served_entity_id"] != down_row["served_entity_id"]


def test_nothing_is_kept_unless_the_gateway_says_so(start: Start) -> None:
    api = start()
    api.text(CHAT, "Hello")
    assert (api.workspace.usage(), api.workspace.inference_rows(CHAT)) == ([], [])


def test_rows_are_read_over_http_and_survive_a_restart(start: Start, tmp_path: Path) -> None:
    first = start(state=tmp_path / "state.db")
    name = first.created("tracked", ai_gateway=TRACKED)
    first.text(name, "Hello")
    rows = first.workspace.usage(), first.workspace.inference_rows(name)
    first.workspace.stop()
    second = start(state=tmp_path / "state.db")
    assert second.http.get("/api/fm/usage", params={"endpoint": name}).json() == {"rows": rows[0]}
    assert second.http.get("/api/fm/usage", params={"endpoint": "other"}).json() == {"rows": []}
    assert second.http.get(f"/api/fm/inference-tables/{name}").json() == {"rows": rows[1]}


def test_what_is_too_large_for_a_row_is_left_out_and_said(start: Start) -> None:
    api = start()
    name = api.created("tracked", ai_gateway=TRACKED)
    long = {"messages": [{"role": "user", "content": "x" * 1_100_000}]}
    assert api.query(name, long).status_code == 200
    (row,) = api.workspace.inference_rows(name)
    assert (row["request"], row["logging_error_codes"]) == (None, ["MAX_REQUEST_SIZE_EXCEEDED"])


def test_the_oldest_rows_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_records, "MAX_ROWS", 100)
    records = Records(Database())
    for number in range(1_000):
        records.add(USAGE, "x", {"number": number})
    found: list[Any] = [row["number"] for row in records.rows(USAGE)]
    assert found[-1] == 999
    assert len(found) <= 100 + _records.SPARE_ROWS
    assert found == list(range(found[0], 1_000))


def test_large_rows_give_way_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_records, "MAX_CHARS", 10_000)
    monkeypatch.setattr(_records, "SPARE_CHARS", 5_000)
    records = Records(Database())
    for number in range(100):
        records.add(INFERENCE, "x", {"number": number, "response": "x" * 1_000})
        records.add(USAGE, "x", {"number": number})
    found: list[Any] = [row["number"] for row in records.rows(INFERENCE)]
    assert (5 <= len(found) <= 15, found) == (True, list(range(found[0], 100)))
    assert len(records.rows(USAGE)) == 100


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["chat", "parts", "completions", "responses", "chat-agent", "responses-agent"])
def test_usage_counts_the_characters_of_the_texts(start: Start, kind: str, stream: bool) -> None:
    models = {
        "parts": "my_gpt_oss",
        "completions": "my_base",
        "chat-agent": "agent",
        "responses-agent": "responses_agent",
    }
    prompt, said = "Wie heißt die Stadt? Die Stadt heißt Zürich.", "Die Stadt heißt Zürich."
    api = start()
    entity = provisioned(f"main.default.{models.get(kind, 'my_llama')}")
    name = api.created("tracked", entity, ai_gateway=TRACKED)
    query: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
    if kind == "completions":
        query = {"prompt": [prompt]}
    if kind.startswith("responses"):
        query = {"input": prompt}
    assert api.query(name, {**query, "stream": stream}).status_code == 200
    (row,) = api.workspace.usage(name)
    reasoning = len(REASONING) if kind == "parts" else 0
    assert (row["input_character_count"], row["output_character_count"]) == (len(prompt), len(said) + reasoning)


def test_a_failure_has_no_characters_of_an_answer(start: Start) -> None:
    api = start()
    name = api.created("tracked", ai_gateway=TRACKED)
    api.query(name, {"messages": [{"role": "user", "content": "Hello"}], "colour": "red"})
    (row,) = api.workspace.usage(name)
    assert (row["input_character_count"], row["output_character_count"]) == (5, 0)
