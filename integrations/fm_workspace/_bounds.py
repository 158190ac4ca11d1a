"""How much a workspace takes: sizes, times, numbers, and what is left of them at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

from ._errors import ServiceError

_NOT_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_PAIRS_REMOVED = 8
"""How often pairs of brackets are taken out before the rest is walked through: most of what is flat is gone then."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workspace takes before it refuses.

    >>> Limits(requests=100).requests
    100
    """

    body_bytes: int = 4 * 1024 * 1024
    """Of a query: the service's own limit for foundation and external models (its published limits of late 2024)."""
    control_body_bytes: int = 1024 * 1024
    """Of a request to the management API."""
    header_bytes: int = 32 * 1024
    """Of request line and headers together."""
    buffered_bytes: int = 256 * 1024 * 1024
    """Of all bodies that are held at one time; over it a request is a 503."""
    json_depth: int = 100
    read_seconds: float = 30.0
    """Until a request's head, and then its body, must be there."""
    write_seconds: float = 60.0
    """Until a client must have taken a piece of an answer."""
    connections: int = 2_000
    requests: int = 1_500
    """At one time, streams included; over it a request is a 503 with `Retry-After`."""
    control_rate: float = 100.0
    """Requests to the management API per second and user, with ten seconds' worth in one go; over it a 429."""


class Slot:
    """One request in flight."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.bytes = 0

    def hold(self, size: int) -> None:
        """Keep `size` bytes of the request's body."""
        self._load.hold(size)
        self.bytes += size


class Load:
    """What a workspace has taken on: requests in flight, the bytes of their bodies, and each user's recent requests."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def request(self) -> Iterator[Slot]:
        """Take on a request for as long as the block lasts; 503 if there are too many."""
        if self.requests >= self._limits.requests:
            raise overloaded()
        self.requests += 1
        slot = Slot(self)
        try:
            yield slot
        finally:
            self.requests -= 1
            self.bytes -= slot.bytes

    def hold(self, size: int) -> None:
        """Keep `size` more bytes; 503 if there are too many."""
        if self.bytes + size > self._limits.buffered_bytes:
            raise overloaded()
        self.bytes += size

    def spend(self, user: str) -> None:
        """Count a request to the management API (a token bucket); 429 if the user has sent too many."""
        rate, now = self._limits.control_rate, self._clock()
        left, before = self._buckets.get(user, (10 * rate, now))
        left = min(10 * rate, left + (now - before) * rate)
        if left < 1:
            message = "Too many requests. Please wait a moment and try again."
            raise ServiceError(429, "RESOURCE_EXHAUSTED", message, headers={"Retry-After": "1"})
        self._buckets[user] = left - 1, now


def overloaded() -> ServiceError:
    """503 of a server that has enough to do."""
    message = "The workspace has too many requests in flight. Please retry."
    return ServiceError(503, "TEMPORARILY_UNAVAILABLE", message, headers={"Retry-After": "1"})


def is_deeper(body: bytes, most: int) -> bool:
    """Whether a JSON text is nested deeper than `most`. It is not parsed: a parser's stack is what is to be spared."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    # Every second piece between quotes is a text. A regular expression would take hours for texts that do not end.
    outside = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside).translate(None, _NOT_BRACKETS)
    removed = 0
    while removed < min(most, _PAIRS_REMOVED):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        removed += 1
    steps = accumulate(1 if code in b"[{" else -1 for code in brackets)
    return any(depth + removed > most for depth in steps)
