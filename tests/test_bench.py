"""The benchmarks run, and the documentation says what their last published run has found."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("raw", "httpx", "fm_client", "langchain_fm")

pytestmark = pytest.mark.timeout(300)  # a run with tiny numbers starts a dozen programs


@pytest.fixture(scope="module", autouse=True)
def benchmarks() -> Iterator[None]:
    """The package, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield


@pytest.fixture(scope="module")
def results(benchmarks: None) -> Any:
    """What a run with tiny numbers finds, without any peer."""
    from benchmarks.speed._environments import Environments
    from benchmarks.speed._results import Results
    from benchmarks.speed._roster import PLANS
    from benchmarks.speed._run import Run, roster

    run = Run(PLANS["smoke"], Environments(here=True), roster(*NAMES), lambda text: None)
    data = json.loads(json.dumps(run.all()))
    assert data["errors"] == {}
    return Results(data)


def test_every_figure_is_measured(results: Any) -> None:
    figures = {
        "import_wall",
        "chat_sync",
        "chat_async",
        "rate_4",
        "chunk_sync",
        "chunk_async",
        "first_chunk",
        "embed_64",
    }
    figures |= {"plain_cpu_64", "memory_growth", "big"}
    for name in ("raw", "fm_client", "langchain_fm"):
        assert {metric for metric in figures if not results.values(name, metric)} == set()
    assert results.median("fm_client", "chat_sync") > results.median("raw", "chat_sync") > 0


def test_the_server_is_not_what_is_measured(results: Any) -> None:
    assert 0 < results.data["server"]["busy"] < 0.7, results.data["server"]


def test_tables_and_budgets_show_what_was_found(results: Any) -> None:
    from benchmarks.speed._report import blocks

    parts = blocks(results)
    assert "| **langchain_fm** |" in parts["tables"]
    assert "| import fm_client / (httpx + pydantic), time | ≤ 1.5 x | " in parts["budgets"]
    assert "never the bottleneck" in parts["conditions"]


def test_growth_that_is_quadratic_has_the_exponent_two() -> None:
    from benchmarks.speed._results import Results

    points = [[[n, 1e-6 * n**2] for n in (10, 100, 1000, 10_000)]]
    assert Results({"samples": {"it": {"grow": points}}}).exponent("it", "grow") == pytest.approx(2)


def test_what_a_call_costs_in_any_case_does_not_hide_how_cost_grows() -> None:
    from benchmarks.speed._results import Results

    points = [[[n, 0.01 + 1e-6 * n**1.5] for n in (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)]]
    assert Results({"samples": {"it": {"grow": points}}}).exponent("it", "grow") > 1.25


def test_a_ratio_is_taken_within_its_round() -> None:
    """A machine that is slow for a round is slow for both."""
    from benchmarks.speed._results import Results

    samples = {"ours": {"m": [1.0, None, 30.0, 2.0]}, "theirs": {"m": [2.0, 9.0, 60.0, 4.0]}}
    assert Results({"samples": samples}).ratio(("ours", "m"), ("theirs", "m")) == 0.5


TASKS = ("chat", "concurrent", "streams", "first_chunk", "embeddings", "memory", "big")
GROWTH = ("grow_concurrent", "grow_texts", "grow_chunks")


@pytest.fixture(scope="module")
def worker(benchmarks: None) -> Iterator[Any]:
    """One that measures the core."""
    from benchmarks.speed._environments import Environments
    from benchmarks.speed._roster import PLANS
    from benchmarks.speed._run import serving
    from benchmarks.speed._worker import Worker

    plan = dataclasses.asdict(PLANS["smoke"])
    with serving(Environments(here=True), -1) as host, pytest.MonkeyPatch.context() as patch:
        for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"):
            patch.setenv(name, "")  # and back, after the subject has set them
        made = Worker({"class": "OursCore", "module": "_subjects", "host": host, "plan": plan})
        yield made
        made.subject.sync.close()
        made.loop.run_until_complete(made.subject.aio.aclose())
        made.loop.close()


@pytest.mark.parametrize("task", [*TASKS, *GROWTH])
def test_who_gives_wrong_answers_is_not_measured(worker: Any, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    assert None not in getattr(worker, task)().values()

    async def achat() -> str:
        return "wrong"

    embed = worker.subject.embed
    monkeypatch.setattr(worker.subject, "chat", lambda: "wrong")
    monkeypatch.setattr(worker.subject, "achat", achat)
    monkeypatch.setattr(worker.subject, "stream", lambda: iter(["fox", ""]))
    monkeypatch.setattr(worker.subject, "embed", lambda texts: embed(texts)[1:])
    with pytest.raises(ValueError, match="a wrong answer: "):
        getattr(worker, task)()


def test_vectors_in_another_order_are_wrong_answers(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = worker.subject.embed
    monkeypatch.setattr(worker.subject, "embed", lambda texts: [*(got := embed(texts))[:5], got[6], got[5], *got[7:]])
    with pytest.raises(ValueError, match="a wrong answer: "):
        worker.embeddings()


def test_calls_that_were_given_up_have_a_time_and_no_cost(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(worker.plan, "latency", 5.0)
    monkeypatch.setitem(worker.plan, "patience", 0.1)
    assert set(worker.measured_at_once(4)) == {"wall_4"}


def test_who_cannot_be_imported_is_named_and_the_others_are_measured() -> None:
    from benchmarks.speed._environments import Environments
    from benchmarks.speed._roster import PLANS, Entry
    from benchmarks.speed._run import Run, roster

    broken = Entry("broken", "broken", "peer", "broken", "import this_is_not_there", "_subjects", "OpenAI", "broken")
    run = Run(PLANS["smoke"], Environments(here=True), (broken, *roster("raw")), lambda text: None)
    run.imports()
    assert run.errors == {"broken": "ModuleNotFoundError: No module named 'this_is_not_there'"}
    assert run.samples["raw"]["import_wall"] != []


def test_a_budget_can_fail() -> None:
    from benchmarks.speed._budgets import Budget
    from benchmarks.speed._results import Results

    nothing = Results({"samples": {}})
    assert Budget("", lambda _: 1.2, 1.0).verdict(nothing) == (1.2, False)
    assert Budget("", lambda _: 1.2, 1.0, at_least=True).verdict(nothing) == (1.2, True)
    assert Budget("", lambda _: None, 1.0).verdict(nothing) == (None, None)


@pytest.mark.parametrize("name", ["fm_client", "langchain_fm"])
def test_no_fault_of_the_comparison_passes_for_an_answer(name: str) -> None:
    """Those that take no long wait; `make bench` puts all of them, and to the peers too."""
    from benchmarks.correctness import probe
    from benchmarks.speed._environments import Environments

    groups = {"Whole answers", "Refusals", "Embeddings", "Usage", "Process"}
    rows = probe(name, Environments(here=True), groups)
    assert len(rows) > 20
    assert [row for row in rows if row["mark"] == "✗"] == []


def test_the_comparison_sees_who_is_wrong() -> None:
    from benchmarks.faults._verdicts import Outcome, counts, fails, says, sends

    silent = Outcome({"text": "AAA BBB "}, None, 0.0, 0.0, 1, 0)
    raw = Outcome({}, {"name": "KeyError", "typed": False, "text": ""}, 600.0, 0.0, 392, 0)
    refused = Outcome({}, {"name": "E", "typed": True, "text": "403 at http://127.0.0.1:45003"}, 0.0, 0.0, 1, 0)
    assert says(403, 2)(refused)[0] == "✓"
    assert fails(silent) == ("✗", "'AAA BBB '")
    assert fails(raw) == ("~", "KeyError")
    assert sends(3, 60)(raw) == ("✗", "392 sent, 600 s")
    assert counts(9, 3, 12)(Outcome({"usage": [27, 6, 33], "calls": []}, None, 0, 0, 1, 0)) == ("✗", "27/6/33")


def test_the_documentation_says_what_the_published_run_has_found() -> None:
    from benchmarks import correctness
    from benchmarks.speed import __main__ as speed
    from benchmarks.speed._report import blocks, fill, load
    from benchmarks.speed._results import Results

    assert speed.PAGE.read_text(encoding="utf-8") == fill(speed.PAGE, blocks(Results(load("speed"))))
    table = {"table": correctness.markdown(load("correctness"))}
    assert correctness.PAGE.read_text(encoding="utf-8") == fill(correctness.PAGE, table)


def test_the_charts_of_the_documentation_are_there_and_small() -> None:
    charts = sorted((ROOT / "docs" / "charts").glob("*.svg"))
    assert [path.stem for path in charts] == ["growth-chunks", "growth-concurrent", "growth-texts", "performance"]
    assert all(path.stat().st_size < 100_000 for path in charts)


def test_the_command_lists_its_plans() -> None:
    command = [sys.executable, "-m", "benchmarks.speed", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "{quick,full,smoke}" in done.stdout
