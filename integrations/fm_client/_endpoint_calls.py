"""One request to the control plane, and its answer as typed data or as a typed error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, Unpack

from pydantic import ValidationError

from ._config import check_max_retries, check_timeout
from ._context import Context
from ._error_bodies import text_of
from ._errors import APIError, NotFoundError, ResponseFormatError
from ._names import explain
from ._redact import plaintexts
from ._responses import json_reply
from ._retry import exchange, returning
from ._routes import endpoint_path
from ._vendors import note
from ._wire import Flow, Reply, Timeout
from .types import Endpoint
from .types._base import JSONObject, WireModel

T = TypeVar("T")
M = TypeVar("M", bound=WireModel)


class Limits(TypedDict, total=False):
    """Limits of one call; None means the client's."""

    timeout: float | Timeout | None
    """Seconds in all, or a Timeout."""
    max_retries: int | None


def call(
    context: Context,
    method: str,
    path: str,
    body: JSONObject | None = None,
    *,
    then: Callable[[Reply], T],
    name: str = "",
    after: float = 0.0,
    accept: str = "",
    **limits: Unpack[Limits],
) -> Flow[T]:
    """Send one request; `then` reads its answer. An error names the endpoint, and those like one that is unknown."""
    timeout, retries = limits.get("timeout"), limits.get("max_retries")
    limit = None if timeout is None else check_timeout(timeout)
    max_retries = None if retries is None else check_max_retries(retries)
    # The request names no endpoint: that is for queries, which have retry budgets of their own and may be repeated.
    request = replace(context.request(method, path, body, timeout=limit), secrets=plaintexts(body))
    if accept:
        request = request.with_headers({"accept": accept})
    try:
        return (yield from exchange(context, request, then=returning(then), after=after, max_retries=max_retries))
    except APIError as error:
        error.endpoint = error.endpoint or name
        failure = error
    if name and isinstance(failure, NotFoundError):
        yield from explain(context, name, failure)
    raise failure


def get_endpoint(context: Context, name: str, *, after: float = 0.0, **limits: Unpack[Limits]) -> Flow[Endpoint]:
    """One endpoint, in full."""
    then = described(context, one(Endpoint, name))
    return (yield from call(context, "GET", endpoint_path(name), name=name, after=after, then=then, **limits))


def described(context: Context, read: Callable[[Reply], Endpoint]) -> Callable[[Reply], Endpoint]:
    """`read`, after which it is known whose models the endpoint serves."""
    return lambda reply: note(context.settings.host, read(reply))


def one(model: type[M], name: str = "") -> Callable[[Reply], M]:
    """Reads an answer that is one object."""
    return lambda reply: parsed(model, json_reply(reply, name), reply, name)


def items(model: type[M], key: str, name: str = "") -> Callable[[Reply], list[M]]:
    """The list under `key`, or the bare list that older servers send; no key is an empty list."""

    def read(reply: Reply) -> list[M]:
        data = json_reply(reply, name)
        found = data.get(key) if isinstance(data, Mapping) else data
        if not isinstance(found or [], list):
            raise misfit(f"has no list of {key}", reply, name)
        return [parsed(model, item, reply, name) for item in found or []]

    return read


def parsed(model: type[M], data: Any, reply: Reply, name: str) -> M:
    """`data` of an answer as a wire model."""
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        # Where it does not fit, not what stands there: an answer may quote what was sent.
        places = ", ".join(".".join(map(str, error["loc"])) or "the whole" for error in exc.errors()[:3])
        raise misfit(f"does not describe a {model.__name__} (look at {places})", reply, name) from None


def misfit(what: str, reply: Reply, name: str) -> ResponseFormatError:
    """The error for an answer that is none of the API's."""
    return ResponseFormatError(
        f"the service's answer {what}",
        endpoint=name,
        status_code=reply.status,
        request_id=reply.request_id,
        body=text_of(reply.body),
    )
