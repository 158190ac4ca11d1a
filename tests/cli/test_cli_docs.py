"""docs/cli.md: every command with an example that runs, and prints what stands there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from terminal import Terminal

from fm_cli._app import app
from fm_cli._failures import MEANINGS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
STEPS = [step for block in BLOCKS for step in re.split(r"^\$ ", block, flags=re.MULTILINE) if step]
"""A command, and what it printed."""
HERE_DOCUMENT = re.compile(r".*<<'(\w+)'$")
SECONDS = 60


def parts(step: str) -> tuple[str, list[str]]:
    """The command, with the document that it may be given, and the lines that it printed."""
    first, *rest = step.rstrip("\n").split("\n")
    if document := HERE_DOCUMENT.match(first):
        end = rest.index(document[1]) + 1
        return "\n".join([first, *rest[:end]]), rest[end:]
    return first, rest


def pattern(lines: list[str]) -> str:
    """A pattern for what was printed; `…` is what is different each time."""
    return "\n".join(re.escape(line).replace("…", ".*") for line in lines)


def said(step: str) -> bool:
    """Whether a step is a conversation."""
    return any(line.startswith("> ") for line in parts(step)[1])


def test_every_example_prints_what_stands_there(
    tmp_path: Path, environment: dict[str, str], terminal: Callable[..., Terminal]
) -> None:
    for step in STEPS:
        command, expected = parts(step)
        if said(step):
            _converse(terminal(*command.split()[1:]), expected)
            continue
        printed = _run(command, tmp_path, environment)
        assert re.fullmatch(pattern(expected), printed), f"$ {command}\n{printed}"


def _run(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout.rstrip("\n")


def _converse(tty: Terminal, lines: list[str]) -> None:
    for line in lines:
        if line.startswith("> "):
            tty.expect("> ")
            tty.line(line.removeprefix("> "))
        else:
            tty.expect(line.partition("…")[0])
    assert tty.finish() == 0


def commands(command: Any = None, path: str = "fm") -> Iterator[str]:
    """Every command, as it is typed."""
    inner = getattr(command or typer.main.get_command(app), "commands", {})
    if not inner:
        yield path
    for name, each in inner.items():
        yield from commands(each, f"{path} {name}")


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_has_an_example(command: str) -> None:
    assert [step for step in STEPS if command in parts(step)[0]]


def test_the_exit_codes_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", TEXT, re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in rows] == [(int(code), text) for code, text in MEANINGS.items()]


def test_the_variables_are_those_of_the_code() -> None:
    """Of the command's own, all that the sources name; of the others, those that the core reads."""
    table = TEXT.split("## Environment")[1]
    named = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`([A-Z][A-Z_]+)`", line.split("|")[1:2][0] if "|" in line else "")
    }
    sources = "".join(path.read_text() for path in (ROOT / "integrations").rglob("*.py"))
    own = set(re.findall(r'"(FM_[A-Z_]+)"', sources))
    assert own - {"FM_SECRET_"} <= named
    known = set(re.findall(r"[A-Z][A-Z_]+", sources)) | {"FM_SECRET_SCOPE_KEY", "NO_COLOR", "DATABRICKS_AUTH_TYPE"}
    core = {f"DATABRICKS_{name.upper()}" for name in ("host", "token", "client_id", "client_secret")}
    assert named - known - core == set()
