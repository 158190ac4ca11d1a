"""Endpoints of a workspace with the habits that a test asks for, by tags."""

from __future__ import annotations

import itertools

from fm_client import Client
from fm_workspace import Workspace

_numbers = itertools.count()


def endpoint_with(workspace: Workspace, **tags: str) -> str:
    """The name of a new endpoint for chats with these tags."""
    name = f"habit-{next(_numbers)}"
    with Client(workspace.host, workspace.token) as client:
        client.endpoints.create(
            name,
            entity_name="main.default.my_llama",
            entity_version="1",
            max_provisioned_throughput=980,
            tags=tags,
            wait=True,
        )
    return name
