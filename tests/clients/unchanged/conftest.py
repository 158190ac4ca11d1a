"""What the tests of foreign clients have: a workspace's host and token, from the environment, and nothing of ours."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest

OURS = ("fm_cli", "fm_client", "fm_workspace", "langchain_fm", "llamaindex_fm", "mlflow_fm")


@dataclass(frozen=True)
class Address:
    """Where the workspace is, as users are told."""

    host: str
    token: str

    def send(self, method: str, path: str, body: Any) -> Any:
        """Ask the management API, for what a client has no words for."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.host + path, data, headers, method=method)  # noqa: S310 - this machine
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
            return json.load(answer)

    def create(self, name: str, **more: Any) -> str:
        """An endpoint with provisioned throughput, there at once."""
        entity = {"entity_name": "main.default.llama", "entity_version": "1", "max_provisioned_throughput": 980}
        tags = [{"key": "fm_deploy_seconds", "value": "0"}, *more.pop("tags", [])]
        given = {name: value for name, value in {**entity, **more}.items() if value is not None}
        config = {"served_entities": [given]}
        made: dict[str, str] = self.send(
            "POST", "/api/2.0/serving-endpoints", {"name": name, "config": config, "tags": tags}
        )
        return made["name"]


@pytest.fixture(scope="session")
def workspace() -> Address:
    return Address(os.environ["DATABRICKS_HOST"], os.environ["DATABRICKS_TOKEN"])


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours is there to help, and nobody but this machine is talked to."""
    assert [name for name in OURS if importlib.util.find_spec(name)] == []
    connect = socket.socket.connect

    def here(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"), f"{address} is not this machine"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", here)
