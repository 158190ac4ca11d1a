"""`fm models`: the catalog, for people and for programs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from fm_client import catalog

Run = Callable[..., Result]


def report(done: Result) -> Any:
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def hosted(fm: Run, *arguments: str) -> dict[str, Any]:
    return {model["endpoint"]: model for model in report(fm("models", *arguments, "--output", "json"))["models"]}


def test_programs_get_every_model_with_its_sources(fm: Run) -> None:
    data = report(fm("models", "--all", "--output", "json"))
    assert {model["endpoint"] for model in data["models"]} == {model.endpoint for model in catalog.models()}
    named = {source for model in data["models"] for source in model["sources"]}
    assert named <= data["sources"].keys()


def test_retired_models_are_listed_last_and_only_where_they_are_asked_for(fm: Run) -> None:
    every, current = hosted(fm, "--all"), hosted(fm)
    endings = [model["retired"] for model in every.values()]
    assert any(endings), "the catalog has some that are retired"
    assert endings == sorted(endings)
    assert set(current) == {name for name, model in every.items() if not model["retired"]}


def test_a_retired_model_has_its_date_and_its_successor(fm: Run) -> None:
    models = hosted(fm, "--all")
    retired = next(model for model in models.values() if model["retired"])
    assert retired["notice"] == catalog.retirement_notice(retired["endpoint"])
    assert retired["retirement_date"] == catalog.retirement(retired["endpoint"]).date.isoformat()
    assert models["databricks-gte-large-en"]["notice"] is None


def test_what_ended_before_the_catalog_began_is_listed_too(fm: Run) -> None:
    gone = "databricks-meta-llama-3-1-70b-instruct"
    assert catalog.get(gone) is None
    line = next(line for line in fm("models", "--all").stdout.splitlines() if line.startswith(gone))
    assert "retired 2024-12-11; use databricks-meta-llama-3-3-70b-instruct" in line
    data = report(fm("models", "--all", "--output", "json"))
    assert gone in {entry["endpoint"] for entry in data["retirements"]}
    assert gone not in fm("models").stdout


def test_an_end_to_come_is_told_and_the_model_listed(
    program: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The catalog is a file that the user brings."""
    packaged = json.loads(resources.files("fm_client").joinpath("data", "retirements.json").read_bytes())
    entry = {**packaged["retirements"][-1], "endpoint": "databricks-gte-large-en", "date": "2999-01-01"}
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"schema_version": 1, "sources": packaged["sources"], "retirements": [entry]}))
    done = program("models", "--task", "embeddings", FM_CATALOG=str(path))
    assert done.returncode == 0, done.stderr
    assert "retires 2999-01-01" in next(line for line in done.stdout.splitlines() if "gte-large-en" in line)


@pytest.mark.parametrize("task", ["chat", "completions", "embeddings"])
def test_a_task_leaves_only_its_models(fm: Run, task: str) -> None:
    models = hosted(fm, "--task", task, "--all")
    assert [name for name, model in models.items() if model["task"] != f"llm/v1/{task}"] == []
    assert len(models) == len(catalog.models(f"llm/v1/{task}"))


def test_a_provider_and_a_family_leave_only_theirs(fm: Run) -> None:
    assert {model["provider"] for model in hosted(fm, "--provider", "Anthropic").values()} == {"anthropic"}
    assert hosted(fm, "--family", "LLAMA")
    assert [name for name in hosted(fm, "--family", "LLAMA") if "llama" not in name] == []
    assert hosted(fm, "--provider", "meta", "--task", "embeddings") == {}


@pytest.mark.parametrize("route", ["hosted", "provisioned", "external"])
def test_a_choice_that_leaves_none_says_so(fm: Run, route: str) -> None:
    done = fm("models", "--route", route, "--family", "nothing-of-the-kind")
    assert done.stdout.splitlines()[0] == "None that this package knows is of that kind."


def test_the_provisioned_route_has_families(fm: Run) -> None:
    data = report(fm("models", "--route", "provisioned", "--all", "--output", "json"))
    assert [family["family"] for family in data["families"]] == [each.family for each in catalog.provisioned_families()]
    assert [model["model"] for model in data["models"]] == [each.model for each in catalog.provisioned_models()]
    text = fm("models", "--route", "provisioned", "--task", "embeddings").stdout
    assert any(line.startswith("GTE") for line in text.splitlines())
    assert "Llama" not in text


def test_the_external_route_has_providers_and_what_they_need(fm: Run) -> None:
    data = report(fm("models", "--route", "external", "--output", "json"))
    assert [each["name"] for each in data["providers"]] == [each.name for each in catalog.external_providers()]
    text = fm("models", "--route", "external", "--provider", "amazon-bedrock", "--task", "embeddings").stdout
    lines = [line for line in text.splitlines() if line.startswith("amazon-bedrock")]
    assert len(lines) == 2
    assert all("aws_region" in line and "instance_profile_arn" in line for line in lines)


def test_text_in_a_pipe_has_a_plain_line_for_each_model(fm: Run) -> None:
    done = fm("models", "--task", "embeddings")
    assert "\x1b" not in done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("databricks-")]
    assert [line.split()[0] for line in lines] == [model.endpoint for model in catalog.models("llm/v1/embeddings")]
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []


def test_an_unknown_task_is_a_usage_error(fm: Run) -> None:
    assert fm("models", "--task", "painting").exit_code == 2
