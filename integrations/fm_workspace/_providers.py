"""External models: where each provider's queries go, and with which credential."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from ._configs import PROVIDERS
from ._engine import Answer, JSONObject, Query, sent
from ._errors import external_error
from ._forward import OPENAI_PATHS, Forwarder, Target, openai_body
from ._secrets import Secrets
from ._urls import checked

OPENAI_BASE = "https://api.openai.com/v1"
AZURE_VERSION = "2024-10-21"
"""Azure's latest stable version of the API as of 2024-12, for configurations that name none."""

Builder = Callable[[JSONObject, str, Query, Secrets], Target]


class Providers:
    """Sends queries to the providers of external models."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._forwarder = Forwarder()

    async def answer(self, external: JSONObject, query: Query) -> Answer:
        """The provider's answer; 400 for a provider that this workspace cannot call."""
        provider = external["provider"]
        build = _BUILDERS.get(provider)
        if build is None:
            callable_ones = ", ".join(sorted(_BUILDERS))
            text = f"This workspace cannot call provider {provider} yet; it calls {callable_ones}."
            raise external_error(400, provider, {"error_code": "BAD_REQUEST", "message": text})
        target = build(external[PROVIDERS[provider]], external["name"], query, self._secrets)
        return await self._forwarder.forward(target, stream=query.stream)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._forwarder.aclose()


def _openai(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    if config.get("openai_api_type") in ("azure", "azuread"):
        return _azure(config, model, query, secrets)
    headers = _bearer(secrets.of(config, "openai_api_key"))
    if organization := config.get("openai_organization"):
        headers["openai-organization"] = organization
    base = checked(config.get("openai_api_base") or OPENAI_BASE, "openai_api_base")
    return Target("openai", base + OPENAI_PATHS[query.task], openai_body(query, model), headers)


def _azure(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    base = checked(config.get("openai_api_base"), "openai_api_base")
    deployment = quote(config.get("openai_deployment_name") or model, safe="")
    version = quote(config.get("openai_api_version") or AZURE_VERSION, safe="")
    key = secrets.of(config, "openai_api_key")
    headers = _bearer(key) if config["openai_api_type"] == "azuread" else {"api-key": key or ""}
    url = f"{base}/openai/deployments/{deployment}{OPENAI_PATHS[query.task]}?api-version={version}"
    return Target("openai", url, openai_body(query, model), headers)


def _custom(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    url, path = checked(config.get("custom_provider_url"), "custom_provider_url"), OPENAI_PATHS[query.task]
    whole = url if url.endswith(tuple(OPENAI_PATHS.values())) else url + path
    return Target("custom", whole, openai_body(query, model), _custom_headers(config, secrets))


def _custom_headers(config: JSONObject, secrets: Secrets) -> dict[str, str]:
    if bearer := config.get("bearer_token_auth"):
        return _bearer(secrets.of(bearer, "token"))
    if api_key := config.get("api_key_auth"):
        return {api_key["key"].lower(): secrets.of(api_key, "value") or ""}
    return {}


def _databricks(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    base = checked(config.get("databricks_workspace_url"), "databricks_workspace_url")
    headers = _bearer(secrets.of(config, "databricks_api_token"))
    url = f"{base}/serving-endpoints/{quote(model, safe='')}/invocations"
    return Target("databricks-model-serving", url, sent(query.body, "model"), headers)


def _bearer(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


_BUILDERS: Mapping[str, Builder] = {"openai": _openai, "custom": _custom, "databricks-model-serving": _databricks}
