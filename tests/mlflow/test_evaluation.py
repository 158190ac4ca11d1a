"""MLflow's scorers and judges on an endpoint: what goes through the target, and the way around where it does not."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import pytest
from deployments_api import CHAT, user
from fault_server import FaultServer, chat, reply
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from fm_client import ObservedCall, observe
from fm_workspace import Workspace
from mlflow_fm import FoundationModelDeploymentClient

if find_spec("mlflow.genai") is None or find_spec("flask") is None:
    pytest.skip("evaluation is a part of the whole of mlflow, and this is mlflow-skinny", allow_module_level=True)

JUDGE = "judge"
VERDICT = {"rationale": "it is polite", "result": "yes"}
ROW = {"inputs": {"question": "Hi"}, "outputs": "Hello!", "expectations": {"expected_response": "Hello!"}}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The target and the workspace are in the environment, and MLflow keeps everything in files."""
    monkeypatch.setenv("DATABRICKS_HOST", workspace.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", workspace.token)
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", "fm")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(str(tmp_path / "mlruns"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, while it evaluates
        yield
    mlflow.set_tracking_uri(before)


@pytest.fixture
def asked() -> Iterator[list[ObservedCall]]:
    """The calls that went through our client."""
    calls: list[ObservedCall] = []
    stop = observe(calls.append)
    yield calls
    stop()


@pytest.fixture
def judge(client: FoundationModelDeploymentClient, server: FaultServer) -> Iterator[str]:
    """An endpoint of the workspace whose model, an external one, gives a verdict: the simulated ones are no judges."""
    server.script("/v1/chat/completions", reply(200, chat(json.dumps(VERDICT))))
    config = {"openai_api_key_plaintext": "key-for-tests", "openai_api_base": f"{server.host}/v1"}
    model = {"name": "gpt-4o", "provider": "openai", "task": "llm/v1/chat", "openai_config": config}
    client.create_endpoint(JUDGE, {"external_model": model})
    yield f"endpoints:/{JUDGE}"
    client.delete_endpoint(JUDGE)


def scorers(model: str) -> dict[str, Any]:
    from mlflow.genai.scorers import Correctness, Guidelines, RelevanceToQuery

    return {
        "guidelines": Guidelines(name="guidelines", guidelines="Be polite.", model=model),
        "correctness": Correctness(model=model),
        "relevance_to_query": RelevanceToQuery(model=model),
    }


@pytest.mark.parametrize("name", ["guidelines", "correctness", "relevance_to_query"])
def test_a_scorer_asks_its_endpoint_through_the_target(judge: str, asked: list[ObservedCall], name: str) -> None:
    row = {key: ROW[key] for key in ("inputs", "outputs", *(["expectations"] if name == "correctness" else []))}
    feedback = scorers(judge)[name](**row)
    assert ("yes", "it is polite") == (str(getattr(feedback.value, "value", feedback.value)), feedback.rationale)
    assert [(JUDGE,)] == [call.models for call in asked]


def test_an_evaluation_is_scored_through_the_target(judge: str, asked: list[ObservedCall]) -> None:
    data = [ROW, {**ROW, "inputs": {"question": "Ho"}}]
    result = mlflow.genai.evaluate(data=data, scorers=[scorers(judge)["guidelines"]])
    assert {"guidelines/mean": 1.0} == result.metrics
    assert [(JUDGE,)] * 2 == [call.models for call in asked]


def test_the_model_that_is_evaluated_is_asked_through_the_target(judge: str, asked: list[ObservedCall]) -> None:
    target = get_deploy_client("fm")

    def predict(question: str) -> str:
        return str(target.predict(endpoint=CHAT, inputs=user(question)).choices[0].message.content)

    data = [{"inputs": ROW["inputs"]}]
    result = mlflow.genai.evaluate(data=data, predict_fn=predict, scorers=[scorers(judge)["guidelines"]])
    assert {"guidelines/mean": 1.0} == result.metrics
    assert {(CHAT,), (JUDGE,)} == {call.models for call in asked}


def test_a_judge_made_from_instructions_takes_no_endpoint_but_a_databricks_model(
    judge: str, asked: list[ObservedCall], server: FaultServer
) -> None:
    """The second goes past the target, to the same workspace."""
    from mlflow.genai.judges import make_judge

    instructions = "Is {{ outputs }} polite? Answer yes or no."
    with pytest.raises(MlflowException, match="No suitable adapter"):
        make_judge(name="polite", instructions=instructions, model=judge)(outputs="Hello!")
    feedback = make_judge(name="polite", instructions=instructions, model=f"databricks:/{JUDGE}")(outputs="Hello!")
    assert ("yes", []) == (feedback.value, asked)
    assert "Hello!" in server.seen[-1].body.decode()


def test_a_metric_that_a_model_judges_asks_its_endpoint_through_the_target(
    judge: str, asked: list[ObservedCall], server: FaultServer
) -> None:
    import pandas as pd

    server.script("/v1/chat/completions", reply(200, chat("score: 4\njustification: it is much the same")))
    metric = mlflow.metrics.genai.answer_similarity(model=judge)
    found = metric(predictions=pd.Series(["a"]), inputs=pd.Series(["b"]), targets=pd.Series(["c"]))
    assert ([4], ["it is much the same"]) == (found.scores, found.justifications)
    assert [(JUDGE,)] == [call.models for call in asked]


def test_an_endpoint_that_is_evaluated_is_asked_through_the_target(judge: str, asked: list[ObservedCall]) -> None:
    import pandas as pd

    data = pd.DataFrame({"inputs": ["Hi", "Ho"], "truth": [json.dumps(VERDICT), "else"]})
    with mlflow.start_run():
        metrics = [mlflow.metrics.exact_match()]
        result = mlflow.models.evaluate(judge, data, targets="truth", extra_metrics=metrics)
    assert 0.5 == result.metrics["exact_match/v1"]
    assert [(JUDGE,)] * 2 == [call.models for call in asked]


def test_a_scheme_of_our_own_is_no_judge(judge: str) -> None:
    with pytest.raises(MlflowException, match="No suitable adapter"):
        scorers(judge.replace("endpoints", "fm"))["guidelines"](inputs={"q": "Hi"}, outputs="Hello!")


def test_to_predict_fn_goes_past_the_target_to_the_same_workspace(asked: list[ObservedCall]) -> None:
    predict = mlflow.genai.to_predict_fn(f"endpoints:/{CHAT}")
    assert predict(**user("Hi"))["choices"][0]["message"]["content"]
    assert [] == asked
