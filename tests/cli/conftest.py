"""The `fm` command, in this process and as a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fault_server import FaultServer
from terminal import Terminal
from typer.testing import CliRunner, Result

from fm_cli import _background as background
from fm_cli._app import app
from fm_workspace import Workspace

PROGRAM = Path(sys.executable).with_name("fm")
NOWHERE = "http://127.0.0.1:9"
"""A proxy that does not exist: whatever is not for this machine fails."""
SECONDS = 100
TOKEN = "token-for-tests"


def environment(**variables: str) -> dict[str, str]:
    """The environment of a program: without settings of the developer's, and with no way out of this machine."""
    unwanted = ("DATABRICKS_", "MLFLOW_", "FM_", "LANGSMITH_", "LANGCHAIN_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    kept["FM_STATE_DIR"] = os.environ.get("FM_STATE_DIR", os.devnull)
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "NO_PROXY", "no_proxy"):
        kept.pop(name, None)
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    return {**kept, **proxies, "DATABRICKS_CONFIG_FILE": "", **variables}


def run_program(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`fm …`, as a program."""
    command, env = [str(PROGRAM), *arguments], environment(**variables)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=SECONDS)


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> Iterator[None]:
    """In the background of a script SIGINT is ignored, also by what is started there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where the command keeps its state; a workspace that a test leaves in the background is ended."""
    monkeypatch.setenv("FM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("FM_OUTPUT", raising=False)
    yield tmp_path / "state"
    if (record := background.running()) is not None:
        background.end(record)


@pytest.fixture
def fm() -> Callable[..., Result]:
    """`fm("models", "--task", "chat")`, in this process."""
    return lambda *arguments, stdin=None, **variables: CliRunner().invoke(app, arguments, input=stdin, env=variables)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A workspace for `--live`, and for engines that ask another server."""
    with Workspace.start() as running:
        yield running


@pytest.fixture(name="environment")
def clean(state_directory: Path) -> dict[str, str]:
    """The environment of a program, in which `fm` is found."""
    return environment(PATH=f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def here(workspace: Workspace) -> dict[str, str]:
    """The environment that leads to `workspace`."""
    return {"DATABRICKS_HOST": workspace.host, "DATABRICKS_TOKEN": workspace.token}


@pytest.fixture
def there(server: FaultServer) -> dict[str, str]:
    """The environment that leads to the scripted server."""
    return {"DATABRICKS_HOST": server.host, "DATABRICKS_TOKEN": TOKEN}


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """`terminal("chat", "my-endpoint", **environment)`: `fm chat my-endpoint` in a pseudo-terminal."""
    with ExitStack() as stack:
        yield lambda *arguments, **variables: stack.enter_context(
            Terminal(str(PROGRAM), *arguments, env=environment(**variables))
        )


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`program("demo")`: `fm demo`, as a program."""
    return run_program


@pytest.fixture(scope="session")
def demo_run() -> subprocess.CompletedProcess[str]:
    """One run of the whole demo."""
    return run_program("demo", "--output", "json")


@pytest.fixture
def popen() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `fm …` as a program that goes on; what is still running at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        command, env = [str(PROGRAM), *arguments], environment(**variables)
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # closes its pipes
            process.kill()
