"""Deployments clients of an embedded workspace, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from deployments_api import Asked
from mlflow.deployments.interface import plugin_store
from traces import MODELS, Traces, autologged

from fm_workspace import Workspace
from mlflow_fm import FoundationModelDeploymentClient, _settings


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    """MLflow finds the target also where the package is not installed, only on the path."""
    if "fm" not in plugin_store.registry:
        plugin_store.register("fm", "mlflow_fm")


@pytest.fixture(autouse=True)
def own_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test meets another one's connections; the token is that for the scripted server."""
    monkeypatch.setenv("DATABRICKS_TOKEN", "token-for-tests")
    yield
    _settings.close_all()


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with Workspace.start() as running:
        yield running


@pytest.fixture
def client(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> FoundationModelDeploymentClient:
    """A client of the workspace that the environment names."""
    monkeypatch.setenv("DATABRICKS_HOST", workspace.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", workspace.token)
    return FoundationModelDeploymentClient("fm")


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Iterator[Asked]:
    """Each test of a query runs both ways."""
    if request.param == "sync":
        yield Asked(None)
        return
    with asyncio.Runner() as runner:
        yield Asked(runner.get_loop())


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """Traces are kept in files, which MLflow can do without a database, and are there when the call returns."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")  # its prices are not looked up on the network
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(str(tmp_path / "mlruns"))
    yield Traces()
    mlflow.set_tracking_uri(before)
    MODELS.clear()


@pytest.fixture
def langchain() -> Iterator[Any]:
    """MLflow's own autologging for LangChain."""
    yield from autologged("langchain", "langchain")


@pytest.fixture
def llama_index() -> Iterator[Any]:
    """MLflow's own autologging for LlamaIndex."""
    yield from autologged("llama_index.core", "llama_index")
