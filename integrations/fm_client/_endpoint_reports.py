"""What an endpoint tells of itself: query schema, metrics, logs; and what a model can be provisioned with."""

from __future__ import annotations

from collections.abc import Callable

from ._context import Context
from ._endpoint_calls import call, get_endpoint, misfit, one
from ._errors import APIError, InvalidRequestError
from ._responses import json_reply
from ._retry import exchange
from ._routes import endpoint_path, optimization_path, served_path
from ._wire import Flow, Reply, Timeout
from .types import OptimizationInfo
from .types._base import JSONObject

LOOKUP = Timeout(connect=2.0, read=5.0, total=10.0)
"""For a log that an error message is to quote: the error is not worth more waiting."""
_PLAIN = "text/plain"


def optimization_info(context: Context, model: str, version: str | int) -> Flow[OptimizationInfo]:
    """Whether, and in which steps, throughput can be provisioned for a model of Unity Catalog."""
    return (yield from call(context, "GET", optimization_path(model, version), then=one(OptimizationInfo)))


def schema(context: Context, name: str) -> Flow[JSONObject]:
    """The OpenAPI document of an endpoint's queries."""

    def read(reply: Reply) -> JSONObject:
        document = json_reply(reply, name)
        if not isinstance(document, dict):
            raise misfit("is no OpenAPI document", reply, name)
        return document

    return (yield from call(context, "GET", endpoint_path(name, "openapi"), name=name, then=read, accept=_PLAIN))


def metrics(context: Context, name: str) -> Flow[str]:
    """An endpoint's metrics in the Prometheus text format."""

    def read(reply: Reply) -> str:
        return reply.body.decode("utf-8", "replace")

    return (yield from call(context, "GET", endpoint_path(name, "metrics"), name=name, then=read, accept=_PLAIN))


def logs(context: Context, name: str, served: str | None, kind: str) -> Flow[str]:
    """The `logs` or `build-logs` of a served entity; without a name, of the only one that there is."""
    if served is None:
        served = yield from _only_served(context, name)
    return (yield from call(context, "GET", served_path(name, served, kind), name=name, then=_log_reader(name)))


def build_log_of(context: Context, name: str, served: str) -> Flow[str | None]:
    """A build log to explain a failure with; None if there is none to have, for whatever reason."""
    try:
        # Under a name of its own, so that a 429 for this does not hold up the control plane.
        path = served_path(name, served, "build-logs")
        request = context.request("GET", path, endpoint="(build-logs)", timeout=LOOKUP)
        reply: Reply = yield from exchange(context, request, max_retries=0)
        return _log_reader(name)(reply) or None
    except (APIError, InvalidRequestError):
        return None


def _only_served(context: Context, name: str) -> Flow[str]:
    endpoint = yield from get_endpoint(context, name)
    names = endpoint.served_names
    if len(names) != 1:
        what = f"serves several: say which with served=, one of {', '.join(names)}" if names else "serves nothing yet"
        raise InvalidRequestError(f"endpoint {name!r} {what}")
    return names[0]


def _log_reader(name: str) -> Callable[[Reply], str]:
    def read(reply: Reply) -> str:
        data = json_reply(reply, name)
        found = data.get("logs") if isinstance(data, dict) else None
        if not isinstance(found, str):
            raise misfit("has no logs", reply, name)
        return found

    return read
