"""Deployments clients of an embedded workspace, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from deployments_api import Asked
from mlflow.deployments.interface import plugin_store

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
