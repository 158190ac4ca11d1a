"""How to wait for an endpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypedDict

from ._errors import InvalidRequestError
from .types import Endpoint

DEFAULT_WAIT = 1200.0
"""Seconds to wait for an endpoint: the 20 minutes of the service's own SDK (databricks-sdk 0.156.0)."""
FIRST_POLL = 1.0
LAST_POLL = 10.0
"""Seconds between two looks: from the first to the last, one more each time, as the service's own SDK does."""

OnState = Callable[[Endpoint], object]


class WaitOptions(TypedDict, total=False):
    """How to wait for an endpoint."""

    timeout: float
    """Seconds, 1,200 unless told."""
    on_state: OnState | None
    """Called with the endpoint at first and then whenever its state, or that of a deployment, has changed."""
    first_poll: float
    """Seconds before the second look, 1 unless told; each further wait is one second longer."""
    last_poll: float
    """Longest wait between two looks in seconds, 10 unless told."""


def wait_options(wait: bool | WaitOptions) -> WaitOptions | None:
    """How to wait, looked at before anything is changed; None: not at all."""
    if isinstance(wait, bool):
        return {} if wait else None
    if not isinstance(wait, Mapping) or wait.keys() - WaitOptions.__annotations__.keys():
        raise InvalidRequestError(f"wait must be True, False or a dict of {', '.join(WaitOptions.__annotations__)}")
    check_wait(wait.get("timeout", DEFAULT_WAIT), wait.get("first_poll", FIRST_POLL), wait.get("last_poll", LAST_POLL))
    return wait


def check_wait(timeout: float, first_poll: float, last_poll: float) -> None:
    """How to wait for an endpoint is said in seconds."""
    for name, value in (("timeout", timeout), ("first_poll", first_poll), ("last_poll", last_poll)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise InvalidRequestError(f"{name} must be a number of seconds, not {value!r:.60}")
