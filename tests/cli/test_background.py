"""`fm workspace start --background`, `status` and `stop`."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result
from vendor_api import model
from vendor_fakes import AI21

from fm_cli import _background as background
from fm_client import Client

Done = subprocess.CompletedProcess[str]
Program = Callable[..., Done]
Run = Callable[..., Result]
CHAT = "databricks-meta-llama-3-3-70b-instruct"


@pytest.fixture
def started(program: Program) -> background.Record:
    """A workspace in the background."""
    done = program("workspace", "start", "--background")
    assert done.returncode == 0, done.stderr
    record = background.running()
    assert record is not None
    return record


def dead(record: background.Record) -> None:
    """Kill it, so that it can undo nothing."""
    os.kill(record.pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while background.is_locked():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_prints_what_points_a_client_to_it_and_goes_on(program: Program) -> None:
    done = program("workspace", "start", "--background")
    exports = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines() if "export " in line)
    with Client(exports["DATABRICKS_HOST"], exports["DATABRICKS_TOKEN"]) as client:
        assert client.chat(CHAT, "What is blue? The sky is blue.").text == "The sky is blue."
    assert done.stderr == ""


def test_its_record_is_for_its_user_alone(started: background.Record, state_directory: Path) -> None:
    assert stat.S_IMODE(state_directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in state_directory.iterdir()} == {0o600}
    assert started.token not in repr(started)
    assert started.token not in (state_directory / "workspace.log").read_text()


def test_host_local_leads_to_it(fm: Run, started: background.Record) -> None:
    created = fm(
        *("endpoints", "create", "kept", "--model", "main.default.kept", "--version", "1"),
        *("--units", "50", "--host", "local"),
    )
    assert created.exit_code == 0, created.output
    assert created.stderr == ""  # no note: it stays
    with Client(started.host, started.token) as client:
        assert client.endpoints.get("kept").is_ready


def test_status_tells_where_it_is_and_not_its_token(fm: Run, started: background.Record) -> None:
    text = fm("workspace", "status")
    assert text.exit_code == 0
    assert f"{started.host} (process {started.pid})" in text.stdout
    report = json.loads(fm("workspace", "status", "--output", "json").stdout)
    assert (report["running"], report["answers"], report["pid"]) == (True, True, started.pid)
    assert report["endpoints"] > 10
    assert started.token not in text.output + json.dumps(report)


def test_status_prints_lines_for_a_shell_where_that_is_asked_for(fm: Run, started: background.Record) -> None:
    lines = fm("workspace", "status", "--shell").stdout.splitlines()
    assert lines == [f"export DATABRICKS_HOST={started.host}", f"export DATABRICKS_TOKEN={started.token}"]


def test_stop_ends_it_in_order(fm: Run, started: background.Record) -> None:
    done = fm("workspace", "stop")
    assert (done.exit_code, done.stderr) == (0, "")
    assert str(started.pid) in done.stdout
    assert background.running() is None
    assert background.last_record() is None
    assert fm("workspace", "status").exit_code == 1


def test_stopping_what_does_not_run_is_no_failure(fm: Run) -> None:
    done = fm("workspace", "stop", "--output", "json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"stopped": False, "pid": None})


def test_there_is_one_at_a_time(program: Program, started: background.Record) -> None:
    done = program("workspace", "start", "--background")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"already, at {started.host}" in done.stderr


def test_a_dead_one_is_told_from_a_live_one_and_another_can_start(
    fm: Run, program: Program, started: background.Record
) -> None:
    dead(started)
    report = fm("workspace", "status", "--output", "json")
    assert (report.exit_code, json.loads(report.stdout)) == (1, {"running": False, "stale_pid": started.pid})
    assert program("workspace", "start", "--background").returncode == 0
    assert fm("workspace", "status").exit_code == 0


def test_a_process_that_has_the_number_of_a_dead_workspace_is_left_alone(fm: Run, state_directory: Path) -> None:
    """Numbers of processes are used again. Here it is that of this test."""
    record = {"pid": os.getpid(), "host": "http://127.0.0.1:9", "token": "t", "started": time.time()}
    background.record_path().write_text(json.dumps(record))
    assert fm("workspace", "status").exit_code == 1
    done = fm("workspace", "stop")
    assert done.exit_code == 0
    assert f"process {os.getpid()} had ended" in done.stdout
    assert background.last_record() is None


def test_a_record_that_cannot_be_read_is_none(fm: Run, state_directory: Path) -> None:
    background.record_path().write_text("{half")
    assert fm("workspace", "status").exit_code == 1


def test_one_that_does_not_answer_is_told(fm: Run, started: background.Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fm_cli._workspace_jobs.PROBE_SECONDS", 0.3)
    os.kill(started.pid, signal.SIGSTOP)
    try:
        done = fm("workspace", "status")
    finally:
        os.kill(started.pid, signal.SIGCONT)
    assert done.exit_code == 5
    assert "does NOT answer" in done.stdout


def test_one_that_does_not_stop_is_told(started: background.Record) -> None:
    os.kill(started.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError, match=f"process {started.pid}"):
            background.end(started, 0.3)
    finally:
        os.kill(started.pid, signal.SIGCONT)


def test_options_reach_it_and_endpoints_are_kept_over_restarts(
    program: Program, fm: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("workspace", "start", "--background", "--state", str(tmp_path / "state.db"), "--deploy-seconds", "600")
    first = program(*arguments, "--output", "json", FM_WORKSPACE_TOKEN="token-for-tests")
    assert json.loads(first.stdout)["token"] == "token-for-tests"
    create = (
        "endpoints",
        "create",
        "slow",
        "--model",
        "main.default.slow",
        "--version",
        "1",
        "--max-throughput",
        "980",
    )
    created = json.loads(fm(*create, "--host", "local", "--output", "json").stdout)
    assert created["state"]["config_update"] == "IN_PROGRESS"
    fm("workspace", "stop")
    assert program(*arguments).returncode == 0
    assert fm("endpoints", "get", "slow", "--host", "local").exit_code == 0


@pytest.mark.parametrize("where", ["foreground", "background"])
def test_a_providers_address_can_be_another(
    program: Program, popen: Callable[..., subprocess.Popen[str]], where: str
) -> None:
    with AI21() as server:
        command = ("workspace", "start", "--output", "json", "--provider-url", f"ai21labs={server.url}/studio/v1")
        if where == "background":
            told = program(*command, "--background").stdout
        else:
            told = "".join(iter(popen(*command).stdout.readline, "}\n")) + "}"  # type: ignore[union-attr]  # it is a pipe
        started = json.loads(told)
        with Client(started["host"], started["token"], max_retries=10) as client:
            client.endpoints.create("ext", config={"served_entities": [model(server)]}, wait=True)
            assert client.chat("ext", "Hello").text == "Echo: Hello"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--state", "/nonexistent/state.db"), "/nonexistent/state.db"), (("--host", "0.0.0.0"), "--allow-remote")],  # noqa: S104
)
def test_what_cannot_be_started_says_why(program: Program, arguments: tuple[str, ...], reason: str) -> None:
    done = program("workspace", "start", "--background", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fm: the workspace did not start: ")
    assert reason in line
    assert background.running() is None


def test_the_foreground_prints_json_where_that_is_asked_for(popen: Callable[..., subprocess.Popen[str]]) -> None:
    process = popen("workspace", "start", "--output", "json")
    assert process.stdout is not None
    text = "".join(iter(process.stdout.readline, "}\n")) + "}"
    report = json.loads(text)
    assert report["pid"] == process.pid
    with Client(report["host"], report["token"], max_retries=10) as client:
        assert client.endpoints.list()
