"""External models before they are sent: what each provider needs, what it has, and credentials that stay unseen."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from fm_client import ExternalModel, InvalidRequestError, catalog
from fm_client import types as wire
from fm_client._endpoint_bodies import create_request, update_request
from fm_client._external_checks import PLAINTEXT, SECRETS

SECRET = "key-for-tests-4711"
REF = "{{secrets/scope/key}}"
CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
AZURE = {"openai_api_base": "https://x.test", "openai_api_version": "2024-06-01", "openai_deployment_name": "d"}
ENTRA = {**AZURE, "openai_api_type": "azuread", "microsoft_entra_tenant_id": "t", "microsoft_entra_client_id": "c"}
BEDROCK = {"aws_region": "eu-west-1", "bedrock_provider": "anthropic"}
KEYS = {"aws_access_key_id": REF, "aws_secret_access_key": REF}
VERTEX = {"project_id": "p", "region": "r"}
DATABRICKS = {"databricks_workspace_url": "https://x.test"}
CUSTOM = {"custom_provider_url": "https://x.test"}

GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("openai", CHAT, {"openai_api_key": REF}),
    ("openai", EMBEDDINGS, {"openai_api_key_plaintext": SECRET, "openai_organization": "o"}),
    ("openai", COMPLETIONS, {**AZURE, "openai_api_type": "azure", "openai_api_key": REF}),
    ("openai", CHAT, {**ENTRA, "microsoft_entra_client_secret": REF}),
    ("openai", CHAT, {**ENTRA, "microsoft_entra_client_secret_plaintext": SECRET}),
    ("anthropic", CHAT, {"anthropic_api_key": REF}),
    ("anthropic", COMPLETIONS, {"anthropic_api_key_plaintext": SECRET}),
    ("cohere", EMBEDDINGS, {"cohere_api_key": REF, "cohere_api_base": "https://x.test"}),
    ("databricks-model-serving", CHAT, {**DATABRICKS, "databricks_api_token": REF}),
    ("amazon-bedrock", CHAT, {**BEDROCK, **KEYS}),
    ("amazon-bedrock", CHAT, {**BEDROCK, "bedrock_provider": "Cohere", "instance_profile_arn": "arn:aws:x"}),
    ("amazon-bedrock", COMPLETIONS, {**BEDROCK, "bedrock_provider": "ai21labs", "uc_service_credential_name": "c"}),
    (
        "amazon-bedrock",
        EMBEDDINGS,
        {
            "aws_region": "r",
            "bedrock_provider": "amazon",
            "aws_access_key_id_plaintext": SECRET,
            "aws_secret_access_key": REF,
        },
    ),
    ("ai21labs", COMPLETIONS, {"ai21labs_api_key": REF}),
    ("ai21labs", CHAT, {"ai21labs_api_key": REF}),  # in no document: left to the service
    ("google-cloud-vertex-ai", COMPLETIONS, {**VERTEX, "private_key": REF}),
    ("google-cloud-vertex-ai", CHAT, {**VERTEX, "private_key_plaintext": SECRET}),  # the cell is lost: likewise
    ("palm", EMBEDDINGS, {"palm_api_key": REF}),
    ("custom", CHAT, {**CUSTOM, "bearer_token_auth": {"token": REF}}),
    ("custom", CHAT, {**CUSTOM, "api_key_auth": {"key": "x-api-key", "value_plaintext": SECRET}}),
]

BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("openai", CHAT, {}, "openai_config lacks openai_api_key (or openai_api_key_plaintext), which OpenAI needs"),
    ("openai", CHAT, {"openai_apikey": REF}, "'openai_apikey' is no field of it"),
    ("openai", CHAT, {"openai_api_key": SECRET}, "openai_api_key must be a reference {{secrets/scope/key}}"),
    ("openai", CHAT, {"openai_api_key": "{{secrets/key}}"}, "must be a reference"),
    ("openai", CHAT, {"openai_api_key": REF, "openai_api_key_plaintext": SECRET}, "not both"),
    ("openai", CHAT, {"openai_api_key_plaintext": ""}, "openai_api_key_plaintext is empty"),
    (
        "openai",
        CHAT,
        {"openai_api_key": REF, "openai_api_type": "aws"},
        "openai_api_type must be one of openai, azure, azuread",
    ),
    ("openai", CHAT, {"openai_api_type": "azure", "openai_api_key": REF}, "openai_config lacks openai_api_base"),
    (
        "openai",
        CHAT,
        {**AZURE, "openai_api_type": "azure", "openai_deployment_name": " ", "openai_api_key": REF},
        "openai_deployment_name",
    ),
    ("openai", CHAT, {**ENTRA}, "microsoft_entra_client_secret"),
    (
        "openai",
        CHAT,
        {**ENTRA, "microsoft_entra_client_secret": REF, "microsoft_entra_tenant_id": None},
        "microsoft_entra_tenant_id",
    ),
    ("anthropic", EMBEDDINGS, {"anthropic_api_key": REF}, "Anthropic has no models for llm/v1/embeddings; it has"),
    ("anthropic", "chat", {"anthropic_api_key": REF}, "external_model.task must be one of llm/v1/completions"),
    ("anthropic", "", {"anthropic_api_key": REF}, "external_model.task is missing"),
    ("amazon-bedrock", CHAT, {"bedrock_provider": "anthropic", **KEYS}, "lacks aws_region"),
    (
        "amazon-bedrock",
        CHAT,
        {"aws_region": "r", **KEYS},
        "bedrock_provider must be one of anthropic, cohere, ai21labs, amazon",
    ),
    ("amazon-bedrock", CHAT, {**BEDROCK, "bedrock_provider": "grok", **KEYS}, "bedrock_provider must be one of"),
    (
        "amazon-bedrock",
        CHAT,
        {**BEDROCK, "bedrock_provider": "amazon", **KEYS},
        "Amazon Bedrock: Amazon has no models for llm/v1/chat",
    ),
    (
        "amazon-bedrock",
        EMBEDDINGS,
        {**BEDROCK, **KEYS},
        "Amazon Bedrock: Anthropic has no models for llm/v1/embeddings",
    ),
    (
        "amazon-bedrock",
        CHAT,
        {**BEDROCK, "bedrock_provider": "ai21labs", **KEYS},
        "AI21 Labs has no models for llm/v1/chat",
    ),
    ("amazon-bedrock", CHAT, {**BEDROCK, "aws_access_key_id": REF}, "lacks aws_secret_access_key"),
    ("amazon-bedrock", CHAT, {**BEDROCK, **KEYS, "instance_profile_arn": "arn:aws:x"}, "several ways to authenticate"),
    ("amazon-bedrock", CHAT, BEDROCK, "instance_profile_arn or uc_service_credential_name"),
    ("google-cloud-vertex-ai", CHAT, {"region": "r", "private_key": REF}, "lacks project_id"),
    ("google-cloud-vertex-ai", CHAT, VERTEX, "lacks private_key"),
    ("databricks-model-serving", CHAT, {"databricks_api_token": REF}, "lacks databricks_workspace_url"),
    ("custom", CHAT, CUSTOM, "bearer_token_auth.token"),
    ("custom", CHAT, {**CUSTOM, "bearer_token_auth": {"token": SECRET}}, "bearer_token_auth.token must be a reference"),
    ("custom", CHAT, {**CUSTOM, "api_key_auth": {"value": REF}}, "lacks api_key_auth.key"),
    (
        "custom",
        CHAT,
        {**CUSTOM, "bearer_token_auth": {"token": REF}, "api_key_auth": {"key": "k", "value": REF}},
        "several ways",
    ),
]


def model(provider: str, task: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    (config,) = {entry.config for entry in catalog.external_providers(provider)}
    return {"provider": provider, "name": "m", "task": task, config: settings, **more}


@pytest.mark.parametrize(("provider", "task", "settings"), GOOD)
@pytest.mark.parametrize("typed", [False, True], ids=["object", "typed"])
def test_each_provider_is_sent_as_it_is_configured(
    provider: str, task: str, settings: dict[str, Any], typed: bool
) -> None:
    given = model(provider, task, settings)
    path, body = create_request("e", {"external_model": ExternalModel.model_validate(given) if typed else given})

    assert path == "/api/2.0/serving-endpoints"
    assert body["config"] == {"served_entities": [{"external_model": given}]}


def test_all_ways_to_use_all_providers_are_tried_above() -> None:
    tried = {
        (provider, str(settings.get("openai_api_type", settings.get("bedrock_provider"))))
        for provider, _, settings in GOOD
    }

    assert {entry.provider for entry in catalog.external_providers()} == {provider for provider, _ in tried}
    assert {way.lower() for provider, way in tried if provider == "amazon-bedrock"} == {
        "anthropic",
        "cohere",
        "ai21labs",
        "amazon",
    }
    assert {way for provider, way in tried if provider == "openai"} == {"None", "azure", "azuread"}


@pytest.mark.parametrize(("provider", "task", "settings", "says"), BAD)
@pytest.mark.parametrize("form", ["external_model", "served_entities", "config"])
def test_a_bad_configuration_is_refused_by_field_and_cure(
    provider: str, task: str, settings: dict[str, Any], says: str, form: str
) -> None:
    entity = {"name": "a", "external_model": model(provider, task, settings)}
    spec: Any = {
        "external_model": {"external_model": entity["external_model"]},
        "served_entities": {"served_entities": [entity]},
        "config": {"config": {"served_entities": [entity]}},
    }[form]
    with pytest.raises(InvalidRequestError) as caught:
        create_request("e", spec)

    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_provider_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidRequestError, match="must be one of openai, anthropic, .*FM_CATALOG"):
        create_request("e", {"external_model": {"provider": "newcomer", "name": "m", "task": CHAT}})
    with pytest.raises(InvalidRequestError, match='is the provider "openai", with openai_config.openai_api_type'):
        create_request("e", {"external_model": {"provider": "azure-openai", "name": "m", "task": CHAT}})


def test_the_settings_of_another_provider_are_refused() -> None:
    wrong = {"provider": "anthropic", "name": "m", "task": CHAT, "openai_config": {"openai_api_key": REF}}

    with pytest.raises(
        InvalidRequestError, match="openai_config is for another provider: anthropic takes anthropic_config"
    ):
        create_request("e", {"external_model": wrong})
    with pytest.raises(InvalidRequestError, match="anthropic_config is missing"):
        create_request("e", {"external_model": {"provider": "anthropic", "name": "m", "task": CHAT}})


def test_a_field_that_is_no_text_is_refused_like_any_that_is_strange() -> None:
    with pytest.raises(InvalidRequestError, match="openai_config lacks openai_api_key"):
        create_request("e", {"external_model": model("openai", COMPLETIONS, {5: "x"})})


@pytest.mark.parametrize(
    ("provider", "name", "settings"),
    [
        ("openai", "ft:gpt-4o-mini-2024-07-18:my-org::abc", {"openai_api_key": REF}),
        ("cohere", "0e1c2b1a-ft", {"cohere_api_key": REF}),
        ("ai21labs", "j2-mid-custom", {"ai21labs_api_key": REF}),
    ],
)
def test_a_fine_tuned_model_is_named_as_its_provider_names_it(
    provider: str, name: str, settings: dict[str, Any]
) -> None:
    _, body = create_request("e", {"external_model": model(provider, COMPLETIONS, settings) | {"name": name}})

    assert body["config"]["served_entities"][0]["external_model"]["name"] == name
    assert all(COMPLETIONS in entry.fine_tuned for entry in catalog.external_providers(provider))


def test_an_update_may_leave_a_credential_as_it_is_but_not_give_it_twice() -> None:
    shown: Any = model("openai", CHAT, {"openai_api_base": "https://x.test"})
    assert update_request("e", {"external_model": shown})[1]["served_entities"] == [{"external_model": shown}]

    keys = {"aws_access_key_id": REF}  # the other one is plaintext, which no answer shows
    shown = model("amazon-bedrock", CHAT, {**BEDROCK, **keys})
    assert update_request("e", {"external_model": shown})[1]["served_entities"] == [{"external_model": shown}]

    twice: Any = model("openai", CHAT, {"openai_api_key": REF, "openai_api_key_plaintext": SECRET})
    with pytest.raises(InvalidRequestError, match="not both"):
        update_request("e", {"external_model": twice})


def test_every_credential_of_the_types_is_known_to_the_checks() -> None:
    found = set()
    for name in wire.__all__:
        kind = getattr(wire, name)
        prefix = {"BearerTokenAuth": "bearer_token_auth.", "ApiKeyAuth": "api_key_auth."}.get(name, "")
        found |= {prefix + field.removesuffix(PLAINTEXT) for field in kind.model_fields if field.endswith(PLAINTEXT)}

    assert found == SECRETS


def entity(name: str | None, task: str = CHAT, **more: Any) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {**named, "external_model": model("openai", task, {"openai_api_key": REF}), **more}


@pytest.mark.parametrize(
    ("entities", "traffic", "says"),
    [
        ([], None, "served_entities is empty"),
        (["a"], None, "expected an object"),
        ([entity("a"), entity("a")], None, "two served entities are called 'a'"),
        ([entity(None), entity(None)], None, "two served entities are called 'm'"),
        ([entity("a"), entity("b", EMBEDDINGS)], None, "one task, not llm/v1/chat and llm/v1/embeddings"),
        ([entity("a"), {"name": "b", "entity_name": "a.b.c"}], None, "make two"),
        ([entity("a", entity_name="a.b.c")], None, "both external_model and entity_name"),
        ([entity("a"), entity("b")], {"a": 90}, "add up to 100, not 90"),
        ([entity("a"), entity("b")], {"a": 90, "c": 10}, "traffic names 'c', which is not served; named are a, b"),
        ([entity("a"), entity("b")], {"a": 101, "b": -1}, "from 0 to 100"),
        ([entity("a"), entity("b")], {"a": 50.0, "b": 50.0}, "from 0 to 100"),
        ([entity("a")], {}, "traffic must be shares"),
        ([{"entity_name": "a.b.c", "provisioned_model_units": 1}, {"entity_name": "a.b.d"}], None, "or none"),
        (
            [{"entity_name": "a.b.c", "provisioned_model_units": 1, "scale_to_zero_enabled": True}],
            None,
            "takes no scale_to_zero",
        ),
        ([{"entity_name": "a.b.c", "throughput_chunks": 1}], None, "throughput_chunks needs entity_version"),
        ([{"entity_name": "a.b.c", "entity_version": 1, "throughput_chunks": 0}], None, "whole number of 1 or more"),
        ([{"entity_name": "a.b.c", "entity_version": 1, "throughput_chunks": True}], None, "whole number"),
        (
            [{"entity_name": "a.b.c", "entity_version": 1, "throughput_chunks": 1, "min_throughput_chunks": 2}],
            None,
            "above",
        ),
        ([{"entity_name": "a.b.c", "min_provisioned_throughput": 9, "max_provisioned_throughput": 8}], None, "above"),
        ([{"entity_name": "a.b.c", "max_provisioned_throughput": "many"}], None, "whole number"),
    ],
)
def test_entities_that_do_not_go_together_are_refused(entities: Any, traffic: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        create_request("e", {"served_entities": entities, "traffic": traffic})

    assert says in str(caught.value)


def test_several_models_share_the_traffic_and_stand_in_for_each_other() -> None:
    _, body = create_request(
        "e",
        {
            "served_entities": [entity("a"), entity(None)],
            "traffic": {"a": 100, "m": 0},
            "ai_gateway": {"fallback_config": {"enabled": True}},
        },
    )

    assert body["config"]["traffic_config"]["routes"] == [
        {"served_entity_name": "a", "traffic_percentage": 100},
        {"served_entity_name": "m", "traffic_percentage": 0},
    ]
    assert body["ai_gateway"] == {"fallback_config": {"enabled": True}}


def test_a_secret_in_a_plain_object_is_sent_as_what_it_holds() -> None:
    hidden = model("openai", CHAT, {"openai_api_key_plaintext": SecretStr(SECRET)})
    _, body = create_request("e", {"external_model": hidden})

    sent = body["config"]["served_entities"][0]["external_model"]
    assert sent["openai_config"] == {"openai_api_key_plaintext": SECRET}
