"""The control plane's objects: lenient in reading, exact in sending, and silent about credentials."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from fm_client.types import (
    AiGatewayConfig,
    ApiKeyAuth,
    BearerTokenAuth,
    CustomProviderConfig,
    Endpoint,
    ExternalModel,
    OpenAIConfig,
    ServedEntity,
    TrafficConfig,
)
from fm_client.types.external import PROVIDER_CONFIGS, Provider

SECRET = "key-for-tests-4711"

DETAILED: dict[str, Any] = {
    "name": "llama",
    "id": "0123456789abcdef",
    "creation_timestamp": 1718000000000,
    "state": {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"},
    "config": {
        "config_version": 1,
        "served_entities": [
            {
                "name": "llama-1",
                "entity_name": "system.ai.meta_llama_v3_1_8b_instruct",
                "entity_version": 2,
                "state": {"deployment": "DEPLOYMENT_READY", "deployment_state_message": ""},
            }
        ],
        "traffic_config": {"routes": [{"served_model_name": "llama-1", "traffic_percentage": "90"}]},
    },
    "pending_config": {
        "config_version": 2,
        "start_time": 1718000000001,
        "served_entities": [
            {
                "name": "llama-2",
                "entity_name": "system.ai.meta_llama_v3_1_8b_instruct",
                "provisioned_model_units": 50,
                "state": {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": "No capacity in this region."},
            },
            {"name": "llama-3", "state": {"deployment": "DEPLOYMENT_ABORTED"}},
        ],
    },
    "task": "llm/v1/chat",
    "tags": [{"key": "team", "value": 7}, {"key": "bare"}],
    "permission_level": "CAN_MANAGE",
    "a_field_of_tomorrow": {"x": 1},
}


def external(**config: Any) -> ExternalModel:
    return ExternalModel(provider="openai", name="gpt-4o", task="llm/v1/chat", openai_config=OpenAIConfig(**config))


def test_a_detailed_endpoint_is_read_whole() -> None:
    endpoint = Endpoint.model_validate(DETAILED)

    assert (endpoint.is_ready, endpoint.is_updating) == (False, False)
    assert endpoint.model_name == "system.ai.meta_llama_v3_1_8b_instruct"
    assert endpoint.failure == "llama-2: No capacity in this region.; llama-3: DEPLOYMENT_ABORTED"
    assert endpoint.served_entities[0].entity_version == "2"
    assert [(tag.key, tag.value) for tag in endpoint.tags or []] == [("team", "7"), ("bare", None)]


def test_unknown_fields_are_kept_and_nothing_is_made_up() -> None:
    dumped = Endpoint.model_validate(DETAILED).to_dict()

    assert dumped["a_field_of_tomorrow"] == {"x": 1}
    assert dumped.keys() == DETAILED.keys()


def test_percentages_may_be_text() -> None:
    traffic = TrafficConfig.model_validate({"routes": [{"traffic_percentage": "90", "served_entity_name": "a"}]})

    assert traffic.to_dict() == {"routes": [{"traffic_percentage": 90, "served_entity_name": "a"}]}


@pytest.mark.parametrize(
    "summary",
    [
        {"name": "e"},
        {"name": "e", "state": None, "config": None, "tags": None, "ai_gateway": None},
        {"name": "e", "state": {}, "config": {}},
        {"name": "e", "config": {"served_entities": None, "served_models": []}},
    ],
)
def test_a_summary_may_lack_nearly_everything(summary: dict[str, Any]) -> None:
    endpoint = Endpoint.model_validate(summary)

    assert (endpoint.is_ready, endpoint.is_updating, endpoint.failure) == (False, False, None)
    assert (endpoint.task, endpoint.model_name, endpoint.served_entities) == (None, None, [])


def test_the_task_of_an_external_model_is_the_endpoints() -> None:
    entity = {"external_model": {"provider": "openai", "name": "gpt-4o", "task": "llm/v1/chat"}}
    data = {"name": "e", "config": {"served_entities": [entity]}}
    endpoint = Endpoint.model_validate(data)

    assert (endpoint.task, endpoint.model_name) == ("llm/v1/chat", "gpt-4o")
    assert endpoint.to_dict() == data


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ({"external_model": {"provider": "x-new", "name": "m"}}, "m"),
        ({"foundation_model": {"name": "databricks-gte-large-en"}}, "databricks-gte-large-en"),
        ({"entity_name": "a.b.c", "foundation_model": {"name": "shown"}}, "a.b.c"),
        ({"model_name": "a.b.c"}, "a.b.c"),
        ({}, None),
    ],
)
def test_the_underlying_model_has_one_name(entity: dict[str, Any], name: str | None) -> None:
    assert ServedEntity.model_validate(entity).underlying == name


def test_the_gateway_is_read_with_all_its_parts() -> None:
    data = {
        "fallback_config": {"enabled": True},
        "guardrails": {"input": {"pii": {"behavior": "BLOCK"}, "safety": True}, "output": {"valid_topics": ["a"]}},
        "inference_table_config": {"catalog_name": "c", "schema_name": "s", "enabled": False},
        "rate_limits": [{"calls": 10, "renewal_period": "minute", "key": "user_group", "principal": "g"}],
        "usage_tracking_config": {"enabled": True},
    }

    assert AiGatewayConfig.model_validate(data).to_dict() == data


def test_a_credential_is_shown_nowhere_and_sent_only_by_to_wire() -> None:
    model = external(openai_api_key_plaintext=SECRET, openai_api_base="https://example.test")
    entity = ServedEntity(name="a", external_model=model)

    for shown in (repr(model), str(model), repr(entity), f"{entity}", str(model.to_dict()), model.model_dump_json()):
        assert SECRET not in shown
    assert model.to_wire() == {
        "provider": "openai",
        "name": "gpt-4o",
        "task": "llm/v1/chat",
        "openai_config": {"openai_api_key_plaintext": SECRET, "openai_api_base": "https://example.test"},
    }
    assert entity.to_wire() == {"name": "a", "external_model": model.to_wire()}


@pytest.mark.parametrize(
    "config",
    [
        CustomProviderConfig(
            custom_provider_url="https://x.test", bearer_token_auth=BearerTokenAuth(token_plaintext=SECRET)
        ),
        CustomProviderConfig(
            custom_provider_url="https://x.test", api_key_auth=ApiKeyAuth(key="k", value_plaintext=SECRET)
        ),
    ],
)
def test_nested_credentials_are_hidden_and_sent_too(config: CustomProviderConfig) -> None:
    assert SECRET not in repr(config) + json.dumps(config.to_dict())
    assert SECRET in json.dumps(config.to_wire())


def test_what_is_wrong_with_a_credential_is_told_without_showing_it() -> None:
    with pytest.raises(ValidationError) as caught:
        OpenAIConfig.model_validate({"openai_api_key_plaintext": [SECRET]})

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("provider", get_args(Provider))
def test_every_provider_has_its_settings(provider: str) -> None:
    field = PROVIDER_CONFIGS[provider]
    model = ExternalModel.model_validate({"provider": provider, "name": "m", field: {"a_field_of_tomorrow": 1}})

    assert model.config is getattr(model, field)
    assert model.config is not None
    assert model.to_wire() == {"provider": provider, "name": "m", field: {"a_field_of_tomorrow": 1}}
    assert all(
        name.endswith("_plaintext") == ("SecretStr" in str(info))
        for name, info in type(model.config).model_fields.items()
    )


def test_a_credential_that_is_assigned_later_is_hidden_too() -> None:
    config = OpenAIConfig()
    config.openai_api_key_plaintext = SECRET

    assert SECRET not in repr(config)
    assert config.to_wire() == {"openai_api_key_plaintext": SECRET}


def test_a_provider_of_tomorrow_is_kept() -> None:
    model = ExternalModel.model_validate({"provider": "newcomer", "name": "m", "newcomer_config": {"k": "v"}})

    assert model.config is None
    assert model.to_wire()["newcomer_config"] == {"k": "v"}
