"""Endpoints that scale to zero: cold until a query wakes them, and again when nobody has asked for a while."""

from __future__ import annotations

from collections.abc import Callable

from ._errors import ServiceError
from ._lifecycle import Endpoint

TAG = "fm_cold_start_seconds"
IDLE_SECONDS = 1_800.0
"""After half an hour without a query the service scales an endpoint to zero."""


class Warmth:
    """When endpoints are warm. Those without the tag always are."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._warm_from: dict[str, float] = {}
        self._asked: dict[str, float] = {}

    def wake(self, endpoint: Endpoint) -> None:
        """Note a query; 503 until the endpoint that it woke is warm."""
        if TAG not in endpoint.tags:
            return
        now = self._clock()
        if now - self._asked.get(endpoint.id, -IDLE_SECONDS) >= IDLE_SECONDS:
            self._warm_from[endpoint.id] = now + float(endpoint.tags[TAG])
        self._asked[endpoint.id] = now
        left = self._warm_from[endpoint.id] - now
        if left > 0:
            message = f"Endpoint '{endpoint.name}' is not ready: it is scaling up from zero."
            seconds = str(max(1, int(left + 0.999)))
            raise ServiceError(503, "TEMPORARILY_UNAVAILABLE", message, headers={"Retry-After": seconds})
