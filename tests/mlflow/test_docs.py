"""docs/mlflow.md: its snippets run and print what it says, and its tables are complete."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import warnings
from pathlib import Path

import pytest
from mlflow.deployments.cli import commands
from mlflow.environment_variables import MLFLOW_DEPLOYMENTS_TARGET
from traces import Traces

import mlflow_fm
from mlflow_fm import FoundationModelDeploymentClient, _settings, _spans
from mlflow_fm._targets import parse_target

DOC = (Path(__file__).parents[2] / "docs" / "mlflow.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", DOC, re.MULTILINE | re.DOTALL))
BLOCKS = {
    name: re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for name, text in SECTIONS.items()
}
OUTPUT = re.compile(r"^# (.*)$", re.MULTILINE)


def first_column(section: str) -> set[str]:
    """What stands in backquotes in the first column of the table of a section."""
    firsts = [line.split("|")[1] for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return {name for first in firsts for name in re.findall(r"`([^`]+)`", first)}


@pytest.mark.parametrize("section", [name for name, blocks in BLOCKS.items() if blocks])
def test_the_snippets_print_what_the_page_says(section: str, traces: Traces) -> None:
    """The blocks of a section run in one namespace; a comment that is a whole line is the output of what is above it."""
    if section == "Models":
        pytest.importorskip("flask", reason="models are logged by the whole of mlflow, and this is mlflow-skinny")
        pytest.importorskip("langchain")
    namespace: dict[str, object] = {"__name__": "page"}
    for code in BLOCKS[section]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own
            exec(compile(code, "docs/mlflow.md", "exec"), namespace)  # noqa: S102  # running it is the test
        assert OUTPUT.findall(code) == printed.getvalue().splitlines()


def test_every_public_method_of_the_client_is_in_the_table() -> None:
    offered = {name for name, _ in inspect.getmembers(FoundationModelDeploymentClient, inspect.isfunction)}
    assert first_column("Queries") == {name for name in offered if not name.startswith("_")}


@pytest.mark.parametrize("form", sorted(first_column("Targets")))
def test_every_target_of_the_table_is_one(form: str) -> None:
    target = form.replace("PORT", "8080").replace("HOST", "example.com").replace("PROFILE", "staging")
    found = parse_target(target)
    assert ("staging" == found.profile) is ("PROFILE" in form)
    assert ("HOST" in form) is ((found.host or "").startswith("https://example.com"))


def test_every_command_of_mlflow_is_in_the_table() -> None:
    assert first_column("Commands") - {"mlflow deployments"} == set(commands.commands)


def test_every_variable_that_is_read_is_in_the_table_and_in_the_help() -> None:
    read = {MLFLOW_DEPLOYMENTS_TARGET.name, *re.findall(r'"(MLFLOW_\w+)"', inspect.getsource(_settings))}
    assert {name for name in first_column("Environment") if name.startswith("MLFLOW_")} == read
    assert [name for name in read if name not in mlflow_fm.target_help()] == []


def test_every_attribute_of_a_span_is_in_the_table() -> None:
    source = inspect.getsource(_spans)
    ours = set(re.findall(r'"(fm\.\w+)"', source)) | {"fm.request_id", "fm.served_model"}
    assert {name for name in first_column("Tracing") if name.startswith("fm.")} == ours
    assert {name for name in first_column("Tracing") if name.startswith("mlflow.")} < set(
        re.findall(r'"(mlflow\.\S+)"', source)
    )
