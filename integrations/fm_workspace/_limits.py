"""Rate limits of endpoints (a sliding window of one minute), and counts for `/metrics`."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ._callers import Caller
from ._engine import JSONObject
from ._errors import rate_limited

WINDOW_SECONDS = 60.0
Wording = Callable[[str, str, bool], str]
"""What is said to who goes over a limit: of an endpoint, by key, and whether it was the calls."""


def user_defined(endpoint: str, key: str, calls: bool) -> str:
    """The words for limits of a gateway."""
    kind = "Requests-per-minute (RPM)" if calls else "Tokens-per-minute (TPM)"
    return f"User defined rate limit(s) exceeded for '{endpoint}'. {kind} rate limit exceeded for {key}"


def service_defined(endpoint: str, key: str, calls: bool) -> str:
    """The words for limits of the service itself."""
    if not calls:
        return f"Exceeded workspace output tokens per minute rate limit for {endpoint}."
    advice = "Please use a provisioned throughput Foundation Model APIs endpoint for a higher rate limit."
    return f"Exceeded workspace QPS rate limit for {endpoint}. {advice}"


class _Window:
    """The queries of the last minute, of one endpoint or of one user of it."""

    def __init__(self) -> None:
        self.spent: deque[Spent] = deque()
        self.tokens = 0

    def forget(self, before: float) -> None:
        """Let go of what is older."""
        while self.spent and self.spent[0].at <= before:
            gone = self.spent.popleft()
            gone.windows.remove(self)
            self.tokens -= gone.tokens


@dataclass(slots=True, eq=False)
class Spent:
    """One admitted query, with what it counts."""

    at: float
    tokens: int
    windows: list[_Window]

    def settle(self, tokens: int) -> None:
        """Count what was used in place of what had been reserved."""
        for window in self.windows:
            window.tokens += tokens - self.tokens
        self.tokens = tokens


class RateLimiter:
    """Admits queries. A limit counts the queries of those it is for: all users', each user's own, or a group's.

    A limit that names a user, or a service principal, comes in place of those for every user.

    A token limit counts the tokens of the prompt and what `max_tokens` reserves, before the query is admitted; what was
    reserved and not used is given back when the answer is there.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: defaultdict[tuple[str, ...], _Window] = defaultdict(_Window)

    def admit(
        self,
        endpoint: str,
        limits: Sequence[JSONObject],
        tokens: int,
        *,
        life: str = "",
        caller: Caller = Caller(),  # noqa: B008  # frozen
        wording: Wording = user_defined,
    ) -> Spent | None:
        """Count one query; 429 if it goes over one of `limits`. `life` is the endpoint's id: a new one starts anew."""
        binding = [limit for limit in limits if _binds(limit, caller)]
        if any(_subject(limit, caller) == _user(caller) and limit.get("principal") for limit in binding):
            binding = [limit for limit in binding if limit.get("key") != "user" or limit.get("principal")]
        if not binding:
            return None
        now = self._clock()
        subjects = ("", _user(caller), *map(_group, caller.groups))
        windows = {subject: self._windows[endpoint, life, subject] for subject in subjects}
        for window in windows.values():
            window.forget(now - WINDOW_SECONDS)
        for limit in binding:
            _check(endpoint, limit, windows[_subject(limit, caller)], tokens, now, wording)
        spent = Spent(now, tokens, list(windows.values()))
        for window in windows.values():
            window.spent.append(spent)
            window.tokens += tokens
        return spent


def _binds(limit: JSONObject, caller: Caller) -> bool:
    """Whether a limit is one for `caller`. Without a principal it is one for all."""
    principal, key = limit.get("principal"), limit.get("key")
    return principal is None or principal in (caller.groups if key == "user_group" else (caller.user,))


def _subject(limit: JSONObject, caller: Caller) -> str:
    """Whose queries a limit counts: everybody's have no name."""
    principal, key = limit.get("principal"), limit.get("key")
    if key == "user" or (key == "service_principal" and principal):
        return _user(caller)
    return _group(principal) if key == "user_group" and principal else ""


def _user(caller: Caller) -> str:
    return f"user/{caller.user}"


def _group(name: str) -> str:
    return f"group/{name}"


def _check(endpoint: str, limit: JSONObject, window: _Window, tokens: int, now: float, wording: Wording) -> None:
    calls, most = limit.get("calls"), limit.get("tokens")
    over_calls = calls is not None and len(window.spent) >= calls
    over_tokens = most is not None and window.tokens + tokens > most
    if over_calls or over_tokens:
        wait = window.spent[0].at + WINDOW_SECONDS - now if window.spent else WINDOW_SECONDS
        raise rate_limited(wording(endpoint, limit.get("key", "endpoint"), over_calls), wait)


class Metrics:
    """Counts of queries by endpoint, from its creation on."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))

    def count(self, identity: str, status: int) -> None:
        """Count one answered query of the endpoint with this id."""
        counts = self._counts[identity]
        counts["request_count_total"] += 1
        if status >= 400:
            counts[f"request_{status // 100}xx_count_total"] += 1

    def text(self, identity: str, name: str) -> str:
        """The counts in the Prometheus text format."""
        names = ("request_count_total", "request_4xx_count_total", "request_5xx_count_total")
        counts: Mapping[str, int] = self._counts.get(identity, {})
        lines = [f'# TYPE {kind} counter\n{kind}{{endpoint_name="{name}"}} {counts.get(kind, 0)}' for kind in names]
        return "\n".join(lines) + "\n"
