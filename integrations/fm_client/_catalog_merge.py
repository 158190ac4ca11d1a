"""What one source states, worked into the sections of a catalog, with where it is from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ._catalog_data import SECTIONS, HostedModel, JSONObject
from ._errors import ConfigurationError

KEYS = {
    "models": ("endpoint",),
    "retirements": ("model", "offering"),
    "provisioned_families": ("family",),
    "provisioned_models": ("model",),
    "providers": ("provider", "variant"),
    "limits": ("name", "applies_to"),
    "rules": ("about", "text"),
}
"""What tells the entries of a section apart."""
THIRD_PARTY = "third party"
"""How the `kind` of a source begins that is neither the service's documentation nor its own software."""
_SOURCE = ("title", "date", "kind")
_BESIDE = ("schema_version", "about", "source", "era", "endpoints")
_WHOLE = ("policy", "tasks")
_FACTS = frozenset(HostedModel.__dataclass_fields__) - {"endpoint", "eras", "sources", "notes", "third_party"}
_WITH_ERAS = ("models", "provisioned_families", "providers")


def merged(base: Mapping[str, Any], document: Mapping[str, Any], where: str = "document") -> JSONObject:
    """The sections of `base` with what `document` states; `where` begins an error's text.

    What it states goes over what was known, but a third party only fills gaps. Nothing is lost.
    """
    source = _source(document, where)
    stated = {key: value for key, value in document.items() if key not in _BESIDE}
    if unknown := sorted(stated.keys() - {*SECTIONS, *_WHOLE}):
        raise ConfigurationError(f"{where}: {unknown[0]!r:.60} is no section of a catalog")
    stated["models"] = [*_list(stated, "models", where), *_listed(_list(document, "endpoints", where))]
    sections = {**base, **{name: stated[name] for name in _WHOLE if name in stated}}
    sections["sources"] = {**base["sources"], source["key"]: {field: source[field] for field in _SOURCE}}
    era = str(document.get("era", source["date"][:7]))
    for name in SECTIONS:
        sections[name] = _section(name, base[name], _list(stated, name, where), source, era)
    return sections


def _source(document: Mapping[str, Any], where: str) -> Mapping[str, str]:
    source = document.get("source")
    fields = ("key", *_SOURCE)
    if not isinstance(source, Mapping) or not all(isinstance(source.get(field), str) for field in fields):
        raise ConfigurationError(f"{where}: source must have {', '.join(fields)}, as texts")
    return source


def _list(document: Mapping[str, Any], name: str, where: str) -> list[JSONObject]:
    found = document.get(name) or []
    keys = KEYS.get(name, ("name",))[:1]
    if not isinstance(found, list) or not all(isinstance(entry, dict) and keys[0] in entry for entry in found):
        raise ConfigurationError(f"{where}: {name} must be a list of objects with {keys[0]!r}")
    return found


def _listed(endpoints: Iterable[Mapping[str, Any]]) -> list[JSONObject]:
    """The hosted models of an answer to `GET /api/2.0/serving-endpoints`."""
    models = []
    for endpoint in endpoints:
        entities = (endpoint.get("config") or {}).get("served_entities") or []
        hosted = next((entity["foundation_model"] for entity in entities if entity.get("foundation_model")), None)
        if hosted is not None:
            model = {"endpoint": endpoint["name"], "name": hosted.get("display_name"), "task": endpoint.get("task")}
            models.append({key: value for key, value in model.items() if value is not None})
    return models


def _section(
    name: str, old: Iterable[JSONObject], stated: Iterable[JSONObject], source: Mapping[str, str], era: str
) -> list[JSONObject]:
    known = {_key(name, entry): entry for entry in old}
    for entry in stated:
        key = _key(name, entry)
        third = source["kind"].startswith(THIRD_PARTY)
        found = _entry(name, known.get(key, {}), entry, third=third)
        found["sources"] = list(dict.fromkeys([*found.get("sources", ()), source["key"]]))
        if name in _WITH_ERAS:
            found["eras"] = sorted({*found.get("eras", ()), era})
        known[key] = found
    return list(known.values())


def _entry(name: str, old: JSONObject, new: JSONObject, *, third: bool) -> JSONObject:
    given = {key: value for key, value in new.items() if value is not None and key not in ("sources", "eras")}
    over = {key: value for key, value in given.items() if not third or old.get(key) in (None, [])}
    found = {**old, **over}
    if name == "models":
        found["third_party"] = _third_party(old, over, third=third)
        if not found["third_party"]:
            del found["third_party"]
    return found


def _third_party(old: JSONObject, over: JSONObject, *, third: bool) -> list[str]:
    """The fields of a model that no document of the service states."""
    if third and not old:
        return ["*"]
    before = set(old.get("third_party", ()))
    if third and before == {"*"}:
        return ["*"]
    if before == {"*"}:
        before = {key for key in _FACTS if old.get(key) not in (None, [])}
    stated = _FACTS & over.keys()
    return sorted(before | stated if third else before - stated)


def _key(name: str, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value := entry.get(key), list) else value for key in KEYS[name])
