"""External models: the settings that a provider needs, and the tasks it has, looked at before anything is sent.

What a provider needs stands in the catalog (`data/providers.json`), as data. No message repeats a setting's value: it
may be a credential in the wrong place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from . import _catalog as catalog
from ._errors import InvalidRequestError
from .types.external import SecretModel

PLAINTEXT = "_plaintext"
"""What is appended to the name of a credential's field to give the credential itself."""
SECRETS = frozenset(
    {
        "ai21labs_api_key",
        "anthropic_api_key",
        "aws_access_key_id",
        "aws_secret_access_key",
        "bearer_token_auth.token",
        "api_key_auth.value",
        "cohere_api_key",
        "databricks_api_token",
        "microsoft_entra_client_secret",
        "openai_api_key",
        "palm_api_key",
        "private_key",
    }
)
"""Settings that are credentials: a reference to a secret, or beside it, with `_plaintext`, the credential."""
_REFERENCE = re.compile(r"\{\{\s*secrets/[^/{}\s]+/[^/{}\s]+\s*\}\}")
_NEWER = "; if the service has come to take it, bring a newer catalog (FM_CATALOG)"
_CLOSE = 0.8


def check_external(external: Any, *, new: bool) -> None:
    """Refuse an external model that its provider could not serve.

    The credential must be there for an endpoint that is `new`: an update may leave an old one as it is.
    """
    if not isinstance(external, Mapping):
        raise InvalidRequestError(f"external_model must be an object, not a {type(external).__name__}")
    _check_texts(external)
    ways = catalog.external_providers(external["provider"])
    if not ways:
        raise InvalidRequestError(_unknown_provider(external["provider"]))
    settings = _settings(external, ways[0].config)
    way = _way(external["provider"], ways, settings)
    _check_task(external["task"], way)
    _check_secrets(settings, way)
    _check_present(settings, way)
    _check_auth(settings, way, new=new)


def _check_texts(external: Mapping[str, Any]) -> None:
    for field in ("provider", "name", "task"):
        value = external.get(field)
        if not isinstance(value, str) or not value.strip():
            raise InvalidRequestError(f"external_model.{field} is missing: it must be a text")
    if external["task"] not in catalog.tasks():
        raise InvalidRequestError(
            f"external_model.task must be one of {', '.join(catalog.tasks())}, not {external['task']!r:.60}"
        )


def _unknown_provider(provider: str) -> str:
    if provider.lower().startswith("azure"):
        return 'Azure OpenAI is the provider "openai", with openai_config.openai_api_type "azure" or "azuread"'
    known = ", ".join(dict.fromkeys(entry.provider for entry in catalog.external_providers()))
    return f"external_model.provider must be one of {known}, not {provider!r:.60}{_NEWER}"


def _settings(external: Mapping[str, Any], config: str) -> Mapping[str, Any]:
    others = {entry.config for entry in catalog.external_providers()} - {config}
    if wrong := sorted(field for field in others if external.get(field) is not None):
        raise InvalidRequestError(
            f"external_model.{wrong[0]} is for another provider: {external['provider']} takes {config}"
        )
    settings = external.get(config)
    if not isinstance(settings, Mapping):
        raise InvalidRequestError(f"external_model.{config} is missing: it holds what {external['provider']} needs")
    return settings


def _way(
    provider: str, ways: Sequence[catalog.ExternalProvider], settings: Mapping[str, Any]
) -> catalog.ExternalProvider:
    """Which of several ways to use a provider is meant."""
    field = ways[0].variant_field
    if field is None:
        return ways[0]
    chosen = settings.get(field)
    if chosen is None and field not in ways[0].required:
        return ways[0]
    found = [way for way in ways if isinstance(chosen, str) and way.variant == chosen.lower()]
    if not found:
        known = ", ".join(str(way.variant) for way in ways)
        raise InvalidRequestError(f"{ways[0].config}.{field} must be one of {known}{_NEWER}")
    return found[0]


def _check_task(task: str, way: catalog.ExternalProvider) -> None:
    if task in way.unsupported:
        has = f"; it has {', '.join(way.tasks)}" if way.tasks else ""
        raise InvalidRequestError(f"{way.name} has no models for {task}{has}{_NEWER}")


def _check_secrets(settings: Mapping[str, Any], way: catalog.ExternalProvider) -> None:
    """Each credential is given once, as what its field is for."""
    for field in SECRETS:
        reference, plaintext = _at(settings, field), _at(settings, field + PLAINTEXT)
        where = f"{way.config}.{field}"
        if reference is not None and plaintext is not None:
            raise InvalidRequestError(f"give either {where} or {where}{PLAINTEXT}, not both")
        if reference is not None and not (isinstance(reference, str) and _REFERENCE.fullmatch(reference)):
            raise InvalidRequestError(
                f"{where} must be a reference {{{{secrets/scope/key}}}}; the credential itself is {field}{PLAINTEXT}"
            )
        if plaintext is not None and not (isinstance(plaintext, str) and plaintext.strip()):
            raise InvalidRequestError(f"{where}{PLAINTEXT} is empty, or no text")


def _check_present(settings: Mapping[str, Any], way: catalog.ExternalProvider) -> None:
    for field in way.required:
        value = _at(settings, field)
        if not isinstance(value, str) or not value.strip():
            raise InvalidRequestError(_missing(settings, way, field))


def _check_auth(settings: Mapping[str, Any], way: catalog.ExternalProvider, *, new: bool) -> None:
    """One way to authenticate is given, whole."""
    begun = [fields for fields in way.auth if any(_given(settings, field) for field in fields)]
    if len(begun) > 1:
        ways = " and ".join(" with ".join(fields) for fields in begun)
        raise InvalidRequestError(f"{way.config} has several ways to authenticate ({ways}): give one")
    if not begun and new and way.auth:
        raise InvalidRequestError(_missing(settings, way, *(fields[0] for fields in way.auth)))
    for fields in begun:
        for field in fields:
            if not _given(settings, field) and (new or field not in SECRETS):
                raise InvalidRequestError(_missing(settings, way, field))


def _missing(settings: Mapping[str, Any], way: catalog.ExternalProvider, *fields: str) -> str:
    named = " or ".join(
        f"{field} (or {field.rpartition('.')[2]}{PLAINTEXT})" if field in SECRETS else field for field in fields
    )
    text = f"{way.config} lacks {named}, which {way.name} needs"
    strange = [
        name
        for name in map(str, settings)
        if name not in _fields() and difflib.get_close_matches(name, fields, 1, _CLOSE)
    ]
    return text + (f"; {strange[0]!r:.60} is no field of it" if strange else "")


@cache
def _fields() -> frozenset[str]:
    """The fields of all settings, as the service's API has them."""
    return frozenset(field for kind in SecretModel.__subclasses__() for field in kind.model_fields)


def _given(settings: Mapping[str, Any], field: str) -> bool:
    return any(_at(settings, name) is not None for name in (field, field + PLAINTEXT))


def _at(settings: Mapping[str, Any], field: str) -> Any:
    outer, _, inner = field.rpartition(".")
    holder = settings.get(outer) if outer else settings
    return holder.get(inner) if isinstance(holder, Mapping) else None
