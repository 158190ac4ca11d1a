"""The command itself: help, version, exit codes, and how it fails."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import Result

from fm_cli import _output
from fm_cli._corpus import FILES, corpus
from fm_client import ConfigurationError, __version__

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]


def test_version_says_which_one(program: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = program("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"fm-integrations {__version__} (Python 3.")


@pytest.mark.parametrize("command", [(), ("demo",), ("models",), ("workspace", "start"), ("version",)])
def test_help_documents_the_exit_codes(fm: Run, command: tuple[str, ...]) -> None:
    done = fm(*command, "--help")
    assert done.exit_code == 0
    assert "Exit codes: 0" in done.stdout


def test_an_unknown_command_is_a_usage_error(fm: Run) -> None:
    assert fm("dance").exit_code == 2


@pytest.mark.parametrize("error", [ConfigurationError("no\nhost"), OSError("no\nhost"), ValueError("no\nhost")])
def test_a_failure_is_one_line_on_standard_error(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, _output.failures():
        raise error
    assert caught.value.exit_code == 1
    assert capsys.readouterr() == ("", "fm: no host\n")


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(KeyError), _output.failures():
        raise KeyError("a bug")


def test_no_framework_is_loaded_before_it_is_needed() -> None:
    code = "import sys, fm_cli; print({'langchain_core', 'llama_index', 'mlflow', 'fastapi'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_no_color_leaves_no_colour_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    printed = {}
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setattr(sys, "stdout", Terminal())
        _output.terminal().print("hello", style="red")
        printed[no_color] = sys.stdout.getvalue()  # type: ignore[attr-defined]  # the one just put there
    assert "\x1b[31m" in printed[""]
    assert printed["1"] == "hello\n"


def test_a_reader_who_leaves_early_causes_no_traceback(program: object) -> None:
    """As in `fm models | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    fm = Path(sys.executable).with_name("fm")
    done = subprocess.run([fm, "models"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    os.close(writing)
    assert "Traceback" not in done.stderr


def test_the_corpus_is_the_documentation_and_the_wheel_gets_the_same_files() -> None:
    assert corpus() == [ROOT / "docs" / name for name in FILES]
    assert [path for path in corpus() if len(path.read_text(encoding="utf-8")) < 1_000] == []
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {f"docs/{name}": f"fm_cli/corpus/{name}" for name in FILES}
