"""A workspace for clients that are not ours; they are given its host and its token, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fm_workspace import Workspace


@pytest.fixture(scope="session")
def shared() -> Iterator[Workspace]:
    """The workspace that all of them share."""
    with Workspace.start(deploy_seconds=0.5) as workspace:
        yield workspace


@pytest.fixture
def workspace(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """It, named by the environment as users name theirs."""
    monkeypatch.setenv("DATABRICKS_HOST", shared.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", shared.token)
    return shared
