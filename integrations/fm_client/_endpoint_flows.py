"""The life of an endpoint as flows: listed, created, updated, scaled, deleted."""

from __future__ import annotations

from collections.abc import Mapping

from . import _known, _vendors
from ._context import Context
from ._endpoint_bodies import ConfigSpec, EndpointSpec, create_request, update_request
from ._endpoint_calls import call, described, items, one
from ._endpoint_scale import ScaleSpec, scaled_request, with_throughput
from ._endpoint_wait import then_wait
from ._routes import ENDPOINTS_PATH, endpoint_path
from ._waiting import WaitOptions, wait_options
from ._wire import Flow
from .types import Endpoint
from .types._base import JSONObject


def list_endpoints(context: Context) -> Flow[list[Endpoint]]:
    """All endpoints that the caller may see, in short."""
    found = yield from call(context, "GET", ENDPOINTS_PATH, then=items(Endpoint, "endpoints"))
    return [_vendors.note(context.settings.host, endpoint, in_short=True) for endpoint in found]


def create_endpoint(
    context: Context, name: str, spec: EndpointSpec, wait: bool | WaitOptions = False
) -> Flow[Endpoint]:
    """Create an endpoint, and wait for it if that is asked for."""
    path, body = create_request(name, spec)
    options = wait_options(wait)
    body = {**body, "config": (yield from with_throughput(context, body["config"]))}
    then = described(context, one(Endpoint, name))
    endpoint = yield from call(context, "POST", path, body, name=name, then=then)
    return (yield from then_wait(context, endpoint, options))


def update_endpoint(context: Context, name: str, spec: ConfigSpec, wait: bool | WaitOptions = False) -> Flow[Endpoint]:
    """Replace what an endpoint serves; until that is deployed, it serves what it did."""
    path, body = update_request(name, spec)
    return (yield from _changed(context, name, path, body, wait_options(wait)))


def scale_endpoint(
    context: Context,
    name: str,
    served: str | None,
    spec: ScaleSpec,
    traffic: Mapping[str, int] | None,
    wait: bool | WaitOptions = False,
) -> Flow[Endpoint]:
    """Give what an endpoint serves another size, or another share of the traffic."""
    options = wait_options(wait)
    path, body = yield from scaled_request(context, name, served, spec, traffic)
    return (yield from _changed(context, name, path, body, options))


def delete_endpoint(context: Context, name: str) -> Flow[None]:
    """Delete an endpoint."""
    yield from call(context, "DELETE", endpoint_path(name), name=name, then=lambda reply: None)
    _known.forget(context, name)
    _vendors.forget(context.settings.host, name)


def _changed(context: Context, name: str, path: str, body: JSONObject, options: WaitOptions | None) -> Flow[Endpoint]:
    # With model units the configuration stands one deeper in the body.
    if "config" in body:
        body = {"config": (yield from with_throughput(context, body["config"]))}
    else:
        body = yield from with_throughput(context, body)
    then = described(context, one(Endpoint, name))
    endpoint = yield from call(context, "PUT", path, body, name=name, then=then)
    _known.forget(context, name)
    return (yield from then_wait(context, endpoint, options))
