"""`fm models`: the catalog, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from fm_client import catalog

Run = Callable[..., Result]


def test_programs_get_every_model_with_its_sources(fm: Run) -> None:
    done = fm("models", "--output", "json")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert {model["endpoint"] for model in data["models"]} == {model.endpoint for model in catalog.models()}
    named = {source for model in data["models"] for source in model["sources"]}
    assert named <= data["sources"].keys()


def test_a_retired_model_names_its_successor(fm: Run) -> None:
    models = {model["endpoint"]: model for model in json.loads(fm("models", "--output", "json").stdout)["models"]}
    retired = next(model for model in models.values() if model["retired"])
    assert retired["notice"] == catalog.retirement_notice(retired["endpoint"])
    assert models["databricks-gte-large-en"]["notice"] is None


def test_retired_models_come_last(fm: Run) -> None:
    endings = [model["retired"] for model in json.loads(fm("models", "--output", "json").stdout)["models"]]
    assert True in endings
    assert endings == sorted(endings)


@pytest.mark.parametrize("task", ["chat", "completions", "embeddings"])
def test_a_task_leaves_only_its_models(fm: Run, task: str) -> None:
    models = json.loads(fm("models", "--task", task, "--output", "json").stdout)["models"]
    assert [model["endpoint"] for model in models if model["task"] != f"llm/v1/{task}"] == []
    assert len(models) == len(catalog.models(f"llm/v1/{task}"))


def test_text_in_a_pipe_has_a_plain_line_for_each_model(fm: Run) -> None:
    done = fm("models", "--task", "embeddings")
    assert "\x1b" not in done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("databricks-")]
    assert [line.split()[0] for line in lines] == [model.endpoint for model in catalog.models("llm/v1/embeddings")]
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []


def test_an_unknown_task_is_a_usage_error(fm: Run) -> None:
    assert fm("models", "--task", "painting").exit_code == 2
