"""What served entities must be, and be to each other, for the service to take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._errors import InvalidRequestError
from ._external_checks import check_external
from .types._base import JSONObject

_OWN = ("entity_name", "entity_version", "model_name", "model_version", "workload_size", "workload_type")
"""Of a model of the customer's: `external_model` stands for all of these."""
_WHOLE = {
    "provisioned_model_units": 1,
    "min_provisioned_throughput": 0,
    "max_provisioned_throughput": 1,
    "throughput_chunks": 1,
    "min_throughput_chunks": 0,
}
"""Whole numbers, and the smallest that is meant."""
_PAIRS = (
    ("min_provisioned_throughput", "max_provisioned_throughput"),
    ("min_throughput_chunks", "throughput_chunks"),
)


def check_entities(entities: Any, *, new: bool) -> None:
    """Refuse served entities that the service could not take, alone or together."""
    if entities is None:
        return  # a whole configuration may leave them to the service
    if not isinstance(entities, list) or not all(isinstance(entity, Mapping) for entity in entities):
        raise InvalidRequestError("served_entities must be a list of objects")
    if not entities:
        raise InvalidRequestError("served_entities is empty: name at least one model to serve")
    for at, entity in enumerate(entities):
        _check_entity(entity, f"served_entities[{at}]" if len(entities) > 1 else "the served entity", new=new)
    _check_names(entities)
    _check_kinds(entities)


def check_whole(entity: Mapping[str, Any]) -> None:
    """Refuse sizes that are no whole numbers, or that begin above their end."""
    for field, least in _WHOLE.items():
        value = entity.get(field)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InvalidRequestError(f"{field} must be a whole number of {least} or more, not {value!r:.60}")
    for low, high in _PAIRS:
        if entity.get(low) is not None and entity.get(high) is not None and entity[low] > entity[high]:
            raise InvalidRequestError(f"{low} ({entity[low]}) must not be above {high} ({entity[high]})")
    for chunks, tokens in (("throughput_chunks", _PAIRS[0][1]), ("min_throughput_chunks", _PAIRS[0][0])):
        if entity.get(chunks) is not None and entity.get(tokens) is not None:
            raise InvalidRequestError(f"give either {chunks} or {tokens}, which it is turned into")


def traffic_routes(traffic: Any, entities: Sequence[JSONObject]) -> list[JSONObject]:
    """The routes of a traffic split, which names all that it shares out by percent."""
    if not isinstance(traffic, Mapping) or not traffic:
        raise InvalidRequestError('traffic must be shares by served entity: {"a": 90, "b": 10}')
    names = [name for entity in entities if (name := served_name(entity))]
    for name, share in traffic.items():
        if name not in names:
            known = ", ".join(names) or "none: give each served entity a name"
            raise InvalidRequestError(f"traffic names {name!r:.80}, which is not served; named are {known}")
        if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= 100:
            raise InvalidRequestError(f"traffic for {name!r} must be a whole number from 0 to 100, not {share!r:.60}")
    if (total := sum(traffic.values())) != 100:
        raise InvalidRequestError(f"the shares of traffic must add up to 100, not {total}")
    return [{"served_entity_name": name, "traffic_percentage": share} for name, share in traffic.items()]


def served_name(entity: Mapping[str, Any]) -> str | None:
    """The name of a served entity: its own, or what the service makes of an external model's. None: not known here.

    >>> served_name({"external_model": {"name": "gpt-3.5-turbo"}})
    'gpt-3-5-turbo'
    """
    if entity.get("name"):
        return str(entity["name"])
    external = entity.get("external_model")
    name = external.get("name") if isinstance(external, Mapping) else None
    return name.replace(".", "-").replace(":", "-") if isinstance(name, str) else None


def _check_entity(entity: Mapping[str, Any], where: str, *, new: bool) -> None:
    check_whole(entity)
    for chunks in ("throughput_chunks", "min_throughput_chunks"):
        if entity.get(chunks) is not None and entity.get("entity_version") is None:
            raise InvalidRequestError(f"{chunks} needs entity_version: the size of a chunk is that of a version")
    if (external := entity.get("external_model")) is None:
        return
    if given := [field for field in _OWN if entity.get(field) is not None]:
        raise InvalidRequestError(f"{where} has both external_model and {given[0]}: they are two kinds of endpoint")
    check_external(external, new=new)


def _check_names(entities: Sequence[Mapping[str, Any]]) -> None:
    names = [name for entity in entities if (name := served_name(entity))]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise InvalidRequestError(f"two served entities are called {doubled!r:.80}: give each a name of its own")


def _check_kinds(entities: Sequence[Mapping[str, Any]]) -> None:
    externals = [entity["external_model"] for entity in entities if entity.get("external_model") is not None]
    if externals and len(externals) < len(entities):
        raise InvalidRequestError("external and other models cannot be served behind one endpoint: make two")
    tasks = sorted({str(external.get("task")) for external in externals})
    if len(tasks) > 1:
        raise InvalidRequestError(f"all external models of an endpoint have one task, not {' and '.join(tasks)}")
