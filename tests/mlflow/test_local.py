"""`run_local`: an endpoint of the embedded workspace, in this process."""

from __future__ import annotations

import itertools
import re

import httpx
import pytest
from deployments_api import CHAT, GTE, user
from fault_server import FaultServer, chat, reply
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from mlflow_fm import run_local, target_help
from mlflow_fm._local import DEFAULT_THROUGHPUT

_counter = itertools.count()


@pytest.fixture
def name() -> str:
    return f"local-{next(_counter)}"


@pytest.mark.parametrize("model", ["models:/main.default.llama/3", CHAT])
def test_a_model_is_served_under_the_name_that_is_asked_for(name: str, model: str) -> None:
    run_local(name, model, config={"block": "false"})
    client = get_deploy_client("fm://local")
    assert client.predict(endpoint=name, inputs=user("Hi")).choices
    assert client.get_endpoint(name).endpoint_type == "llm/v1/chat"


def test_a_size_that_is_given_takes_the_place_of_the_usual_one(name: str) -> None:
    run_local(name, "models:/main.default.llama/3", config={"throughput_chunks": "2", "block": "false"})
    (entity,) = get_deploy_client("fm://local").get_endpoint(name).config.served_entities
    assert entity.max_provisioned_throughput not in (None, DEFAULT_THROUGHPUT)


def test_a_hosted_embedding_model_embeds_under_another_name(name: str) -> None:
    run_local(name, GTE, config={"block": False})
    answer = get_deploy_client("fm://local").predict(endpoint=name, inputs={"input": ["a", "b"]})
    assert [len(item.embedding) for item in answer.data] == [1024, 1024]


def test_a_hosted_model_under_its_own_name_is_there_already(capsys: pytest.CaptureFixture[str]) -> None:
    run_local(CHAT, CHAT, config={"block": False})
    assert f"'{CHAT}' is ready" in capsys.readouterr().out


def test_an_external_model_is_asked_for_real(name: str, server: FaultServer) -> None:
    server.script("/v1/chat/completions", reply(200, chat("from the provider")))
    settings = {"openai_api_key_plaintext": "key-for-tests", "openai_api_base": f"{server.host}/v1"}
    run_local(name, "openai:/gpt-4o", config={"openai_config": settings, "block": False})
    answer = get_deploy_client("fm://local").predict(endpoint=name, inputs=user("Hi"))
    assert answer.choices[0].message.content == "from the provider"


def test_what_it_prints_is_how_to_reach_the_endpoint(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_local(name, GTE, config={"block": False})
    shown = capsys.readouterr().out
    found = re.search(r"DATABRICKS_HOST=(\S+) DATABRICKS_TOKEN=(\S+)", shown)
    body = re.search(r"-d '(.+)' \S+/serving-endpoints/\S+", shown)
    assert found is not None
    assert body is not None
    answer = httpx.post(
        f"{found[1]}/serving-endpoints/{name}/invocations",
        content=body[1],
        headers={"authorization": f"Bearer {found[2]}", "content-type": "application/json"},
    )
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 1


@pytest.mark.parametrize("model", ["runs:/1/model", "models:/main.default.llama"])
def test_a_model_that_cannot_be_served_is_refused(name: str, model: str) -> None:
    with pytest.raises(MlflowException) as caught:
        run_local(name, model, config={"block": False})
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    "told",
    ["fm:/PROFILE", "fm://local", "MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT", "-C config=@", "wait_timeout", "run-local"],
)
def test_the_help_tells_targets_settings_and_config(told: str) -> None:
    assert told in target_help()


def test_the_help_fits_a_terminal() -> None:
    assert max(map(len, target_help().splitlines())) <= 120
