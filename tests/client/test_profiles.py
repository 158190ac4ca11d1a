"""Profiles: found by the model's own name, never guessed from a customer's name of an endpoint."""

from __future__ import annotations

import pytest

from fm_client import ModelProfile, Route, catalog, profile_for
from fm_client._profiles import DEFAULT, FAMILIES, family_of

KEYS = set(ModelProfile.__annotations__)


@pytest.mark.parametrize(
    ("endpoint", "family"),
    [
        ("databricks-claude-sonnet-4", "claude"),
        ("databricks-claude-of-tomorrow-9", "claude"),
        ("databricks-gpt-5-4-mini", "gpt"),
        ("databricks-gpt-oss-120b", "gpt-oss"),
        ("databricks-gemini-2-5-pro", "gemini"),
        ("databricks-meta-llama-3-3-70b-instruct", "llama"),
        ("databricks-llama-4-maverick", "llama"),
        ("databricks-gte-large-en", "gte"),
        ("databricks-bge-large-en", "bge"),
        ("databricks-qwen3-embedding-0-6b", "qwen-embedding"),
        ("databricks-qwen3-next-80b-a3b-instruct", "default"),
        ("system.ai.llama-4-maverick", "llama"),
    ],
)
def test_a_hosted_endpoint_tells_its_family(endpoint: str, family: str) -> None:
    assert profile_for(endpoint)["family"] == family
    assert profile_for(endpoint, Route.HOSTED)["family"] == family


@pytest.mark.parametrize("name", ["o1-something", "gpt-4o", "claude-for-legal", "my-llama", "gte-index", ""])
def test_nothing_is_guessed_from_a_customers_endpoint_name(name: str) -> None:
    assert profile_for(name) == DEFAULT


@pytest.mark.parametrize("name", ["databricks-gpt-5", "gpt-4o", "main.agents.claude-helper"])
def test_a_custom_model_has_the_default_profile_whatever_its_name(name: str) -> None:
    assert profile_for(name, Route.CUSTOM) == DEFAULT


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o", "gpt"),
        ("o1", "gpt"),
        ("o3-mini", "gpt"),
        ("claude-3-5-sonnet-20240620", "claude"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude"),
        ("us.anthropic.claude-3-haiku-20240307-v1:0", "claude"),
        ("system.ai.meta_llama_v3_1_8b_instruct", "llama"),
        ("meta-llama/Meta-Llama-3.3-70B-030424", "llama"),
        ("system.ai.gte_large_en_v1_5", "gte"),
        ("main.search.bge-large", "bge"),
        ("text-embedding-3-small", "default"),
        ("o1000", "default"),
        ("command-r", "default"),
    ],
)
def test_a_models_own_name_tells_its_family(model: str, family: str) -> None:
    assert family_of(model) == family
    assert profile_for(model, Route.EXTERNAL)["family"] == family


def test_hosted_chat_tells_usage_unasked_and_external_models_on_request() -> None:
    assert profile_for("databricks-meta-llama-3-3-70b-instruct")["sends_usage"] == "every_chunk"
    assert profile_for("databricks-kimi-k3")["sends_usage"] == "every_chunk"
    assert profile_for("claude-3-5-sonnet", Route.EXTERNAL)["sends_usage"] == "on_request"
    assert profile_for("system.ai.meta_llama_v3_1_8b_instruct", Route.PROVISIONED)["sends_usage"] == "every_chunk"
    assert profile_for("any-endpoint")["sends_usage"] == "on_request"


def test_abilities_differ_by_family() -> None:
    claude, gpt = profile_for("databricks-claude-sonnet-4-6"), profile_for("gpt-4o", Route.EXTERNAL)

    assert (claude["supports_json_object"], gpt["supports_json_object"]) == (False, True)
    assert (claude["supports_strict_tools"], gpt["supports_strict_tools"]) == (False, True)
    assert (claude["max_temperature"], gpt["max_temperature"]) == (1.0, 2.0)
    assert profile_for("databricks-gpt-oss-20b")["supports_parallel_tools"] is False


def test_embedding_profiles_know_vectors_and_query_instructions() -> None:
    gte, bge = profile_for("databricks-gte-large-en"), profile_for("databricks-bge-large-en")

    assert (gte["dimension"], gte["normalized"], gte["context_tokens"]) == (1024, False, 8192)
    assert (bge["dimension"], bge["normalized"], bge["context_tokens"]) == (1024, True, 512)
    assert "query_instruction" not in gte
    assert bge["query_instruction"] == "Represent this sentence for searching relevant passages:"
    assert profile_for("databricks-qwen3-embedding-0-6b")["dimensions_configurable"] is True


def test_the_catalogs_numbers_are_in_the_profile() -> None:
    opus = profile_for("databricks-claude-opus-4-1")

    assert (opus["context_tokens"], opus["max_output_tokens"]) == (200_000, 32_000)
    assert opus["reasoning_param"] == "thinking"
    assert profile_for("databricks-gemma-3-12b")["supports_images"] is True
    assert profile_for("databricks-claude-sonnet-4")["default_max_tokens"] == 1000


def test_only_documented_keys_are_used() -> None:
    profiles = [*FAMILIES.values(), *(profile_for(model.endpoint) for model in catalog.models())]

    assert all(profile.keys() <= KEYS for profile in profiles)
    assert all(FAMILIES[family]["family"] == family for family in FAMILIES)


def test_a_profile_is_a_copy_that_may_be_changed() -> None:
    profile = profile_for("databricks-gte-large-en")
    profile["dimension"] = 1

    assert profile_for("databricks-gte-large-en")["dimension"] == 1024


@pytest.mark.parametrize(
    ("model", "route", "tokens"),
    [
        ("system.ai.meta_llama_v3_3_70b_instruct", Route.PROVISIONED, 128_000),
        ("system.ai.llama_4_maverick", Route.PROVISIONED, 128_000),
        ("meta-llama/Llama-3.1-8B-Instruct", Route.EXTERNAL, 128_000),
        ("claude-sonnet-4-20250514", Route.EXTERNAL, 200_000),
        ("anthropic.claude-opus-4-1", Route.EXTERNAL, 200_000),
        ("gpt-5-mini-2025-08-07", Route.EXTERNAL, 400_000),
        ("main.models.my_llama", Route.PROVISIONED, None),
        ("gpt-5", Route.CUSTOM, None),
    ],
)
def test_a_model_that_is_hosted_too_has_the_same_window_elsewhere(model: str, route: Route, tokens: int | None) -> None:
    assert profile_for(model, route).get("context_tokens") == tokens
