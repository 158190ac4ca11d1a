"""Token usage, and what served an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from ._base import JSONObject, WireModel


class Usage(WireModel):
    """Tokens of one call, as the service counts them.

    The properties even out the providers: `input_tokens + output_tokens == total_tokens` for each of them.

    >>> Usage(prompt_tokens=100, completion_tokens=50, cache_read_input_tokens=30).input_tokens
    130
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: JSONObject | None = None
    completion_tokens_details: JSONObject | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None

    @property
    def input_tokens(self) -> int:
        """Tokens of the request. Claude counts cached tokens beside `prompt_tokens`, all others inside it."""
        return (self.prompt_tokens or 0) + (self.cache_read_input_tokens or 0) + (self.cache_creation_input_tokens or 0)

    @property
    def output_tokens(self) -> int:
        """Tokens of the answer, reasoning included."""
        return self.completion_tokens or 0

    @property
    def cached_tokens(self) -> int:
        """Input tokens that were read from the provider's prompt cache."""
        return self.cache_read_input_tokens or (self.prompt_tokens_details or {}).get("cached_tokens") or 0

    @property
    def cache_creation_tokens(self) -> int:
        """Input tokens that were written to the provider's prompt cache."""
        return self.cache_creation_input_tokens or 0

    @property
    def reasoning_tokens(self) -> int:
        """Output tokens that were spent on reasoning."""
        return (self.completion_tokens_details or {}).get("reasoning_tokens") or 0

    @property
    def sum_tokens(self) -> int:
        """`input_tokens + output_tokens`."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Serving:
    """What served an answer. All chunks of a stream share one."""

    endpoint: str = ""
    request_id: str | None = None
    served_model: str | None = None
    attempts: int = 1
    dropped_params: tuple[str, ...] = ()


_UNSERVED = Serving()


class Served(WireModel):
    """An answer that says what served it."""

    def served_by(self, serving: Serving) -> Self:
        """The same answer, which now says what served it."""
        return self._keep("_serving", serving)

    def without(self, dropped: tuple[str, ...]) -> Self:
        """The same answer, which now says which fields were left out."""
        return self.served_by(replace(self._by, dropped_params=dropped)) if dropped else self

    # Where pydantic keeps private attributes, but not declared as such: it would fill them in on each chunk of a
    # stream, for a third of what reading one takes.

    def _keep(self, name: str, value: Any) -> Self:
        kept = self.__pydantic_private__
        object.__setattr__(self, "__pydantic_private__", {**kept, name: value} if kept else {name: value})
        return self

    @property
    def _by(self) -> Serving:
        return (self.__pydantic_private__ or {}).get("_serving") or _UNSERVED

    @property
    def endpoint(self) -> str:
        """The endpoint that answered (with fallback, not always the first one asked)."""
        return self._by.endpoint

    @property
    def request_id(self) -> str | None:
        """The service's id of the call, to quote to its support."""
        return self._by.request_id

    @property
    def served_model(self) -> str | None:
        """The served entity that answered, where the endpoint has several (header `served-model-name`)."""
        return self._by.served_model

    @property
    def attempts(self) -> int:
        """How many requests the call took."""
        return self._by.attempts

    @property
    def dropped_params(self) -> tuple[str, ...]:
        """Optional request fields that the route refused, so that they were left out."""
        return self._by.dropped_params
