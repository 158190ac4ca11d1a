"""The fault matrix as data: what the server does, and what must come of it for each kind of call.

A `Row` says it once; who drives it (the core's own clients, an adapter) is another matter. `Row.script(kind)` is what
to give `FaultServer.script`, `Row.outcome(kind)` what has to happen, `verify` the check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from fault_server import DONE, Answer, chat, chunked, embeddings, reply, words

from fm_client import APIError

Kind = Literal["chat", "stream", "embed"]
KINDS: tuple[Kind, ...] = ("chat", "stream", "embed")
ENDPOINT = "ep"
FINE = "fine"
"""What every call says when all goes well; an embedding is shown as it too."""
VECTOR = [0.5, 2.0]

GOOD: Mapping[Kind, Answer] = {
    "chat": reply(200, chat(FINE)),
    "stream": chunked(*words(FINE[:2], FINE[2:]), DONE),
    "embed": reply(200, embeddings([VECTOR])),
}
"""The answer without a fault, by kind of call."""


def good(connection: Any) -> bool:
    """Stands for the good answer to whatever kind of call it is."""
    raise AssertionError("Row.script puts the real answer in its place")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What must come of a call: an error of exactly this class with these facts, or (without `error`) success."""

    attempts: int = 1
    error: type[APIError] | None = None
    status: int | None = None
    code: str | None = None
    request_id: str | None = "req-1"
    says: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the error."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `answers` come one after the other, the last one repeats; `otherwise` is for kinds that differ."""

    id: str
    fault: str
    answers: tuple[Answer, ...]
    expected: Outcome
    otherwise: Mapping[Kind, Outcome] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = KINDS
    params: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the call."""

    def script(self, kind: Kind) -> tuple[Answer, ...]:
        """The answers, for this kind of call."""
        return tuple(GOOD[kind] if answer is good else answer for answer in self.answers)

    def outcome(self, kind: Kind) -> Outcome:
        """What must come of it, for this kind of call."""
        return self.otherwise.get(kind, self.expected)


def cells(rows: Iterable[Row], *, kinds: tuple[Kind, ...] = KINDS) -> list[Any]:
    """`(row, kind)` of all rows and the kinds they hold for, as parameters of a test."""
    return [
        pytest.param(row, kind, id=f"{row.id}-{row.fault}-{kind}")
        for row in rows
        for kind in kinds
        if kind in row.kinds
    ]


def verify(outcome: Outcome, call: Callable[[], Any]) -> APIError | None:
    """Make the call and check what came of it. `call` returns `Answered`."""
    if outcome.error is None:
        answered: Answered = call()
        assert (FINE, outcome.attempts) == (answered.text, answered.attempts)
        return None
    with pytest.raises(outcome.error) as caught:
        call()
    error = caught.value
    assert type(error) is outcome.error, "exactly this class, none that derives from it"
    check_facts(error, outcome)
    return error


def check_facts(error: APIError, outcome: Outcome) -> None:
    """Every error says what it knows."""
    assert (ENDPOINT, outcome.attempts) == (error.endpoint, error.attempts)
    assert (outcome.status, outcome.code) == (error.status_code, error.error_code)
    assert outcome.request_id == error.request_id
    assert outcome.says in str(error)
    assert dict(outcome.facts) == {name: getattr(error, name) for name in outcome.facts}


@dataclass(frozen=True, slots=True)
class Answered:
    """A success, the same for all kinds of call."""

    text: str
    attempts: int
    value: Any = field(repr=False)


def answered(kind: Kind, value: Any) -> Answered:
    """`value`: a response, or the list of a stream's chunks."""
    if kind == "stream":
        return Answered("".join(chunk.text for chunk in value), value[-1].attempts, value)
    return Answered(value.text if kind == "chat" else _shown(value.vectors), value.attempts, value)


def _shown(vectors: list[list[float]]) -> str:
    return FINE if vectors == [VECTOR] else repr(vectors)


def ask(client: Any, kind: Kind, got: list[Any] | None = None, **params: Any) -> Answered:
    """One call through a sync client. `got` collects a stream's chunks as they come, should it break."""
    if kind == "stream":
        chunks = [] if got is None else got
        chunks.extend(client.stream_chat(ENDPOINT, "Hi", **params))
        return answered(kind, chunks)
    return answered(kind, client.chat(ENDPOINT, "Hi", **params) if kind == "chat" else _embed(client, params))


async def ask_async(client: Any, kind: Kind, got: list[Any] | None = None, **params: Any) -> Answered:
    """`ask`, through an async client."""
    if kind == "stream":
        chunks = [] if got is None else got
        async for chunk in client.stream_chat(ENDPOINT, "Hi", **params):
            chunks.append(chunk)
        return answered(kind, chunks)
    return answered(kind, await (client.chat(ENDPOINT, "Hi", **params) if kind == "chat" else _embed(client, params)))


def _embed(client: Any, params: Mapping[str, Any]) -> Any:
    return client.embed(ENDPOINT, **{"inputs": ["a text"], **params})
