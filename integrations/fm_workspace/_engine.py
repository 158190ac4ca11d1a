"""What answers queries: the protocol of engines, and what passes between them and the routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ._quirks import Quirks

JSONObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One validated query: `body` is the request's JSON, `model` the name that the answer gives as its model."""

    endpoint: str
    task: str
    model: str
    body: JSONObject
    quirks: Quirks = field(default_factory=Quirks)
    size: int = 0
    """Bytes of the request."""

    @property
    def stream(self) -> bool:
        """Whether the answer is to be a stream of events."""
        return bool(self.body.get("stream"))


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer."""

    payload: JSONObject


@dataclass(frozen=True, slots=True)
class Events:
    """A streamed answer: the bytes of its `text/event-stream`."""

    source: AsyncIterator[bytes]


Answer = Whole | Events


class Engine(Protocol):
    """Answers the queries of hosted and provisioned endpoints."""

    async def answer(self, query: Query) -> Answer:
        """The answer; a `ServiceError` if there is none."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


def sent(body: Mapping[str, Any], *without: str) -> JSONObject:
    """A copy of a request's JSON without some fields."""
    return {key: value for key, value in body.items() if key not in without}
