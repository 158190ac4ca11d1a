"""Whether a JSON Schema is one: the keywords that the engine reads have values of their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._errors import bad_request

LARGEST = 2**63
"""Numbers beyond 64 bits are none to a service written in Go."""
SMALLEST_STEP = 1e-9
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})


def check_schema(schema: Any, path: str) -> None:
    """400 for the first keyword below `schema` whose value cannot be one."""
    for name, value in schema.items() if isinstance(schema, Mapping) else ():
        if name in _RULES and not _RULES[name](value):
            raise bad_request(f"Invalid schema for {path}: {name!r} has a value that it cannot have.")
        for key, inner in _inner(name, value):
            check_schema(inner, f"{path}.{name}{key}")


def _inner(name: str, value: Any) -> list[tuple[str, Any]]:
    """The schemas inside the value of a keyword, with the rest of their path."""
    if name in _NAMED:
        return [(f".{key}", inner) for key, inner in value.items()]
    if name in _LISTED:
        return [(f"[{place}]", inner) for place, inner in enumerate(value)]
    return [("", value)] if name in _ONE else []


def _is_schema(value: Any) -> bool:
    return isinstance(value, (Mapping, bool))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) and value else [value]
    return all(isinstance(name, str) and name in _TYPES for name in names)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONE = ("items", "additionalProperties", "not")
_RULES: Mapping[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "enum": lambda value: isinstance(value, list) and bool(value),
    "required": _is_names,
    "multipleOf": lambda value: _is_number(value) and value >= SMALLEST_STEP,
    "items": lambda value: _is_schema(value) or _are_schemas(value),  # a list is the older form of `prefixItems`
    "additionalProperties": _is_schema,
    **dict.fromkeys(_NAMED, lambda value: isinstance(value, Mapping) and all(map(_is_schema, value.values()))),
    **dict.fromkeys(_LISTED, _are_schemas),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), _is_count),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(
        ("exclusiveMinimum", "exclusiveMaximum"), lambda value: isinstance(value, bool) or _is_number(value)
    ),
    **dict.fromkeys(("pattern", "format", "$ref"), _is_text),
}
