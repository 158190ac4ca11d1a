"""Chains and engines that use our adapters are logged, hold no secret, and answer in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import pytest
from deployments_api import CHAT, GTE

import fm_client
import mlflow_fm
from fm_workspace import Workspace
from mlflow_fm import resources_for

if find_spec("mlflow.server") is None or find_spec("flask") is None:
    pytest.skip("models are logged by the whole of mlflow, and this is mlflow-skinny", allow_module_level=True)

HOMES = [Path(mlflow_fm.__file__).parents[1], Path(fm_client.__file__).parents[1]]
QUESTION = "GTE vectors vary. BGE vectors have length 1. Which have length 1?"
ANSWER = "BGE vectors have length 1."
CHAIN = f"""
import mlflow
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_fm import ChatFoundationModel

model = ChatFoundationModel(model="{CHAT}", temperature=0)
mlflow.models.set_model(ChatPromptTemplate.from_template("{{text}}") | model | StrOutputParser())
"""
ASK_CHAIN = f"""
import sys, warnings
warnings.simplefilter("ignore")
import mlflow
print(mlflow.langchain.load_model(sys.argv[1]).invoke({{"text": "{QUESTION}"}}))
print(mlflow.pyfunc.load_model(sys.argv[1]).predict([{{"text": "{QUESTION}"}}])[0])
"""
ASK_INDEX = f"""
import sys, warnings
warnings.simplefilter("ignore")
import mlflow
print(mlflow.llama_index.load_model(sys.argv[1]).as_query_engine().query("{QUESTION}"))
print(mlflow.pyfunc.load_model(sys.argv[1]).predict("{QUESTION}"))
"""


@pytest.fixture(autouse=True)
def connected(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The workspace is in the environment, and MLflow keeps everything in files."""
    monkeypatch.setenv("DATABRICKS_HOST", workspace.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", workspace.token)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(str(tmp_path / "mlruns"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, while it logs
        yield
    mlflow.set_tracking_uri(before)


def in_a_fresh_process(code: str, uri: str) -> list[str]:
    """What `code` prints about the model, with nothing of this process but its environment."""
    env = dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(map(str, HOMES)),
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
    }
    done = subprocess.run([sys.executable, "-c", code, uri], env=env, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


def check_no_secret(tmp_path: Path, token: str) -> None:
    """The token is in no file that MLflow has written."""
    files = [path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    assert files and [] == [path for path in files if token.encode() in path.read_bytes()]


def check_resources(info: Any, tmp_path: Path, *names: str) -> None:
    """The logged model says which endpoints it asks."""
    listed = mlflow.models.Model.load(info.model_uri).resources["databricks"]["serving_endpoint"]
    assert [{"name": name} for name in names] == listed


def test_a_chain_is_logged_from_code_and_answers_in_a_fresh_process(workspace: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("langchain")
    from langchain_fm import ChatFoundationModel

    (tmp_path / "chain.py").write_text(CHAIN, encoding="utf-8")
    resources = resources_for(ChatFoundationModel(model=CHAT))
    info = mlflow.langchain.log_model(
        str(tmp_path / "chain.py"), name="chain", resources=resources, pip_requirements=["fm-integrations[langchain]"]
    )
    check_resources(info, tmp_path, CHAT)
    check_no_secret(tmp_path, workspace.token)
    assert [ANSWER, ANSWER] == in_a_fresh_process(ASK_CHAIN, info.model_uri)


def test_an_index_is_logged_with_the_settings_and_answers_in_a_fresh_process(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = pytest.importorskip("llama_index.core")
    from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

    monkeypatch.setattr(core.Settings, "_llm", FoundationModelLLM(CHAT, token=workspace.token, host=workspace.host))
    monkeypatch.setattr(core.Settings, "_embed_model", FoundationModelEmbedding(GTE, token=workspace.token))
    index = core.VectorStoreIndex.from_documents([core.Document(text="BGE vectors have length 1.")])
    info = mlflow.llama_index.log_model(
        index,
        name="index",
        engine_type="query",
        resources=resources_for(index),
        pip_requirements=["fm-integrations[llamaindex]"],
    )
    check_resources(info, tmp_path, GTE, CHAT)
    check_no_secret(tmp_path, workspace.token)
    assert [ANSWER, ANSWER] == in_a_fresh_process(ASK_INDEX, info.model_uri)
