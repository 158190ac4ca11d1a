"""Provider credentials in configurations: references are resolved when used, literal ones are never shown again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ._engine import JSONObject
from ._errors import ServiceError, invalid_parameter
from ._scopes import Scopes

REDACTED = "**REDACTED**"
LITERAL_SUFFIX = "_plaintext"
ENVIRONMENT_PREFIX = "FM_SECRET_"
"""`{{secrets/scope/key}}` stands for the variable FM_SECRET_SCOPE_KEY if no scope has such a secret."""
SECRET_FIELDS = frozenset(
    {
        "ai21labs_api_key",
        "anthropic_api_key",
        "aws_access_key_id",
        "aws_secret_access_key",
        "cohere_api_key",
        "databricks_api_token",
        "microsoft_entra_client_secret",
        "openai_api_key",
        "palm_api_key",
        "private_key",
        "token",
        "value",
    }
)
_REFERENCE = re.compile(r"\{\{\s*secrets/([^/{}\s]+)/([^/{}\s]+)\s*\}\}")


def check_secrets(spec: Mapping[str, Any]) -> None:
    """400 for a credential that stands in the open where a reference belongs, or is given twice."""
    for config in _objects(spec.get("external_model")):
        for field in SECRET_FIELDS & config.keys():
            if not isinstance(config[field], str) or not _REFERENCE.fullmatch(config[field]):
                message = (
                    f"{field} must be a reference {{{{secrets/scope/key}}}}; a literal goes into {field}_plaintext."
                )
                raise invalid_parameter(message)
            if config.get(field + LITERAL_SUFFIX) is not None:
                raise invalid_parameter(f"Only one of {field} and {field}{LITERAL_SUFFIX} can be given.")


def redacted(value: Any) -> Any:
    """A JSON value with every literal credential replaced."""
    if isinstance(value, dict):
        return {key: REDACTED if _is_literal(key) and item else redacted(item) for key, item in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list) else value


def without_redaction(value: JSONObject, old: Mapping[str, Any]) -> JSONObject:
    """`value` with the old credentials where it holds our replacement for them."""
    restored: JSONObject = {}
    for key, item in value.items():
        before = old.get(key)
        if isinstance(item, dict):
            restored[key] = without_redaction(item, before if isinstance(before, Mapping) else {})
        elif _is_literal(key) and item == REDACTED:
            restored[key] = _kept(key, before)
        else:
            restored[key] = item
    return restored


class Secrets:
    """Looks credentials up: literals as they are, references in scopes, a mapping (`"scope/key"`), the environment."""

    def __init__(self, known: Mapping[str, str] | None = None, scopes: Scopes | None = None) -> None:
        self._known = dict(known or {})
        self._scopes = scopes

    def of(self, config: Mapping[str, Any], field: str) -> str | None:
        """The credential that `config` gives for `field`; None if it gives none. 400 if it cannot be resolved."""
        literal = config.get(field + LITERAL_SUFFIX)
        if isinstance(literal, str):
            return literal
        reference = _REFERENCE.fullmatch(config.get(field) or "")
        return self._resolved(reference[1], reference[2]) if reference else None

    def _resolved(self, scope: str, key: str) -> str:
        stored = self._scopes.find(scope, key) if self._scopes else None
        if stored is not None:
            return stored.decode("utf-8", "replace")
        variable = ENVIRONMENT_PREFIX + re.sub(r"\W", "_", f"{scope}_{key}").upper()
        value = self._known.get(f"{scope}/{key}") or os.environ.get(variable)
        if value is None:
            message = (
                f"The secret {{{{secrets/{scope}/{key}}}}} does not exist: put it into scope {scope}, "
                f"or set {variable} where the workspace runs."
            )
            raise ServiceError(400, "RESOURCE_DOES_NOT_EXIST", message)
        return value


def _is_literal(key: str) -> bool:
    return key.endswith(LITERAL_SUFFIX)


def _kept(key: str, before: Any) -> str:
    if not isinstance(before, str):
        raise invalid_parameter(f"{key} is {REDACTED}, and there is no former value to keep.")
    return before


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """All objects below an external model's configuration."""
    if not isinstance(value, Mapping):
        return []
    nested = [inner for item in value.values() for inner in _objects(item)]
    return [value, *nested]
