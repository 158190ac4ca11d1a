"""External models: where each provider's queries go, and with which credential."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from ._ai21 import ai21_target, completion, is_jurassic
from ._cohere import COHERE_BASE, Cohere
from ._configs import PROVIDERS
from ._engine import Answer, JSONObject, Query, Whole, sent
from ._entra import LOGIN_BASE, entra_login
from ._errors import ServiceError, external_error, invalid_parameter
from ._forward import OPENAI_PATHS, Forwarder, Target, openai_body
from ._litellm import LiteLLM
from ._logins import Login, Logins
from ._quirks import RESPONSES
from ._secrets import Secrets
from ._urls import checked
from ._vendors import GOOGLE, VENDORS, vendor_of

OPENAI_BASE = "https://api.openai.com/v1"
AZURE_VERSION = "2024-10-21"
"""Azure's latest stable version of the API as of 2024-12, for configurations that name none."""
ENTRA = "entra"
"""Where Microsoft's login is, among the addresses that can be replaced."""

PALM_GONE = "PaLM has been switched off by Google; use google-cloud-vertex-ai with a Gemini model."
URLS = frozenset({*VENDORS, "ai21labs", "cohere", ENTRA, GOOGLE})
"""Whose address `provider_urls` may replace; all others have a field for it in their configuration."""

Builder = Callable[[JSONObject, str, Query, Secrets], Target]


class Providers:
    """Sends queries to the providers of external models.

    `urls` replace the addresses of providers whose configuration has no field for it, such as by a company's gateway.
    `permit` is asked about each IP address before it is connected to.
    """

    def __init__(
        self,
        secrets: Secrets,
        urls: Mapping[str, str] | None = None,
        permit: Callable[[str], bool] | None = None,
    ) -> None:
        self._secrets = secrets
        self._urls = checked_urls(urls or {})
        self._forwarder = Forwarder(permit)
        self._cohere = Cohere(self._forwarder, secrets, self._urls.get("cohere", COHERE_BASE))
        self._logins = Logins(self._forwarder)
        self._litellm = LiteLLM(self._forwarder, self._logins)

    async def answer(self, external: JSONObject, query: Query) -> Answer:
        """The provider's answer; 400 for a model that cannot be called as it is configured."""
        provider = external["provider"]
        if provider == "palm":
            raise external_error(400, provider, {"error_code": "BAD_REQUEST", "message": PALM_GONE})
        if query.task == RESPONSES and provider not in _BUILDERS:
            message = f"Provider {provider} does not offer the Responses API."
            raise external_error(400, provider, {"error_code": "BAD_REQUEST", "message": message})
        if provider == "cohere":
            return await self._cohere.answer(external[PROVIDERS[provider]], external["name"], query)
        if vendor := vendor_of(external, query.task, self._secrets, self._urls):
            return await self._litellm.answer(vendor, query)
        answer = await self._forwarder.forward(await self._target(external, query), stream=_streams(external, query))
        if provider == "ai21labs" and is_jurassic(external["name"]) and isinstance(answer, Whole):
            return completion(query, answer.payload)
        return answer

    async def aclose(self) -> None:
        """Close all connections."""
        await self._forwarder.aclose()

    async def _target(self, external: JSONObject, query: Query) -> Target:
        provider, model = external["provider"], external["name"]
        config: JSONObject = external[PROVIDERS[provider]]
        if provider == "ai21labs":
            return ai21_target(config, model, query, self._secrets, self._urls)
        if login := _login(config, self._secrets, self._urls.get(ENTRA, LOGIN_BASE)):
            token = await self._logins.token(login)
            config = {**config, "openai_api_key": None, "openai_api_key_plaintext": token}
        return _BUILDERS[provider](config, model, query, self._secrets)


def checked_urls(urls: Mapping[str, str]) -> dict[str, str]:
    """`urls` as they are used; ValueError for one that is not fit to be sent credentials to."""
    if unknown := sorted(urls.keys() - URLS):
        raise ValueError(f"provider_urls: {unknown[0]!r} is none of {', '.join(sorted(URLS))}")
    try:
        return {name: checked(url, f"provider_urls[{name!r}]") for name, url in urls.items()}
    except ServiceError as exc:
        raise ValueError(exc.message) from None


def _streams(external: JSONObject, query: Query) -> bool:
    return query.stream and not is_jurassic(external["name"] if external["provider"] == "ai21labs" else "")


def _login(config: JSONObject, secrets: Secrets, base: str) -> Login | None:
    """The Entra ID client of a configuration for Azure that has no token of its own."""
    tenant, client = config.get("microsoft_entra_tenant_id"), config.get("microsoft_entra_client_id")
    secret = secrets.of(config, "microsoft_entra_client_secret")
    if config.get("openai_api_type") != "azuread" or secrets.of(config, "openai_api_key"):
        return None
    if not (tenant and client and secret):
        raise invalid_parameter(
            "openai_api_type azuread needs microsoft_entra_tenant_id, _client_id and _client_secret."
        )
    return entra_login(base, tenant, client, secret)


def _openai(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    if config.get("openai_api_type") in ("azure", "azuread"):
        return _azure(config, model, query, secrets)
    key = secrets.of(config, "openai_api_key")
    headers = _bearer(key)
    if organization := config.get("openai_organization"):
        headers["openai-organization"] = organization
    base = checked(config.get("openai_api_base") or OPENAI_BASE, "openai_api_base")
    return Target("openai", base + OPENAI_PATHS[query.task], openai_body(query, model), headers, (key,))


def _azure(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    base = checked(config.get("openai_api_base"), "openai_api_base")
    deployment = quote(config.get("openai_deployment_name") or model, safe="")
    version = quote(config.get("openai_api_version") or AZURE_VERSION, safe="")
    key = secrets.of(config, "openai_api_key")
    headers = _bearer(key) if config["openai_api_type"] == "azuread" else {"api-key": key or ""}
    url = f"{base}/openai/deployments/{deployment}{OPENAI_PATHS[query.task]}?api-version={version}"
    return Target("openai", url, openai_body(query, model), headers, (key,))


def _custom(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    url, path = checked(config.get("custom_provider_url"), "custom_provider_url"), OPENAI_PATHS[query.task]
    whole = url if url.endswith(tuple(OPENAI_PATHS.values())) else url + path
    headers = _custom_headers(config, secrets)
    key = next(iter(headers.values()), "").removeprefix("Bearer ")
    return Target("custom", whole, openai_body(query, model), headers, (key,))


def _custom_headers(config: JSONObject, secrets: Secrets) -> dict[str, str]:
    if bearer := config.get("bearer_token_auth"):
        return _bearer(secrets.of(bearer, "token"))
    if api_key := config.get("api_key_auth"):
        return {api_key["key"].lower(): secrets.of(api_key, "value") or ""}
    return {}


def _databricks(config: JSONObject, model: str, query: Query, secrets: Secrets) -> Target:
    base = checked(config.get("databricks_workspace_url"), "databricks_workspace_url")
    token = secrets.of(config, "databricks_api_token")
    url = f"{base}/serving-endpoints/{quote(model, safe='')}/invocations"
    return Target("databricks-model-serving", url, sent(query.body, "model"), _bearer(token), (token,))


def _bearer(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


_BUILDERS: Mapping[str, Builder] = {"openai": _openai, "custom": _custom, "databricks-model-serving": _databricks}
