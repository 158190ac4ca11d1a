"""`fm endpoints …` on an embedded workspace: see, create, change, delete, wait, logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal
from typer.testing import Result

from fm_client import Client
from fm_workspace import Workspace

Run = Callable[..., Result]
Env = dict[str, str]
LLAMA = ("--model", "system.ai.meta_llama_v3_1_8b_instruct", "--version", "1")
GPT = ("--provider", "openai", "--external-model", "gpt-4o", "--task", "chat")
KEY = "sk-key-for-tests-0123456789"


@pytest.fixture
def client(workspace: Workspace) -> Client:
    return Client(workspace.host, workspace.token)


def answer(done: Result) -> Any:
    """What a command printed for programs."""
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def entity(shown: dict[str, Any]) -> Any:
    """The one served entity of an endpoint."""
    (found,) = (shown.get("config") or shown["pending_config"])["served_entities"]
    return found


def test_a_provisioned_endpoint_by_throughput(fm: Run, here: Env) -> None:
    size = ("--min-throughput", "0", "--max-throughput", "1960", "--scale-to-zero")
    shown = answer(fm("endpoints", "create", "mine", *LLAMA, *size, "--wait", "--output", "json", **here))
    assert shown["route"] == "provisioned"
    assert shown["state"]["ready"] == "READY"
    found = entity(shown)
    assert (found["entity_name"], found["entity_version"]) == ("system.ai.meta_llama_v3_1_8b_instruct", "1")
    assert (found["min_provisioned_throughput"], found["max_provisioned_throughput"]) == (0, 1960)
    assert found["scale_to_zero_enabled"] is True


def test_a_provisioned_endpoint_by_model_units_and_one_by_chunks(fm: Run, here: Env) -> None:
    units = answer(fm("endpoints", "create", "units", *LLAMA, "--units", "50", "--output", "json", **here))
    assert entity(units)["provisioned_model_units"] == 50
    chunks = answer(fm("endpoints", "create", "chunks", *LLAMA, "--chunks", "2", "--output", "json", **here))
    assert entity(chunks)["max_provisioned_throughput"] == 2 * 980


def test_an_external_endpoint_by_reference_to_a_secret(fm: Run, here: Env) -> None:
    shown = answer(
        fm(
            "endpoints",
            "create",
            "gpt",
            *GPT,
            "--secret-ref",
            "models/openai",
            "--tag",
            "team=search",
            "--output",
            "json",
            **here,
        )
    )
    assert shown["route"] == "external"
    assert entity(shown)["external_model"]["openai_config"] == {"openai_api_key": "{{secrets/models/openai}}"}
    assert shown["tags"] == [{"key": "team", "value": "search"}]


@pytest.mark.parametrize("way", [("--key-env", "MY_KEY"), ("--key-stdin",)])
def test_a_key_comes_by_environment_or_standard_input_and_answers(
    fm: Run, here: Env, workspace: Workspace, way: tuple[str, ...]
) -> None:
    """The provider is the workspace itself: it answers only if the key that it gets is its own token."""
    base = ("--set", f"openai_api_base={workspace.host}/serving-endpoints")
    model = ("--provider", "openai", "--external-model", "databricks-meta-llama-3-3-70b-instruct", "--task", "chat")
    created = fm(
        "endpoints", "create", "gpt", *model, *base, *way, stdin=workspace.token, MY_KEY=workspace.token, **here
    )
    assert created.exit_code == 0, created.output
    assert workspace.token not in created.output
    assert fm("chat", "gpt", "What is blue? The sky is blue.", **here).stdout == "The sky is blue.\n"


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_an_endpoint_from_a_file(fm: Run, here: Env, tmp_path: Path, form: str) -> None:
    spec = {
        "name": "split",
        "config": {
            "served_entities": [
                {"name": "a", "entity_name": "main.default.a", "entity_version": 1, "max_provisioned_throughput": 980},
                {"name": "b", "entity_name": "main.default.b", "entity_version": 2, "max_provisioned_throughput": 980},
            ],
            "traffic_config": {
                "routes": [
                    {"served_entity_name": "a", "traffic_percentage": 90},
                    {"served_entity_name": "b", "traffic_percentage": 10},
                ]
            },
        },
        "tags": {"team": "search"},
    }
    path = tmp_path / f"spec.{form}"
    path.write_text(json.dumps(spec), encoding="utf-8")  # which is YAML as well
    shown = answer(fm("endpoints", "create", "--file", str(path), "--output", "json", **here))
    assert [each["entity_version"] for each in shown["config"]["served_entities"]] == ["1", "2"]
    assert [each["traffic_percentage"] for each in shown["config"]["traffic_config"]["routes"]] == [90, 10]
    assert shown["tags"] == [{"key": "team", "value": "search"}]


def test_a_file_on_standard_input_without_its_key(fm: Run, here: Env) -> None:
    text = "name: gpt\nexternal_model:\n  provider: openai\n  name: gpt-4o\n  task: llm/v1/chat\n"
    done = fm("endpoints", "create", "--file", "-", "--key-env", "MY_KEY", stdin=text, MY_KEY=KEY, **here)
    assert done.exit_code == 0, done.output
    assert KEY not in done.output


def test_a_list_in_a_pipe_has_a_plain_line_for_each_endpoint(fm: Run, here: Env, client: Client) -> None:
    fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", **here)
    done = fm("endpoints", "list", **here)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [endpoint.name for endpoint in client.endpoints.list()]
    assert "\x1b" not in done.stdout
    (mine,) = (line.split() for line in lines if line.startswith("gpt "))
    assert mine == ["gpt", "external", "chat", "gpt-4o", "READY,", "NOT_UPDATING"]


def test_a_list_can_be_filtered(fm: Run, here: Env) -> None:
    fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", **here)
    external = answer(fm("endpoints", "list", "--route", "external", "--output", "json", **here))["endpoints"]
    assert [each["name"] for each in external] == ["gpt"]
    embedding = answer(fm("endpoints", "list", "--task", "embeddings", "--output", "json", **here))["endpoints"]
    assert {each["task"] for each in embedding} == {"llm/v1/embeddings"}


def test_get_shows_what_is_served_and_how_far_it_is(fm: Run, here: Env) -> None:
    slow = ("--tag", "fm_deploy_seconds=600")
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", "--served-name", "llama", *slow, **here)
    text = fm("endpoints", "get", "mine", **here).stdout
    for fact in ("NOT_READY, IN_PROGRESS", "llama", "0 to 980 tokens/s", "pending: creating", "fm_deploy_seconds=600"):
        assert fact in text


def test_a_change_replaces_what_is_served(fm: Run, here: Env) -> None:
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", **here)
    other = ("--model", "main.default.other", "--version", "7", "--max-throughput", "980")
    shown = answer(fm("endpoints", "update", "mine", *other, "--wait", "--output", "json", **here))
    assert (entity(shown)["entity_name"], entity(shown)["entity_version"]) == ("main.default.other", "7")


def test_a_size_alone_scales_what_is_there(fm: Run, here: Env) -> None:
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", **here)
    shown = answer(fm("endpoints", "update", "mine", "--max-throughput", "2940", "--wait", "--output", "json", **here))
    assert entity(shown)["entity_name"] == "system.ai.meta_llama_v3_1_8b_instruct"
    assert entity(shown)["max_provisioned_throughput"] == 2940


def test_tags_and_gateway_of_a_file_are_brought_in_by_an_update(
    fm: Run, here: Env, tmp_path: Path, client: Client
) -> None:
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", "--tag", "old=1", **here)
    path = tmp_path / "more.yaml"
    path.write_text("tags: {team: search}\nai_gateway:\n  usage_tracking_config: {enabled: true}\n", encoding="utf-8")
    shown = answer(fm("endpoints", "update", "mine", "--file", str(path), "--output", "json", **here))
    assert {tag["key"]: tag["value"] for tag in shown["tags"]} == {"old": "1", "team": "search"}
    assert shown["ai_gateway"]["usage_tracking_config"] == {"enabled": True}
    assert client.endpoints.get("mine").model_name == "system.ai.meta_llama_v3_1_8b_instruct"


def test_nothing_to_serve_is_told(fm: Run, here: Env) -> None:
    for options in ((), ("--tag", "team=search")):
        done = fm("endpoints", "create", "mine", *options, **here)
        assert done.exit_code == 1
        assert "--model" in done.stderr and "--provider" in done.stderr and "--file" in done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"name: \xff", "is not UTF-8 text (byte 6)"),
        (b"config: {served_entities: [{external_model: sk-secret}]}", "config.served_entities.0.external_model: Input"),
        (
            b"config: {served_entities: [{external_model: {name: g, provider: openai, task: llm/v1/chat, openai_config: {openai_api_key_plaintext: [sk-secret]}}}]}",
            "openai_config.openai_api_key_plaintext: Input should be a valid string",
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_by_name_and_place_without_its_keys(
    fm: Run, here: Env, tmp_path: Path, text: bytes, reason: str
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(text)
    done = fm("endpoints", "create", "mine", "--file", str(path), **here)
    assert done.exit_code == 1
    assert f"{path}" in done.stderr and reason in done.stderr
    assert "sk-secret" not in done.stderr and "pydantic" not in done.stderr


def test_nothing_to_change_is_told(fm: Run, here: Env) -> None:
    done = fm("endpoints", "update", "mine", **here)
    assert done.exit_code == 1
    assert "nothing is to be changed" in done.stderr


def test_waiting_in_a_pipe_tells_each_state_once(fm: Run, here: Env) -> None:
    slow = ("--tag", "fm_deploy_seconds=2.5")
    done = fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", *slow, "--wait", **here)
    assert done.exit_code == 0
    states = [line.split(";")[0] for line in done.stderr.splitlines()]
    assert states == ["mine: NOT_READY, IN_PROGRESS", "mine: READY, NOT_UPDATING"]


def test_waiting_in_a_terminal_spins_beside_the_state(terminal: Callable[..., Terminal], here: Env, fm: Run) -> None:
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", "--tag", "fm_deploy_seconds=6", **here)
    tty = terminal("endpoints", "wait", "mine", **here)
    tty.expect("NOT_READY, IN_PROGRESS")
    tty.expect("0:00:0")
    assert tty.finish() == 0
    assert "READY, NOT_UPDATING" in tty.text


def test_a_deployment_that_fails_has_a_code_of_its_own_and_its_reason(fm: Run, here: Env) -> None:
    broken = ("--tag", "fm_deploy_fail=the model has no weights")
    done = fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", *broken, "--wait", **here)
    assert done.exit_code == 6
    assert "the model has no weights" in done.stderr
    log = fm("endpoints", "logs", "mine", "--build", **here).stdout.splitlines()
    assert done.stderr.splitlines()[-len(log) :] == [f"  {line}" for line in log]
    report = json.loads(fm("endpoints", "wait", "mine", "--output", "json", **here).stderr)
    assert report["error"]["build_log"].splitlines() == log


def test_waiting_ends_after_the_time_given(fm: Run, here: Env) -> None:
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", "--tag", "fm_deploy_seconds=600", **here)
    done = fm("endpoints", "wait", "mine", "--timeout", "0.2", **here)
    assert done.exit_code == 6
    assert "was not ready after 0.2 s" in done.stderr


@pytest.mark.parametrize("build", [(), ("--build",)])
def test_logs_of_what_is_served(fm: Run, here: Env, build: tuple[str, ...]) -> None:
    broken = ("--tag", "fm_deploy_fail=the model has no weights", "--served-name", "llama")
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", *broken, **here)
    done = fm("endpoints", "logs", "mine", "--served", "llama", *build, **here)
    assert done.exit_code == 0, done.output
    assert "the model has no weights" in done.stdout
    assert (
        answer(fm("endpoints", "logs", "mine", *build, "--output", "json", **here))["logs"].strip()
        == done.stdout.strip()
    )


def test_deleting_asks_nobody_only_with_yes(fm: Run, here: Env, client: Client) -> None:
    fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", **here)
    refused = fm("endpoints", "delete", "gpt", **here)
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    assert client.endpoints.get("gpt").name == "gpt"
    assert answer(fm("endpoints", "delete", "gpt", "--yes", "--output", "json", **here)) == {"deleted": "gpt"}
    assert "gpt" not in [each.name for each in client.endpoints.list()]


def test_deleting_asks_in_a_terminal(terminal: Callable[..., Terminal], fm: Run, here: Env, client: Client) -> None:
    fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", **here)
    for reply, code, left in (("n", 1, True), ("y", 0, False)):
        tty = terminal("endpoints", "delete", "gpt", **here)
        tty.expect("Delete the endpoint gpt?")
        tty.line(reply)
        assert tty.finish() == code
        assert ("gpt" in [each.name for each in client.endpoints.list()]) is left


def test_ctrl_c_at_the_question_deletes_nothing_and_is_an_interruption(
    terminal: Callable[..., Terminal], fm: Run, here: Env, client: Client
) -> None:
    fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", **here)
    tty = terminal("endpoints", "delete", "gpt", **here)
    tty.expect("Delete the endpoint gpt?")
    tty.interrupt()
    assert tty.finish() == 130
    assert client.endpoints.get("gpt").name == "gpt"


def test_a_narrow_terminal_folds_names_and_cuts_none(terminal: Callable[..., Terminal], fm: Run, here: Env) -> None:
    fm("endpoints", "create", "mine", *LLAMA, "--max-throughput", "980", "--served-name", "x" * 60, **here)
    tty = terminal("endpoints", "get", "mine", **here)
    assert tty.finish() == 0
    assert "…" not in tty.text
    assert tty.text.count("x") >= 60


@pytest.mark.parametrize("verb", [("get",), ("wait",), ("logs",), ("delete", "--yes"), ("update", "--units", "50")])
def test_an_endpoint_that_does_not_exist_has_a_code_of_its_own(fm: Run, here: Env, verb: tuple[str, ...]) -> None:
    done = fm("endpoints", verb[0], "nowhere", *verb[1:], "--output", "json", **here)
    assert (done.exit_code, done.stdout) == (4, "")
    assert json.loads(done.stderr)["error"]["type"] == "NotFoundError"


def test_an_endpoint_of_a_name_that_is_taken_is_a_failure(fm: Run, here: Env) -> None:
    fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", **here)
    done = fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", **here)
    assert done.exit_code == 1
    assert "already exists" in done.stderr


def test_a_change_of_a_workspace_that_ends_with_the_command_is_noted(fm: Run) -> None:
    done = fm("endpoints", "create", "gpt", *GPT, "--secret-ref", "models/openai", "--host", "local")
    assert done.exit_code == 0, done.output
    assert "--background" in done.stderr
    fm("endpoints", "delete", "gpt", "--yes", "--host", "local")  # in this test it is the process's
