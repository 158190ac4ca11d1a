"""Where the settings and the keys of a provider stand in its external model."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from fm_client import ExternalModel, InvalidRequestError, catalog

PLAINTEXT = "_plaintext"


def config_field(provider: str) -> str:
    """The field of an external model that has the settings of `provider`.

    >>> config_field("google-cloud-vertex-ai")
    'google_cloud_vertex_ai_config'
    """
    return _ways(provider)[0].config


def key_field(provider: str, settings: Mapping[str, Any]) -> str:
    """The field for the key of `provider`, used in the way that its settings say.

    >>> key_field("openai", {"openai_api_type": "azuread"})
    'microsoft_entra_client_secret'
    """
    ways = _ways(provider)
    way = next((way for way in ways if way.variant and settings.get(way.variant_field or "") == way.variant), ways[0])
    fields = [field for field in way.auth[0] if field in credential_fields()]
    if len(fields) != 1:
        raise InvalidRequestError(f"{provider} has several keys: give each, as FIELD=…, of {' and '.join(fields)}")
    return fields[0]


@cache
def credential_fields() -> frozenset[str]:
    """All fields that hold a credential or a reference to one: they have a sibling for plaintext."""
    return frozenset(field for model in _models_in(ExternalModel) for field in _credentials(model))


def _ways(provider: str) -> tuple[catalog.ExternalProvider, ...]:
    if found := catalog.external_providers(provider):
        return found
    known = ", ".join(dict.fromkeys(entry.provider for entry in catalog.external_providers()))
    raise InvalidRequestError(f"there is no provider {provider!r:.60}; there are {known}")


def _credentials(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, hint in typing.get_type_hints(model).items():
        if name.endswith(PLAINTEXT):
            yield f"{path}{name.removesuffix(PLAINTEXT)}"
        for inner in _models_of(hint):
            yield from _credentials(inner, f"{path}{name}.")


def _models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    return (inner for hint in typing.get_type_hints(model).values() for inner in _models_of(hint))


def _models_of(hint: object) -> list[type[BaseModel]]:
    return [part for part in typing.get_args(hint) if isinstance(part, type) and issubclass(part, BaseModel)]
