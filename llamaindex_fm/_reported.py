"""LlamaIndex's decorators for events, which forget a function's type."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, TypeVar, cast

from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

F = TypeVar("F", bound=Callable[..., Any])


def reported_as_chat(function: F) -> F:
    """A method that takes messages, reported to who listens."""
    return cast(F, _signed(llm_chat_callback()(function)))


def reported_as_completion(function: F) -> F:
    """The same, of one that takes a prompt."""
    return cast(F, _signed(llm_completion_callback()(function)))


def _signed(function: Any) -> Any:
    """`function`, knowing its signature: LlamaIndex asks for that in every call, and finding it out takes a while."""
    function.__signature__ = signature(function)
    return function
