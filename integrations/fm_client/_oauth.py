"""Tokens that are fetched and age: OAuth for machines, OIDC exchange, the model-serving container's own file."""

from __future__ import annotations

import copy
import json
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit
from weakref import WeakKeyDictionary

from ._auth import Secretive, check_token, in_time, no_token_in_time
from ._context import HEADERS, Context
from ._error_bodies import json_of
from ._errors import APIError, AuthenticationError, ConfigurationError, FMError, ResponseFormatError
from ._process import PerProcess
from ._responses import json_reply
from ._retry import exchange
from ._wire import Flow, Reply, Request, Timeout

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Fetch = Callable[[Context, float | None], Flow["Fresh"]]
"""The flow that fetches a token, within so many seconds."""
Run = Callable[[Callable[[Context], Flow["Fresh"]]], "Fresh"]
AsyncRun = Callable[[Callable[[Context], Flow["Fresh"]]], Awaitable["Fresh"]]

DISCOVERY_PATH = "/oidc/.well-known/oauth-authorization-server"
DEFAULT_TOKEN_PATH = "/oidc/v1/token"  # noqa: S105  # a path, no secret
DEFAULT_TTL = 3600.0
"""Seconds; what the service gives when it does not say."""
EARLY = 1200.0
"""Seconds before its end at which a token is renewed; half its life if that is less (so does the service's own SDK)."""
LEAST = 40.0
"""Seconds that a token must have left to be used on after its renewal failed: the service refuses the last 30 s."""
BACK_OFF = 60.0
"""Seconds for which a token that is still good is used on after its early renewal failed."""
LIMITS = Timeout(connect=5.0, read=30.0, total=60.0)
"""For discovery and grant together; less if the call that needs the token has less time left."""
TIMING_SLACK = 0.01
"""A timer may fire this much early, in seconds."""
CONTAINER_FILE = "/var/credentials-secret/model-dependencies-oauth-token"  # a path, no secret
CONTAINER_TTL = 300.0


@dataclass(frozen=True, slots=True)
class Fresh:
    """A token just fetched, and its life in seconds."""

    value: str
    ttl: float

    def __repr__(self) -> str:
        return f"Fresh(**********, ttl={self.ttl})"


@dataclass(frozen=True, slots=True)
class _Held:
    value: str = field(repr=False)
    renew_at: float
    ends_at: float


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """How an attempt to fetch a token ended; each is another one, so that who waited sees that there was one."""

    failure: FMError | None = None


class _Locks:
    """Who may fetch: one thread, and one task of each event loop."""

    def __init__(self) -> None:
        self.threads = threading.Lock()
        self._guard = threading.Lock()
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def tasks(self) -> asyncio.Lock:
        """The lock of the running loop. A lock keeps its loop alive, so that those of closed loops are dropped."""
        import asyncio

        loop = asyncio.get_running_loop()
        with self._guard:
            if loop not in self._loops:
                for dead in [other for other in self._loops if other.is_closed()]:
                    del self._loops[dead]
            return self._loops.setdefault(loop, asyncio.Lock())

    @contextmanager
    def one_thread(self, within: float | None) -> Iterator[None]:
        """Be the one thread, or wait for that."""
        if not self.threads.acquire(timeout=-1 if within is None else max(0.0, within)):
            raise no_token_in_time()
        try:
            yield
        finally:
            self.threads.release()

    @asynccontextmanager
    async def one_task(self, within: float | None) -> AsyncIterator[None]:
        """Be the one task, or wait for that."""
        lock = self.tasks()
        await in_time(lock.acquire(), within)
        try:
            yield
        finally:
            lock.release()


class FetchedToken(Secretive):
    """A token that is fetched when needed, renewed early, and by one caller at a time, whether thread or task.

    While one renews it the others wait, without blocking an event loop, and share what comes of it, failure included.
    A renewal that fails does no harm as long as the old token is good. Each waits for as long as its call has time.
    """

    def __init__(self, kind: str, fetch: Fetch, clock: Callable[[], float]) -> None:
        self.kind = kind
        self._fetch = fetch
        self._clock = clock
        self._held: _Held | None = None
        self._outcome = _Outcome()
        self._locks = PerProcess(_Locks)

    def __repr__(self) -> str:
        return f"FetchedToken({self.kind!r})"

    def token(self, stale: str | None = None, run: Run | None = None, within: float | None = None) -> str:
        """The token; `run` drives the flow that fetches it."""
        if run is None:
            raise TypeError("a token that is fetched needs a client to fetch it")
        good, before, until = self._good(stale), self._outcome, self._until(within)
        if good is None:
            try:
                with self._locks().one_thread(within):
                    good = self._fetched_meanwhile(stale, before) or self._keep(run(self._fetching(until)))
            except FMError as error:
                good = self._still_good(stale, error, until)
        return good

    async def atoken(self, stale: str | None = None, run: AsyncRun | None = None, within: float | None = None) -> str:
        """The token; `run` drives the flow that fetches it."""
        if run is None:
            raise TypeError("a token that is fetched needs a client to fetch it")
        good, before, until = self._good(stale), self._outcome, self._until(within)
        if good is None:
            try:
                async with self._locks().one_task(within):
                    good = self._fetched_meanwhile(stale, before) or self._keep(await run(self._fetching(until)))
            except FMError as error:
                good = self._still_good(stale, error, until)
        return good

    def _until(self, within: float | None) -> float:
        return inf if within is None else self._clock() + within

    def _fetching(self, until: float) -> Callable[[Context], Flow[Fresh]]:
        left = until - self._clock()
        return lambda context: self._fetch(context, None if left == inf else max(0.0, left))

    def _fetched_meanwhile(self, stale: str | None, before: _Outcome) -> str | None:
        """What came of the attempt that this caller waited for, if it did: a token, or a failure like its."""
        good, outcome = self._good(stale), self._outcome
        if good is None and outcome is not before and outcome.failure is not None:
            raise copy.copy(outcome.failure)
        return good

    def _good(self, stale: str | None) -> str | None:
        held = self._held
        return held.value if held and held.value != stale and self._clock() < held.renew_at else None

    def _keep(self, fresh: Fresh) -> str:
        now = self._clock()
        ends_at = now + fresh.ttl
        self._held = _Held(check_token(fresh.value), ends_at - min(EARLY, fresh.ttl / 2), ends_at)
        self._outcome = _Outcome()
        return fresh.value

    def _still_good(self, stale: str | None, error: FMError, until: float) -> str:
        held, now = self._held, self._clock()
        if held is None or held.value == stale or now + LEAST >= held.ends_at:
            if now >= until - TIMING_SLACK:
                raise no_token_in_time() from error  # this caller's time is over; that is nothing to the others
            self._outcome = _Outcome(copy.copy(error))  # a copy, without the frames of this attempt
            raise error
        self._held = _Held(held.value, min(now + BACK_OFF, held.ends_at - LEAST), held.ends_at)
        return held.value


def machine_to_machine(host: str, client_id: str, client_secret: str, clock: Callable[[], float]) -> FetchedToken:
    """OAuth for machines: a service principal's id and secret."""
    form = {"grant_type": "client_credentials", "scope": "all-apis"}
    basic = b64encode(f"{client_id}:{client_secret}".encode()).decode()
    login = _Login(host, form, f"Basic {basic}", (basic, client_secret))
    return FetchedToken("oauth-m2m", lambda context, within: _granted(context, login, within), clock)


def oidc_exchange(
    host: str, client_id: str | None, read: Callable[[], str], clock: Callable[[], float]
) -> FetchedToken:
    """The exchange of an identity provider's token, read anew each time, for one of the service."""

    def fetch(context: Context, within: float | None) -> Flow[Fresh]:
        subject = read()
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": subject,
            "scope": "all-apis",
            **({"client_id": client_id} if client_id else {}),
        }
        return _granted(context, _Login(host, form, None, (subject,)), within)

    return FetchedToken("oidc", fetch, clock)


def container_token(clock: Callable[[], float], path: str = CONTAINER_FILE) -> FetchedToken:
    """The token that a model-serving container finds in a file, which the service rewrites."""

    def fetch(context: Context, within: float | None) -> Flow[Fresh]:
        yield from ()
        try:
            return Fresh(json.loads(Path(path).read_bytes())["OAUTH_TOKEN"][0]["oauthTokenValue"], CONTAINER_TTL)
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be read: {exc.strerror}") from exc
        except (ValueError, LookupError, TypeError):
            pass  # an error that holds the whole text, and is therefore no cause of ours
        raise ConfigurationError(f"{path} holds no token of a model-serving container")

    return FetchedToken("model-serving", fetch, clock)


@dataclass(frozen=True, slots=True)
class _Login:
    """What is shown to `host` to be granted a token."""

    host: str
    form: Mapping[str, str] = field(repr=False)
    authorization: str | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def _granted(context: Context, login: _Login, within: float | None) -> Flow[Fresh]:
    began = context.clock()
    limits = LIMITS if within is None else replace(LIMITS, total=min(within, LIMITS.total or within))
    url = yield from _token_url(context, login.host, limits, began)
    headers = {**HEADERS, "content-type": "application/x-www-form-urlencoded"}
    if login.authorization:
        headers["authorization"] = login.authorization
    body = urlencode(login.form).encode()
    request = Request("POST", url, headers, body, timeout=limits, repeatable=True, secrets=login.secrets)
    try:
        reply: Reply = yield from exchange(context, request, authorize=False, started=began)
    except APIError as error:
        raise _refused(error) from None  # the request, which holds the secret, is no part of the story
    answer = json_of(reply.body)
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        raise ResponseFormatError("the token endpoint answered without an access_token", status_code=reply.status)
    return Fresh(answer["access_token"], _ttl(answer.get("expires_in")))


def _token_url(context: Context, host: str, limits: Timeout, began: float) -> Flow[str]:
    """The token endpoint that the workspace names, if it is on the workspace's own host; else the usual one."""
    request = Request("GET", host + DISCOVERY_PATH, HEADERS, timeout=limits)
    try:
        reply: Reply = yield from exchange(context, request, authorize=False, started=began)
        named = json_reply(reply).get("token_endpoint")
    except (APIError, AttributeError):
        named = None
    # A client secret goes nowhere but to the host that the caller named.
    same = isinstance(named, str) and urlsplit(named)[:2] == urlsplit(host)[:2]
    return named if same and named else host + DEFAULT_TOKEN_PATH


def _refused(error: APIError) -> APIError:
    if error.status_code not in (400, 401, 403):
        return error
    refusal = AuthenticationError(f"the workspace gave no token for these client credentials: {error.message}")
    refusal.status_code, refusal.request_id, refusal.error_code = error.status_code, error.request_id, error.error_code
    return refusal


def _ttl(value: Any) -> float:
    try:
        return max(1.0, float(value))
    except (TypeError, ValueError):
        return DEFAULT_TTL
