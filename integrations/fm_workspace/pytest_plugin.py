"""A pytest plugin: fixtures that run a test against a workspace of its own, offline.

Switch it on with `pytest_plugins = ["fm_workspace.pytest_plugin"]` in the topmost `conftest.py`, or with
`pytest -p fm_workspace.pytest_plugin`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from fm_client import AsyncClient, Client

from ._workspace import Workspace

MARKER = "fm_workspace"
_OTHERS = ("DATABRICKS_", "MLFLOW_TRACKING_", "MLFLOW_DEPLOYMENTS_")
"""How the variables begin that could lead a test to another workspace than its own."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    line = "fm_workspace(**options): how the test's workspace is started: what `Workspace.start` takes"
    config.addinivalue_line("markers", line)


@pytest.fixture
def fm_workspace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace for this test alone.

    `DATABRICKS_HOST` and `DATABRICKS_TOKEN` name it while the test runs, so that code which finds its workspace in the
    environment finds this one. `@pytest.mark.fm_workspace(deploy_seconds=1)` passes options to `Workspace.start`.
    """
    with Workspace.start(**_options(request)) as workspace:
        for name in [name for name in os.environ if name.startswith(_OTHERS)]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("DATABRICKS_HOST", workspace.host)
        monkeypatch.setenv("DATABRICKS_TOKEN", workspace.token)
        yield workspace


@pytest.fixture
def fm_client(fm_workspace: Workspace) -> Iterator[Client]:
    """A client of the test's workspace."""
    with Client(fm_workspace.host, fm_workspace.token) as client:
        yield client


@pytest.fixture
def fm_async_client(fm_workspace: Workspace) -> AsyncClient:
    """An async client of the test's workspace; the test closes it: `async with fm_async_client as fm: …`."""
    return AsyncClient(fm_workspace.host, fm_workspace.token)


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of all markers; the one nearest to the test wins."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        if marker.args:
            raise pytest.UsageError(f"the marker {MARKER} takes options by name, such as {MARKER}(deploy_seconds=1)")
        options |= marker.kwargs
    return options
