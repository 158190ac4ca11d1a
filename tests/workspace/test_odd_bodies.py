"""Bodies that are well-formed JSON and still make trouble: each ends in an answer or a 400, soon, and never in a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workspace_api import CHAT, GTE, Api, provisioned

from fm_workspace._agent import calculate
from fm_workspace._hints import Hints

QUERY = f"/serving-endpoints/{CHAT}/invocations"
JSON = {"Content-Type": "application/json"}
LARGE = 300_000


def asked(text: str, **params: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **params}


def form(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


BAD_SCHEMAS: list[dict[str, Any]] = [
    {"type": "text"},
    {"type": [5]},
    {"type": {"a": 1}},
    {"type": "object", "properties": 5},
    {"type": "object", "properties": {"a": 5}},
    {"type": "object", "properties": {"a": {"enum": 5}}},
    {"type": "object", "required": 5, "properties": {"a": {}}},
    {"enum": {"a": 1}},
    {"allOf": 5},
    {"anyOf": {"a": 1}},
    {"anyOf": [{"allOf": [{"required": 5}]}]},
    {"type": "array", "items": 5},
    {"type": "array", "prefixItems": 5},
    {"type": "array", "minItems": "x"},
    {"type": "array", "minItems": 2, "maxItems": "q"},
    {"type": "array", "items": {"type": "string", "minLength": -5}},
    {"type": "integer", "multipleOf": 0},
    {"type": "integer", "minimum": "a"},
    {"type": "integer", "minimum": True},
    {"type": "number", "exclusiveMinimum": 10**400},
    {"type": "string", "maxLength": 2.5},
    {"type": "string", "pattern": 5},
    {"type": "string", "format": {"a": 1}},
    {"$ref": 5},
    {"$defs": {"a": {"type": 7}}},
]


@pytest.mark.parametrize("schema", BAD_SCHEMAS, ids=json.dumps)
def test_a_schema_that_is_none_is_refused_wherever_it_stands(api: Api, schema: Any) -> None:
    function = {"name": "f", "parameters": schema}
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
    bodies = [
        asked("Hi", response_format=form(schema)),
        asked("Hi", tools=[{"type": "function", "function": function}]),
        {"input": "Hi", "tools": [{"type": "function", **function}]},
        {"input": "Hi", "text": text},
    ]
    for body in bodies:
        answer = api.query(CHAT, body)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST"), answer.text
        assert "Invalid schema for" in answer.json()["message"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 10**9, "items": {}},
        {"type": "string", "minLength": 10**12},
        {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
    ],
)
def test_a_schema_that_asks_for_an_endless_answer_is_refused(api: Api, schema: Any) -> None:
    answer = api.query(CHAT, asked("Hi", response_format=form(schema)))
    assert (answer.status_code, "asks for an answer of more than" in answer.text) == (400, True)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["string", "null"]},
        {"type": "array", "items": [{"type": "string"}]},
        {"type": "object", "properties": {"type": {"type": "string"}, "required": {"type": "boolean"}}},
        {"anyOf": [{"type": "integer", "exclusiveMinimum": 0, "multipleOf": 0.5}, {"type": "null"}]},
        {"type": "object", "properties": {}, "additionalProperties": False},
    ],
    ids=json.dumps,
)
def test_schemas_of_all_drafts_pass(api: Api, schema: Any) -> None:
    assert api.query(CHAT, asked("Hi 3", response_format=form(schema))).status_code == 200


@pytest.mark.parametrize(
    "config", [{"a": 1}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "name": "x"}]
)
def test_a_form_of_text_that_is_none_is_refused(api: Api, config: Any) -> None:
    answer = api.query(CHAT, {"input": "Hi", "text": {"format": config}})
    assert (answer.status_code, "text.format" in answer.text) == (400, True), answer.text


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
@pytest.mark.parametrize(
    "body", ['{"input":"x","metadata":%s}', '{"messages":[{"role":"user","content":"x"}],"seed":%s}']
)
def test_a_number_that_no_answer_could_quote_is_no_json(api: Api, body: str, number: str) -> None:
    answer = api.http.post(QUERY, content=body % number, headers=JSON)
    assert (answer.status_code, answer.text) == (400, "Bad request: json: invalid JSON (ValueError)")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
def test_json_is_utf_8(api: Api, encoding: str) -> None:
    body = json.dumps(asked("é"), ensure_ascii=False).encode(encoding)
    assert api.http.post(QUERY, content=body, headers=JSON).status_code == 400


@pytest.mark.parametrize("sum_of", ["1+" * 5_000 + "1", "99999*" * 70 + "1", "9" * 450 + "+1", "2/" * 200 + "0"])
def test_sums_that_are_too_much_are_said_to_be(sum_of: str) -> None:
    assert "worked out" in calculate(sum_of)


@pytest.mark.parametrize(
    "text",
    ["a" * LARGE, "1" * LARGE, "a." * (LARGE // 2), "1234-56-7" * (LARGE // 9), "a@" * (LARGE // 2)],
    ids=["letters", "digits", "dots", "dashes", "ats"],
)
def test_looking_for_personal_data_takes_no_longer_than_reading_the_text(api: Api, text: str) -> None:
    mask = {"pii": {"behavior": "MASK"}}
    name = "searched"
    if api.http.get(f"/api/2.0/serving-endpoints/{name}").status_code == 404:
        api.created(name, ai_gateway={"guardrails": {"input": mask, "output": mask}})
    fields = {"mail": {"type": "string", "format": "email"}, "day": {"type": "string", "format": "date"}}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    assert api.query(name, asked(text, response_format=form(schema))).status_code == 200  # within the client's 10 s


def test_a_mail_address_in_the_middle_of_a_text_is_still_found(api: Api) -> None:
    name = api.created("masked-mail", ai_gateway={"guardrails": {"input": {"pii": {"behavior": "MASK"}}}})
    said = api.text(name, "Write to <ada.l+x@mail.example.co.uk>, please.")
    assert "Write to <<EMAIL_ADDRESS>>, please." in said


def test_a_pattern_that_tries_without_end_is_tried_on_short_words_alone() -> None:
    assert Hints("a" * 40 + "b").fitting("^(a+)+$") is None
    assert Hints("a" * 60 + "b").fitting("a*a*a*a*a*a*a*a*c") is None
    assert Hints("the word is some-slug").fitting("^[a-z]+(-[a-z]+)+$") == "some-slug"
    assert Hints("any").fitting("a{99999999999}") is None


@pytest.mark.parametrize(
    "quotes", [b'\\"' * 2_000_000, b'"' * 4_000_000, b'"\\\\' * 1_300_000], ids=["escaped", "bare", "both"]
)
def test_the_depth_of_a_body_is_known_at_once_whatever_its_texts_are(api: Api, quotes: bytes) -> None:
    answer = api.http.post(QUERY, content=b'{"a":' + b"[" * 101 + quotes, headers=JSON)
    assert answer.status_code == 400


@pytest.mark.parametrize("body", [{"input": ["a"] * 2_049}, {"prompt": ["a"] * 2_049}])
def test_more_texts_than_a_query_may_have_are_refused(api: Api, body: Any) -> None:
    name = GTE
    if "prompt" in body:
        name = api.created("base", provisioned("main.default.my_base"))
    answer = api.query(name, body)
    assert (answer.status_code, "at most 2048 texts, got 2049" in answer.text) == (400, True), answer.text


def test_queries_of_endpoints_that_do_not_exist_are_counted_nowhere(api: Api) -> None:
    name = "made-later"
    assert api.query(name, asked("Hi")).status_code == 404
    api.created(name)
    assert "request_count_total" in (found := api.http.get(f"/api/2.0/serving-endpoints/{name}/metrics").text)
    assert "} 1" not in found


def test_texts_without_end_leave_no_count_wrong(api: Api) -> None:
    assert api.query(GTE, {"input": ['"[[[[', "\\", '\\"', "]]"] * 50}).status_code == 200
