"""A warning, once in a process for each model, where one is asked that is retired or will be."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable

from . import _catalog as catalog

_warned: dict[str, object] = {}
"""Endpoints that were warned of. `setdefault` is one step, so that of several threads one alone warns."""


class RetiringModelWarning(UserWarning):
    """A model that was asked is retired, or will be; the text names what replaces it, where that is known."""


def warn_if_retiring(endpoint: str, now: Callable[[], float]) -> None:
    """Warn of a pay-per-token endpoint that the catalog has a retirement of. `now` is in seconds since 1970."""
    if catalog.retirement(endpoint) is None:
        return
    mine = object()
    if _warned.setdefault(endpoint, mine) is mine:
        notice = catalog.retirement_notice(endpoint, dt.datetime.fromtimestamp(now(), dt.UTC).date())
        warnings.warn(f"{endpoint!r}: {notice}", RetiringModelWarning, stacklevel=2)
