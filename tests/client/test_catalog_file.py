"""A catalog that a user brings: checked, used in place of the package's, and written by a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fm_client import ConfigurationError, FMError, InvalidRequestError, Route, catalog, profile_for, refresh_catalog
from fm_client._catalog_file import FILES, packaged, packaged_sections, read_catalog
from fm_client._endpoint_bodies import create_request

DATA = Path(refresh_catalog.__file__).parent / "data"
SOURCE = {"key": "news", "title": "a page", "date": "2027-01-15", "kind": "the service's documentation"}
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def the_packages_own() -> Iterator[None]:
    yield
    catalog.load()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(sections: Any, name: str = "catalog.json") -> Path:
        path = tmp_path / name
        data = {"schema_version": 1, **sections} if isinstance(sections, dict) else sections
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
        return path

    return written


def test_a_section_of_a_file_takes_the_place_of_the_packages(write: Write) -> None:
    families = catalog.provisioned_families()
    catalog.load(write({"models": [{"endpoint": "databricks-new", "task": "llm/v1/chat", "inputs": ["text"]}]}))

    assert [model.endpoint for model in catalog.models()] == ["databricks-new"]
    assert catalog.get("databricks-gte-large-en") is None
    assert catalog.provisioned_families() == families
    catalog.load()
    assert catalog.get("databricks-gte-large-en") is not None


def test_the_whole_catalog_of_the_package_can_be_brought(write: Write) -> None:
    assert read_catalog(write(dict(packaged_sections()))) == packaged()


def test_the_environment_brings_a_catalog(write: Write) -> None:
    path = write({"limits": [{"name": "payload", "value": 8, "unit": "MB", "applies_to": ["hosted"]}]})
    code = "from fm_client import catalog; print(catalog.limits('hosted')[0].value, len(catalog.models()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FM_CATALOG": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["8.0", str(len(catalog.models()))]


def test_a_broken_catalog_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FM_CATALOG", str(tmp_path / "gone.json"))
    with pytest.raises(ConfigurationError, match=r"gone\.json cannot be read: No such file"):
        catalog.load()
    monkeypatch.delenv("FM_CATALOG")


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ("{}", "schema_version is None; this package reads 1"),
        ('{"schema_version": 2}', "schema_version is 2"),
        ({"modells": []}, "no section is called 'modells'; a catalog has limits, models"),
        ({"models": {}}, "models: Input should be a valid array"),
        ({"models": [{"endpoint": "a"}, {"name": "b"}]}, "models[1].endpoint"),
        (
            {"models": [{"endpoint": "a", "context_tokens": "many"}]},
            "models[0].context_tokens: Input should be a valid integer",
        ),
        ({"models": [{"endpoint": "a", "contxt_tokens": 1}]}, "models[0].contxt_tokens: Unexpected"),
        ({"models": [{"endpoint": "a", "sources": ["nowhere"]}]}, "models[0].sources: 'nowhere' is in no sources"),
        ({"retirements": [{"model": "a", "endpoint": "a", "offering": "x", "date": "soon"}]}, "retirements[0].date"),
        (
            {"providers": [{"provider": "a", "name": "A", "config": "a_config", "auth": ["key"]}]},
            "providers[0].auth[0]",
        ),
        ({"sources": {"a": {"title": "t"}}}, "sources.a.date"),
        ({"tasks": "chat"}, "tasks: Input should be a valid array"),
        ({"policy": {}}, "policy.pay_per_token_notice_months"),
    ],
)
def test_a_file_that_is_no_catalog_is_refused_by_file_and_place(write: Write, sections: Any, says: str) -> None:
    before = catalog.models()
    path = write(sections)
    with pytest.raises(ConfigurationError) as caught:
        catalog.load(path)

    assert says in str(caught.value)
    assert path.name in str(caught.value)
    assert isinstance(caught.value, FMError)
    assert catalog.models() == before


def test_a_newer_catalog_knows_the_windows_of_models_elsewhere_too(write: Write) -> None:
    def window() -> int | None:
        return profile_for("claude-9", Route.EXTERNAL).get("context_tokens")

    assert window() is None
    model = {"endpoint": "databricks-claude-9", "task": "llm/v1/chat", "inputs": ["text"], "context_tokens": 9_000}
    catalog.load(write({"models": [model]}))
    assert window() == 9_000


def test_a_newer_catalog_lifts_what_an_older_one_rules_out(write: Write) -> None:
    settings = {"aws_region": "r", "bedrock_provider": "amazon", "instance_profile_arn": "arn:aws:x"}
    spec: Any = {
        "external_model": {
            "provider": "amazon-bedrock",
            "name": "m",
            "task": "llm/v1/chat",
            "amazon_bedrock_config": settings,
        }
    }
    with pytest.raises(InvalidRequestError, match="FM_CATALOG"):
        create_request("e", spec)
    providers = [
        {**entry, "unsupported": []} if entry["variant"] == "amazon" else entry
        for entry in packaged_sections()["providers"]
    ]
    catalog.load(write({"providers": providers}))

    assert create_request("e", spec)[1]["name"] == "e"


def test_nothing_new_writes_the_packages_files_as_they_are(tmp_path: Path) -> None:
    """So that its files are what the command writes, and a change of a model is a change of a line."""
    assert refresh_catalog.main(["--output", str(tmp_path)]) == 0
    for name in FILES:
        assert (tmp_path / f"{name}.json").read_bytes() == (DATA / f"{name}.json").read_bytes()


def test_what_a_document_states_is_in_the_catalog_that_is_written(write: Write, tmp_path: Path) -> None:
    news = {
        "source": SOURCE,
        "models": [
            {"endpoint": "databricks-new", "task": "llm/v1/chat", "inputs": ["text"], "context_tokens": 1000},
            {"endpoint": "databricks-gte-large-en", "context_tokens": 16384},
        ],
        "retirements": [
            {
                "model": "Llama 4 Maverick",
                "endpoint": "databricks-llama-4-maverick",
                "offering": "pay-per-token",
                "date": "2027-04-01",
                "replacement": "databricks-new",
            }
        ],
    }
    output = tmp_path / "mine.json"
    assert refresh_catalog.main([str(write(news, "news.json")), "--output", str(output)]) == 0
    catalog.load(output)

    new, gte = catalog.get("databricks-new"), catalog.get("databricks-gte-large-en")
    assert new is not None
    assert gte is not None
    assert (new.context_tokens, new.eras, new.sources) == (1000, ("2027-01",), ("news",))
    assert (gte.context_tokens, gte.dimension, gte.eras[-1], gte.sources[-1]) == (16384, 1024, "2027-01", "news")
    assert catalog.replacement("databricks-dbrx-instruct") == "databricks-new"
    assert catalog.sources()["news"].title == "a page"
    assert len(catalog.models()) == len(packaged().models) + 1


def test_a_third_party_fills_gaps_and_is_named_for_it(write: Write, tmp_path: Path) -> None:
    third = {**SOURCE, "kind": "third party"}
    models = [
        {"endpoint": "databricks-bge-large-en", "context_tokens": 99, "max_output_tokens": 7},
        {"endpoint": "databricks-new", "task": "llm/v1/chat"},
    ]
    document = write({"source": third, "models": models}, "news.json")
    refresh_catalog.main([str(document), "--output", str(tmp_path / "mine.json")])
    catalog.load(tmp_path / "mine.json")
    bge, new = catalog.get("databricks-bge-large-en"), catalog.get("databricks-new")

    assert bge is not None
    assert new is not None
    assert (bge.context_tokens, bge.max_output_tokens) == (512, 7)
    assert "max_output_tokens" in bge.third_party
    assert "context_tokens" not in bge.third_party
    assert new.third_party == ("*",)


def test_the_listing_of_a_workspace_is_a_document_too(write: Write, tmp_path: Path) -> None:
    hosted = {"foundation_model": {"name": "databricks-new", "display_name": "New"}, "name": "databricks-new"}
    listing = [
        {"name": "databricks-new", "task": "llm/v1/chat", "config": {"served_entities": [hosted]}},
        {"name": "mine", "task": "llm/v1/chat", "config": {"served_entities": [{"entity_name": "a.b.c"}]}},
        {"name": "bare"},
    ]
    document = write({"source": SOURCE, "endpoints": listing}, "listing.json")
    refresh_catalog.main([str(document), "--output", str(tmp_path / "mine.json")])
    catalog.load(tmp_path / "mine.json")
    new = catalog.get("databricks-new")

    assert new is not None
    assert (new.name, new.task) == ("New", "llm/v1/chat")
    assert catalog.get("mine") is None


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"models": []}, "source must have key, title, date, kind"),
        ({"source": SOURCE, "modells": []}, "'modells' is no section"),
        ({"source": SOURCE, "models": [{"name": "a"}]}, "models must be a list of objects with 'endpoint'"),
        ({"source": SOURCE, "models": [{"endpoint": "a", "context_tokens": "x"}]}, "models[72].context_tokens"),
    ],
)
def test_a_document_that_is_none_is_refused_and_nothing_written(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], document: dict[str, Any], says: str
) -> None:
    path = tmp_path / "news.json"
    path.write_text(json.dumps(document))

    assert refresh_catalog.main([str(path), "--output", str(tmp_path / "mine.json")]) == 1
    assert says in capsys.readouterr().err
    assert not (tmp_path / "mine.json").exists()


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    output = tmp_path / "mine.json"
    done = subprocess.run(
        [sys.executable, "-m", "fm_client.refresh_catalog", "--output", str(output)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"{len(packaged().models)} models" in done.stdout
    assert read_catalog(output) == replace(packaged())
