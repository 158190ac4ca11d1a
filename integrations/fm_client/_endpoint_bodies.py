"""What an endpoint is to be -> the request that makes it so; what the service could not take is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from ._errors import InvalidRequestError
from ._routes import ENDPOINTS_PATH, PT_PATH, check_endpoint_name, endpoint_path, pt_config_path
from .types import AiGatewayConfig, EndpointConfig, ExternalModel, RateLimit, Tag
from .types._base import JSONObject, WireModel
from .types.endpoints import plain

TagsLike = Mapping[str, str | None] | Iterable[Tag | Mapping[str, Any]]


class ConfigSpec(TypedDict, total=False):
    """What an endpoint serves: one of `config`, `external_model` and `entity_name`."""

    config: Mapping[str, Any] | EndpointConfig | None
    """The service's own object: served_entities, traffic_config, …; models of `fm_client.types` may stand in it."""
    external_model: ExternalModel | Mapping[str, Any] | None
    entity_name: str | None
    """A model of Unity Catalog, `catalog.schema.model`, for provisioned throughput."""
    entity_version: str | int | None
    served_name: str | None
    """Name of the served entity; the service makes one up otherwise."""
    provisioned_model_units: int | None
    min_provisioned_throughput: int | None
    """Tokens per second."""
    max_provisioned_throughput: int | None
    burst_scaling_enabled: bool | None


class EndpointSpec(ConfigSpec, total=False):
    """What an endpoint is to be."""

    ai_gateway: AiGatewayConfig | Mapping[str, Any] | None
    tags: TagsLike | None
    description: str | None
    budget_policy_id: str | None
    email_notifications: Mapping[str, Any] | None
    route_optimized: bool | None
    telemetry_config: Mapping[str, Any] | None
    rate_limits: Iterable[RateLimit | Mapping[str, Any]] | None
    """The older form of limits; `ai_gateway` has the newer one."""


_ENTITY_FIELDS = (
    "entity_name",
    "entity_version",
    "provisioned_model_units",
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "burst_scaling_enabled",
)
_SOURCES = ("config", "external_model", "entity_name")
_CONFIG_FIELDS = frozenset(ConfigSpec.__annotations__)
_SPEC_FIELDS = frozenset(EndpointSpec.__annotations__)
# The API of model units knows fewer fields than that of all other endpoints.
_PLAIN_FIELDS = (
    "ai_gateway",
    "description",
    "budget_policy_id",
    "email_notifications",
    "route_optimized",
    "telemetry_config",
)
_NO_UNITS_FIELDS = ("description", "route_optimized", "telemetry_config", "rate_limits")
_NO_UNITS_ENTITY_FIELDS = ("min_provisioned_throughput", "max_provisioned_throughput")


def create_request(name: str, spec: EndpointSpec) -> tuple[str, JSONObject]:
    """Path and body that create an endpoint."""
    _check_fields(spec, _SPEC_FIELDS)
    config, units = config_body(spec)
    if units and (excess := [field for field in _NO_UNITS_FIELDS if spec.get(field) is not None]):
        raise InvalidRequestError(f"an endpoint with model units takes no {' or '.join(excess)}")
    body: JSONObject = {"name": check_endpoint_name(name), "config": config}
    if spec.get("rate_limits") is not None:
        body["rate_limits"] = object_list(spec["rate_limits"], "rate_limits")
    for field in _PLAIN_FIELDS:
        if (value := spec.get(field)) is not None:
            body[field] = as_object(value) if isinstance(value, (Mapping, WireModel)) else value
    if tags := tag_list(spec.get("tags") or ()):
        body["tags"] = tags
    return (PT_PATH if units else ENDPOINTS_PATH), body


def update_request(name: str, spec: ConfigSpec) -> tuple[str, JSONObject]:
    """Path and body that change what an endpoint serves; with model units the body is nested one deeper."""
    _check_fields(spec, _CONFIG_FIELDS)
    config, units = config_body(spec)
    return (pt_config_path(name), {"config": config}) if units else (endpoint_path(name, "config"), config)


def config_body(spec: Mapping[str, Any]) -> tuple[JSONObject, bool]:
    """The service's `config` object of a spec, and whether it is one of model units."""
    given = [field for field in _SOURCES if spec.get(field) is not None]
    if len(given) != 1:
        raise InvalidRequestError(f"give one of {', '.join(_SOURCES)}, not {' and '.join(given) or 'none'}")
    if given != ["entity_name"]:
        _check_alone(spec, given[0])
    if given == ["config"]:
        return as_object(spec["config"]), False
    entity = _external_entity(spec) if given == ["external_model"] else _provisioned_entity(spec)
    return {"served_entities": [entity]}, "provisioned_model_units" in entity


def _check_alone(spec: Mapping[str, Any], source: str) -> None:
    others = [field for field in _ENTITY_FIELDS if spec.get(field) is not None]
    if source == "config" and spec.get("served_name") is not None:
        others.append("served_name")
    if others:
        raise InvalidRequestError(f"{', '.join(others)} cannot be given beside {source}")


def _external_entity(spec: Mapping[str, Any]) -> JSONObject:
    entity: JSONObject = {"external_model": as_object(spec["external_model"])}
    return {"name": spec["served_name"], **entity} if spec.get("served_name") is not None else entity


def _provisioned_entity(spec: Mapping[str, Any]) -> JSONObject:
    entity = {field: spec[field] for field in _ENTITY_FIELDS if spec.get(field) is not None}
    units = "provisioned_model_units" in entity
    throughput = [field for field in _NO_UNITS_ENTITY_FIELDS if field in entity]
    if units == bool(throughput):
        raise InvalidRequestError(
            "a model of Unity Catalog is provisioned by either provisioned_model_units or "
            "min_ and max_provisioned_throughput (tokens/s); for anything else give config"
        )
    if "entity_version" in entity:
        entity["entity_version"] = str(entity["entity_version"])
    return {"name": spec["served_name"], **entity} if spec.get("served_name") is not None else entity


def _check_fields(spec: Mapping[str, Any], allowed: frozenset[str]) -> None:
    if unknown := sorted(spec.keys() - allowed):
        raise InvalidRequestError(f"unknown argument {unknown[0]!r}; known are {', '.join(sorted(allowed))}")


def tag_list(tags: TagsLike) -> list[JSONObject]:
    """Tags as the service takes them; a tag without a value has none."""
    if isinstance(tags, Mapping):
        text_list(tags, "the keys of tags")
        return [{"key": key} if value is None else {"key": key, "value": str(value)} for key, value in tags.items()]
    return object_list(tags, "tags")


def object_list(values: Any, what: str) -> list[JSONObject]:
    """A list of objects, or of models of `fm_client.types`, as plain objects."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidRequestError(f"{what} must be a list of objects, not a {type(values).__name__}")
    return [as_object(value) for value in values]


def text_list(values: Any, what: str) -> list[str]:
    """A list of texts. A single text is refused: it would be taken for its letters."""
    found: list[Any] = list(values) if isinstance(values, Iterable) and not isinstance(values, (str, bytes)) else [None]
    if not all(isinstance(text, str) for text in found):
        raise InvalidRequestError(f"{what} must be texts, in a list")
    return found


def as_object(value: Any) -> JSONObject:
    if not isinstance(value, (Mapping, WireModel)):
        raise InvalidRequestError(f"expected an object or a model of fm_client.types, not a {type(value).__name__}")
    try:
        found: JSONObject = plain(dict(value) if isinstance(value, Mapping) else value)
    except RecursionError:
        raise InvalidRequestError("the request is nested too deeply, or contains itself") from None
    return found
