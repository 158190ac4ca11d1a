"""A workspace in a process of its own, and an environment for each client that is not ours."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-clients"
LOCKED = ROOT / "requirements" / "clients"
START = ["-c", "from fm_cli import main; main()", "workspace", "start", "--deploy-seconds", "0.5", "--output", "json"]


@pytest.fixture(scope="session")
def workspace() -> Iterator[dict[str, str]]:
    """Its host and token, as `fm workspace start` tells them."""
    with subprocess.Popen([sys.executable, *START], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            yield json.loads("".join(takewhile(lambda line: line != "}\n", lines)) + "}")
        finally:
            process.terminate()


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
