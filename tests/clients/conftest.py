"""A workspace in a process of its own, and an environment for each client that is not ours."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-clients"
LOCKED = ROOT / "requirements" / "clients"
PROGRAM = """
import json, sys
from fm_workspace import Workspace
with Workspace.start(deploy_seconds=0.5) as workspace:
    tokens = {"token": workspace.token, **{user: workspace.issue_token(user) for user in ("ada", "bob")}}
    print(json.dumps({"host": workspace.host, **tokens}), flush=True)
    sys.stdin.read()
"""
"""Serves until its input ends."""


@pytest.fixture(scope="session")
def workspace() -> Iterator[dict[str, str]]:
    """Its host, its token, and those of two users."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()


@pytest.fixture(scope="session")
def python_of() -> Callable[[str], Path]:
    """The interpreter of a client's environment, made when it is not there or not as it is locked."""
    names = sorted(path.stem for path in LOCKED.glob("*.txt"))
    with ThreadPoolExecutor() as pool:
        made = dict(zip(names, pool.map(environment, names), strict=True))
    return made.__getitem__


def environment(name: str) -> Path:
    """What `requirements/clients/NAME.txt` locks, and nothing else, installed by the pip that runs these tests."""
    place, locked = ENVIRONMENTS / name, LOCKED / f"{name}.txt"
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    wanted = hashlib.sha256(locked.read_bytes() + sys.version.encode()).hexdigest()
    stamp = place / ".installed"
    if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
        shutil.rmtree(place, ignore_errors=True)
        run(sys.executable, "-m", "venv", "--without-pip", place)
        pip = ("-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet")
        run(sys.executable, *pip, "--no-deps", "--require-hashes", "--requirement", locked)
        stamp.write_text(wanted, encoding="ascii")
    return python


def run(*command: object) -> None:
    done = subprocess.run(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
