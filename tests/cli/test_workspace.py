"""`fm workspace start`, as a program: started, asked, stopped."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from timing import SOON
from typer.testing import Result

from fm_client import Client, PermissionDeniedError
from fm_workspace import Workspace

Start = Callable[..., "subprocess.Popen[str]"]
CHAT = "databricks-meta-llama-3-3-70b-instruct"
RETRIES = 10
"""The address is printed just before requests are answered."""


def exports(process: subprocess.Popen[str]) -> dict[str, str]:
    """The variables that a started workspace prints, as a shell would read them."""
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        if match := re.fullmatch(r"export (DATABRICKS_\w+)=(\S+)\n", line):
            found[match[1]] = match[2]
        if len(found) == 2:
            return found
    raise AssertionError(f"it ended early: {process.stderr.read() if process.stderr else ''}")


def client_of(process: subprocess.Popen[str]) -> Client:
    printed = exports(process)
    return Client(printed["DATABRICKS_HOST"], printed["DATABRICKS_TOKEN"], max_retries=RETRIES)


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, str]:
    """Exit code and standard error after a signal."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=SOON)
    return process.returncode, errors


def test_it_answers_with_the_printed_token_and_stops_cleanly_on_ctrl_c(popen: Start) -> None:
    process = popen("workspace", "start")
    with client_of(process) as client:
        answer = client.chat(CHAT, "What colour has the sky? The sky is blue.")
    assert answer.text == "The sky is blue."
    assert stop(process) == (0, "")


def test_the_token_can_come_from_the_environment(popen: Start) -> None:
    process = popen("workspace", "start", FM_WORKSPACE_TOKEN="token-for-tests")
    printed = exports(process)
    assert printed["DATABRICKS_TOKEN"] == "token-for-tests"
    assert printed["DATABRICKS_HOST"].startswith("http://127.0.0.1:")
    assert stop(process)[0] == 0


def test_a_state_file_keeps_endpoints_over_restarts(popen: Start, tmp_path: Path) -> None:
    arguments = ("workspace", "start", "--state", str(tmp_path / "state.db"))
    first = popen(*arguments)
    with client_of(first) as client:
        client.endpoints.create(
            "kept", entity_name="main.default.kept", entity_version="1", max_provisioned_throughput=980
        )
    assert stop(first)[0] == 0
    with client_of(popen(*arguments)) as client:
        assert client.endpoints.get("kept").is_ready


def test_with_a_state_file_the_token_lasts_too(popen: Start, tmp_path: Path) -> None:
    home, state = tmp_path / "home", str(tmp_path / "state.db")
    tokens = []
    for _ in range(2):
        process = popen("workspace", "start", "--state", state, FM_WORKSPACE_HOME=str(home))
        tokens.append(exports(process)["DATABRICKS_TOKEN"])
        assert stop(process)[0] == 0
    assert tokens[0] == tokens[1] == (home / "token").read_text()
    assert stat.filemode((home / "token").stat().st_mode) == "-rw-------"
    assert len(tokens[0]) >= 43
    assert tokens[0].encode() not in Path(state).read_bytes()


def test_users_who_may_do_less_have_tokens_of_their_own(popen: Start) -> None:
    process = popen(
        "workspace", "start", FM_WORKSPACE_QUERY_TOKEN="ask-for-tests", FM_WORKSPACE_READ_TOKEN="read-for-tests"
    )
    host = exports(process)["DATABRICKS_HOST"]
    with Client(host, "ask-for-tests", max_retries=RETRIES) as asking, Client(host, "read-for-tests") as reading:
        assert asking.chat(CHAT, "Hello").text
        assert reading.endpoints.get(CHAT).is_ready
        with pytest.raises(PermissionDeniedError):
            reading.chat(CHAT, "Hello")
        with pytest.raises(PermissionDeniedError):
            asking.endpoints.delete("anything")


def test_an_address_for_others_comes_with_a_warning(popen: Start) -> None:
    process = popen("workspace", "start", "--host", "0.0.0.0", "--allow-remote", FM_WORKSPACE_TOKEN="token-for-tests")  # noqa: S104  # what is tried
    assert exports(process)["DATABRICKS_HOST"].startswith("http://127.0.0.1:")
    assert "can be reached from other machines" in stop(process)[1]


def test_deployments_take_as_long_as_told(popen: Start) -> None:
    with client_of(popen("workspace", "start", "--deploy-seconds", "600")) as client:
        created = client.endpoints.create(
            "slow", entity_name="main.default.slow", entity_version="1", max_provisioned_throughput=980
        )
    assert created.is_updating
    assert not created.is_ready


def test_another_server_can_answer_and_its_key_is_no_option(popen: Start, workspace: Workspace) -> None:
    """The other server is a second workspace; its engine says "simulated", and its key must have been sent."""
    process = popen(
        *("workspace", "start", "--engine", "upstream", "--upstream-model", CHAT),
        *("--upstream-url", f"{workspace.host}/serving-endpoints"),
        FM_UPSTREAM_API_KEY=workspace.token,
    )
    with client_of(process) as client:
        answer = client.chat("databricks-claude-sonnet-4-5", "Hello")
    assert answer.model is not None
    assert answer.model.startswith("meta-llama-3-3")
    assert workspace.token not in str(process.args)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--engine", "upstream"),
        ("--upstream-url", "http://localhost:1/v1"),
        ("--upstream-model", "llama"),
        ("--port", "70000"),
    ],
)
def test_options_that_do_not_fit_are_a_usage_error(fm: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    assert fm("workspace", "start", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--host", "0.0.0.0"), "--allow-remote"),  # noqa: S104  # what must be refused
        (("--host", "0.0.0.0", "--allow-remote"), "FM_WORKSPACE_TOKEN"),  # noqa: S104  # likewise
        (("--provider-network", "10.0.0.1/8"), "10.0.0.1/8"),
        (("--provider-url", "https://llm.example.com"), "NAME=URL"),
        (("--provider-url", "ai21labs=http://llm.example.com"), "--provider-url['ai21labs'] must be an https address"),
        (("--provider-url", "openai=https://llm.example.com"), "'openai' is none of"),
        (("--provider-url", "cohere=https://a.example", "--provider-url", "cohere=https://b.example"), "once"),
        (("--state", "/nonexistent/state.db"), "/nonexistent/state.db"),
        (("--engine", "upstream", "--upstream-url", "ftp://example.com"), "--upstream-url must be"),
    ],
)
def test_what_cannot_be_started_is_one_line(fm: Callable[..., Result], arguments: tuple[str, ...], reason: str) -> None:
    done = fm("workspace", "start", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fm: ")
    assert reason in line


def test_a_port_that_is_taken_is_one_line(fm: Callable[..., Result]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = fm("workspace", "start", "--port", str(taken.getsockname()[1]))
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "in use" in line
