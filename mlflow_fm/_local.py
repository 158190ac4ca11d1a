"""`mlflow deployments run-local`: an embedded workspace with one endpoint, for trying things out."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from fm_client import Clients, catalog

from ._client import FoundationModelDeploymentClient
from ._configs import SIZES, read_config
from ._deployments import DEFAULT_TASK, is_registered
from ._errors import mlflow_errors
from ._settings import clients_for
from ._targets import LOCAL, Target

TARGET = f"fm://{LOCAL}"
DEFAULT_THROUGHPUT = 1000
"""Tokens per second. The embedded workspace holds nobody to it, but an endpoint must have some."""
_USE = """\
Endpoint {name!r} is ready in the embedded workspace at {host}

  export DATABRICKS_HOST={host} DATABRICKS_TOKEN={token}

  mlflow deployments get-endpoint -t fm --endpoint {name}
  curl -H "Authorization: Bearer $DATABRICKS_TOKEN" -H 'Content-Type: application/json' \\
    -d '{body}' {host}/serving-endpoints/{name}/invocations

The token is for this workspace alone, and both end with this process.
"""
_BODIES = {
    "llm/v1/chat": '{"messages": [{"role": "user", "content": "Hello"}]}',
    "llm/v1/completions": '{"prompt": "Hello"}',
    "llm/v1/embeddings": '{"input": ["Hello"]}',
}


def run_local(name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None) -> None:
    """Serve a model by an endpoint `name` of the embedded workspace, say how to reach it, and block until Ctrl-C.

    `model_uri`: as for `create_deployment`, or the name of a hosted model's endpoint. `config`: as there, and
    `block`: false returns at once, and the endpoint is there for `get_deploy_client("fm://local")` in this process.
    """
    with mlflow_errors():
        fields = read_config(config)
        block = fields.pop("block", True)
    client = FoundationModelDeploymentClient(TARGET)
    if name != model_uri:  # a hosted model under its own name is there already
        uri, fields = _with_defaults(model_uri, fields)
        client.create_deployment(name, uri, flavor, fields)
    _show(clients_for(Target(host=LOCAL)), name, client.get_endpoint(name).endpoint_type)
    if block:
        _until_interrupted()


def _with_defaults(model_uri: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model as one that can be served under any name, and with a throughput where none is given."""
    hosted = catalog.get(model_uri)
    if hosted is not None:
        model_uri = f"models:/system.ai.{hosted.endpoint.replace('-', '_')}/1"
        fields = {"tags": {"fm_task": hosted.task or DEFAULT_TASK}, **fields}
    if is_registered(model_uri) and not fields.keys() & SIZES:
        fields = {"max_provisioned_throughput": DEFAULT_THROUGHPUT, **fields}
    return model_uri, fields


def _show(clients: Clients, name: str, task: str | None) -> None:
    settings = clients.sync.settings
    body = _BODIES.get(task or "", _BODIES["llm/v1/chat"])
    sys.stdout.write(_USE.format(name=name, host=settings.host, token=settings.credential.token(), body=body))
    sys.stdout.flush()  # whoever started us may be waiting for the address


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)  # and not a lock, which Ctrl-C does not end on Windows
    except KeyboardInterrupt:
        pass  # how this is meant to end
