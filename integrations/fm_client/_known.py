"""By which route an endpoint serves: as the catalog says, or the endpoint itself, asked once for the whole process."""

from __future__ import annotations

from dataclasses import dataclass

from . import _catalog as catalog
from ._context import Context
from ._endpoint_calls import described, one
from ._errors import FMError, NotFoundError, PermissionDeniedError
from ._retry import exchange, returning
from ._routes import Route, endpoint_path
from ._wire import Flow, Pause, Timeout
from .types import Endpoint

LOOK_SECONDS = 2.0
"""How long an endpoint may take to describe itself: what it says is good to know, and worth no long wait."""
KEEP_SECONDS = 600.0
"""How long what it said is believed; also that the caller may not read it."""
PAUSE_SECONDS = 60.0
"""No further look is taken for so long after one that failed: the control plane may be down."""
TURN_SECONDS = 0.02
"""Seconds after which a call sees whether another one has the answer."""


@dataclass(slots=True)
class _Look:
    """What is known of one endpoint, by the clock of all clients."""

    until: float
    route: Route | None = None
    pending: bool = True


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


def _current(key: tuple[str, str], now: float) -> _Look | None:
    look = _looks.get(key)
    if look is not None and look.until <= now:
        _looks.pop(key, None)
        return None
    return look


def _ask(context: Context, key: tuple[str, str], path: str, within: float) -> Flow[None]:
    look = _Look(context.clock() + within)
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
