"""The service's habits that break clients, each switched on by a tag."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from workspace_api import CHAT, Api, Clock, external, provisioned

Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
SKY = "The sky is blue. Grass is green. What colour is the sky?"


def test_ids_can_be_null(api: Api) -> None:
    name = api.created("nameless", tags={"fm_null_ids": "true"})
    assert api.chat(name, "Hello")["id"] is None
    assert {chunk["id"] for chunk in api.stream(name, "Hello")} == {None}
    vectors = api.created("nameless-vectors", provisioned("main.default.gte"), tags={"fm_null_ids": "true"})
    assert api.query(vectors, {"input": "x"}).json()["id"] is None


@pytest.mark.parametrize("model", [None, "gpt-5-2025-08-07", "claude-sonnet-4-5-20250929"])
def test_answers_name_a_dated_model(api: Api, model: str | None) -> None:
    name = api.created(f"dated-{model}", tags={"fm_model_name": model} if model else None)
    expected = model or "my-llama-120124"
    assert api.chat(name, "Hello")["model"] == expected
    assert {chunk["model"] for chunk in api.stream(name, "Hello")} == {expected}


def test_content_can_be_a_list_with_signed_reasoning(api: Api) -> None:
    name = api.created("signed", tags={"fm_content_style": "signed"})
    reasoning, text = api.chat(name, "Hello")["choices"][0]["message"]["content"]
    signature = reasoning["summary"][0]["signature"]
    assert (reasoning["type"], text["type"], len(signature)) == ("reasoning", "text", 32)
    parts = [chunk["choices"][0]["delta"]["content"][0] for chunk in api.stream(name, "Hello")[:-1]]
    signatures = [part["summary"][0].get("signature") for part in parts if part["type"] == "reasoning"]
    assert signatures == [None] * (len(signatures) - 1) + [signature]


def test_stream_options_can_be_refused_as_unknown(api: Api) -> None:
    name = api.created("older", tags={"fm_reject_fields": "stream_options"})
    answer = api.query(name, {**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    assert (answer.status_code, answer.text) == (400, 'Bad request: json: unknown field "stream_options"')
    assert api.stream(name, "Hello")


def test_an_endpoint_scaled_to_zero_wakes_up_and_falls_asleep_again(start: Start, clock: Clock) -> None:
    api = start(clock=clock)
    name = api.created("sleepy", tags={"fm_cold_start_seconds": "20"})

    def ask() -> Any:
        return api.query(name, HELLO)

    cold = ask()
    assert (cold.status_code, cold.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "scaling up from zero" in cold.json()["message"]
    assert cold.headers["retry-after"] == "20"
    clock.now += 15
    assert (ask().status_code, ask().headers["retry-after"]) == (503, "5")
    clock.now += 5
    assert ask().status_code == 200
    clock.now += 1_799
    assert ask().status_code == 200
    clock.now += 1_800
    assert ask().status_code == 503


def test_queries_over_the_services_own_limit_are_refused_in_its_words(api: Api) -> None:
    name = api.created("few", tags={"fm_queries_per_minute": "2"})
    answers = [api.query(name, HELLO) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json() == {
        "error_code": "REQUEST_LIMIT_EXCEEDED",
        "message": f"REQUEST_LIMIT_EXCEEDED: Exceeded workspace QPS rate limit for {name}. Please use a provisioned "
        "throughput Foundation Model APIs endpoint for a higher rate limit.",
    }
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60


def test_output_tokens_are_reserved_and_what_was_not_used_is_given_back(api: Api) -> None:
    name = api.created("frugal", tags={"fm_tokens_per_minute": "1500"})
    refused = api.query(name, {**HELLO, "max_tokens": 1501})
    assert refused.status_code == 429
    expected = f"REQUEST_LIMIT_EXCEEDED: Exceeded workspace output tokens per minute rate limit for {name}."
    assert refused.json()["message"] == expected
    statuses = [api.query(name, {**HELLO, "max_tokens": 1200}).status_code for _ in range(3)]
    assert statuses == [200] * 3
    assert [api.query(name, HELLO).status_code for _ in range(2)] == [200] * 2, "1,000 are reserved without max_tokens"


def test_the_content_filter_refuses_prompts_in_azures_words(api: Api) -> None:
    name = api.created("filtered", tags={"fm_content_filter": "forbidden, taboo"})
    answer = api.query(name, {"messages": [{"role": "user", "content": "Something TABOO here"}]})
    assert answer.status_code == 400
    error = answer.json()["external_model_message"]["error"]
    assert (error["code"], error["innererror"]["code"]) == ("content_filter", "ResponsibleAIPolicyViolation")
    assert api.query(name, HELLO).status_code == 200


def test_the_content_filter_ends_answers_before_the_word(api: Api) -> None:
    name = api.created("filtered-out", tags={"fm_content_filter": "language model"})
    choice = api.chat(name, "Hello")["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert "language model" not in choice["message"]["content"]
    assert choice["message"]["content"]
    *chunks, last = api.stream(name, "Hello")
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert (last["choices"][0]["finish_reason"], text) == ("content_filter", choice["message"]["content"])


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_guardrail_can_refuse_everything(api: Api, side: str) -> None:
    name = api.created(f"strict-{side}", tags={"fm_guardrail": side})
    answer = api.query(name, HELLO)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    verdict = json.loads(answer.json()["message"])
    assert verdict["finishReason"] == f"{side}_guardrail_triggered"
    assert verdict[f"{side}_guardrail"][0]["flagged"] is True


PERSONAL = "Mail ada@example.com, call 555-123-4567, card 4111 1111 1111 1111, SSN 078-05-1120."
MASKED = "Mail <EMAIL_ADDRESS>, call <PHONE_NUMBER>, card <CREDIT_CARD>, SSN <US_SSN>."


def guarded(side: str, behavior: str) -> dict[str, Any]:
    return {"ai_gateway": {"guardrails": {side: {"pii": {"behavior": behavior}}}}}


def test_personal_data_in_a_prompt_can_be_blocked(api: Api) -> None:
    name = api.created("private", **guarded("input", "BLOCK"))
    answer = api.query(name, {"messages": [{"role": "user", "content": PERSONAL}]})
    verdict = json.loads(answer.json()["message"])
    assert (answer.status_code, verdict["finishReason"]) == (400, "input_guardrail_triggered")
    (finding,) = verdict["input_guardrail"]
    assert (finding["flagged"], finding["pii_detection"]) == (False, True)
    assert "ada@example.com" not in answer.text
    assert MASKED in json.dumps(finding["anonymized_input"])
    assert api.query(name, HELLO).status_code == 200


@pytest.mark.parametrize("side", ["input", "output"])
def test_personal_data_can_be_masked(start: Start, side: str) -> None:
    """In a prompt it never reaches the provider: it answers with the prompt's own sentence, which says so."""
    api = start()
    name = api.created("masking", **guarded(side, "MASK"))
    answer = api.text(name, "The address is ada@example.com today. What is the address today?")
    assert answer == "The address is <EMAIL_ADDRESS> today."


def test_numbers_that_are_no_personal_data_pass(api: Api) -> None:
    name = api.created("plain-numbers", **guarded("input", "BLOCK"))
    prompt = "In 2024 there were 12345 orders at 99.99, see 10.1.2.3 and 2024-12-01."
    assert api.query(name, {"messages": [{"role": "user", "content": prompt}]}).status_code == 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fm_null_ids", "maybe"),
        ("fm_content_style", "list"),
        ("fm_cold_start_seconds", "-1"),
        ("fm_queries_per_minute", "0"),
        ("fm_tokens_per_minute", "many"),
        ("fm_guardrail", "both"),
    ],
)
def test_a_tag_with_a_value_that_means_nothing_is_refused(api: Api, key: str, value: str) -> None:
    answer = api.create("refused", provisioned(), tags={key: value})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert key in answer.json()["message"]


def test_quirks_of_queries_hold_for_external_endpoints_too(start: Start) -> None:
    provider, api = start(), start()
    entity = external(provider.workspace.host, provider.workspace.token)
    api.created("ext", entity, tags={"fm_queries_per_minute": "1", "fm_content_filter": "taboo"})
    refused = api.query("ext", {"messages": [{"role": "user", "content": "taboo"}]})
    assert refused.json()["error"] == "Received error from openai"
    assert [api.query("ext", HELLO).status_code for _ in range(2)] == [200, 429]
    assert api.text(CHAT, "Hello")
