"""The AI gateway's configuration as the service takes it; what it could not mean is refused here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._errors import InvalidRequestError
from ._objects import as_object, object_list, text_list
from .types._base import JSONObject

PERIOD = "minute"
"""The only period that limits have (databricks-sdk 0.156.0)."""
KEYS = ("endpoint", "user", "user_group", "service_principal")
OLDER_KEYS = ("endpoint", "user")
NEED_PRINCIPAL = ("user_group", "service_principal")
PII = ("NONE", "BLOCK", "MASK")


def gateway_body(gateway: Any) -> JSONObject:
    """The body of an AI gateway, checked. A limit's period is filled in: there is but one."""
    body = as_object(gateway)
    if body.get("rate_limits") is not None:
        limits = object_list(body["rate_limits"], "rate_limits")
        body = {**body, "rate_limits": [_limit(limit, f"rate_limits[{at}]") for at, limit in enumerate(limits)]}
    for field in ("fallback_config", "usage_tracking_config"):
        _check_switch(body.get(field), field)
    _check_guardrails(_object(body.get("guardrails"), "guardrails"))
    _check_table(_object(body.get("inference_table_config"), "inference_table_config"))
    return body


def older_rate_limits(limits: Any) -> list[JSONObject]:
    """Limits of the older kind, which count calls only."""
    found = []
    for at, limit in enumerate(object_list(limits, "rate_limits")):
        where = f"rate_limits[{at}]"
        if limit.get("tokens") is not None or limit.get("principal") is not None:
            raise InvalidRequestError(f"{where} counts calls only: tokens and principal belong into ai_gateway")
        found.append(_limit(limit, where, OLDER_KEYS))
    return found


def _limit(limit: JSONObject, where: str, keys: tuple[str, ...] = KEYS) -> JSONObject:
    counts = {field: limit[field] for field in ("calls", "tokens") if limit.get(field) is not None}
    if not counts:
        raise InvalidRequestError(f"{where} limits nothing: give calls or tokens")
    for field, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InvalidRequestError(f"{where}.{field} must be a whole number of 0 or more, not {value!r:.60}")
    _check_key(limit, where, keys)
    if limit.get("renewal_period", PERIOD) != PERIOD:
        raise InvalidRequestError(f"{where}.renewal_period can only be {PERIOD!r}")
    return {**limit, "renewal_period": PERIOD}


def _check_key(limit: JSONObject, where: str, keys: tuple[str, ...]) -> None:
    key, principal = limit.get("key"), limit.get("principal")
    if key is not None and key not in keys:
        raise InvalidRequestError(f"{where}.key must be one of {', '.join(keys)}, not {key!r:.60}")
    if key in NEED_PRINCIPAL and not principal:
        raise InvalidRequestError(f"{where}.principal is missing: name the {key} that is limited")


def _check_guardrails(guardrails: Mapping[str, Any]) -> None:
    for side in ("input", "output"):
        where = f"guardrails.{side}"
        given = _object(guardrails.get(side), where)
        for field in ("invalid_keywords", "valid_topics"):
            if given.get(field) is not None:
                text_list(given[field], f"{where}.{field}")
        if not isinstance(given.get("safety", False), (bool, type(None))):
            raise InvalidRequestError(f"{where}.safety must be true or false")
        behavior = _object(given.get("pii"), f"{where}.pii").get("behavior")
        if behavior is not None and behavior not in PII:
            raise InvalidRequestError(f"{where}.pii.behavior must be one of {', '.join(PII)}, not {behavior!r:.60}")


def _check_table(table: Mapping[str, Any]) -> None:
    missing = [field for field in ("catalog_name", "schema_name") if not table.get(field)]
    if table.get("enabled") and missing:
        raise InvalidRequestError(f"inference_table_config.{missing[0]} is missing: a table that is enabled needs it")


def _check_switch(switch: Any, where: str) -> None:
    if switch is not None and not isinstance(_object(switch, where).get("enabled"), bool):
        raise InvalidRequestError(f"{where}.enabled must be true or false")


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRequestError(f"{where} must be an object, not a {type(value).__name__}")
    return value or {}
