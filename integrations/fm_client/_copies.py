"""Copies of pydantic models, for answers of which thousands are alike but for a text. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
_put = object.__setattr__


def copy_with(model: M, **fields: Any) -> M:
    """A shallow copy with other `fields`, unvalidated: pydantic's `model_copy(update=fields)` at a third of its price.

    Which fields count as set stays as it is in `model`.

    >>> from fm_client import Usage
    >>> copy_with(Usage(prompt_tokens=1, completion_tokens=2), prompt_tokens=3).input_tokens
    3
    """
    copy = object.__new__(type(model))
    _put(copy, "__dict__", {**model.__dict__, **fields})
    _put(copy, "__pydantic_fields_set__", model.__pydantic_fields_set__.copy())
    _put(copy, "__pydantic_extra__", None if model.__pydantic_extra__ is None else {**model.__pydantic_extra__})
    _put(copy, "__pydantic_private__", None if model.__pydantic_private__ is None else {**model.__pydantic_private__})
    return copy
