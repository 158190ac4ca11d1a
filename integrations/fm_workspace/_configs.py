"""From a request's `config` to what an endpoint serves: names, kinds, tasks and traffic, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ._engine import JSONObject
from ._errors import invalid_parameter
from ._fields import ENTITY, SHOWN, check_fields
from ._lifecycle import Config, Entity, Kind, Route
from ._quirks import TASKS, task_of
from ._secrets import check_secrets, without_redaction
from ._urls import checked

MAX_ENTITIES = 15
"""Observed limit of served entities per endpoint (the documentation says 10)."""
MAX_NAME_CHARS = 63
PROVIDERS = {
    "ai21labs": "ai21labs_config",
    "amazon-bedrock": "amazon_bedrock_config",
    "anthropic": "anthropic_config",
    "cohere": "cohere_config",
    "custom": "custom_provider_config",
    "databricks-model-serving": "databricks_model_serving_config",
    "google-cloud-vertex-ai": "google_cloud_vertex_ai_config",
    "openai": "openai_config",
    "palm": "palm_config",
}
"""Provider -> the field that configures it."""
ADDRESSES = frozenset({"openai_api_base", "custom_provider_url", "databricks_workspace_url", "cohere_api_base"})
_ENDPOINT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_ENTITY_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_ENTITY_FIELDS = ("entity_name", "entity_version", "min_provisioned_throughput", "max_provisioned_throughput")


def check_name(name: str) -> None:
    """400 unless `name` may be an endpoint's: letters, digits, `-` and `_`, at most 63."""
    if not _ENDPOINT_NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        raise invalid_parameter(
            f"Endpoint name {name[:80]!r} is not valid: at most {MAX_NAME_CHARS} letters, digits, - and _."
        )


def read_config(config: Mapping[str, Any], tags: Mapping[str, str], now: float, before: Config | None = None) -> Config:
    """The configuration that a request describes. `before` gives the secrets that came back redacted."""
    requested = [dict(each) for each in config.get("served_entities") or config.get("served_models") or []]
    if not requested:
        raise invalid_parameter("config.served_entities must hold at least one served entity.")
    if len(requested) > MAX_ENTITIES:
        raise invalid_parameter(f"An endpoint can serve at most {MAX_ENTITIES} entities, not {len(requested)}.")
    entities = tuple(_entity(spec, now, before) for spec in requested)
    _check_unique([entity.name for entity in entities])
    kind, task = _only_kind(entities), _only_task(entities, tags)
    return Config(kind, task, entities, _routes(config.get("traffic_config") or {}, entities))


def default_entity_name(spec: Mapping[str, Any]) -> str:
    """The name that an entity gets if the request gives none.

    >>> default_entity_name({"external_model": {"name": "gpt-3.5-turbo"}})
    'gpt-3-5-turbo'
    """
    if external := spec.get("external_model"):
        return str(external["name"]).replace(".", "-").replace(":", "-")
    return f"{spec['entity_name'].rpartition('.')[2]}-{spec['entity_version']}"


def _entity(spec: JSONObject, now: float, before: Config | None) -> Entity:
    spec = {field: value for field, value in spec.items() if field not in SHOWN}
    check_fields(spec, ENTITY, "served_entities")
    # `served_models` is the older form, with other names for the same fields.
    for old, new in (("model_name", "entity_name"), ("model_version", "entity_version")):
        if old in spec:
            spec[new] = spec.pop(old)
    (_check_external if spec.get("external_model") is not None else _check_provisioned)(spec)
    name = spec.pop("name", None) or default_entity_name(spec)
    if not _ENTITY_NAME.fullmatch(name):
        raise invalid_parameter(f"Served entity name {name!r} is not valid.")
    old_entity = before.entity(name) if before else None
    spec = _with_credentials(spec, old_entity.spec if old_entity else {})
    check_secrets(spec)
    return Entity(name, spec, now)


def _with_credentials(spec: JSONObject, old: Mapping[str, Any]) -> JSONObject:
    """`spec` with the old credentials where it has them redacted; 400 if they would now go elsewhere."""
    restored = without_redaction(spec, old)
    if restored != spec and _addresses(spec) != _addresses(old):
        message = "The address is another one; give the credential anew, which was given for the old one."
        raise invalid_parameter(message)
    return restored


def _addresses(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Where the credentials of an external model go."""
    external = spec.get("external_model") or {}
    config = external.get(PROVIDERS.get(external.get("provider", ""), "")) or {}
    return {"provider": external.get("provider"), **{field: config.get(field) for field in ADDRESSES}}


def _check_external(spec: JSONObject) -> None:
    if given := [field for field in _ENTITY_FIELDS if spec.get(field) is not None]:
        raise invalid_parameter(f"A served entity has either external_model or {given[0]}, not both.")
    external = spec["external_model"]
    if missing := [field for field in ("name", "provider", "task") if not external.get(field)]:
        raise invalid_parameter(f"external_model.{missing[0]} is required.")
    if external["provider"] not in PROVIDERS:
        raise invalid_parameter(f"external_model.provider must be one of {', '.join(PROVIDERS)}.")
    if external["task"] not in TASKS.values():
        raise invalid_parameter(f"external_model.task must be one of {', '.join(TASKS.values())}.")
    field = PROVIDERS[external["provider"]]
    if external.get(field) is None:
        raise invalid_parameter(f"external_model.{field} is required for provider {external['provider']}.")
    for url in ADDRESSES & external[field].keys():
        checked(external[field][url], url)


def _check_provisioned(spec: JSONObject) -> None:
    name, version = spec.get("entity_name"), spec.get("entity_version")
    if not name or name.count(".") != 2 or not all(name.split(".")):
        raise invalid_parameter("A served entity needs external_model, or entity_name as catalog.schema.model.")
    if version is None or not str(version).isdigit():
        raise invalid_parameter(f"entity_version of {name} must be a whole number.")
    spec["entity_version"] = str(version)
    low, high = spec.get("min_provisioned_throughput"), spec.get("max_provisioned_throughput")
    for value in (low, high, spec.get("provisioned_model_units")):
        if value is not None and value < 0:
            raise invalid_parameter("Provisioned throughput must be a whole number of 0 or more.")
    if high is not None and (high == 0 or (low or 0) > high):
        raise invalid_parameter("max_provisioned_throughput must be over 0 and at least min_provisioned_throughput.")


def _check_unique(names: Sequence[str]) -> None:
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise invalid_parameter(f"The names of served entities must be unique: {doubled[0]!r} is there twice.")


def _only_kind(entities: Sequence[Entity]) -> Kind:
    kinds: set[Kind] = {"external" if entity.external else "provisioned" for entity in entities}
    if len(kinds) > 1:
        raise invalid_parameter("External models and other models cannot be served behind one endpoint.")
    return kinds.pop()


def _only_task(entities: Sequence[Entity], tags: Mapping[str, str]) -> str:
    tasks = {str(entity.external["task"]) if entity.external else task_of(entity.model, tags) for entity in entities}
    if len(tasks) > 1:
        raise invalid_parameter(
            f"All served entities of an endpoint must have one task, not {', '.join(sorted(tasks))}."
        )
    return tasks.pop()


def _routes(traffic: Mapping[str, Any], entities: Sequence[Entity]) -> tuple[Route, ...]:
    given = traffic.get("routes")
    if not given:
        return _even(entities)
    routes = tuple(_route(route) for route in given)
    names = {entity.name for entity in entities}
    _check_unique([route.entity for route in routes])
    if unknown := [route.entity for route in routes if route.entity not in names]:
        raise invalid_parameter(f"traffic_config names {unknown[0]!r}, which is no served entity of the endpoint.")
    if (total := sum(route.percentage for route in routes)) != 100:
        raise invalid_parameter(f"The traffic percentages must add up to 100, not {total}.")
    return routes


def _route(route: Mapping[str, Any]) -> Route:
    name = route.get("served_entity_name") or route.get("served_model_name")
    share = str(route.get("traffic_percentage"))  # the service's own examples send it as text
    if not isinstance(name, str) or not share.isascii() or not share.isdigit() or int(share) > 100:
        raise invalid_parameter("A route needs served_entity_name, and traffic_percentage from 0 to 100.")
    return Route(name, int(share))


def _even(entities: Sequence[Entity]) -> tuple[Route, ...]:
    share, rest = divmod(100, len(entities))
    return tuple(Route(entity.name, share + (at < rest)) for at, entity in enumerate(entities))
