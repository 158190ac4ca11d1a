"""The AI gateway's configuration: sent as it was meant, refused where it means nothing."""

from __future__ import annotations

from typing import Any

import pytest

from fm_client import (
    AiGatewayConfig,
    GuardrailParameters,
    Guardrails,
    InferenceTableConfig,
    InvalidRequestError,
    PiiGuardrail,
    RateLimit,
    Switch,
)
from fm_client._gateway_bodies import gateway_body, older_rate_limits


def test_the_whole_gateway_is_sent_and_a_limits_period_is_filled_in() -> None:
    gateway = AiGatewayConfig(
        fallback_config=Switch(enabled=True),
        guardrails=Guardrails(
            input=GuardrailParameters(invalid_keywords=["x"], pii=PiiGuardrail(behavior="MASK"), safety=True),
            output=GuardrailParameters(valid_topics=["y"]),
        ),
        inference_table_config=InferenceTableConfig(catalog_name="c", schema_name="s", enabled=True),
        rate_limits=[RateLimit(calls=10), RateLimit(tokens=500, key="user_group", principal="analysts")],
        usage_tracking_config=Switch(enabled=True),
    )

    assert gateway_body(gateway) == {
        "fallback_config": {"enabled": True},
        "guardrails": {
            "input": {"invalid_keywords": ["x"], "pii": {"behavior": "MASK"}, "safety": True},
            "output": {"valid_topics": ["y"]},
        },
        "inference_table_config": {"catalog_name": "c", "schema_name": "s", "enabled": True},
        "rate_limits": [
            {"calls": 10, "renewal_period": "minute"},
            {"tokens": 500, "key": "user_group", "principal": "analysts", "renewal_period": "minute"},
        ],
        "usage_tracking_config": {"enabled": True},
    }


@pytest.mark.parametrize("gateway", [{}, {"rate_limits": []}, {"a_field_of_tomorrow": 1}, {"guardrails": None}])
def test_what_is_not_known_here_is_left_to_the_service(gateway: dict[str, Any]) -> None:
    assert gateway_body(gateway) == gateway


@pytest.mark.parametrize(
    ("gateway", "says"),
    [
        ({"rate_limits": [{"key": "user"}]}, "rate_limits[0] limits nothing: give calls or tokens"),
        ({"rate_limits": [{"calls": 1}, {"calls": -1}]}, "rate_limits[1].calls must be a whole number of 0 or more"),
        ({"rate_limits": [{"calls": True}]}, "rate_limits[0].calls"),
        ({"rate_limits": [{"tokens": 1.5}]}, "rate_limits[0].tokens"),
        ({"rate_limits": [{"calls": 1, "key": "team"}]}, "rate_limits[0].key must be one of endpoint, user,"),
        ({"rate_limits": [{"calls": 1, "key": "user_group"}]}, "rate_limits[0].principal is missing"),
        ({"rate_limits": [{"calls": 1, "renewal_period": "hour"}]}, "can only be 'minute'"),
        ({"rate_limits": {"calls": 1}}, "rate_limits must be a list"),
        ({"guardrails": []}, "guardrails must be an object"),
        (
            {"guardrails": {"input": {"pii": {"behavior": "HIDE"}}}},
            "guardrails.input.pii.behavior must be one of NONE, BLOCK, MASK",
        ),
        ({"guardrails": {"output": {"invalid_keywords": "word"}}}, "guardrails.output.invalid_keywords must be texts"),
        ({"guardrails": {"output": {"safety": "yes"}}}, "guardrails.output.safety must be true or false"),
        (
            {"inference_table_config": {"enabled": True, "catalog_name": "c"}},
            "inference_table_config.schema_name is missing",
        ),
        ({"fallback_config": {}}, "fallback_config.enabled must be true or false"),
        ({"usage_tracking_config": True}, "usage_tracking_config must be an object"),
    ],
)
def test_what_means_nothing_is_refused_by_its_place(gateway: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        gateway_body(gateway)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    "limit", [{"calls": 1, "tokens": 1}, {"calls": 1, "key": "user_group", "principal": "g"}, {"tokens": 1}]
)
def test_limits_of_the_older_kind_count_calls_only(limit: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        older_rate_limits([limit])

    assert older_rate_limits([{"calls": 1, "key": "user"}]) == [{"calls": 1, "key": "user", "renewal_period": "minute"}]
