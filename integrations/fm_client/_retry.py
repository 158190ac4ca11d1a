"""One retry layer: when to repeat a request, how long to wait, and when to stop.

The policy (`docs/reliability.md` has it as a table): three attempts; full jitter over 0.5 s · 2ⁿ, at most 8 s; the
service's `Retry-After` is kept to, and above 60 s the error is raised at once; nothing waits beyond the call's
deadline; each endpoint has a retry budget, so that an outage costs a few extra requests instead of three times as many.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from ._context import Context
from ._error_bodies import error_for, is_expired_token
from ._errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    EndpointNotReadyError,
    ProxyError,
    RateLimitError,
    ServerError,
    TLSError,
)
from ._failures import chain
from ._redact import redacted, redacted_bytes
from ._wire import Attempt, Flow, Pause, Reply, Request, Token

T = TypeVar("T")

BASE_DELAY = 0.5
MAX_DELAY = 8.0
MAX_RETRY_AFTER = 60.0
"""The service's token limits are windows of 60 s, so that longer waits are no throttling any more."""
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
BUDGET = 100.0
PROBE_TURN = 0.25
"""Seconds after which a call looks whether another one has found the endpoint ready."""
STALE_WINDOW = 0.05
"""Seconds within which a server that closed an idle connection before lets the next request on it fail."""
NEGLIGIBLE = 0.001
TRANSIENT_COST = 10.0
THROTTLE_COST = 5.0
SUCCESS_GAIN = 1.0
_OTHER_TASK = re.compile(r"unknown field \W?(?:messages|prompt|input)\b|unmarshal array into field input:")
"""The second is what an endpoint says to texts that takes one `input`, that of the Responses API."""
_QUOTING = ("message", "body", "error_code", "request_id")
"""What of an error is a service's own text."""
_NUMBER = re.compile(r"^\s*\d{1,9}(\.\d{1,9})?\s*$")


def exchange(
    context: Context,
    request: Request,
    *,
    then: Callable[[Reply], Flow[T]] | None = None,
    after: float = 0.0,
    max_retries: int | None = None,
    wait_ready: float = 0.0,
    started: float | None = None,
    authorize: bool = True,
) -> Flow[T]:
    """Send `request` until it is answered, and return what `then` makes of the answer.

    It carries the token, unless it is there to get one (`authorize=False`). An error that `then` raises, for instance
    one inside a 200 answer, is subject to the same policy. Without `then` the result is the Reply. An endpoint that is
    not ready is asked again for `wait_ready` seconds, by one caller for all. `started` is when the call began of which
    this is a part: its total limit counts from there.
    """
    retries = context.settings.max_retries if max_retries is None else max_retries
    began = context.clock() if started is None else started
    tries = _Tries(
        context, request, retries, started=began, authorized=authorize, may_refresh=authorize, patience=wait_ready
    )
    try:
        if authorize:
            tries.token = yield from _token(tries)
        return (yield from _until_answered(tries, then, max(after, tries.gate())))
    finally:
        tries.stop_probing()


def _until_answered(tries: _Tries, then: Callable[[Reply], Flow[T]] | None, after: float) -> Flow[T]:
    failure: APIError | None = None
    while True:
        while tries.another_probes():
            yield Pause(tries.turn())
        try:
            reply = yield Attempt(tries.request(), after, failure)
            reply.attempts, reply.until, reply.redacted = tries.sent, tries.until(), tries.redacted
            result = yield from _accept(tries.context, tries.base, reply, then)
        except APIError as error:
            failure = tries.redacted(error)
        else:
            tries.succeeded()
            return result
        after, fresh = tries.again(failure)
        if fresh and not tries.renewed((yield from _token(tries, stale=tries.token))):
            raise failure
        failure.__traceback__ = None  # it is done with; keep no frames alive


def _token(tries: _Tries, stale: str | None = None) -> Flow[str]:
    """The token. Its error is one of the call, which was for an endpoint."""
    try:
        return cast(str, (yield tries.asking(stale)))  # in no variable: crash reporters show those
    except APIError as error:
        error.endpoint = error.endpoint or tries.base.endpoint
        raise


def _accept(context: Context, request: Request, reply: Reply, then: Callable[[Reply], Flow[T]] | None) -> Flow[T]:
    if reply.status >= 300:
        reply.body = redacted_bytes(reply.body, request.secrets)
        raise _failure(context, request, reply)
    return (yield from then(reply)) if then else cast(T, reply)


def _failure(context: Context, request: Request, reply: Reply) -> APIStatusError:
    error = error_for(reply, endpoint=request.endpoint)
    if advice := _advice(error, context.settings.host):
        error.message = f"{error.message.rstrip('. ')}. {advice}"
    from_headers = retry_after(reply.headers, context.now())
    error.retry_after = error.retry_after if from_headers is None else from_headers
    error.should_retry = {"true": True, "false": False}.get(reply.headers.get("x-should-retry", "").lower())
    return error


def _advice(error: APIStatusError, host: str) -> str:
    """What the service's own text leaves the reader to find out."""
    if isinstance(error, AuthenticationError):
        key = "the endpoint's key of the provider" if _is_of_provider(error) else f"the token for {host}"
        return f"Check {key}."
    if isinstance(error, BadRequestError) and _OTHER_TASK.search(error.message):
        return "The endpoint serves another task: chat takes messages, complete a prompt, embed texts."
    return ""


def _is_of_provider(error: APIError) -> bool:
    """Whether the provider of an external model has refused, to whom our token means nothing."""
    return '"external_model_' in error.body


def returning(parse: Callable[[Reply], T]) -> Callable[[Reply], Flow[T]]:
    """A flow, for `exchange(then=…)`, of a function that needs no further commands."""

    def flow(reply: Reply) -> Flow[T]:
        yield from ()
        return parse(reply)

    return flow


@dataclass(slots=True)
class _Tries:
    """The state of one call's attempts."""

    context: Context
    base: Request
    max_retries: int
    started: float
    sent: int = 0
    retries: int = 0
    authorized: bool = True
    may_refresh: bool = True
    repeated_stale: bool = False
    cost: float = 0.0
    asked: float = 0.0
    patience: float = 0.0
    probes: int = 0
    token: str | None = field(default=None, repr=False)
    """Here and in no variable of the flow, because crash reporters show those of every frame an error passes."""
    process: int = field(default_factory=os.getpid)

    def gate(self) -> float:
        """Seconds until the endpoint's last `Retry-After` is over: one caller's 429 holds for all of them."""
        wait = self.context.budget(self.base.endpoint).not_before - self.context.clock()
        return wait if 0.0 < wait < self.remaining() else 0.0

    def until(self) -> float | None:
        total = self.base.timeout.total
        return None if total is None else self.started + total

    def remaining(self) -> float:
        until = self.until()
        return float("inf") if until is None else until - self.context.clock()

    def in_time(self) -> float:
        """The seconds that remain; raises if none do."""
        if (remaining := self.remaining()) <= 0.0:
            total = self.base.timeout.total
            raise APITimeoutError(f"the call took longer than {total:g} s (total timeout)", phase="total")
        return remaining

    def asking(self, stale: str | None = None) -> Token:
        """The command that gets a token, in the time that the call has left."""
        return Token(stale, None if self.base.timeout.total is None else self.in_time())

    def request(self) -> Request:
        remaining, total = self.in_time(), self.base.timeout.total
        self.sent, self.asked = self.sent + 1, self.context.clock()
        added = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        request = self.base.with_headers(added) if added else self.base
        if total is None or total - remaining < NEGLIGIBLE:
            return request
        return replace(request, timeout=replace(self.base.timeout, total=remaining))

    def redacted(self, error: APIError) -> APIError:
        """`error` without the credential that was sent: there are gateways that quote a request they refuse."""
        secrets = (self.token or self.base.headers.get("authorization", "").rpartition(" ")[2], *self.base.secrets)
        for name in _QUOTING:
            if told := getattr(error, name):
                setattr(error, name, redacted(told, secrets))
        error.args = (error.message,)
        if any(redacted(told, secrets) != told for told in (f"{link} {vars(link)}" for link in chain(error))):
            error.__cause__ = error.__context__ = None  # parsers quote what they could not read
        return error

    def renewed(self, token: str) -> bool:
        """Whether `token` is another one than that which was refused."""
        stale, self.token = self.token, token
        return token != stale

    def succeeded(self) -> None:
        budget = self.context.budget(self.base.endpoint)
        budget.tokens = min(BUDGET, budget.tokens + (self.cost or SUCCESS_GAIN))

    def again(self, failure: APIError) -> tuple[float, bool]:
        """(seconds to wait, whether a fresh token is needed) before the next attempt, or raises `failure`."""
        failure.attempts, failure.endpoint = self.sent, failure.endpoint or self.base.endpoint
        if self.may_refresh and is_expired_token(failure) and not _is_of_provider(failure):
            self.may_refresh = False
            return 0.0, True
        self.may_refresh = self.authorized  # another failure: the token was taken, and may age again before the next
        if self._was_never_read(failure):
            self.repeated_stale = True
            return 0.0, False
        if isinstance(failure, EndpointNotReadyError) and (wait := self._probe(failure)) is not None:
            return wait, False
        self.retries += 1
        delay = self._delay(failure)
        if (
            self.retries > self.max_retries
            or not is_retryable(failure, self.base)
            or not self._affordable(failure, delay)
        ):
            raise failure
        return delay, False

    def _was_never_read(self, failure: APIError) -> bool:
        """Whether the server had closed the idle connection. If it took its time first, it had read the request."""
        if not isinstance(failure, APIConnectionError) or not failure.stale or self.repeated_stale:
            return False
        return self.context.clock() - self.asked < STALE_WINDOW and not _changes(self.base)

    def another_probes(self) -> bool:
        """Whether another call is asking this endpoint, which is not ready, on behalf of all that wait for it."""
        prober = cast("_Tries | None", self.context.budget(self.base.endpoint).prober)
        # One of the process that this one is a fork of goes on there, and is never over here.
        others = prober is not None and prober is not self and prober.process == self.process
        return self.patience > 0.0 and others

    def turn(self) -> float:
        """Seconds to wait for the one that asks, taken from this call's patience and not from its own time."""
        seconds = min(PROBE_TURN, self.patience)
        self.patience -= seconds
        self.started += seconds
        return seconds

    def stop_probing(self) -> None:
        budget = self.context.budget(self.base.endpoint)
        if budget.prober is self:
            budget.prober = None

    def _probe(self, failure: EndpointNotReadyError) -> float | None:
        """Seconds until the endpoint, which is not ready, is asked again; None when patience is at its end."""
        budget = self.context.budget(self.base.endpoint)
        delay = failure.retry_after or min(MAX_DELAY, BASE_DELAY * 2.0**self.probes)
        if self.another_probes():
            return 0.0  # both had asked before either knew; the other one goes on
        if delay > self.patience:
            return None
        budget.prober, self.probes = self, self.probes + 1
        self.patience -= delay
        self.started += delay  # waiting for a deployment is no part of the call's own time
        return delay

    def _delay(self, failure: APIError) -> float:
        if failure.retry_after is not None:
            if isinstance(failure, RateLimitError) and failure.retry_after <= MAX_RETRY_AFTER:
                budget = self.context.budget(self.base.endpoint)
                budget.not_before = max(budget.not_before, self.context.clock() + failure.retry_after)
            # A little more than asked, so that many callers do not come back in the same instant.
            return failure.retry_after * (1.0 + 0.1 * self.context.jitter())
        return float(min(MAX_DELAY, BASE_DELAY * 2.0 ** (self.retries - 1)) * self.context.jitter())

    def _affordable(self, failure: APIError, delay: float) -> bool:
        if (failure.retry_after or 0.0) > MAX_RETRY_AFTER or delay >= self.remaining():
            return False
        cost = THROTTLE_COST if isinstance(failure, RateLimitError) else TRANSIENT_COST
        budget = self.context.budget(self.base.endpoint)
        if budget.tokens < cost:
            return False
        budget.tokens -= cost
        self.cost += cost
        return True


def is_retryable(failure: APIError, request: Request) -> bool:
    """Whether repeating `request` may help and cannot do harm."""
    if failure.should_retry is not None:
        return failure.should_retry
    if isinstance(failure, APIConnectionError):
        return _reconnectable(failure, request)
    if _changes(request) and failure.status_code not in (429, 503):
        return False  # a change of the control plane that may have happened all the same
    if failure.status_code is None:
        return isinstance(failure, (RateLimitError, ServerError))
    return isinstance(failure, RateLimitError) or failure.status_code in RETRY_STATUSES


def _reconnectable(failure: APIConnectionError, request: Request) -> bool:
    if isinstance(failure, TLSError) or failure.status_code == 407:
        return False
    if failure.phase in ("pool", "total"):
        return False
    return not _changes(request) or isinstance(failure, ProxyError) or failure.phase == "connect"


def _changes(request: Request) -> bool:
    """Whether it changes something on the control plane, so that a second one might be one too many."""
    return not request.endpoint and not request.repeatable and request.method != "GET"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the service asks to wait, in any of the header's three forms; None if it does not say."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if _NUMBER.match(value):
            return float(value) / unit
    value = headers.get("retry-after", "")
    return _seconds_to(value, now) if value else None


def _seconds_to(date: str, now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # a form that is rarely seen

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
