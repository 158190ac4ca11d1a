"""What all flows of one client share: settings, clock, retry budgets, and what each endpoint is known to refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._bounded import make_room
from ._config import Settings
from ._errors import InvalidRequestError, RequestTooLargeError
from ._retiring import warn_if_retiring
from ._version import USER_AGENT
from ._wire import Request, Timeout

HEADERS = {"accept": "application/json", "user-agent": USER_AGENT}
JSON_HEADERS = {**HEADERS, "content-type": "application/json"}
STREAM_HEADERS = {**JSON_HEADERS, "accept": "text/event-stream"}
MAX_DEPTH = 250
"""Levels of nesting in a request: more than any real schema has, and fewer than JSON parsers take (Python's: 1,000)."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(slots=True)
class Budget:
    """Retry tokens of one endpoint: when they are used up, failures are reported at once instead of repeated."""

    tokens: float = 100.0
    not_before: float = 0.0
    prober: object | None = None
    """The one call that asks an endpoint that is not ready; the others wait for it."""


@dataclass(slots=True)
class Context:
    """Shared by the flows of one client. Clocks are functions, so that flows run without one in tests."""

    settings: Settings
    clock: Callable[[], float]
    """Seconds that only ever grow, for waits and deadlines."""
    now: Callable[[], float]
    """Seconds since 1970, for `Retry-After` dates."""
    jitter: Callable[[], float]
    """A random number from 0 to 1."""
    budgets: dict[str, Budget] = field(default_factory=dict)
    refused: dict[str, set[str]] = field(default_factory=dict)
    """Endpoint -> optional fields that it answered with 400."""
    packing: dict[str, bool] = field(default_factory=dict)
    """Endpoint -> whether it was found to take a request for base64, which nobody but us had wished for."""
    batch_limits: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Endpoint -> texts that it was found to take in one request, and until when that is believed."""

    def budget(self, endpoint: str) -> Budget:
        """The retry budget of an endpoint ("" is the control plane's). Of too many the oldest goes."""
        if (found := self.budgets.get(endpoint)) is None:
            make_room(self.budgets, endpoint)
            found = self.budgets.setdefault(endpoint, Budget())
        return found

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        endpoint: str = "",
        stream: bool = False,
        timeout: Timeout | None = None,
    ) -> Request:
        """A request to this client's workspace; `path` is already encoded."""
        warn_if_retiring(endpoint, self.now)
        data = None if body is None else encode(body, self.settings.max_request_bytes, endpoint)
        headers = STREAM_HEADERS if stream else JSON_HEADERS if data is not None else HEADERS
        url = self.settings.host + path
        return Request(method, url, headers, data, stream, endpoint, timeout or self.settings.timeout)


def encode(body: Mapping[str, Any], limit: int, endpoint: str = "") -> bytes:
    """`body` as JSON in UTF-8; what JSON cannot say exactly is refused instead of bent."""
    _check_shape(body)
    try:
        data = _ENCODER.encode(body).encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(
            f"the request has text that is no Unicode (half of a surrogate pair at character {exc.start})"
        ) from None
    except (TypeError, ValueError) as exc:
        raise InvalidRequestError(f"the request is no JSON: {exc}") from exc
    if len(data) > limit:
        raise RequestTooLargeError(
            f"the request has {len(data):,} bytes, over the limit of {limit:,}: it was not sent. "
            "Send less, or set max_request_bytes if your endpoint takes more",
            endpoint=endpoint,
            status_code=413,
        )
    return data


def _check_shape(body: Mapping[str, Any]) -> None:
    """Refuse keys that are no text, which `json` would turn into some, and nesting without an end."""
    stack: list[tuple[Any, int]] = [(body, 1)]
    while stack:
        outer, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise InvalidRequestError(f"the request is nested deeper than {MAX_DEPTH} levels, or contains itself")
        values = _checked_values(outer) if isinstance(outer, dict) else outer
        stack += [(inner, depth + 1) for inner in values if isinstance(inner, (dict, list, tuple))]


def _checked_values(outer: dict[Any, Any]) -> Iterable[Any]:
    for key in outer:
        if not isinstance(key, str):
            raise InvalidRequestError(f"the request has the key {key!r:.60}: keys must be text")
    return outer.values()
