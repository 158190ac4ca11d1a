"""MLflow's own command line, and its discovery of the target."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from deployments_api import CHAT, GTE, user
from mlflow.deployments import BaseDeploymentClient
from mlflow.deployments.cli import commands
from mlflow.exceptions import MlflowException
from timing import SOON

import fm_client
import mlflow_fm
from fm_client import Client
from fm_workspace import Workspace
from mlflow_fm import FoundationModelDeploymentClient

HOMES = [Path(mlflow_fm.__file__).parents[1], Path(fm_client.__file__).parents[1]]


@pytest.fixture
def run(client: FoundationModelDeploymentClient) -> Callable[..., Result]:
    """`mlflow deployments …`, with the workspace in the environment."""
    return lambda *arguments: CliRunner().invoke(commands, list(arguments), catch_exceptions=False)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds an installed distribution with our entry point."""
    home = tmp_path / "fm_entry_point-1.dist-info"
    home.mkdir()
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: fm-entry-point\nVersion: 1\n", encoding="utf-8")
    (home / "entry_points.txt").write_text("[mlflow.deployments]\nfm = mlflow_fm\n", encoding="utf-8")
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(map(str, [tmp_path, *HOMES]))}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """In the background of a script SIGINT is ignored, also by what is started there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_module_has_what_mlflow_looks_for_and_one_client_class() -> None:
    classes = [value for _, value in inspect.getmembers(mlflow_fm, inspect.isclass)]
    assert [each for each in classes if issubclass(each, BaseDeploymentClient)] == [FoundationModelDeploymentClient]
    assert callable(mlflow_fm.run_local)
    assert callable(mlflow_fm.target_help)


def test_mlflow_finds_the_target_by_its_entry_point(installed: dict[str, str], workspace: Workspace) -> None:
    code = f"""
from mlflow.deployments import get_deploy_client
client = get_deploy_client("fm")
print(type(client).__module__, client.predict(endpoint={CHAT!r}, inputs={user("Hi")!r}).object)
"""
    env = installed | {"DATABRICKS_HOST": workspace.host, "DATABRICKS_TOKEN": workspace.token}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["mlflow_fm._client", "chat.completion"], done.stderr
    assert done.stderr == ""


def test_run_local_serves_until_it_is_interrupted(installed: dict[str, str], interruptible: None) -> None:
    code = "from mlflow.deployments.cli import commands; commands()"
    arguments = ["run-local", "-t", "fm", "--name", "served", "-m", "models:/main.default.llama/3"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=installed,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline() for _ in range(3)]
        found = re.search(r"DATABRICKS_HOST=(\S+) DATABRICKS_TOKEN=(\S+)", "".join(lines))
        if found is not None:
            with Client(host=found[1], token=found[2]) as fm:
                assert fm.chat("served", "Hi").text
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON) == 0, process.stderr.read()
    assert found is not None, lines


def test_help_is_the_targets_own(run: Callable[..., Result]) -> None:
    assert run("help", "-t", "fm").output.strip() == mlflow_fm.target_help().strip()


def test_endpoints_are_listed_and_shown(run: Callable[..., Result]) -> None:
    assert f"'name': '{GTE}'" in run("list-endpoints", "-t", "fm").output
    assert "task: llm/v1/embeddings" in run("get-endpoint", "-t", "fm", "--endpoint", GTE).output


def test_deployments_live_and_die_by_the_command_line(run: Callable[..., Result], tmp_path: Path) -> None:
    target, model = ["-t", "fm"], "models:/main.default.llama/"
    (tmp_path / "tags.json").write_text('[{"key": "team"}]', encoding="utf-8")
    created = run("create", *target, "--name", "typed", "-m", f"{model}3", "-C", "max_provisioned_throughput=1000")
    assert "provisioned deployment typed is created" in created.output
    updated = run("update", *target, "--name", "typed", "-m", f"{model}4")
    assert "Deployment typed is updated (with flavor provisioned)" in updated.output
    run("update-endpoint", *target, "--endpoint", "typed", "-C", f"add_tags=@{tmp_path / 'tags.json'}")
    shown = run("get", *target, "--name", "typed").output
    assert "'entity_version': '4'" in shown
    assert "'key': 'team'" in shown
    assert "typed" in run("list", *target).output
    assert run("delete-endpoint", *target, "--endpoint", "typed").exit_code == 0
    assert run("delete", *target, "--name", "typed").exit_code == 0
    assert "typed" not in run("list", *target).output


def test_a_deployment_is_sized_in_chunks_by_the_command_line(
    run: Callable[..., Result], client: FoundationModelDeploymentClient
) -> None:
    chunk = Client().endpoints.optimization_info("main.default.llama", "3").throughput_chunk_size
    model, name = ["-m", "models:/main.default.llama/3"], ["-t", "fm", "--name", "chunks"]
    run("create", *name, *model, "-C", "throughput_chunks=3", "-C", "min_throughput_chunks=1")
    (entity,) = client.get_endpoint("chunks").config.served_entities
    assert (chunk, 3 * chunk) == (entity.min_provisioned_throughput, entity.max_provisioned_throughput)
    run("update", *name, "-C", "throughput_chunks=2")
    assert 2 * chunk == client.get_endpoint("chunks").config.served_entities[0].max_provisioned_throughput
    run("delete", *name)


@pytest.mark.parametrize("option", ["--endpoint", "--name"])
@pytest.mark.parametrize(
    "body",
    [user("Hi"), [{**user("Hi"), "max_tokens": 5, "stop": ["."]}], {**user("Hi"), "max_tokens": 5}],
    ids=["plain", "in-a-list", "with-fields"],
)
def test_a_query_of_the_command_line_is_answered(
    run: Callable[..., Result], tmp_path: Path, body: Any, option: str
) -> None:
    pytest.importorskip("pandas", reason="MLflow's command line reads the input with pandas, which skinny lacks")
    (tmp_path / "body.json").write_text(json.dumps(body), encoding="utf-8")
    answered = run("predict", "-t", "fm", option, CHAT, "-I", str(tmp_path / "body.json"))
    assert json.loads(answered.output)["choices"][0]["message"]["role"] == "assistant"
    run("predict", "-t", "fm", option, CHAT, "-I", str(tmp_path / "body.json"), "-O", str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["object"] == "chat.completion"


def test_texts_of_the_command_line_are_embedded(run: Callable[..., Result], tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="MLflow's command line reads the input with pandas, which skinny lacks")
    (tmp_path / "body.json").write_text('{"input": ["a", "b", "c"]}', encoding="utf-8")
    answered = run("predict", "-t", "fm", "--endpoint", GTE, "-I", str(tmp_path / "body.json"))
    assert len(json.loads(answered.output)["data"]) == 3


def test_an_endpoint_is_updated_and_deleted_by_the_command_line(
    run: Callable[..., Result], client: FoundationModelDeploymentClient, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    for version in ("3", "4"):
        entity = {"entity_name": "main.default.llama", "entity_version": version, "max_provisioned_throughput": 1000}
        path.write_text(json.dumps({"served_entities": [entity]}), encoding="utf-8")
        if version == "3":
            client.create_endpoint("by-command", {"config": f"@{path}"})
        else:
            run("update-endpoint", "-t", "fm", "--endpoint", "by-command", "-C", f"config=@{path}")
    assert client.get_endpoint("by-command").config.served_entities[0].entity_version == "4"
    run("update-endpoint", "-t", "fm", "--endpoint", "by-command", "-C", f"served_entities={json.dumps([entity])}")
    assert run("delete-endpoint", "-t", "fm", "--endpoint", "by-command").exit_code == 0
    assert "by-command" not in run("list-endpoints", "-t", "fm").output


def test_explain_is_refused_with_the_reason(
    client: FoundationModelDeploymentClient, run: Callable[..., Result], tmp_path: Path
) -> None:
    pytest.importorskip("pandas", reason="MLflow's command line reads the input with pandas, which skinny lacks")
    (tmp_path / "body.json").write_text(json.dumps([user("Hi")]), encoding="utf-8")
    with pytest.raises(MlflowException, match="no explanations") as caught:
        run("explain", "-t", "fm", "--endpoint", CHAT, "-I", str(tmp_path / "body.json"))
    assert caught.value.error_code == "NOT_IMPLEMENTED"


def test_create_endpoint_of_mlflows_command_line_fails_for_every_target(run: Callable[..., Result]) -> None:
    """Ours is to say what to do instead; when this fails, MLflow has mended it, and `help` and the docs can say so."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'endpoint'"):
        run("create-endpoint", "-t", "fm", "--endpoint", "never")
    assert "fails for every target" in run("help", "-t", "fm").output
