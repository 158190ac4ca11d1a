"""What an endpoint is to be -> the request that makes it so; what the service could not take is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, get_args

from ._endpoint_checks import check_entities, traffic_routes
from ._errors import InvalidRequestError
from ._gateway_bodies import gateway_body, older_rate_limits
from ._objects import as_object, object_list, text_list
from ._routes import ENDPOINTS_PATH, PT_PATH, check_endpoint_name, endpoint_path, pt_config_path
from .types import AiGatewayConfig, EmailNotifications, EndpointConfig, ExternalModel, RateLimit, ServedEntity, Tag
from .types._base import JSONObject, WireModel
from .types.permissions import Level

TagsLike = Mapping[str, str | None] | Iterable[Tag | Mapping[str, Any]]


class ConfigSpec(TypedDict, total=False):
    """What an endpoint serves: one of `config`, `external_model`, `entity_name` and `served_entities`."""

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
    throughput_chunks: int | None
    """Largest throughput, in chunks of the model's own `throughput_chunk_size`, which is asked for."""
    min_throughput_chunks: int | None
    burst_scaling_enabled: bool | None
    scale_to_zero_enabled: bool | None
    """Whether nothing is kept running, and paid for, while nobody asks; the first request then waits."""
    served_entities: Iterable[ServedEntity | Mapping[str, Any]] | None
    """Several models, each with a `name`; those of Unity Catalog may be given in `throughput_chunks` too."""
    traffic: Mapping[str, int] | None
    """Share of each served entity, by name, in percent."""


class EndpointSpec(ConfigSpec, total=False):
    """What an endpoint is to be."""

    ai_gateway: AiGatewayConfig | Mapping[str, Any] | None
    tags: TagsLike | None
    description: str | None
    budget_policy_id: str | None
    email_notifications: EmailNotifications | Mapping[str, Any] | None
    route_optimized: bool | None
    telemetry_config: Mapping[str, Any] | None
    rate_limits: Iterable[RateLimit | Mapping[str, Any]] | None
    """The older form of limits; `ai_gateway` has the newer one."""


_PRINCIPALS = ("user_name", "group_name", "service_principal_name")
CHUNK_FIELDS = {
    "throughput_chunks": "max_provisioned_throughput",
    "min_throughput_chunks": "min_provisioned_throughput",
}
"""What is given in chunks -> what is sent in tokens per second."""
_THROUGHPUT = ("min_provisioned_throughput", "max_provisioned_throughput")
_ENTITY_FIELDS = (
    "entity_name",
    "entity_version",
    "provisioned_model_units",
    *_THROUGHPUT,
    *CHUNK_FIELDS,
    "burst_scaling_enabled",
    "scale_to_zero_enabled",
)
_SOURCES = ("config", "external_model", "entity_name", "served_entities")
_CONFIG_FIELDS = frozenset(ConfigSpec.__annotations__)
_SPEC_FIELDS = frozenset(EndpointSpec.__annotations__)
# The API of model units knows fewer fields than that of all other endpoints.
_PLAIN_FIELDS = ("description", "budget_policy_id", "email_notifications", "route_optimized", "telemetry_config")
_NO_UNITS_FIELDS = ("description", "route_optimized", "telemetry_config", "rate_limits")
_NO_UNITS_ENTITY_FIELDS = (*_THROUGHPUT, *CHUNK_FIELDS, "scale_to_zero_enabled")


def create_request(name: str, spec: EndpointSpec) -> tuple[str, JSONObject]:
    """Path and body that create an endpoint."""
    check_fields(spec, _SPEC_FIELDS)
    config, units = config_body(spec, new=True)
    if units and (excess := [field for field in _NO_UNITS_FIELDS if spec.get(field) is not None]):
        raise InvalidRequestError(f"an endpoint with model units takes no {' or '.join(excess)}")
    body: JSONObject = {"name": check_endpoint_name(name), "config": config}
    if spec.get("rate_limits") is not None:
        body["rate_limits"] = older_rate_limits(spec["rate_limits"])
    if (gateway := spec.get("ai_gateway")) is not None:
        body["ai_gateway"] = gateway_body(gateway)
    for field in _PLAIN_FIELDS:
        if (value := spec.get(field)) is not None:
            body[field] = as_object(value) if isinstance(value, (Mapping, WireModel)) else value
    if tags := tag_list(spec.get("tags") or ()):
        body["tags"] = tags
    return (PT_PATH if units else ENDPOINTS_PATH), body


def update_request(name: str, spec: ConfigSpec) -> tuple[str, JSONObject]:
    """Path and body that change what an endpoint serves; with model units the body is nested one deeper."""
    check_fields(spec, _CONFIG_FIELDS)
    config, units = config_body(spec)
    return (pt_config_path(name), {"config": config}) if units else (endpoint_path(name, "config"), config)


def config_body(spec: Mapping[str, Any], *, new: bool = False) -> tuple[JSONObject, bool]:
    """The service's `config` object of a spec, and whether it is one of model units.

    Credentials of external models have to be there for an endpoint that is `new`; an old one has its own.
    """
    given = [field for field in _SOURCES if spec.get(field) is not None]
    if len(given) != 1:
        raise InvalidRequestError(f"give one of {', '.join(_SOURCES)}, not {' and '.join(given) or 'none'}")
    if given != ["entity_name"]:
        _check_alone(spec, given[0])
    if given == ["config"]:
        config = as_object(spec["config"])
        check_entities(config.get("served_entities") or config.get("served_models"), new=new)
        return config, False
    entities = _entities(spec, given[0])
    check_entities(entities, new=new)
    units = in_units(entities)
    traffic = spec.get("traffic")
    split = {} if traffic is None else {"traffic_config": {"routes": traffic_routes(traffic, entities)}}
    return {"served_entities": entities, **split}, units


def _check_alone(spec: Mapping[str, Any], source: str) -> None:
    others = [field for field in _ENTITY_FIELDS if spec.get(field) is not None]
    if source in ("config", "served_entities") and spec.get("served_name") is not None:
        others.append("served_name")
    if source == "config" and spec.get("traffic") is not None:
        others.append("traffic")
    if others:
        raise InvalidRequestError(f"{', '.join(others)} cannot be given beside {source}")


def _entities(spec: Mapping[str, Any], source: str) -> list[JSONObject]:
    if source == "served_entities":
        return [_versioned(entity) for entity in object_list(spec["served_entities"], "served_entities")]
    entity = _external_entity(spec) if source == "external_model" else _provisioned_entity(spec)
    return [{"name": spec["served_name"], **entity} if spec.get("served_name") is not None else entity]


def _external_entity(spec: Mapping[str, Any]) -> JSONObject:
    return {"external_model": as_object(spec["external_model"])}


def _provisioned_entity(spec: Mapping[str, Any]) -> JSONObject:
    entity = {field: spec[field] for field in _ENTITY_FIELDS if spec.get(field) is not None}
    units = "provisioned_model_units" in entity
    throughput = [field for field in (*_THROUGHPUT, *CHUNK_FIELDS) if field in entity]
    if units == bool(throughput):
        raise InvalidRequestError(
            "a model of Unity Catalog is provisioned by either provisioned_model_units, or throughput_chunks, or "
            "min_ and max_provisioned_throughput (tokens/s); for anything else give config"
        )
    return _versioned(entity)


def _versioned(entity: JSONObject) -> JSONObject:
    """The entity, of what is given, with its version as text, which the service asks for."""
    given = {key: value for key, value in entity.items() if value is not None}
    return {**given, "entity_version": str(given["entity_version"])} if "entity_version" in given else given


def in_units(entities: list[JSONObject]) -> bool:
    """Whether the configuration is one of model units, for which the API has paths of its own."""
    units = [entity for entity in entities if entity.get("provisioned_model_units") is not None]
    if not units:
        return False
    if len(units) < len(entities):
        raise InvalidRequestError("either all served entities have provisioned_model_units, or none")
    if excess := sorted({field for entity in units for field in _NO_UNITS_ENTITY_FIELDS if field in entity}):
        raise InvalidRequestError(f"beside provisioned_model_units an entity takes no {' or '.join(excess)}")
    return True


def check_fields(spec: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Refuse arguments that nobody knows."""
    if unknown := sorted(spec.keys() - allowed):
        raise InvalidRequestError(f"unknown argument {unknown[0]!r}; known are {', '.join(sorted(allowed))}")


def tag_list(tags: TagsLike) -> list[JSONObject]:
    """Tags as the service takes them; a tag without a value has none."""
    if isinstance(tags, Mapping):
        text_list(tags, "the keys of tags")
        return [{"key": key} if value is None else {"key": key, "value": str(value)} for key, value in tags.items()]
    return object_list(tags, "tags")


def grant_list(grants: Any) -> list[JSONObject]:
    """Permissions as the service takes them: each for one principal."""
    return [_checked_grant(grant) for grant in object_list(grants, "grants")]


def _checked_grant(grant: JSONObject) -> JSONObject:
    named = [field for field in _PRINCIPALS if grant.get(field) is not None]
    if len(named) != 1:
        raise InvalidRequestError(
            f"a grant is for one of {', '.join(_PRINCIPALS)}, not {' and '.join(named) or 'none'}"
        )
    if grant.get("permission_level") not in get_args(Level):
        raise InvalidRequestError(
            f"permission_level must be one of {', '.join(get_args(Level))}, not {grant.get('permission_level')!r:.60}"
        )
    return grant
