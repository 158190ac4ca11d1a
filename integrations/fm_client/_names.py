"""What to say about a name that the service does not know."""

from __future__ import annotations

import datetime as dt
from typing import Any

from . import _catalog as catalog
from ._context import Context
from ._errors import APIError, NotFoundError
from ._responses import json_reply
from ._retry import exchange
from ._routes import ENDPOINTS_PATH
from ._wire import Flow, Reply, Timeout

LOOKUP = Timeout(connect=2.0, read=5.0, total=5.0)
"""An error message is not worth more waiting."""


def explain(context: Context, endpoint: str, error: NotFoundError) -> Flow[None]:
    """Add to `error` what replaced a retired model, or which endpoints have a name close to the one asked."""
    notice = catalog.retirement_notice(endpoint, dt.datetime.fromtimestamp(context.now(), dt.UTC).date())
    if notice is not None:
        error.message += f" {notice}"
        return
    close = catalog.close_names(endpoint, known=(yield from _known(context)))
    if close:
        error.message += f" Endpoints with a close name: {', '.join(close)}."
    else:
        error.message += " endpoints.list() shows those that there are."


def _known(context: Context) -> Flow[list[str]]:
    try:
        # Under a name of its own, so that a 429 for this does not hold up the control plane.
        request = context.request("GET", ENDPOINTS_PATH, endpoint="(names)", timeout=LOOKUP)
        reply: Reply = yield from exchange(context, request, max_retries=0)
        return _names(json_reply(reply))
    except APIError:
        return []  # no permission to list, or no answer: the catalog still knows the hosted ones


def _names(listed: Any) -> list[str]:
    endpoints = listed.get("endpoints") if isinstance(listed, dict) else None
    return [item["name"] for item in endpoints or () if isinstance(item, dict) and isinstance(item.get("name"), str)]
