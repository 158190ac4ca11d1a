"""Endpoints of a workspace whose models are those of a vendor that a `VendorServer` plays."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from vendor_clouds import ACCESS_KEY, PROJECT, REGION, Bedrock, Vertex, VertexClaude, service_account
from vendor_fakes import AI21, Anthropic, Cohere
from vendor_server import KEY, VendorServer
from workspace_api import Api

from fm_workspace._litellm import imported

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
MODELS = {
    ("anthropic", "chat"): "claude-3-5-sonnet-20240620",
    ("anthropic", "completions"): "claude-3-5-sonnet-20240620",
    ("cohere", "chat"): "command-r-plus",
    ("cohere", "completions"): "command-r-plus",
    ("cohere", "embeddings"): "embed-english-v3.0",
    ("amazon-bedrock", "chat"): "anthropic.claude-3-5-sonnet-20240620-v1:0",
    ("amazon-bedrock", "completions"): "anthropic.claude-3-5-sonnet-20240620-v1:0",
    ("amazon-bedrock", "embeddings"): "amazon.titan-embed-text-v2:0",
    ("google-cloud-vertex-ai", "chat"): "gemini-2.5-flash",
    ("google-cloud-vertex-ai", "completions"): "gemini-2.5-flash",
    ("google-cloud-vertex-ai", "embeddings"): "text-embedding-004",
    ("ai21labs", "chat"): "jamba-1.5-large",
    ("ai21labs", "completions"): "j2-ultra",
}
DIRECT = ("ai21labs", "cohere")
"""Asked without litellm."""
SERVERS: dict[str, type[VendorServer]] = {server.name: server for server in (Anthropic, Cohere, Bedrock, Vertex, AI21)}


def playing(name: str) -> VendorServer:
    """The server that plays a vendor, if this environment can ask that vendor."""
    if name not in DIRECT:
        need_litellm()
    return SERVERS[name]()


def need_litellm() -> None:
    """Import litellm before the clock of a request runs, for it takes seconds; skip where it is not installed."""
    if importlib.util.find_spec("litellm") is None:
        pytest.skip("litellm is not installed here: make test-providers")
    imported()


@functools.cache
def private_key() -> str:
    """A key to sign with, as it stands in a service account's key file."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return rsa.generate_private_key(65537, 2048).private_bytes(serialization.Encoding.PEM, form, none).decode()


def config(server: VendorServer, key: str = KEY) -> dict[str, Any]:
    """The provider's part of an external model's configuration."""
    if isinstance(server, Bedrock):
        keys = {"aws_access_key_id_plaintext": ACCESS_KEY, "aws_secret_access_key_plaintext": key}
        return {"amazon_bedrock_config": {"aws_region": REGION, "bedrock_provider": "Anthropic", **keys}}
    if isinstance(server, (Vertex, VertexClaude)):
        account = service_account(private_key())
        place = {"project_id": PROJECT, "region": REGION}
        return {"google_cloud_vertex_ai_config": {**place, "private_key_plaintext": account}}
    name = server.name
    return {f"{name}_config": {f"{name}_api_key_plaintext": key}}


def model(server: VendorServer, task: str = "chat", key: str = KEY, name: str | None = None) -> dict[str, Any]:
    """A served entity."""
    external = {"name": name or MODELS[server.name, task], "provider": server.name, "task": f"llm/v1/{task}"}
    return {"name": "served", "external_model": {**external, **config(server, key)}}


def urls(server: VendorServer) -> dict[str, str]:
    """The addresses that lead to `server`: that of its models, and that of its login."""
    login = {"google": server.url} if isinstance(server, (Vertex, VertexClaude)) else {}
    return {server.name: server.url + ("/studio/v1" if isinstance(server, AI21) else ""), **login}


def connected(start: Callable[..., Api], server: VendorServer, task: str = "chat", **more: Any) -> Api:
    """A workspace with the endpoint `ext`, which `server` answers."""
    api = start(provider_urls=urls(server))
    api.created("ext", model(server, task, **more))
    return api
