"""How the vendors that are asked through litellm are called: address, model and credentials of each, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._engine import JSONObject
from ._errors import invalid_parameter
from ._google import google_login
from ._logins import Login
from ._quirks import TASKS
from ._secrets import Secrets

ANTHROPIC_BASE = "https://api.anthropic.com"
AWS_DETOURS = ("AWS_ROLE_NAME", "AWS_PROFILE_NAME", "AWS_WEB_IDENTITY_TOKEN", "AWS_STS_ENDPOINT")
"""Variables by which litellm would sign with other keys than the configuration's."""
GOOGLE = "google"
"""Where Google's login is, among the addresses that can be replaced."""
BEDROCK_VENDORS = ("ai21labs", "amazon", "anthropic", "cohere")
NO_CREDENTIALS = '{"type": "none"}'
"""What litellm is told to log in to Google with: nothing, and above all not what it would find on this machine."""
_PLACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?")
"""A region or a project: it becomes part of a host name, and must not make another host of it."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's model, ready to be called. `options` are litellm's arguments for it, credentials among them.

    `login` gives the token that it is called with, if it takes one.
    """

    provider: str
    model: str
    base: str
    options: JSONObject = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    login: Login | None = None


Reader = Callable[[JSONObject, str, str, Secrets, Mapping[str, str]], Vendor]


def vendor_of(external: JSONObject, task: str, secrets: Secrets, urls: Mapping[str, str]) -> Vendor | None:
    """The vendor of an external model, None if its provider is none of these. `urls` replace vendors' own addresses."""
    provider = external["provider"]
    read = _READERS.get(provider)
    return read(external[_CONFIGS[provider]], external["name"], task, secrets, urls) if read else None


def needed(value: str | None, name: str, provider: str) -> str:
    """A setting or credential that the provider cannot be called without."""
    if not value:
        raise invalid_parameter(f"Provider {provider} needs {name} (or {name}_plaintext).")
    return value


def _anthropic(config: JSONObject, model: str, task: str, secrets: Secrets, urls: Mapping[str, str]) -> Vendor:
    key = needed(secrets.of(config, "anthropic_api_key"), "anthropic_api_key", "anthropic")
    base = urls.get("anthropic", ANTHROPIC_BASE)
    return Vendor("anthropic", f"anthropic/{model}", base, {"api_base": base, "api_key": key}, (key,))


def _bedrock(config: JSONObject, model: str, task: str, secrets: Secrets, urls: Mapping[str, str]) -> Vendor:
    name, region = "amazon-bedrock", _place(config.get("aws_region"), "aws_region")
    if str(config.get("bedrock_provider", "")).lower() not in BEDROCK_VENDORS:
        raise invalid_parameter(f"bedrock_provider must be one of {', '.join(BEDROCK_VENDORS)}.")
    if config.get("instance_profile_arn") or config.get("uc_service_credential_name"):
        raise invalid_parameter("This workspace is no part of AWS: give aws_access_key_id and aws_secret_access_key.")
    if detours := [variable for variable in AWS_DETOURS if os.environ.get(variable)]:
        raise invalid_parameter(f"{detours[0]} is set where the workspace runs, and would override the keys: unset it.")
    key = needed(secrets.of(config, "aws_access_key_id"), "aws_access_key_id", name)
    secret = needed(secrets.of(config, "aws_secret_access_key"), "aws_secret_access_key", name)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    base = urls.get(name, f"https://bedrock-runtime.{region}.{domain}")
    options = {
        "api_base": base,
        "api_key": "",  # empty, and not absent: else litellm takes this machine's AWS_BEARER_TOKEN_BEDROCK; as below
        "aws_bedrock_runtime_endpoint": base,
        "aws_region_name": region,
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
        "aws_session_token": "",
    }
    # Converse is one form for all families of models; without being told so, litellm invokes some in their own forms.
    route = "bedrock" if task == TASKS["embeddings"] else "bedrock/converse"
    return Vendor(name, f"{route}/{model}", base, options, (key, secret))


def _vertex(config: JSONObject, model: str, task: str, secrets: Secrets, urls: Mapping[str, str]) -> Vendor:
    name = "google-cloud-vertex-ai"
    project, region = _place(config.get("project_id"), "project_id"), _place(config.get("region"), "region")
    text = needed(secrets.of(config, "private_key"), "private_key", name)
    login = google_login(text, urls.get(GOOGLE))
    base = urls.get(name, _vertex_base(region))
    options = {
        "api_base": base,
        "vertex_project": project,
        "vertex_location": region,
        "vertex_credentials": NO_CREDENTIALS,
    }
    return Vendor(name, f"vertex_ai/{model}", base, options, login.secrets, login)


def _vertex_base(region: str) -> str:
    if region == "global":
        return "https://aiplatform.googleapis.com"
    if region in ("eu", "us"):
        return f"https://aiplatform.{region}.rep.googleapis.com"
    return f"https://{region}-aiplatform.googleapis.com"


def _place(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _PLACE.fullmatch(value):
        raise invalid_parameter(f"{name} is required: small letters, digits and hyphens.")
    return value


_READERS: Mapping[str, Reader] = {
    "amazon-bedrock": _bedrock,
    "anthropic": _anthropic,
    "google-cloud-vertex-ai": _vertex,
}
_CONFIGS = {
    "amazon-bedrock": "amazon_bedrock_config",
    "anthropic": "anthropic_config",
    "google-cloud-vertex-ai": "google_cloud_vertex_ai_config",
}
VENDORS = tuple(_READERS)
"""The providers that are asked through litellm."""
