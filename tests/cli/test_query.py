"""`fm chat` with a prompt and `fm complete`: one question, one answer."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable

import pytest
from fault_server import DONE, FaultServer, chunked, event, reply, words
from terminal import Terminal
from timing import SOON, wait_until_it_waits
from typer.testing import Result

from fm_client import Client
from fm_workspace import Workspace

Run = Callable[..., Result]
Env = dict[str, str]
Done = subprocess.CompletedProcess[str]
CHAT = "databricks-meta-llama-3-3-70b-instruct"
QUESTION = "What colour has the sky? The sky is blue."


@pytest.fixture
def completions(workspace: Workspace) -> str:
    """An endpoint that completes texts."""
    with Client(workspace.host, workspace.token) as client:
        model = {"entity_name": "main.default.base", "entity_version": "1", "max_provisioned_throughput": 980}
        return client.endpoints.create("base", **model, tags={"fm_task": "completions"}, wait=True).name


def test_an_answer_in_a_pipe_is_its_text_and_a_line_break(fm: Run, here: Env) -> None:
    done = fm("chat", CHAT, QUESTION, **here)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "The sky is blue.\n", "")


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_the_prompt_can_come_from_standard_input(fm: Run, here: Env, arguments: tuple[str, ...]) -> None:
    assert fm("chat", CHAT, *arguments, stdin=f"{QUESTION}\n", **here).stdout == "The sky is blue.\n"


def test_an_empty_standard_input_is_nothing_to_ask(fm: Run, here: Env) -> None:
    done = fm("chat", CHAT, stdin=" \n", **here)
    assert done.exit_code == 1
    assert "nothing to ask" in done.stderr


def test_programs_get_the_whole_response(fm: Run, here: Env) -> None:
    done = json.loads(fm("chat", CHAT, QUESTION, "--output", "json", **here).stdout)
    assert done["text"] == "The sky is blue."
    assert done["endpoint"] == CHAT
    assert done["response"]["usage"]["completion_tokens"] == 5
    assert done["request_id"]


def test_options_are_sent_and_what_is_not_said_is_not(fm: Run, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("ok"), DONE))
    fm(
        "chat",
        "ep",
        "hi",
        "--system",
        "Be short.",
        "--temperature",
        "0.5",
        "--max-tokens",
        "9",
        "--stop",
        "END",
        **there,
    )
    body = server.seen[-1].json
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert {body["temperature"], body["max_tokens"], *body["stop"]} == {0.5, 9, "END"}
    fm("chat", "ep", "hi", **there)
    assert server.seen[-1].json.keys() <= {"messages", "stream", "stream_options"}


def test_verbose_tells_tokens_time_and_endpoint_on_standard_error(fm: Run, here: Env) -> None:
    done = fm("chat", CHAT, QUESTION, "--verbose", **here)
    assert done.stdout == "The sky is blue.\n"
    assert done.stderr.startswith(f"{CHAT} · ")
    assert "out · " in done.stderr


def test_a_completion_is_streamed_and_whole_for_programs(fm: Run, here: Env, completions: str) -> None:
    text = fm("complete", completions, "Once upon a time", **here)
    assert text.exit_code == 0, text.output
    report = json.loads(fm("complete", completions, "Once upon a time", "--output", "json", **here).stdout)
    assert report["text"].strip() == text.stdout.strip()
    assert report["text"]


def test_pieces_are_printed_as_they_arrive(popen: Callable[..., subprocess.Popen[str]], server: FaultServer) -> None:
    server.script("ep", chunked(*words("first ", finish=None), end="hold"))
    process = popen("chat", "ep", "hi", DATABRICKS_HOST=server.host, DATABRICKS_TOKEN="t")
    assert process.stdout is not None
    assert process.stdout.read(6) == "first "
    assert process.poll() is None


def test_a_wrong_endpoint_has_a_code_of_its_own_and_names_the_close_ones(fm: Run, here: Env) -> None:
    done = fm("chat", "databricks-meta-llama-3-3-70b", "hi", **here)
    assert (done.exit_code, done.stdout) == (4, "")
    assert CHAT in done.stderr


def test_a_wrong_token_is_refused_and_not_shown(fm: Run, workspace: Workspace) -> None:
    wrong = "wrong-token-for-tests"
    done = fm("chat", CHAT, "hi", DATABRICKS_HOST=workspace.host, DATABRICKS_TOKEN=wrong)
    assert done.exit_code == 3
    assert wrong not in done.output


def test_no_configuration_is_told_with_what_to_do(fm: Run) -> None:
    done = fm("chat", CHAT, "hi")
    assert done.exit_code == 3
    assert "DATABRICKS_HOST" in done.stderr


def test_a_dead_server_is_no_connection(fm: Run) -> None:
    done = fm("chat", CHAT, "hi", "--output", "json", DATABRICKS_HOST="http://127.0.0.1:9", DATABRICKS_TOKEN="t")
    assert (done.exit_code, done.stdout) == (5, "")
    report = json.loads(done.stderr)
    assert report["exit_code"] == 5
    assert report["error"]["type"] == "APIConnectionError"
    assert report["error"]["attempts"] == 3


def test_a_stream_that_breaks_keeps_what_had_arrived_and_says_so(fm: Run, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("half an ans", finish=None), end="cut"))
    done = fm("chat", "ep", "hi", **there)
    assert (done.exit_code, done.stdout) == (7, "half an ans\n")
    assert done.stderr.startswith("fm: ")


def test_an_error_inside_a_stream_is_an_error(fm: Run, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("a", finish=None), event({"error_code": "INTERNAL_ERROR", "message": "melted"})))
    done = fm("chat", "ep", "hi", **there)
    assert done.exit_code == 7
    assert "melted" in done.stderr


def test_a_rate_limit_has_a_code_of_its_own(fm: Run, server: FaultServer, there: Env) -> None:
    limited = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}
    server.script("ep", reply(429, limited, retry_after="3600"))
    done = fm("chat", "ep", "hi", "--output", "json", **there)
    assert done.exit_code == 8
    assert json.loads(done.stderr)["error"]["retry_after"] == 3600


def test_an_endpoint_that_deploys_is_not_ready(fm: Run, workspace: Workspace, here: Env) -> None:
    slow = {"entity_name": "main.default.slow", "entity_version": "1", "max_provisioned_throughput": 980}
    with Client(workspace.host, workspace.token) as client:
        client.endpoints.create("slow", **slow, tags={"fm_deploy_seconds": "600"})
    assert fm("chat", "slow", "hi", **here).exit_code == 6


def test_waiting_for_an_endpoint_gets_an_answer(fm: Run, workspace: Workspace, here: Env) -> None:
    slow = {"entity_name": "main.default.slow", "entity_version": "1", "max_provisioned_throughput": 980}
    with Client(workspace.host, workspace.token) as client:
        client.endpoints.create("slow", **slow, tags={"fm_deploy_seconds": "1"})
    assert fm("chat", "slow", QUESTION, "--wait-ready", "30", **here).stdout == "The sky is blue.\n"


@pytest.mark.parametrize("command", ["chat", "complete"])
def test_no_answer_can_command_the_terminal(
    terminal: Callable[..., Terminal], server: FaultServer, there: Env, command: str
) -> None:
    said = "one \x1b]0;owned\x07 two"
    piece = (
        words(said)
        if command == "chat"
        else [event({"choices": [{"index": 0, "text": said, "finish_reason": "stop"}]})]
    )
    server.script("ep", chunked(*piece, DONE))
    tty = terminal(command, "ep", "hi", **there)
    assert tty.finish() == 0
    assert "\x1b]0" not in tty.raw and "two" in tty.text


def test_a_prompt_can_be_typed_and_the_command_says_that_it_waits(
    terminal: Callable[..., Terminal], server: FaultServer, there: Env
) -> None:
    completion = {"choices": [{"index": 0, "text": "a time", "finish_reason": "stop"}]}
    server.script("ep", chunked(event(completion), DONE))
    tty = terminal("complete", "ep", **there)
    tty.expect("Ctrl-D ends the text")
    tty.line("Once upon")
    tty.type("\x04")
    tty.expect("a time")
    assert tty.finish() == 0
    assert server.seen[-1].json["prompt"] == "Once upon"


def test_ctrl_c_ends_a_single_answer_with_130(popen: Callable[..., subprocess.Popen[str]], server: FaultServer) -> None:
    server.script("ep", chunked(*words("first ", finish=None), end="hold"))
    process = popen("chat", "ep", "hi", DATABRICKS_HOST=server.host, DATABRICKS_TOKEN="t")
    assert process.stdout is not None
    assert process.stdout.read(6) == "first "
    wait_until_it_waits(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=SOON)
    assert (process.returncode, errors) == (130, "")


def test_a_closed_pipe_ends_an_answer_quietly(popen: Callable[..., subprocess.Popen[str]], server: FaultServer) -> None:
    """As in `fm chat … | head -c 6`."""
    rest = [part for _ in range(20) for part in (0.1, *words("more ", finish=None))]
    server.script("ep", chunked(*words("first ", finish=None), *rest, DONE))
    process = popen("chat", "ep", "hi", DATABRICKS_HOST=server.host, DATABRICKS_TOKEN="t")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(6) == "first "
    process.stdout.close()
    assert process.wait(SOON) == 1
    assert process.stderr.read() == ""


def test_a_retired_model_is_warned_of_without_file_and_line(program: Callable[..., Done], server: FaultServer) -> None:
    retired = server.script("databricks-dbrx-instruct", chunked(*words("ok"), DONE))
    done = program("chat", retired, "hi", DATABRICKS_HOST=server.host, DATABRICKS_TOKEN="t")
    assert done.stdout == "ok\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("fm: ")
    assert "retired" in line
