"""The `config` of MLflow's endpoint methods -> what the core client creates and updates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSONObject = dict[str, Any]

_OBJECTS = frozenset(
    {
        "add_tags",
        "ai_gateway",
        "config",
        "delete_tags",
        "email_notifications",
        "external_model",
        "guardrails",
        "rate_limits",
        "served_entities",
        "served_models",
        "tags",
    }
)
SIZES = frozenset(
    {
        "provisioned_model_units",
        "throughput_chunks",
        "min_throughput_chunks",
        "min_provisioned_throughput",
        "max_provisioned_throughput",
    }
)
"""Fields that give a served entity its throughput."""
_WHOLE = SIZES | {"traffic_percentage"}
_SECONDS = frozenset({"wait_timeout"})
_SWITCHES = frozenset({"block", "burst_scaling_enabled", "route_optimized", "scale_to_zero_enabled", "wait"})
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

BESIDE_CONFIG = frozenset(
    {"ai_gateway", "budget_policy_id", "description", "email_notifications", "name", "route_optimized", "tags"}
)
"""Fields of a whole request that stand beside its `config`."""
_SOURCES = ("external_model", "entity_name")


@dataclass(frozen=True, slots=True)
class Change:
    """An endpoint to create or update: the core's arguments, and what comes after."""

    name: str
    spec: JSONObject
    wait: bool | JSONObject
    rate_limits: list[JSONObject] | None = None


def read_config(config: Mapping[str, Any] | None) -> JSONObject:
    """`config` with the texts of the command line (`-C name=value`) as the values they stand for.

    Objects and lists are JSON text, or `@FILE` for a file of it; texts stay what they are.

    >>> read_config({"tags": '{"team": "search"}', "wait": "false", "description": "for 2024"})
    {'tags': {'team': 'search'}, 'wait': False, 'description': 'for 2024'}
    """
    if config is not None and not isinstance(config, Mapping):
        raise ValueError(f"config must be an object, not a {type(config).__name__}")
    return {name: _value(name, value) for name, value in (config or {}).items()}


def create_plan(name: str | None, config: Mapping[str, Any] | None, route_optimized: bool | None) -> Change:
    """What `create_endpoint` means, in each of its forms.

    `config` is a whole request (`name`, `config`, `tags`, …), or its inner `config` with `served_entities` (the older
    form, in which `tags` and `rate_limits` may stand too), or one model: `external_model`, or `entity_name` with its
    throughput.
    """
    fields = _unfolded(read_config(config))
    wait = take_wait(fields)
    rate_limits = fields.pop("rate_limits", None)
    name = _one("name", name, fields.pop("name", None))
    if not isinstance(name, str) or not name:
        raise ValueError("an endpoint needs a name: give name=…, or 'name' in config")
    route_optimized = _one("route_optimized", route_optimized, fields.pop("route_optimized", None))
    spec = _spec(fields)
    if route_optimized is not None:
        spec["route_optimized"] = route_optimized
    return Change(name, spec, wait, rate_limits)


def update_plan(endpoint: str, config: Mapping[str, Any] | None) -> Change:
    """What `update_endpoint_config` means: `config` as in `create_plan`, without what stands beside it."""
    fields = _unfolded(read_config(config))
    wait = take_wait(fields)
    _one("name", endpoint, fields.pop("name", None))
    return Change(endpoint, _spec(fields), wait)


def take_wait(fields: JSONObject) -> bool | JSONObject:
    """Whether and how long to wait until the endpoint is ready; taken out of `fields`. The default is to wait."""
    wait, timeout = fields.pop("wait", True), fields.pop("wait_timeout", None)
    if not isinstance(wait, bool):
        raise ValueError(f"wait must be true or false, not {wait!r}")
    return {"timeout": timeout} if wait and timeout is not None else wait


def _unfolded(fields: JSONObject) -> JSONObject:
    """A whole request under `config` is the request: `-C config=@request.json`."""
    inner = fields.get("config")
    if isinstance(inner, Mapping) and "config" in inner:
        return {**inner, **{name: value for name, value in fields.items() if name != "config"}}
    return fields


def _spec(fields: JSONObject) -> JSONObject:
    if "config" in fields or any(source in fields for source in _SOURCES):
        return fields
    inner = {name: value for name, value in fields.items() if name not in BESIDE_CONFIG}
    if not inner:
        raise ValueError(
            "config says nothing of what to serve: give 'served_entities', 'external_model' or 'entity_name', "
            "or a whole request with 'config'"
        )
    # Model units have paths of their own, which the core finds by the entities.
    what = inner if inner.keys() == {"served_entities"} else {"config": inner}
    return {**what, **{name: value for name, value in fields.items() if name in BESIDE_CONFIG}}


def _one(name: str, argument: Any, field: Any) -> Any:
    if argument is not None and field is not None and argument != field:
        raise ValueError(f"{name} is {argument!r} as an argument and {field!r} in config")
    return field if argument is None else argument


def _value(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in _OBJECTS or name.endswith("_config"):
        return _json(name, value)
    if name in _SWITCHES:
        return _switch(name, value)
    return _number(name, value) if name in _WHOLE | _SECONDS else value


def _json(name: str, text: str) -> Any:
    source = text[1:] if text.startswith("@") else None
    try:
        return json.loads(text if source is None else Path(source).read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ValueError(f"{name}: file {source!r} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        place = f"file {source!r}" if source is not None else "the value"
        raise ValueError(f"{name}: {place} is no JSON ({exc}); a file of it is given as @FILE") from exc


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(f"{name} must be true or false, not {text!r}")
    return _TRUTH[text.lower()]


def _number(name: str, text: str) -> float:
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError as exc:
        raise ValueError(f"{name} must be a number, not {text!r}") from exc
