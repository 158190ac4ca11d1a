"""JSON schemas as hosted models take them: without `$ref`, and without `anyOf` for what may be null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSONObject = dict[str, Any]
DEFINITIONS = ("$defs", "definitions")


class NoFlatForm(Exception):  # noqa: N818  # it is no error: such a schema stays as it is
    """A definition refers to itself, or to what is none."""


def flat(schema: Mapping[str, Any]) -> JSONObject:
    """`schema` with its definitions worked in. One that refers to itself stays as it is: it has no flat form.

    >>> flat({"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}})
    {'properties': {'a': {'type': ['integer', 'null']}}}
    """
    known = {f"#/{key}/{name}": value for key in DEFINITIONS for name, value in (schema.get(key) or {}).items()}
    own = {key: value for key, value in schema.items() if key not in DEFINITIONS}
    try:
        worked: JSONObject = _worked(own, known, ())
    except NoFlatForm:
        return dict(schema)
    return worked


def _worked(node: Any, known: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_worked(item, known, within) for item in node]
    if not isinstance(node, dict):
        return node
    ref = node.get("$ref")
    if not isinstance(ref, str):  # a property may have that name
        return _nullable({key: _worked(value, known, within) for key, value in node.items()})
    if ref in within or ref not in known:
        raise NoFlatForm(ref)
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _worked({**known[ref], **beside}, known, (*within, ref))


def _nullable(node: JSONObject) -> JSONObject:
    """`anyOf` a type or null -> a type with null."""
    options = node.get("anyOf")
    if not isinstance(options, list) or len(options) != 2 or {"type": "null"} not in options:
        return node
    [other] = [option for option in options if option != {"type": "null"}] or [{}]
    if not isinstance(other.get("type"), str):
        return node
    beside = {key: value for key, value in node.items() if key != "anyOf"}
    values = {"enum": [*other["enum"], None]} if "enum" in other else {}
    return {**other, **values, **beside, "type": [other["type"], "null"]}
