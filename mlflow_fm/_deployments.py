"""MLflow's deployments as served entities: model URIs, and the traffic between the entities of an endpoint. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

JSONObject = dict[str, Any]

DEFAULT_TASK = "llm/v1/chat"
PROVISIONED, EXTERNAL = "provisioned", "external"
_REGISTERED = re.compile(r"(?:models:/+)?([^/@:]+\.[^/@:.]+\.[^/@:]+)(?:/(\d+))?")
_PROVIDER = re.compile(r"([a-z][a-z0-9-]*):/+(.+)")
_NO_PROVIDERS = frozenset(
    {"models", "runs", "file", "dbfs", "http", "https", "s3", "gs", "endpoints", "mlflow-artifacts"}
)
# What an answer says of an entity, and a request must not.
_ANSWERED = frozenset({"state", "creator", "creation_timestamp", "foundation_model"})
_TRAFFIC = "traffic_percentage"
# What a size takes the place of, beside itself: what was said in another unit.
_UNITS = ("provisioned_model_units", "burst_scaling_enabled")
_REPLACED = {
    "provisioned_model_units": ("min_provisioned_throughput", "max_provisioned_throughput", "scale_to_zero_enabled"),
    "max_provisioned_throughput": _UNITS,
    "throughput_chunks": ("max_provisioned_throughput", *_UNITS),
    "min_throughput_chunks": ("min_provisioned_throughput",),
}


def served_entity(name: str, model_uri: str, flavor: str | None, config: JSONObject) -> JSONObject:
    """The served entity `name` for a model URI. `config` has the further fields of the entity.

    `models:/catalog.schema.model/3` is a model of Unity Catalog, `openai:/gpt-4o` an external one of that provider.

    >>> served_entity("a", "models:/main.default.llama/3", None, {"min_provisioned_throughput": 0})
    {'name': 'a', 'entity_name': 'main.default.llama', 'entity_version': '3', 'min_provisioned_throughput': 0}
    """
    fields = {key: value for key, value in config.items() if key != _TRAFFIC}
    if registered := _REGISTERED.fullmatch(model_uri):
        _check_flavor(flavor, PROVISIONED)
        version = registered[2] or fields.pop("entity_version", None)
        if version is None:
            raise ValueError(f"model URI {model_uri!r} has no version: add it (…/3), or 'entity_version' to config")
        return {"name": name, "entity_name": registered[1], "entity_version": str(version), **fields}
    provider = _PROVIDER.fullmatch(model_uri)
    if provider and provider[1] not in _NO_PROVIDERS:
        _check_flavor(flavor, EXTERNAL)
        model = {"name": provider[2], "provider": provider[1], "task": fields.pop("task", DEFAULT_TASK), **fields}
        return {"name": name, "external_model": model}
    raise ValueError(
        f"model URI {model_uri!r} cannot be served: give a version of a model of Unity Catalog "
        "(models:/catalog.schema.model/3) or an external model (openai:/gpt-4o)"
    )


def changed_entity(
    entity: Mapping[str, Any], model_uri: str | None, flavor: str | None, config: JSONObject
) -> JSONObject:
    """A served entity with another model, or other fields; what is not named stays as it is."""
    kept = _asked(entity)
    external = kept.get("external_model") or {}
    if model_uri is None:
        _check_flavor(flavor, entity_flavor(entity))
        fields = {key: value for key, value in config.items() if key != _TRAFFIC}
        changes: JSONObject = {"external_model": fields} if external else fields
    else:
        task = {"task": external["task"]} if "task" in external else {}
        changes = served_entity(entity["name"], model_uri, flavor, task | config)
    if external and "external_model" in changes:
        changes = {**changes, "external_model": external | changes["external_model"]}
    replaced = {other for field in changes for other in _REPLACED.get(field, ())}
    return {field: value for field, value in kept.items() if field not in replaced} | changes


def is_registered(model_uri: str) -> bool:
    """Whether a model URI means a model of Unity Catalog."""
    return bool(_REGISTERED.fullmatch(model_uri))


def entity_flavor(entity: Mapping[str, Any]) -> str:
    """What MLflow shows as flavor: the route to the model."""
    if entity.get("external_model"):
        return EXTERNAL
    return "hosted" if entity.get("foundation_model") else PROVISIONED


def entities_of(endpoint: Mapping[str, Any]) -> list[JSONObject]:
    """The served entities of an endpoint as the service describes it; before the first deployment, those to come."""
    configs = (endpoint.get("config"), endpoint.get("pending_config"))
    found = (config.get("served_entities") or config.get("served_models") for config in configs if config)
    return next((entities for entities in found if entities), [])


def deployment(entity: Mapping[str, Any], endpoint: str) -> JSONObject:
    """A served entity as MLflow's deployment."""
    return {**entity, "name": entity.get("name"), "endpoint": endpoint, "flavor": entity_flavor(entity)}


def config_with(endpoint: Mapping[str, Any], entity: JSONObject, share: int | None) -> JSONObject:
    """What `endpoint` is to serve, with `entity` in it, in place of the one of that name.

    `share` is its part of the traffic in percent; None leaves the traffic as it is, so that a new entity gets none.
    """
    name = entity["name"]
    kept = [_asked(each) for each in entities_of(endpoint)]
    replaced = [entity if each.get("name") == name else each for each in kept]
    entities = replaced if any(each is entity for each in replaced) else [*replaced, entity]
    shares = shares_of(endpoint)
    shares.setdefault(name, 0)
    return _spec(entities, shares if share is None else with_share(shares, name, share))


def config_without(endpoint: Mapping[str, Any], name: str) -> JSONObject:
    """What `endpoint` is to serve without the entity `name`, whose traffic goes to the others."""
    entities = [_asked(each) for each in entities_of(endpoint) if each.get("name") != name]
    shares = with_share({each["name"]: 0 for each in entities} | shares_of(endpoint) | {name: 0}, name, 0)
    return _spec(entities, {key: share for key, share in shares.items() if key != name})


def shares_of(endpoint: Mapping[str, Any]) -> dict[str, int]:
    """Served entity -> percent of the traffic."""
    config = endpoint.get("config") or {}
    routes = (config.get("traffic_config") or {}).get("routes") or []
    return {route.get("served_entity_name") or route["served_model_name"]: int(route[_TRAFFIC]) for route in routes}


def with_share(shares: Mapping[str, int], name: str, share: int) -> dict[str, int]:
    """The shares with `share` percent for `name` and the rest divided among the others as before; 100 in all.

    >>> with_share({"a": 75, "b": 25, "c": 0}, "c", 20)
    {'a': 60, 'b': 20, 'c': 20}
    """
    if not isinstance(share, int) or not 0 <= share <= 100:
        raise ValueError(f"traffic_percentage must be a whole number from 0 to 100, not {share!r}")
    others = {key: value for key, value in shares.items() if key != name}
    if not others:
        return {name: 100}
    rest = 100 - share
    # Where the others have none, there is no "as before": the first of them gets it.
    weights = others if sum(others.values()) else dict.fromkeys(others, 0) | {next(iter(others)): 1}
    total = sum(weights.values())
    divided = {key: rest * weight // total for key, weight in weights.items()}
    divided[max(weights, key=lambda key: weights[key])] += rest - sum(divided.values())
    return {key: divided.get(key, share) for key in shares} | {name: share}


def _spec(entities: list[JSONObject], shares: Mapping[str, int]) -> JSONObject:
    """The core's arguments; where nothing is said of the traffic, the service divides it."""
    return {"served_entities": entities, **({"traffic": shares} if any(shares.values()) else {})}


def _asked(entity: Mapping[str, Any]) -> JSONObject:
    """What a request can say of an entity; a size of 0 is how the service shows one that is not in use."""
    unused = _REPLACED["provisioned_model_units"] if entity.get("provisioned_model_units") else _UNITS
    return {key: value for key, value in entity.items() if key not in _ANSWERED and key not in unused}


def _check_flavor(given: str | None, flavor: str) -> None:
    if given not in (None, flavor):
        raise ValueError(f"flavor {given!r} does not fit the model: it is {flavor!r}, which need not be given")
