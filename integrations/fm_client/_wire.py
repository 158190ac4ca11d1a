"""What flows and drivers say to each other.

A call is a generator (a *flow*): it yields commands, is sent their answers, or has their failure thrown in, and
returns the result of the call. It does no I/O and reads no clock, so the same flow serves `Client` and `AsyncClient`.

    command            answer                 a driver …
    Attempt            Reply                  waits `after` seconds, sends the request, returns the answer
    Pause              None                   waits
    Read               bytes, b"" at the end  reads on in an open stream
    Emit               None                   hands items to whoever iterates
    Token              str                    asks the credential, which may itself go over the network
    Beside             None                   begins another flow beside this one, and does not wait for it
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


def _as_it_is(error: T) -> T:
    return error


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits of one call, in seconds; None switches a limit off.

    >>> Timeout(read=60).total
    300.0
    """

    connect: float | None = 5.0
    write: float | None = 30.0
    read: float | None = 300.0
    """Between two reads; of a stream, to its first event. The service itself ends a call after 297 s (as published)."""
    pool: float | None = 30.0
    total: float | None = 300.0
    """Over all attempts and waits of a call; for a stream, until its first event."""
    idle: float | None = 120.0
    """Between two events of a stream. Keep-alive comments do not count as events."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, whole. `endpoint` names the serving endpoint asked, for errors and budgets."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    stream: bool = False
    endpoint: str = ""
    timeout: Timeout = Timeout()
    repeatable: bool = False
    """Sending it twice does no harm, though its method would let one think so."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What stands in `body` or `headers` and in no error that quotes the answer."""

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """The same request with `headers` added."""
        merged = {**self.headers, **headers}
        return Request(
            self.method,
            self.url,
            merged,
            self.body,
            self.stream,
            self.endpoint,
            self.timeout,
            self.repeatable,
            self.secrets,
        )


@dataclass(slots=True)
class Reply:
    """One HTTP answer: read whole, or (for a 2xx answer to `stream=True`) still open behind `source`."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    source: Any = None
    attempts: int = 1
    until: float | None = None
    """When the whole call has to be over, by the clock of its flow."""
    redacted: Callable[[Any], Any] = field(default=_as_it_is, repr=False, compare=False)
    """Takes out of an error what it quotes of the request's secrets."""

    @property
    def request_id(self) -> str | None:
        """The service's id of this exchange."""
        return self.headers.get("x-request-id") or self.headers.get("x-databricks-request-id")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send `request`, `after` so many seconds; `because` of a failure, if it was sent before."""

    request: Request
    after: float = 0.0
    because: Exception | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read on in `reply`, waiting at most `timeout` seconds."""

    reply: Reply
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand `items` to the caller, one by one. `partial` makes one answer of all that has arrived."""

    items: Sequence[Any]
    partial: Callable[[], Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Token:
    """Ask the credential for its token, `within` so many seconds; `stale` is one that the service refused."""

    stale: str | None = field(default=None, repr=False)
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """Begin `flow` and go on at once. It is short, and what it raises is passed over: nobody waits for it."""

    flow: Flow[None] = field(repr=False, compare=False)


class Credential(Protocol):
    """Something that has a bearer token. `stale` is a token that the service refused: give another one if there is.

    `within`: seconds that the call has left for it; then it is an APITimeoutError.
    """

    kind: str

    def token(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """The token, for `Client`; `run` drives a flow, for credentials that ask the service."""
        ...

    async def atoken(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """The token, for `AsyncClient`."""
        ...


Command = Attempt | Pause | Read | Emit | Token | Beside
Flow = Generator[Command, Any, T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The flow has returned `value`."""

    value: T


def step(flow: Flow[T], answer: Any = None, failure: Exception | None = None) -> Command | Done[T]:
    """Hand `flow` the answer to its last command, or its failure; returns the next command, or the end."""
    try:
        return flow.send(answer) if failure is None else flow.throw(failure)
    except StopIteration as stop:
        return Done(stop.value)
