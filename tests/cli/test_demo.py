"""`fm demo`: every framework over every route, for real."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from rich.console import Console
from typer.testing import Result

from fm_cli._demo_report import Report, Row, show
from fm_cli._settings import CHAT_MODEL, EMBEDDING_MODEL
from fm_client import Client
from fm_workspace import Workspace

Run = Callable[..., Result]
Done = subprocess.CompletedProcess[str]
ROUTES = ("hosted", "provisioned", "external")
STEPS = {
    "langchain": ("chain", "tool call", "stream"),
    "llamaindex": ("index", "query"),
    "mlflow": ("predict", "stream", "endpoint"),
}
CHAT = {"hosted": CHAT_MODEL, "provisioned": "demo-provisioned", "external": "demo-external"}
EMBEDDING = {
    "hosted": EMBEDDING_MODEL,
    "provisioned": "demo-provisioned-embedding",
    "external": "demo-external-embedding",
}


def rows(stdout: str) -> dict[tuple[str, str, str], Any]:
    """The steps of a report, by framework, step and route."""
    return {(row["framework"], row["step"], row["route"]): row for row in json.loads(stdout)["steps"]}


@pytest.fixture(scope="module")
def demo(demo_run: Done) -> dict[tuple[str, str, str], Any]:
    assert demo_run.returncode == 0, demo_run.stdout + demo_run.stderr
    return rows(demo_run.stdout)


def expected_endpoint(step: str, route: str) -> str:
    if step == "index":
        return EMBEDDING[route]
    return f"{CHAT[route]}-2" if step == "endpoint" and route != "hosted" else CHAT[route]


def test_every_step_of_every_framework_runs_over_every_route(demo: dict[tuple[str, str, str], Any]) -> None:
    expected = [(framework, step, route) for framework in STEPS for route, step in product(ROUTES, STEPS[framework])]
    assert list(demo) == expected
    assert {key: row["text"] for key, row in demo.items() if row["status"] != "ok"} == {}


@pytest.mark.parametrize(("framework", "step"), [(name, step) for name in STEPS for step in STEPS[name]])
@pytest.mark.parametrize("route", ROUTES)
def test_a_step_names_the_endpoint_that_served_it(demo: dict[Any, Any], framework: str, step: str, route: str) -> None:
    assert demo[framework, step, route]["endpoint"] == expected_endpoint(step, route)


def test_tokens_are_counted_wherever_a_model_answered(demo: dict[tuple[str, str, str], Any]) -> None:
    for (_, step, route), row in demo.items():
        if (step, route) == ("endpoint", "hosted"):  # is only looked at
            assert (row["tokens_in"], row["tokens_out"]) == (None, None)
        else:
            assert row["tokens_in"] > 0
            assert (row["tokens_out"] > 0) == (step != "index")  # embeddings have no tokens of output


@pytest.mark.parametrize("route", ROUTES)
def test_the_answers_are_right(demo: dict[tuple[str, str, str], Any], route: str) -> None:
    assert "18:00" in demo["langchain", "chain", route]["text"]
    assert "408" in demo["langchain", "tool call", route]["text"]
    assert demo["langchain", "stream", route]["text"].startswith("(12 pieces)")
    assert demo["llamaindex", "index", route]["text"].endswith("1024 dimensions")
    assert demo["llamaindex", "query", route]["text"].startswith("[reliability.md] When a stream breaks")
    assert demo["mlflow", "predict", route]["text"] in demo["mlflow", "stream", route]["text"]


def test_a_report_for_programs_says_what_it_took(demo_run: Done) -> None:
    report = json.loads(demo_run.stdout)
    assert report["ok"] is True
    assert report["mode"] == "embedded"
    assert set(report["import_seconds"]) == set(STEPS)
    parts = (
        report["setup_seconds"] + sum(report["import_seconds"].values()) + sum(r["seconds"] for r in report["steps"])
    )
    assert 0 < parts <= report["total_seconds"]


def test_nothing_but_the_report_is_printed(demo_run: Done) -> None:
    assert demo_run.stderr == ""
    assert "\x1b" not in demo_run.stdout


def test_text_in_a_pipe_is_plain_and_has_one_line_for_each_step(fm: Run) -> None:
    done = fm("demo", "--only", "langchain")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert sum(line.startswith("langchain ") for line in done.stdout.splitlines()) == 9
    assert done.stderr == ""


def test_a_character_that_the_output_cannot_take_is_replaced(program: Callable[..., Done]) -> None:
    done = program("demo", "--only", "langchain", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "langu?" in done.stdout  # an ellipsis


def test_the_demo_deletes_what_it_creates(fm: Run) -> None:
    assert fm("demo", "--only", "langchain", "--output", "json").exit_code == 0
    with Client(host="local") as client:
        assert [each.name for each in client.endpoints.list() if each.name.startswith("demo-")] == []


def test_a_failing_step_is_shown_and_the_others_go_on(fm: Run) -> None:
    """An endpoint that does not exist fails the hosted route, and the external one, which leads to the same name."""
    done = fm("demo", "--only", "langchain", "--hosted-model", "no-such-endpoint", "--output", "json")
    assert done.exit_code == 1
    endings = {key[1:]: row["status"] for key, row in rows(done.stdout).items()}
    assert {route for (_, route), ending in endings.items() if ending == "failed"} == {"hosted", "external"}
    assert {route for (_, route), ending in endings.items() if ending == "ok"} == {"provisioned"}
    failed = rows(done.stdout)["langchain", "chain", "hosted"]
    assert "does not exist" in failed["text"]
    assert "\n" not in failed["text"]
    assert failed["endpoint"] == "no-such-endpoint"


@pytest.mark.parametrize(
    ("framework", "module"), [("langchain", "langchain_core"), ("llamaindex", "llama_index"), ("mlflow", "mlflow")]
)
def test_a_framework_that_is_not_installed_is_skipped_and_its_extra_named(framework: str, module: str) -> None:
    """None in `sys.modules` makes Python treat a module as not installed."""
    code = f"import sys; sys.modules[{module!r}] = None; from fm_cli import main; main()"
    command = [sys.executable, "-c", code, "demo", "--only", framework, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1, done.stderr  # nothing ran
    (row,) = json.loads(done.stdout)["steps"]
    assert row["status"] == "skipped"
    assert f'pip install "fm-integrations[{framework}]"' in row["text"]


def test_live_uses_the_workspace_of_the_environment_and_skips_what_is_not_named(fm: Run, workspace: Workspace) -> None:
    done = fm(
        *("demo", "--live", "--only", "langchain", "--output", "json"),
        DATABRICKS_HOST=workspace.host,
        DATABRICKS_TOKEN=workspace.token,
    )
    assert done.exit_code == 0, done.output
    assert workspace.host in json.loads(done.stdout)["about"]
    found = rows(done.stdout)
    assert {key for key, row in found.items() if row["status"] == "ok"} == {
        ("langchain", step, "hosted") for step in STEPS["langchain"]
    }
    assert found["langchain", "", "provisioned"]["text"] == "name an endpoint: --provisioned-endpoint"
    assert found["langchain", "", "external"]["text"] == "name an endpoint: --external-endpoint"
    assert workspace.token not in done.output


def test_live_asks_the_endpoints_that_are_named_and_creates_none(fm: Run, workspace: Workspace) -> None:
    with Client(workspace.host, workspace.token) as client:
        mine = {"entity_name": "main.default.mine", "entity_version": "1", "max_provisioned_throughput": 980}
        client.endpoints.create("mine", **mine, wait=True)
        before = [each.name for each in client.endpoints.list()]
        done = fm(
            *("demo", "--live", "--only", "langchain", "--provisioned-endpoint", "mine", "--output", "json"),
            DATABRICKS_HOST=workspace.host,
            DATABRICKS_TOKEN=workspace.token,
        )
        assert [each.name for each in client.endpoints.list()] == before
    assert rows(done.stdout)["langchain", "tool call", "provisioned"]["endpoint"] == "mine"
    assert done.exit_code == 0


def test_a_refused_token_fails_the_steps_and_is_not_shown(fm: Run, workspace: Workspace) -> None:
    wrong = "wrong-token-for-tests"
    done = fm("demo", "--live", "--only", "langchain", DATABRICKS_HOST=workspace.host, DATABRICKS_TOKEN=wrong)
    assert done.exit_code == 1
    assert "status=401" in done.stdout
    assert wrong not in done.output


def test_live_without_credentials_is_one_line_and_no_traceback(program: Callable[..., Done]) -> None:
    done = program("demo", "--live", HOME="/nonexistent")
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("fm: no workspace is configured")


def test_endpoints_of_ones_own_need_live(fm: Run) -> None:
    done = fm("demo", "--external-endpoint", "mine")
    assert done.exit_code == 2
    assert "need --live" in done.stderr


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_of_any_width_shows_endpoints_and_errors_in_full(width: int) -> None:
    reason = "NotFoundError: " + "there is no such endpoint, and this is a long way to say so, over several lines; " * 2
    report = Report("1", "embedded", "About it.")
    report.steps = [
        Row("langchain", "chain", "hosted", "ok", CHAT_MODEL, 1_234, 5, 0.25, "An answer."),
        Row("langchain", "chain", "external", "failed", "missing", seconds=0.5, text=reason),
        Row("mlflow", "", "", "skipped", text="not installed"),
    ]
    paper = io.StringIO()
    show(report, Console(file=paper, width=width, force_terminal=True, color_system=None, highlight=False))
    text = paper.getvalue()
    assert CHAT_MODEL in text
    assert "1,234 / 5" in text
    assert "250 ms" in text
    assert [word for word in reason.split() if word not in text] == []
    assert "1 steps ran, 1 failed, 1 skipped" in text
    assert max(map(len, text.splitlines())) <= width
