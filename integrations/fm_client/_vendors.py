"""Whose models endpoints serve, as far as the catalog or the service has described them to this process. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from . import _catalog as catalog
from ._bounded import make_room

if TYPE_CHECKING:
    from .types import Endpoint  # not at run time: queries do without the control plane

DATABRICKS = "databricks"
"""Whose the models are that the service runs itself, hosted or provisioned."""


class _Described(NamedTuple):
    """What an endpoint was described as."""

    vendors: Mapping[str, str]
    """Served entity -> whose model it is; of external models only."""
    in_full: bool
    """A list has endpoints in short, perhaps without what tells Azure from OpenAI."""


_known: dict[tuple[str, str], _Described] = {}
"""By workspace and endpoint. Not by client: some make one for each request."""


def note(host: str, endpoint: Endpoint, *, in_short: bool = False) -> Endpoint:
    """Remember whose models `endpoint` serves; what a list says, `in_short`, takes back nothing. Returns it."""
    key = (host, endpoint.name)
    if not in_short or key not in _known:
        make_room(_known, key)
        _known[key] = _Described(endpoint.vendors, not in_short)
    return endpoint


def forget(host: str, endpoint: str) -> None:
    """An endpoint is no longer there."""
    _known.pop((host, endpoint), None)


def is_told(host: str, endpoint: str) -> bool:
    """Whether all is known of an endpoint that it could say itself."""
    described = _known.get((host, endpoint))
    return catalog.get(endpoint) is not None if described is None else described.in_full


def vendor(host: str, endpoint: str, served: str | None = None) -> str | None:
    """Whose model an endpoint, or one of its served entities, is; None if it is not known, or may be one of several."""
    described = _known.get((host, endpoint))
    if described is None or not described.vendors:
        return DATABRICKS if is_told(host, endpoint) else None
    known = described.vendors
    vendors = {known[served]} if served and served in known else set(known.values())
    return vendors.pop() if len(vendors) == 1 else None
