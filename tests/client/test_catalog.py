"""The catalog: complete, sourced, dated, and read as what its schema says.

The counts below are those of the documents: 43 pay-per-token endpoints on the service's page of 2026-06-18, six in
December 2024, and 27 further names in a third party's price map of November 2026.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from importlib import resources
from typing import get_args

import pytest

from fm_client import ExternalModel, catalog
from fm_client.types.external import Provider

TASKS = {"llm/v1/chat", "llm/v1/embeddings", None}
DEC_2024 = {
    "databricks-gte-large-en",
    "databricks-meta-llama-3-3-70b-instruct",
    "databricks-meta-llama-3-1-405b-instruct",
    "databricks-dbrx-instruct",
    "databricks-mixtral-8x7b-instruct",
    "databricks-bge-large-en",
}


def raw(name: str) -> str:
    return resources.files("fm_client").joinpath("data", f"{name}.json").read_text(encoding="utf-8")


def test_the_catalog_has_as_many_models_as_its_documents() -> None:
    models = catalog.models()

    assert sum("2026-06" in model.eras for model in models) == 43
    assert {model.endpoint for model in models if "2024-12" in model.eras} == DEC_2024
    assert sum(model.eras == ("2026-11",) for model in models) == 27
    assert len(models) == 43 + 27 + 2  # two of the six of 2024 are gone in 2026
    assert len({model.endpoint for model in models}) == len(models)


def test_the_documented_providers_are_counted_as_on_the_page() -> None:
    documented = [model for model in catalog.models() if "2026-06" in model.eras]

    assert sum(model.endpoint.startswith("databricks-gpt-5") for model in documented) == 14
    assert sum(model.endpoint.startswith("databricks-gemini") for model in documented) == 7
    assert sum(model.endpoint.startswith("databricks-claude") for model in documented) == 10


@pytest.mark.parametrize("model", catalog.models(), ids=lambda model: model.endpoint)
def test_every_model_keeps_the_schema(model: catalog.HostedModel) -> None:
    known = {field.name for field in fields(catalog.HostedModel)}

    assert model.task in TASKS
    assert model.sources
    assert set(model.sources) <= catalog.sources().keys()
    assert model.eras == tuple(sorted(model.eras))
    assert set(model.third_party) <= known | {"*"}
    assert model.reasoning in {"always", "effort", "thinking", "supported", None}
    assert all(isinstance(n, int) and n > 0 for n in (model.context_tokens, model.max_output_tokens) if n is not None)
    assert (model.dimension is not None) == (model.task == "llm/v1/embeddings")
    assert model.display_name


def test_what_only_a_third_party_states_says_so() -> None:
    for model in catalog.models():
        assert (model.third_party == ("*",)) == (model.sources == ("litellm_2026_11",))

    haiku = catalog.get("databricks-claude-haiku-4-5")
    assert haiku is not None
    assert {"context_tokens", "max_output_tokens", "capabilities"} <= set(haiku.third_party)


def test_every_source_is_a_public_document_with_a_date() -> None:
    for source in catalog.sources().values():
        assert re.fullmatch(r"20\d\d(-\d\d){0,2}", source.date)
        assert source.title
        assert source.kind
    assert not re.search(r"/work|/tmp|/home|\.ja\.txt|recollect[^i]", raw("catalog"))
    assert not re.search(r"/work|/tmp|/home|\.ja\.txt", raw("retirements"))


def test_the_embedding_models_know_their_vectors() -> None:
    gte, bge = catalog.get("databricks-gte-large-en"), catalog.get("databricks-bge-large-en")

    assert gte is not None
    assert bge is not None
    assert (gte.dimension, gte.normalized, gte.context_tokens) == (1024, False, 8192)
    assert (bge.dimension, bge.normalized, bge.context_tokens) == (1024, True, 512)
    assert {model.endpoint for model in catalog.models(task="llm/v1/embeddings")} == {
        "databricks-gte-large-en",
        "databricks-bge-large-en",
        "databricks-qwen3-embedding-0-6b",
    }


def test_models_are_found_by_task_and_provider() -> None:
    found = catalog.models(task="llm/v1/chat", provider="meta")

    assert {model.endpoint for model in found} == {
        "databricks-llama-4-maverick",
        "databricks-meta-llama-3-3-70b-instruct",
        "databricks-meta-llama-3-1-405b-instruct",
        "databricks-meta-llama-3-1-8b-instruct",
    }
    assert catalog.get("my-own-endpoint") is None


def test_the_families_for_provisioned_throughput_are_those_of_the_documents() -> None:
    families = catalog.provisioned_families()

    assert sum("2024-12" in family.eras for family in families) == 12
    assert {family.family for family in families if family.eras == ("2025",)} == {
        "Meta Llama 4 Maverick",
        "DeepSeek R1",
    }


def test_retirements_are_dated_and_say_what_is_unverified() -> None:
    entries = catalog.retirements()

    assert len(entries) == 14
    assert [entry.date for entry in entries] == sorted(entry.date for entry in entries)
    assert all(set(entry.unverified) <= {"date", "replacement"} for entry in entries)
    assert {entry.endpoint for entry in entries if "date" not in entry.unverified} == {
        "databricks-meta-llama-3-1-70b-instruct",
        "databricks-meta-llama-3-1-405b-instruct",
        None,
        "databricks-gemini-3-pro",
        "databricks-claude-3-7-sonnet",
        "databricks-gpt-5-1-codex-max",
        "databricks-gpt-5-1-codex-mini",
        "databricks-gpt-5-2-codex",
    }
    assert all(set(entry.sources) <= catalog.sources().keys() for entry in entries)


def test_a_replacement_is_followed_over_generations() -> None:
    first = catalog.retirement("databricks-mpt-7b-instruct")

    assert first is not None
    assert first.replacement == "databricks-mixtral-8x7b-instruct"
    assert catalog.replacement("databricks-mpt-7b-instruct") == "databricks-llama-4-maverick"
    assert catalog.replacement("databricks-meta-llama-3-1-405b-instruct") is None
    assert catalog.replacement("databricks-gte-large-en") is None


def test_a_replacement_is_an_endpoint_of_the_catalog() -> None:
    replaced = {entry.endpoint for entry in catalog.retirements() if entry.endpoint and entry.replacement}

    assert all(catalog.get(catalog.replacement(endpoint) or "") for endpoint in replaced)


def test_a_notice_says_what_is_unsure() -> None:
    assert catalog.retirement_notice("databricks-gte-large-en") is None
    assert catalog.retirement_notice("databricks-claude-3-7-sonnet") == "Claude 3.7 Sonnet was retired on 2026-04-12."
    assert catalog.retirement_notice("databricks-dbrx-instruct") == (
        "DBRX Instruct was retired (on 2025-04-30, unverified); use 'databricks-llama-4-maverick' (unverified)."
    )


def test_close_names_are_of_the_catalog_and_of_what_is_known_besides() -> None:
    assert catalog.close_names("databricks-meta-llama-3.3-70b-instruct")[0] == "databricks-meta-llama-3-3-70b-instruct"
    assert catalog.close_names("my-gpt4", known=["my-gpt-4", "other"]) == ("my-gpt-4",)
    assert catalog.close_names("x" * 100_000) == ()
    assert "databricks-dbrx-instruct" not in catalog.close_names("databricks-dbrx-instruc")


def test_the_files_are_plain_json_with_a_version() -> None:
    for name in ("catalog", "retirements", "providers", "limits"):
        assert json.loads(raw(name))["schema_version"] == 1


def test_the_providers_are_the_rows_of_the_documents() -> None:
    chat = catalog.external_providers(task="llm/v1/chat")
    bedrock = {entry.variant: entry for entry in catalog.external_providers("amazon-bedrock")}

    assert {entry.provider for entry in catalog.external_providers()} == set(get_args(Provider))
    assert "ai21labs" not in {entry.provider for entry in chat}
    assert {vendor for vendor, entry in bedrock.items() if "llm/v1/chat" in entry.tasks} == {"anthropic", "cohere"}
    assert {vendor for vendor, entry in bedrock.items() if "llm/v1/embeddings" in entry.tasks} == {"amazon", "cohere"}
    assert {entry.name for entry in catalog.external_providers() if entry.fine_tuned} == {
        "OpenAI",
        "Azure OpenAI (key)",
        "Azure OpenAI (Entra ID)",
        "Cohere",
        "AI21 Labs",
    }


@pytest.mark.parametrize("entry", catalog.external_providers(), ids=lambda entry: entry.name)
def test_every_provider_names_fields_that_there_are(entry: catalog.ExternalProvider) -> None:
    external = ExternalModel.model_validate({"provider": entry.provider, "name": "m", entry.config: {}})
    assert external.config is not None
    fields = type(external.config).model_fields
    named = {*entry.required, *(field.partition(".")[0] for way in entry.auth for field in way)}

    assert named <= fields.keys()
    assert entry.variant_field is None or entry.variant_field in fields
    assert not set(entry.tasks) & set(entry.unsupported)
    assert {*entry.tasks, *entry.unsupported, *entry.fine_tuned} <= set(catalog.tasks())
    assert set(entry.fine_tuned) <= set(entry.tasks)


def test_all_that_the_catalog_states_has_a_source() -> None:
    entries = (*catalog.external_providers(), *catalog.limits(), *catalog.rules(), *catalog.provisioned_models())

    assert entries
    assert [entry for entry in entries if not entry.sources or not set(entry.sources) <= catalog.sources().keys()] == []
    assert set(catalog.policy().sources) <= catalog.sources().keys()


def test_limits_are_asked_for_by_endpoint_or_route() -> None:
    assert [limit.value for limit in catalog.limits("databricks-gte-large-en")] == [150]
    assert {limit.name for limit in catalog.limits("hosted")} >= {"payload", "execution", "token_window"}
    assert catalog.limits("no-such-endpoint") == ()


def test_the_rules_say_which_fine_tuned_models_are_served() -> None:
    assert any("Fine-tuned variants" in rule.text for rule in catalog.rules("provisioned"))
    assert any("AI21 Labs" in rule.text for rule in catalog.rules("external"))


def test_importing_and_opening_a_client_read_no_catalog() -> None:
    code = (
        "import sys; found = []\n"
        "sys.addaudithook(lambda name, args: name == 'open' and found.append(str(args[0])))\n"
        "from fm_client import AsyncClient, Client, catalog\n"
        "Client('http://127.0.0.1:9', 'token-for-tests'), AsyncClient('http://127.0.0.1:9', 'token-for-tests')\n"
        "before = [path for path in found if path.endswith('.json')]; catalog.models()\n"
        "print(len(before), len([path for path in found if path.endswith('.json')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "4"], "the files are read when somebody asks, each once"
