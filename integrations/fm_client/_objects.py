"""What callers give as objects and lists -> plain JSON data, or an error that says what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ._errors import InvalidRequestError
from .types._base import JSONObject, WireModel
from .types.endpoints import plain


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
    """An object, or a model of `fm_client.types`, as a plain object, credentials included."""
    if not isinstance(value, (Mapping, WireModel)):
        raise InvalidRequestError(f"expected an object or a model of fm_client.types, not a {type(value).__name__}")
    try:
        found: JSONObject = plain(dict(value) if isinstance(value, Mapping) else value)
    except RecursionError:
        raise InvalidRequestError("the request is nested too deeply, or contains itself") from None
    return found
