"""Workspaces over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from workspace_api import Api, Clock

from fm_workspace import Workspace


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start() -> Iterator[Callable[..., Api]]:
    """`start(**options)` -> a workspace of one's own."""
    running: list[Api] = []

    def begin(**options: Any) -> Api:
        running.append(Api(Workspace.start(**options)))
        return running[-1]

    yield begin
    for api in running:
        api.http.close()
        api.workspace.stop()


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A workspace that the tests of a module share."""
    with Workspace.start() as workspace:
        shared = Api(workspace)
        yield shared
        shared.http.close()
