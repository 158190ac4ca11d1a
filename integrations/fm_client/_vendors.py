"""Whose models external endpoints serve, as far as the service has described them to this process. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import Endpoint  # not at run time: queries do without the control plane

_known: dict[tuple[str, str], Mapping[str, str]] = {}
"""Workspace and endpoint -> served entity -> whose model it is. Not by client: some make one for each request."""


def note(host: str, endpoint: Endpoint, *, in_short: bool = False) -> Endpoint:
    """Remember whose models `endpoint` serves; what a list says, `in_short`, takes back nothing. Returns it."""
    key = (host, endpoint.name)
    if not in_short or key not in _known:
        _known[key] = endpoint.vendors
    return endpoint


def forget(host: str, endpoint: str) -> None:
    """An endpoint is no longer there."""
    _known.pop((host, endpoint), None)


def vendor(host: str, endpoint: str, served: str | None = None) -> str | None:
    """Whose model an endpoint, or one of its served entities, is; None if it is not known, or may be one of several."""
    known = _known.get((host, endpoint), {})
    vendors = {known[served]} if served and served in known else set(known.values())
    return vendors.pop() if len(vendors) == 1 else None
