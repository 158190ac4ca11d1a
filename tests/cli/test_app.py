"""The command itself: help, version, exit codes, and how it fails."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from fm_cli import _output
from fm_cli._app import app
from fm_cli._corpus import FILES, corpus
from fm_cli._failures import failures
from fm_cli._output import Output
from fm_client import (
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    EndpointFailedError,
    EndpointNotReadyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    StreamInterruptedError,
    __version__,
)

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]
Done = subprocess.CompletedProcess[str]


def test_version_says_which_one(program: Callable[..., Done]) -> None:
    done = program("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"fm-integrations {__version__} (Python 3.")
    assert program("--version").stdout == done.stdout
    assert json.loads(program("version", "--output", "json").stdout)["version"] == __version__


def commands() -> list[tuple[str, ...]]:
    """Every command, as it is typed."""
    return list(_walk(typer.main.get_command(app)))


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield path
    for name, each in inner.items():
        yield from _walk(each, (*path, name))


@pytest.mark.parametrize("command", [(), *commands()], ids=" ".join)
def test_help_documents_the_exit_codes(fm: Run, command: tuple[str, ...]) -> None:
    done = fm(*command, "--help")
    assert done.exit_code == 0
    assert "Exit codes: 0" in done.stdout


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_can_speak_json_and_none_takes_a_token(fm: Run, command: tuple[str, ...]) -> None:
    text = fm(*command, "--help", COLUMNS="200").stdout
    assert "--output" in text
    assert "--token" not in text


@pytest.mark.parametrize(
    "command",
    [each for each in commands() if each[0] in ("chat", "complete", "embed", "endpoints", "doctor")],
    ids=" ".join,
)
def test_every_command_that_connects_takes_host_and_profile(fm: Run, command: tuple[str, ...]) -> None:
    text = fm(*command, "--help", COLUMNS="200").stdout
    assert "--host" in text
    assert "--profile" in text


def test_an_unknown_command_is_a_usage_error(fm: Run) -> None:
    assert fm("dance").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("dance", "--output", "json"),
        ("--dance", "--output", "json"),
        ("models", "--output=json", "--task", "painting"),
        ("endpoints", "get", "--output", "json"),
        ("endpoints", "delete", "mine", "--output", "json"),
    ],
)
def test_a_wrong_command_line_is_json_where_json_is_asked_for(fm: Run, arguments: tuple[str, ...]) -> None:
    done = fm(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    report = json.loads(done.stderr)
    assert report["exit_code"] == 2
    assert report["error"]["type"] == "UsageError"
    assert report["error"]["message"]


def test_the_environment_can_ask_for_json_and_the_option_comes_first(fm: Run) -> None:
    assert "models" in json.loads(fm("models", FM_OUTPUT="json").stdout)
    assert json.loads(fm("dance", FM_OUTPUT="json").stderr)["exit_code"] == 2
    assert fm("models", "--output", "text", FM_OUTPUT="json").stdout.startswith("endpoint")


CODES = [
    (ConfigurationError("no\nhost"), 3),
    (OSError("no\nhost"), 1),
    (ValueError("no\nhost"), 1),
    (AuthenticationError("no\nhost"), 3),
    (PermissionDeniedError("no\nhost"), 3),
    (NotFoundError("no\nhost"), 4),
    (APITimeoutError("no\nhost"), 5),
    (EndpointNotReadyError("no\nhost"), 6),
    (EndpointFailedError("no\nhost"), 6),
    (StreamInterruptedError("no\nhost"), 7),
    (RateLimitError("no\nhost"), 8),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_a_failure_is_one_line_on_standard_error(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, failures():
        raise error
    assert caught.value.exit_code == code
    assert capsys.readouterr() == ("", "fm: no host\n")


def test_a_failure_is_one_object_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    error = RateLimitError("slow down", endpoint="ep", status_code=429, retry_after=7.0, request_id="r-1")
    error.add_note("after another route")
    with pytest.raises(typer.Exit), failures(Output.JSON):
        raise error
    printed = capsys.readouterr()
    assert printed.out == ""
    assert json.loads(printed.err) == {
        "error": {
            "type": "RateLimitError",
            "message": "slow down",
            "endpoint": "ep",
            "status_code": 429,
            "request_id": "r-1",
            "retry_after": 7.0,
            "notes": ["after another route"],
        },
        "exit_code": 8,
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("endpoints", "list"), "--host local"),
        (("endpoints", "list", "--host", "https://example.com"), "set DATABRICKS_TOKEN"),
        (("chat", "nowhere", "hi", "--host", "local"), "`fm endpoints list`"),
        (("doctor",), "--host local"),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_what_the_client_says_of_itself_is_told_in_words_of_the_command(
    program: Callable[..., Done], arguments: tuple[str, ...], told: str, output: str
) -> None:
    done = program(*arguments, "--output", output)
    said = done.stdout + done.stderr
    assert told in said
    assert not re.search(r"\b(host|token|profile|client_id|auth_type)=|endpoints\.list", said)


@pytest.mark.parametrize("command", [("endpoints", "list"), ("doctor",)])
def test_the_embedded_workspace_has_no_profile(fm: Run, command: tuple[str, ...]) -> None:
    done = fm(*command, "--host", "local", "--profile", "mine")
    assert done.exit_code == 3
    assert "leave out --profile" in done.output


def test_no_failure_can_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), failures():
        raise ValueError("no\x1b[2Jhost")
    assert capsys.readouterr().err == "fm: no[2Jhost\n"


def test_a_note_on_an_error_is_told_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("no host")
    error.add_note("look at\nthe environment")
    with pytest.raises(typer.Exit), failures():
        raise error
    assert capsys.readouterr().err == "fm: no host; look at the environment\n"


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(KeyError), failures():
        raise KeyError("a bug")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_for_a_shell(program: Callable[..., Done], shell: str) -> None:
    done = program("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0, done.stderr
    assert "_FM_COMPLETE" in done.stdout


def test_endpoints_are_completed_from_the_catalog(program: Callable[..., Done]) -> None:
    line = {"_FM_COMPLETE": "complete_bash", "COMP_WORDS": "fm chat databricks-gte", "COMP_CWORD": "2"}
    assert program(**line).stdout.split() == ["databricks-gte-large-en"]


def test_no_framework_is_loaded_before_it_is_needed() -> None:
    heavy = "{'langchain_core', 'llama_index', 'mlflow', 'fastapi', 'yaml', 'httpcore', 'pydantic'}"
    code = f"import sys, fm_cli._app; print({heavy} & sys.modules.keys())"
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


@pytest.mark.parametrize(
    "command",
    [
        ("models",),
        ("models", "--output", "json"),
        ("version",),
        ("endpoints", "list", "--host", "local"),
        ("doctor", "--host", "local"),
        ("chat", "databricks-claude-sonnet-4-5", "hi", "--host", "local"),
        ("embed", "databricks-gte-large-en", __file__, "--host", "local"),
    ],
    ids=lambda command: "-".join(command[:2]),
)
def test_a_reader_who_leaves_early_causes_no_noise(environment: dict[str, str], command: tuple[str, ...]) -> None:
    """As in `fm models | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    fm = Path(sys.executable).with_name("fm")
    done = subprocess.run(
        [fm, *command], env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_corpus_is_the_documentation_and_the_wheel_gets_the_same_files() -> None:
    assert corpus() == [ROOT / "docs" / name for name in FILES]
    assert [path for path in corpus() if len(path.read_text(encoding="utf-8")) < 1_000] == []
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {f"docs/{name}": f"fm_cli/corpus/{name}" for name in FILES}
