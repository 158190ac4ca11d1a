"""What is known of an endpoint: from the catalog, or else from the endpoint itself, which is asked once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from fm_client import APIError, Clients, FMError, ModelProfile, catalog, profile_for

if TYPE_CHECKING:
    from fm_client import Endpoint  # not at run time: it brings the models of the control plane along

LOOK_SECONDS = 5.0
"""How long an endpoint may take to describe itself: what it says improves a prompt, and is worth no long wait."""
PAUSE_SECONDS = 60.0
"""No further look is taken for so long after one that failed: the endpoint may be hidden, or the service down."""


class Facts(NamedTuple):
    """What an endpoint does, and what its model can do."""

    task: str | None
    profile: ModelProfile


class Known:
    """Facts by the names of endpoints. Copies of a component share them, and a pickle carries them."""

    def __init__(self) -> None:
        self._asked: dict[str, Facts] = {}
        self._paused_until = 0.0

    def of(self, name: str) -> Facts:
        """What is known by now."""
        hosted = catalog.get(name)
        return self._asked.get(name) or Facts(hosted.task if hosted else None, profile_for(name))

    def look(self, clients: Clients, names: Iterable[str]) -> None:
        """Ask `unknown` endpoints. A failure is not told here: the call itself will tell."""
        for name in names:
            try:
                found = clients.sync.endpoints.get(name, timeout=LOOK_SECONDS, max_retries=0)
            except FMError as error:
                self._pause(error)
            else:
                self._asked[name] = facts_of(found)

    async def alook(self, clients: Clients, names: Iterable[str]) -> None:
        """The same, without blocking the event loop."""
        for name in names:
            try:
                found = await clients.aio.endpoints.get(name, timeout=LOOK_SECONDS, max_retries=0)
            except FMError as error:
                self._pause(error)
            else:
                self._asked[name] = facts_of(found)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the endpoints that nothing is known of, and that may be asked now."""
        if time.monotonic() < self._paused_until:
            return []
        return [name for name in names if name not in self._asked and catalog.get(name) is None]

    def _pause(self, error: FMError) -> None:
        if isinstance(error, APIError):  # otherwise nothing was sent: no workspace, or a name that no endpoint can have
            self._paused_until = time.monotonic() + PAUSE_SECONDS

    def __copy__(self) -> Known:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Known:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"_asked": self._asked, "_paused_until": 0.0}  # the clock of another process says other things


def facts_of(endpoint: Endpoint) -> Facts:
    """What an endpoint says of itself."""
    return Facts(endpoint.task, profile_for(endpoint.model_name or endpoint.name, endpoint.route))
