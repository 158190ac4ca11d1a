"""JSON values that follow a JSON Schema and take what they can from a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ._engine import JSONObject
from ._errors import bad_request
from ._hints import Hints

MAX_DEPTH = 12
"""Levels after which optional parts of a recursive schema are left out."""
MAX_SIZE = 100_000
"""Values, and characters that a schema demands by `minLength`, in one answer: a few words of schema can ask for any."""
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "uri": "https://example.com",
    "url": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}
_FORMAT_SHAPES = {
    "date": r"\b\d{4}-\d\d-\d\d\b",
    "date-time": r"\b\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?",
    "time": r"\b\d\d:\d\d(?::\d\d)?\b",
    "email": r"(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.]+\b",
    "uri": r"\bhttps?://[^\s\"'<>)]+",
    "url": r"\bhttps?://[^\s\"'<>)]+",
    "uuid": r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
    "ipv4": r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
}
_KEY = re.compile(r"[\"'`]([A-Za-z_][\w-]{0,63})[\"'`]")
_KEYS = re.compile(
    rf"\b(?:keys?|fields?|propert(?:y|ies))\b:?\s+{_KEY.pattern}(?:(?:,|\s|\band\b|\bor\b)+{_KEY.pattern})*"
)


def fill(schema: Mapping[str, Any], text: str) -> Any:
    """A value that follows `schema`, made of what `text` says.

    Numbers are taken in their order in the text; strings from quotes first, then from capitalised phrases, then from
    the text as a whole; a value that the text gives by name (`name: Ada`, `age=36`) comes before all of these.

    >>> number = {"type": "integer"}
    >>> fill({"type": "object", "properties": {"a": number, "b": number}}, "What is 3 plus 4?")
    {'a': 3, 'b': 4}
    """
    hints = Hints(text)
    properties = schema.get("properties") or {}
    hints.strings = [string for string in hints.strings if string not in properties]  # who quotes a key names no value
    return _Filler(schema, hints).value(schema, "", 0)


class _Filler:
    def __init__(self, root: Mapping[str, Any], hints: Hints) -> None:
        self._root = root
        self._left = MAX_SIZE
        self._hints = hints
        self._makers: dict[str, Callable[[JSONObject, str, int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda schema, name, depth: self._hints.truth(name),
            "null": lambda schema, name, depth: None,
        }

    def value(self, schema: Mapping[str, Any] | bool, name: str, depth: int) -> Any:
        """A value for `schema`, which stands under the property `name`."""
        self._spend(1)
        whole = self._whole(schema, depth)
        if "const" in whole:
            return whole["const"]
        if whole.get("enum"):
            return self._hints.choose(whole["enum"])
        return self._makers[_type_of(whole)](whole, name, depth)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise bad_request(f"the schema asks for an answer of more than {MAX_SIZE} values and characters")

    def _whole(self, schema: Mapping[str, Any] | bool, depth: int) -> JSONObject:
        """The schema with `$ref`, `allOf` and the first fitting branch of `anyOf`/`oneOf` worked in."""
        whole: JSONObject = dict(schema) if isinstance(schema, Mapping) else {}
        for _ in range(MAX_DEPTH):
            parts = self._parts(whole, depth)
            if not parts:
                break
            for part in parts:
                whole = _merged(whole, part)
        return whole

    def _parts(self, schema: JSONObject, depth: int) -> list[Mapping[str, Any]]:
        parts: list[Mapping[str, Any]] = []
        if "$ref" in schema:
            parts.append(self._referred(schema.pop("$ref")))
        parts += schema.pop("allOf", [])
        for key in ("anyOf", "oneOf"):
            if branches := schema.pop(key, None):
                parts.append(_branch(branches, depth))
        return parts

    def _referred(self, ref: Any) -> Mapping[str, Any]:
        node: Any = self._root
        for step in str(ref).removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, Mapping) else None
        return node if isinstance(node, Mapping) else {}

    def _object(self, schema: JSONObject, name: str, depth: int) -> JSONObject:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = schema.get("required")
        return {
            key: self.value(part, key, depth + 1)
            for key, part in properties.items()
            if self._wanted(key, part, required, depth)
        }

    def _wanted(self, key: str, schema: Any, required: list[str] | None, depth: int) -> bool:
        if key in (required or ()):
            return depth < 2 * MAX_DEPTH  # a schema that requires itself without end has no value: stop somewhere
        if depth >= MAX_DEPTH:
            return False
        if required is not None:
            return self._hints.names(key)
        has_default = isinstance(schema, Mapping) and "default" in schema
        return not has_default or self._hints.names(key)

    def _array(self, schema: JSONObject, name: str, depth: int) -> list[Any]:
        fixed = [self.value(part, name, depth + 1) for part in schema.get("prefixItems") or []]
        least, most = schema.get("minItems", 0), schema.get("maxItems", float("inf"))
        items = schema.get("items", {} if least else False)
        if items is False or (depth >= MAX_DEPTH and len(fixed) >= least):
            return fixed
        wanted = min(max(least, len(fixed) + self._available(items, depth)), most)
        return fixed + [self.value(items, name, depth + 1) for _ in range(int(wanted) - len(fixed))]

    def _available(self, items: Mapping[str, Any] | bool, depth: int) -> int:
        """How many values the text still offers for a list: one if it offers none."""
        kind = _type_of(self._whole(items, depth))
        left = {
            "string": len(self._hints.strings),
            "integer": len(self._hints.numbers),
            "number": len(self._hints.numbers),
        }
        return max(1, left.get(kind, 1))

    def _string(self, schema: JSONObject, name: str, depth: int) -> str:
        self._spend(schema.get("minLength", 0))
        form = schema.get("format")
        if form in _FORMATS:
            found = self._hints.matching(_FORMAT_SHAPES[form]) if form in _FORMAT_SHAPES else None
            return found or _FORMATS[form]
        if pattern := schema.get("pattern"):
            return self._hints.fitting(pattern) or _fitted(self._hints.string(name), schema)
        return _fitted(self._hints.string(name), schema)

    def _integer(self, schema: JSONObject, name: str, depth: int) -> int:
        step = schema.get("multipleOf", 1)
        low, high = _bounds(schema, 1)
        found = self._hints.number(name, whole=True)
        value = round(min(max(found if found is not None else 0, low), high))
        return int(value // step * step) if value // step * step >= low else int(-(-value // step) * step)

    def _number(self, schema: JSONObject, name: str, depth: int) -> float:
        low, high = _bounds(schema, 1e-6)
        found = self._hints.number(name, whole=False)
        return min(max(found if found is not None else 0, low), high)


def _bounds(schema: Mapping[str, Any], margin: float) -> tuple[float, float]:
    low, high = schema.get("minimum", -float("inf")), schema.get("maximum", float("inf"))
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if isinstance(above, (int, float)):
        low = max(low, above + margin)
    if isinstance(below, (int, float)):
        high = min(high, below - margin)
    return low, high


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind in ("object", "array", "string", "integer", "number", "boolean", "null"):
        return str(kind)
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _branch(branches: list[Any], depth: int) -> Mapping[str, Any]:
    """The first branch that is not null; null, if there is one, in the depths of a recursive schema."""
    null = next((one for one in branches if isinstance(one, Mapping) and one.get("type") == "null"), None)
    if depth >= MAX_DEPTH and null is not None:
        return null
    return next((one for one in branches if isinstance(one, Mapping) and one is not null), null or {})


def _merged(one: JSONObject, other: Mapping[str, Any]) -> JSONObject:
    both = {**other, **one}
    if "properties" in one and "properties" in other:
        both["properties"] = {**other["properties"], **one["properties"]}
    if "required" in one and "required" in other:
        both["required"] = [*other["required"], *one["required"]]
    return both


def _fitted(text: str, schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    return text.ljust(least, ".") if most is None else text[:most].ljust(least, ".")


def keys_named(text: str) -> list[str]:
    """The quoted words in a text that look like keys, in order: `with keys 'setup' and "punchline"`.

    If the text speaks of keys, those that follow; otherwise all.
    """
    listed = " ".join(match[0] for match in _KEYS.finditer(text))
    return list(dict.fromkeys(_KEY.findall(listed or text)))
