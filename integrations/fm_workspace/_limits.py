"""Rate limits of endpoints (a sliding window of one minute), and counts for `/metrics`."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ._engine import JSONObject
from ._errors import rate_limited

WINDOW_SECONDS = 60.0


@dataclass(slots=True)
class _Spent:
    at: float
    tokens: int


class RateLimiter:
    """Admits queries. All callers share the workspace's one token, so `user` and `endpoint` limits count alike.

    A token limit counts the tokens of the prompt and what `max_tokens` reserves, before the query is admitted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: defaultdict[str, deque[_Spent]] = defaultdict(deque)

    def admit(self, endpoint: str, limits: Sequence[JSONObject], tokens: int, *, life: str = "") -> None:
        """Count one query; 429 if it goes over one of `limits`. `life` is the endpoint's id: a new one starts anew."""
        if not limits:
            return
        now, window = self._clock(), self._windows[f"{endpoint}/{life}"]
        while window and window[0].at <= now - WINDOW_SECONDS:
            window.popleft()
        for limit in limits:
            self._check(endpoint, limit, window, tokens, now)
        window.append(_Spent(now, tokens))

    def _check(self, endpoint: str, limit: JSONObject, window: deque[_Spent], tokens: int, now: float) -> None:
        calls, most = limit.get("calls"), limit.get("tokens")
        over_calls = calls is not None and len(window) >= calls
        over_tokens = most is not None and sum(spent.tokens for spent in window) + tokens > most
        if over_calls or over_tokens:
            kind = "Requests-per-minute (RPM)" if over_calls else "Tokens-per-minute (TPM)"
            wait = window[0].at + WINDOW_SECONDS - now if window else WINDOW_SECONDS
            message = f"User defined rate limit(s) exceeded for '{endpoint}'. {kind} rate limit exceeded for "
            raise rate_limited(message + limit.get("key", "endpoint"), wait)


class Metrics:
    """Counts of queries by endpoint."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))

    def count(self, endpoint: str, status: int) -> None:
        """Count one answered query."""
        counts = self._counts[endpoint]
        counts["request_count_total"] += 1
        if status >= 400:
            counts[f"request_{status // 100}xx_count_total"] += 1

    def text(self, endpoint: str) -> str:
        """The counts in the Prometheus text format."""
        names = ("request_count_total", "request_4xx_count_total", "request_5xx_count_total")
        counts: Mapping[str, int] = self._counts.get(endpoint, {})
        lines = [f'# TYPE {name} counter\n{name}{{endpoint_name="{endpoint}"}} {counts.get(name, 0)}' for name in names]
        return "\n".join(lines) + "\n"
