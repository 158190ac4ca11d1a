"""Where the settings and the keys of a provider stand in its external model, read off the core's own models."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from fm_client import ExternalModel, InvalidRequestError

PLAINTEXT = "_plaintext"
_USUAL = {"openai_config": "openai_api_key", "custom_provider_config": "bearer_token_auth.token"}
"""Of the providers that have several credentials, the one that is meant where none is named."""


def config_field(provider: str) -> str:
    """The field of an external model that has the settings of `provider`.

    >>> config_field("google-cloud-vertex-ai")
    'google_cloud_vertex_ai_config'
    """
    words = provider.replace("-", "_")
    field = next((name for name in (f"{words}_config", f"{words}_provider_config") if name in _configs()), None)
    if field is None:
        raise InvalidRequestError(f"there is no provider {provider!r:.60}: `fm models --route external` lists them")
    return field


def key_field(provider: str) -> str:
    """The field for the key of `provider`.

    >>> key_field("anthropic")
    'anthropic_api_key'
    """
    field = config_field(provider)
    found = sorted(_credentials(_configs()[field]))
    if field in _USUAL or len(found) == 1:
        return _USUAL.get(field, found[0])
    raise InvalidRequestError(f"{provider} has several keys: say which, as FIELD=…, of {', '.join(found)}")


@cache
def credential_fields() -> frozenset[str]:
    """The names of all fields that hold a credential, or a reference to one."""
    return frozenset(path.rpartition(".")[2] for model in _configs().values() for path in _credentials(model))


@cache
def _configs() -> dict[str, type[BaseModel]]:
    hints = typing.get_type_hints(ExternalModel)
    return {name: model for name, hint in hints.items() if name.endswith("_config") for model in _models_in(hint)}


def _credentials(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Fields that have a sibling for plaintext, those of objects inside too."""
    for name, hint in typing.get_type_hints(model).items():
        if name.endswith(PLAINTEXT):
            yield f"{path}{name.removesuffix(PLAINTEXT)}"
        for inner in _models_in(hint):
            yield from _credentials(inner, f"{path}{name}.")


def _models_in(hint: object) -> list[type[BaseModel]]:
    return [part for part in typing.get_args(hint) if isinstance(part, type) and issubclass(part, BaseModel)]
