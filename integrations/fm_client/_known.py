"""How an endpoint serves, and whose models: as the catalog says, or the endpoint, asked once for the whole process."""

from __future__ import annotations

import inspect
import math
import os
from contextlib import suppress
from dataclasses import dataclass, field

from . import _catalog as catalog
from ._bounded import make_room
from ._context import Context
from ._endpoint_calls import described, one
from ._errors import FMError, NotFoundError, PermissionDeniedError
from ._retry import exchange, returning
from ._routes import Route, endpoint_path
from ._vendors import is_told
from ._wire import Beside, Flow, Pause, Timeout
from .types import Endpoint

LOOK_SECONDS = 2.0
"""How long an endpoint may take to describe itself: what it says is good to know, and worth no long wait."""
KEEP_SECONDS = 600.0
"""How long what it said is believed; also that the caller may not read it."""
PAUSE_SECONDS = 60.0
"""No further look is taken for so long after one that failed: the control plane may be down."""
TURN_SECONDS = 0.02
"""Seconds after which a call sees whether another one has the answer."""
GRACE_SECONDS = 1.0
"""How much later than that a look is over at the latest; one that is not was begun in a loop that does not run."""


@dataclass(slots=True)
class _Look:
    """What is known of one endpoint, by the clock of all clients."""

    until: float
    route: Route | None = None
    pending: bool = True
    process: int = field(default_factory=os.getpid)

    def holds(self, now: float) -> bool:
        """Whether it counts: not for ever, and what is pending goes on in the process that was forked, and not here."""
        return now < self.until and not (self.pending and self.process != os.getpid())


_looks: dict[tuple[str, str], _Look] = {}
"""By workspace and endpoint, and not by client: models are made for each request by some."""


def route_told(context: Context, name: str, within: float = LOOK_SECONDS) -> Flow[Route | None]:
    """The route of an endpoint; None where it cannot be told. One call asks, and the others wait for it."""
    path = endpoint_path(name)
    if catalog.get(name) is not None:
        return Route.HOSTED
    deadline = context.clock() + min(within, LOOK_SECONDS)
    key = (context.settings.host, name)
    while (look := _current(key, context.clock())) is None or look.pending:
        left = deadline - context.clock()
        if left <= 0.0:
            return None
        if look is None:
            yield from _ask(context, key, path, left)
        else:
            yield Pause(min(TURN_SECONDS, left))
    return look.route


def forget(context: Context, name: str) -> None:
    """An endpoint is no longer what it was."""
    _looks.pop((context.settings.host, name), None)


class Looks:
    """Whose models the endpoints of one call serve: asked while it goes on, so that it takes no longer for that.

    The call itself never asks, but waits for who does: what a token function or a transport may raise is no failure of
    a call that has its answer.
    """

    def __init__(self, context: Context, total: float | None) -> None:
        self._context = context
        self._end = math.inf if total is None else context.clock() + total
        self._until: dict[str, float] = {}
        self._asides: dict[str, Flow[None]] = {}

    def beside(self, name: str) -> Beside | None:
        """What asks an endpoint of which that is not known; None if it is, or is being asked, or did not say."""
        now = self._context.clock()
        look = self._look(name)
        answered = look is not None and not look.pending
        if name in self._until or answered or is_told(self._context.settings.host, name):
            return None
        self._until[name] = min(now + LOOK_SECONDS, self._end)
        if look is not None:
            return None
        self._asides[name] = aside = _aside(self._context, name)
        return Beside(aside)

    def end(self, name: str) -> Flow[None]:
        """Wait for what an endpoint says, for as long as it may still take."""
        until = self._until.get(name, 0.0)
        while self._is_asked(name) and (left := until - self._context.clock()) > 0.0:
            yield Pause(min(TURN_SECONDS, left))

    def _is_asked(self, name: str) -> bool:
        aside, look = self._asides.get(name), self._look(name)
        if look is not None:
            return look.pending
        return aside is not None and inspect.getgeneratorstate(aside) != inspect.GEN_CLOSED

    def _look(self, name: str) -> _Look | None:
        return _current((self._context.settings.host, name), self._context.clock())


def _aside(context: Context, name: str) -> Flow[None]:
    """Ask, without its failures: those of a token or a network the call itself will tell.

    The call goes first: it is to have the connection that is idle, and the only one where there are no more.
    """
    yield Pause(TURN_SECONDS)
    with suppress(Exception):
        yield from route_told(context, name)


def _current(key: tuple[str, str], now: float) -> _Look | None:
    look = _looks.get(key)
    if look is not None and not look.holds(now):
        _looks.pop(key, None)
        return None
    return look


def _ask(context: Context, key: tuple[str, str], path: str, within: float) -> Flow[None]:
    look = _Look(context.clock() + within + GRACE_SECONDS)
    make_room(_looks, key)
    if _looks.setdefault(key, look) is not look:
        return  # another one was quicker
    kept = 0.0  # a call that is given up leaves the question to the next one
    try:
        limits = Timeout(connect=within, read=within, total=within)
        # Under a name of its own, so that a 429 for this does not hold up the control plane.
        request = context.request("GET", path, endpoint="(looks)", timeout=limits)
        then = returning(described(context, one(Endpoint)))  # so that observers are told whose model it is
        endpoint = yield from exchange(context, request, then=then, max_retries=0)
        look.route, kept = endpoint.route, KEEP_SECONDS
    except (NotFoundError, PermissionDeniedError):
        kept = KEEP_SECONDS
    except FMError:
        kept = PAUSE_SECONDS
    finally:
        look.until, look.pending = context.clock() + kept, False
