"""Provisioned throughput: chunks of a model's own size as tokens per second, and another size for what is served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, cast

from ._context import Context
from ._endpoint_bodies import CHUNK_FIELDS, ConfigSpec, check_fields, in_units, update_request
from ._endpoint_calls import get_endpoint
from ._endpoint_checks import check_whole
from ._endpoint_reports import optimization_info
from ._errors import InvalidRequestError
from ._wire import Flow
from .types import EndpointConfig
from .types._base import JSONObject


class ScaleSpec(TypedDict, total=False):
    """What is to change of a served entity; what is not given stays as it is."""

    throughput_chunks: int | None
    """Largest throughput, in chunks of the model's `throughput_chunk_size`."""
    min_throughput_chunks: int | None
    max_provisioned_throughput: int | None
    """Tokens per second."""
    min_provisioned_throughput: int | None
    provisioned_model_units: int | None
    burst_scaling_enabled: bool | None
    scale_to_zero_enabled: bool | None


_UNITS_FIELDS = ("name", "entity_name", "entity_version", "provisioned_model_units", "burst_scaling_enabled")
_INPUT_FIELDS = (
    *_UNITS_FIELDS,
    "workload_size",
    "workload_type",
    "scale_to_zero_enabled",
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "min_provisioned_concurrency",
    "max_provisioned_concurrency",
    "environment_vars",
    "instance_profile_arn",
)
"""Of a served entity: what the service takes back of what it shows, with model units (databricks-sdk 0.156.0,
`PtServedModel`) and otherwise (`ServedEntityInput`)."""
_SIZES = ("throughput_chunks", "max_provisioned_throughput")
_SCALE_FIELDS = frozenset(ScaleSpec.__annotations__)


def with_throughput(context: Context, config: JSONObject) -> Flow[JSONObject]:
    """`config` with throughput in tokens per second where it was given in chunks."""
    entities = config.get("served_entities")
    if not isinstance(entities, list) or not any(field in entity for entity in entities for field in CHUNK_FIELDS):
        return config
    found = list(entities)
    for at, entity in enumerate(entities):
        found[at] = yield from _in_tokens(context, entity)
    return {**config, "served_entities": found}


def scaled_request(
    context: Context, name: str, served: str | None, spec: ScaleSpec, traffic: Mapping[str, int] | None
) -> Flow[tuple[str, JSONObject]]:
    """Path and body that give a served entity another size, and the endpoint another traffic split."""
    change = {key: value for key, value in spec.items() if value is not None}
    check_fields(change, _SCALE_FIELDS)
    if not change and traffic is None:
        raise InvalidRequestError(f"nothing to change: give traffic or one of {', '.join(sorted(_SCALE_FIELDS))}")
    check_whole(change)
    in_units([change])
    endpoint = yield from get_endpoint(context, name)
    config = endpoint.config or endpoint.pending_config or EndpointConfig()
    if any(entity.external_model for entity in config.entities):
        raise InvalidRequestError(f"endpoint {name!r} serves external models, which have no size: use update")
    entities = [_as_input(entity.to_wire()) for entity in config.entities]
    if change:
        chosen = _chosen(name, entities, served)
        entities[entities.index(chosen)] = _resized(chosen, change)
    split = _shares(config) if traffic is None else traffic
    whole = cast(ConfigSpec, {"served_entities": entities, **({"traffic": split} if split else {})})
    return update_request(name, whole)


def _as_input(entity: JSONObject) -> JSONObject:
    """What the service takes of what it shows; a size of 0 is how it shows one that is not in use."""
    given = {field: entity[field] for field in _INPUT_FIELDS if entity.get(field) is not None}
    given.setdefault("entity_name", entity.get("model_name"))  # the older form has other names for the same
    given.setdefault("entity_version", entity.get("model_version"))
    if given.get("provisioned_model_units"):
        return _in(_UNITS_FIELDS, given)
    unused = ["provisioned_model_units"]
    if not given.get("max_provisioned_throughput"):
        unused += CHUNK_FIELDS.values()
    return {field: value for field, value in given.items() if field not in unused and value is not None}


def _in(fields: Iterable[str], entity: Mapping[str, Any]) -> JSONObject:
    return {field: entity[field] for field in fields if entity.get(field) is not None}


def _chosen(name: str, entities: list[JSONObject], served: str | None) -> JSONObject:
    found = [entity for entity in entities if served is None or entity.get("name") == served]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(entity.get("name")) for entity in entities) or "nothing"
    raise InvalidRequestError(f"endpoint {name!r} serves {names}: say with served= which of it is to change")


def _resized(entity: JSONObject, change: Mapping[str, Any]) -> JSONObject:
    """`entity` with `change`; a size in one unit takes the place of a size in another."""
    if "provisioned_model_units" in change:
        return {**_in(_UNITS_FIELDS, entity), **change}
    replaced = {CHUNK_FIELDS[field] for field in change if field in CHUNK_FIELDS}
    if any(field in change for field in _SIZES):
        replaced.add("provisioned_model_units")
    return {**{field: value for field, value in entity.items() if field not in replaced}, **change}


def _shares(config: EndpointConfig) -> dict[str, int]:
    routes = (config.traffic_config and config.traffic_config.routes) or []
    shares = {route.served_entity_name or route.served_model_name or "": route.traffic_percentage for route in routes}
    shares.pop("", None)
    return shares


def _in_tokens(context: Context, entity: JSONObject) -> Flow[JSONObject]:
    chunks = {field: entity[field] for field in CHUNK_FIELDS if entity.get(field) is not None}
    plain = {key: value for key, value in entity.items() if key not in CHUNK_FIELDS}
    if not chunks:
        return plain
    model, version = str(entity.get("entity_name")), entity.get("entity_version")
    info = yield from optimization_info(context, model, version if version is not None else "")
    if not info.optimizable or not info.throughput_chunk_size:
        raise InvalidRequestError(
            f"{model} version {version} cannot be provisioned by throughput; "
            "give provisioned_model_units, or workload_size in config"
        )
    sized = {**plain, **{CHUNK_FIELDS[field]: info.tokens_per_second(count) for field, count in chunks.items()}}
    check_whole(sized)  # what stays as it was may not fit what is new
    return sized
