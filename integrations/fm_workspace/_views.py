"""Endpoints as the management API shows them."""

from __future__ import annotations

from ._access import level_of
from ._callers import Caller
from ._engine import JSONObject
from ._lifecycle import Config, Endpoint, Entity
from ._secrets import redacted

_READY = ("DEPLOYMENT_READY", "")
_CREATING = ("DEPLOYMENT_CREATING", "Creating resources for served entity.")


def detailed(endpoint: Endpoint, caller: Caller) -> JSONObject:
    """`ServingEndpointDetailed`, as `caller` sees it."""
    view = {
        **_common(endpoint),
        **endpoint.details,
        "permission_level": _level(endpoint, caller),
        "route_optimized": bool(endpoint.details.get("route_optimized")),
    }
    if endpoint.active is not None:
        view["config"] = _config(endpoint.active, endpoint.creator, _READY)
    if endpoint.pending is not None:
        view["pending_config"] = _pending(endpoint)
    if endpoint.rate_limits:
        view["rate_limits"] = endpoint.rate_limits
    return view


def summary(endpoint: Endpoint) -> JSONObject:
    """`ServingEndpoint`, as it stands in a list."""
    keys = ("name", "entity_name", "entity_version", "external_model", "foundation_model")
    entities = [{"name": entity.name, **redacted(entity.spec)} for entity in endpoint.config.entities]
    short = [{key: entity[key] for key in keys if key in entity} for entity in entities]
    return {**_common(endpoint), "config": {"served_entities": short}}


def tag_list(endpoint: Endpoint) -> list[JSONObject]:
    """Tags as the API has them."""
    return [{"key": key, "value": value} for key, value in endpoint.tags.items()]


def _common(endpoint: Endpoint) -> JSONObject:
    view: JSONObject = {
        "id": endpoint.id,
        "name": endpoint.name,
        "creator": endpoint.creator,
        "creation_timestamp": _milliseconds(endpoint.created),
        "last_updated_timestamp": _milliseconds(endpoint.updated),
        "state": {"ready": endpoint.ready, "config_update": endpoint.config_update},
        "task": endpoint.config.task,
        # In no SDK's schema; but MLflow asks by it whether an endpoint takes fields of its own.
        "endpoint_type": "EXTERNAL_MODEL" if _is_external(endpoint) else "FOUNDATION_MODEL_API",
        "tags": tag_list(endpoint),
    }
    return view | ({"ai_gateway": endpoint.ai_gateway} if endpoint.ai_gateway else {})


def _is_external(endpoint: Endpoint) -> bool:
    return any("external_model" in entity.spec for entity in endpoint.config.entities)


def _pending(endpoint: Endpoint) -> JSONObject:
    if endpoint.pending is None:
        return {}
    failed = ("DEPLOYMENT_FAILED", endpoint.pending.failure or "")
    view = _config(endpoint.pending.config, endpoint.creator, failed if endpoint.failed else _CREATING)
    return {"start_time": _milliseconds(endpoint.pending.started), **view}


def _config(config: Config, creator: str, state: tuple[str, str]) -> JSONObject:
    routes = [
        {"served_model_name": route.entity, "served_entity_name": route.entity, "traffic_percentage": route.percentage}
        for route in config.routes
    ]
    return {
        "served_entities": [_entity(entity, creator, state) for entity in config.entities],
        "traffic_config": {"routes": routes},
        "config_version": config.version,
    }


def _entity(entity: Entity, creator: str, state: tuple[str, str]) -> JSONObject:
    return {
        "name": entity.name,
        **redacted(entity.spec),
        "creator": creator,
        "creation_timestamp": _milliseconds(entity.created),
        "state": {"deployment": state[0], "deployment_state_message": state[1]},
    }


def _level(endpoint: Endpoint, caller: Caller) -> str | None:
    """The permission of the caller; hosted endpoints are the service's own, and managed by nobody else."""
    level = level_of(endpoint, caller)
    return "CAN_QUERY" if endpoint.hosted and level == "CAN_MANAGE" else level


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
