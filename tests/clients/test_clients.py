"""Clients that are not ours, unchanged, on the embedded workspace: each in an environment that has nothing else.

What they are asked to do stands in `unchanged/`. The environments (`.venv-clients`) are made when they are first needed,
by the package index, and again when their lock changes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

UNCHANGED = Path(__file__).parent / "unchanged"
CLIENTS = {
    "databricks_sdk": "databricks-sdk",
    "mlflow_databricks": "mlflow",
    "openai_responses": "openai",
    "openai_sdk": "openai",
}
"""Their tests -> the environment in which these run."""


def test_all_tests_of_clients_are_run() -> None:
    assert {path.stem for path in UNCHANGED.glob("*.py")} - {"conftest"} == CLIENTS.keys()


@pytest.mark.timeout(900)  # the first one waits for the environments of all
@pytest.mark.parametrize("suite", CLIENTS)
def test_a_client_runs_unchanged(
    suite: str, workspace: dict[str, str], python_of: Callable[[str], Path], tmp_path: Path
) -> None:
    command = [
        python_of(CLIENTS[suite]),
        "-m",
        "pytest",
        "-c",
        UNCHANGED / "pytest.ini",
        "-q",
        UNCHANGED / f"{suite}.py",
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DATABRICKS_HOST": workspace["host"],
        "DATABRICKS_TOKEN": workspace["token"],
        "TOKEN_OF_ADA": workspace["ada"],
        "TOKEN_OF_BOB": workspace["bob"],
        "DO_NOT_TRACK": "true",  # MLflow's telemetry
    }
    done = subprocess.run(
        [*map(str, command)], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    *_, last = done.stdout.strip().splitlines() or [""]
    passed = re.fullmatch(r"(\d+) passed in .*", last)
    assert passed, done.stdout + done.stderr
    assert int(passed[1]) >= 6, "none is skipped, and they are all there"
