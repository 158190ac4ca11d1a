"""Serving endpoints: create, read, change, delete and wait for them, on every route.

The verbs are flows; `Endpoints` and `AsyncEndpoints` hand them to the driver of their client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar, Unpack

from pydantic import ValidationError

from ._context import Context
from ._endpoint_bodies import (
    ConfigSpec,
    EndpointSpec,
    TagsLike,
    as_object,
    create_request,
    object_list,
    tag_list,
    text_list,
    update_request,
)
from ._error_bodies import text_of
from ._errors import (
    APIConnectionError,
    APIError,
    EndpointFailedError,
    NotFoundError,
    RateLimitError,
    ResponseFormatError,
    ServerError,
    TLSError,
)
from ._names import explain
from ._redact import plaintexts
from ._responses import json_reply
from ._retry import exchange, returning
from ._routes import ENDPOINTS_PATH, endpoint_path
from ._waiting import DEFAULT_WAIT, FIRST_POLL, LAST_POLL, OnState, WaitOptions, check_wait, wait_options
from ._wire import Flow, Reply
from .types import AiGatewayConfig, Endpoint, EndpointConfig, RateLimit, Tag
from .types._base import JSONObject, WireModel

T = TypeVar("T")
M = TypeVar("M", bound=WireModel)
# A method called `list` hides the type of that name inside its class.
EndpointList = list[Endpoint]
TagList = list[Tag]
RateLimitList = list[RateLimit]
RateLimits = Sequence[RateLimit | Mapping[str, Any]]
Gateway = AiGatewayConfig | Mapping[str, Any]


def list_endpoints(context: Context) -> Flow[EndpointList]:
    """All endpoints that the caller may see, in short."""
    return (yield from _call(context, "GET", ENDPOINTS_PATH, then=_items(Endpoint, "endpoints")))


def get_endpoint(context: Context, name: str, *, after: float = 0.0) -> Flow[Endpoint]:
    """One endpoint, in full."""
    then = _one(Endpoint, name)
    return (yield from _call(context, "GET", endpoint_path(name), name=name, after=after, then=then))


def create_endpoint(
    context: Context, name: str, spec: EndpointSpec, wait: bool | WaitOptions = False
) -> Flow[Endpoint]:
    """Create an endpoint, and wait for it if that is asked for."""
    path, body = create_request(name, spec)
    options = wait_options(wait)
    endpoint = yield from _call(context, "POST", path, body, name=name, then=_one(Endpoint, name))
    return (yield from _then_wait(context, endpoint, options))


def update_endpoint(context: Context, name: str, spec: ConfigSpec, wait: bool | WaitOptions = False) -> Flow[Endpoint]:
    """Replace what an endpoint serves; until that is deployed, it serves what it did."""
    path, body = update_request(name, spec)
    options = wait_options(wait)
    endpoint = yield from _call(context, "PUT", path, body, name=name, then=_one(Endpoint, name))
    return (yield from _then_wait(context, endpoint, options))


def delete_endpoint(context: Context, name: str) -> Flow[None]:
    """Delete an endpoint."""
    yield from _call(context, "DELETE", endpoint_path(name), name=name, then=lambda reply: None)


def update_tags(context: Context, name: str, add: TagsLike, delete: Iterable[str]) -> Flow[TagList]:
    """Set and delete tags; returns all that the endpoint then has."""
    body: JSONObject = {"add_tags": tag_list(add), "delete_tags": text_list(delete, "the keys to delete")}
    body = {key: value for key, value in body.items() if value}
    then = _items(Tag, "tags", name)
    return (yield from _call(context, "PATCH", endpoint_path(name, "tags"), body, name=name, then=then))


def update_rate_limits(context: Context, name: str, limits: RateLimits) -> Flow[RateLimitList]:
    """Replace an endpoint's own rate limits."""
    body = {"rate_limits": object_list(limits, "rate_limits")}
    then = _items(RateLimit, "rate_limits", name)
    return (yield from _call(context, "PUT", endpoint_path(name, "rate-limits"), body, name=name, then=then))


def update_ai_gateway(context: Context, name: str, gateway: Gateway) -> Flow[AiGatewayConfig]:
    """Replace the gateway's configuration, whole."""
    body, then = as_object(gateway), _one(AiGatewayConfig, name)
    return (yield from _call(context, "PUT", endpoint_path(name, "ai-gateway"), body, name=name, then=then))


def wait_for_endpoint(
    context: Context,
    name: str,
    *,
    timeout: float = DEFAULT_WAIT,
    on_state: OnState | None = None,
    first_poll: float = FIRST_POLL,
    last_poll: float = LAST_POLL,
) -> Flow[Endpoint]:
    """Look at an endpoint until it is ready and no change of it is under way."""
    check_wait(timeout, first_poll, last_poll)
    deadline = context.clock() + timeout
    delay, pause, seen = 0.0, first_poll, None
    while True:
        try:
            endpoint = yield from get_endpoint(context, name, after=delay)
        except (ServerError, APIConnectionError, RateLimitError) as error:
            if context.clock() >= deadline or isinstance(error, TLSError):
                raise
            delay = last_poll  # it says nothing about the endpoint
            continue
        if on_state is not None and (shown := _progress(endpoint)) != seen:
            seen = shown
            on_state(endpoint)
        if _is_settled(endpoint):
            return endpoint
        remaining = deadline - context.clock()
        if remaining <= 0:
            raise _failed(endpoint, f"endpoint {name!r} was not ready after {timeout:g} s: {endpoint.state}")
        delay, pause = min(pause, last_poll, remaining), min(pause + 1.0, last_poll)


def _then_wait(context: Context, endpoint: Endpoint, options: WaitOptions | None) -> Flow[Endpoint]:
    if options is None:
        return endpoint
    return (yield from wait_for_endpoint(context, endpoint.name, **options))


def _is_settled(endpoint: Endpoint) -> bool:
    """Whether there is nothing to wait for; raises if the change has failed."""
    if endpoint.state is not None and endpoint.state.is_failed:
        outcome = "was cancelled" if endpoint.state.config_update == "UPDATE_CANCELED" else "failed"
        raise _failed(endpoint, f"the deployment of endpoint {endpoint.name!r} {outcome} ({endpoint.state})")
    return endpoint.is_ready and not endpoint.is_updating


def _failed(endpoint: Endpoint, what: str) -> EndpointFailedError:
    reason = f"; {endpoint.failure}" if endpoint.failure else ""
    return EndpointFailedError(what + reason, state=endpoint.state, endpoint=endpoint.name)


def _progress(endpoint: Endpoint) -> tuple[object, ...]:
    entities = (endpoint.pending_config or endpoint.config or EndpointConfig()).entities
    return (str(endpoint.state), *(entity.state and entity.state.to_dict() for entity in entities))


def _call(
    context: Context,
    method: str,
    path: str,
    body: JSONObject | None = None,
    *,
    then: Callable[[Reply], T],
    name: str = "",
    after: float = 0.0,
) -> Flow[T]:
    # The request names no endpoint: that is for queries, which have retry budgets of their own and may be repeated.
    request = replace(context.request(method, path, body), secrets=plaintexts(body))
    try:
        return (yield from exchange(context, request, then=returning(then), after=after))
    except APIError as error:
        error.endpoint = error.endpoint or name
        failure = error
    if name and isinstance(failure, NotFoundError):
        yield from explain(context, name, failure)
    raise failure


def _one(model: type[M], name: str) -> Callable[[Reply], M]:
    return lambda reply: _parse(model, json_reply(reply, name), reply, name)


def _items(model: type[M], key: str, name: str = "") -> Callable[[Reply], list[M]]:
    """The list under `key`, or the bare list that older servers send; no key is an empty list."""

    def read(reply: Reply) -> list[M]:
        data = json_reply(reply, name)
        items = data.get(key) if isinstance(data, Mapping) else data
        if not isinstance(items or [], list):
            raise _misfit(f"has no list of {key}", reply, name)
        return [_parse(model, item, reply, name) for item in items or []]

    return read


def _parse(model: type[M], data: Any, reply: Reply, name: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        # Where it does not fit, not what stands there: an answer may quote what was sent.
        places = ", ".join(".".join(map(str, error["loc"])) or "the whole" for error in exc.errors()[:3])
        raise _misfit(f"does not describe a {model.__name__} (look at {places})", reply, name) from None


def _misfit(what: str, reply: Reply, name: str) -> ResponseFormatError:
    return ResponseFormatError(
        f"the service's answer {what}",
        endpoint=name,
        status_code=reply.status,
        request_id=reply.request_id,
        body=text_of(reply.body),
    )


class Run(Protocol):
    """Carries a flow out."""

    def __call__(self, flow: Flow[T], /) -> T:
        """The flow's result."""
        ...


class AsyncRun(Protocol):
    """Carries a flow out on an event loop."""

    def __call__(self, flow: Flow[T], /) -> Awaitable[T]:
        """The flow's result, to be awaited."""
        ...


class Endpoints:
    """The endpoints of a workspace: `client.endpoints`.

    Every verb raises NotFoundError for an endpoint that does not exist, and the other errors of a call.
    """

    def __init__(self, run: Run, context: Context) -> None:
        self._run = run
        self._context = context

    def list(self) -> EndpointList:
        """All endpoints that you may see, in short: without pending configuration and deployment states."""
        return self._run(list_endpoints(self._context))

    def get(self, name: str) -> Endpoint:
        """One endpoint, in full."""
        return self._run(get_endpoint(self._context, name))

    def create(
        self,
        name: str,
        *,
        wait: bool | WaitOptions = False,
        **spec: Unpack[EndpointSpec],
    ) -> Endpoint:
        """Create an endpoint that serves one of `external_model`, `entity_name` or `config`.

        Returns at once, while it deploys; with `wait=True`, or `wait={"timeout": 600}`, when it is ready (see `wait`).

            client.endpoints.create("gpt", external_model=ExternalModel(provider="openai", …))
            client.endpoints.create("llama", entity_name="main.models.llama", provisioned_model_units=50)
        """
        return self._run(create_endpoint(self._context, name, spec, wait))

    def update(
        self,
        name: str,
        *,
        wait: bool | WaitOptions = False,
        **spec: Unpack[ConfigSpec],
    ) -> Endpoint:
        """Replace what an endpoint serves. It answers as before until the change is deployed.

        ConflictError while another change is under way.
        """
        return self._run(update_endpoint(self._context, name, spec, wait))

    def update_tags(self, name: str, add: TagsLike = (), delete: Iterable[str] = ()) -> TagList:
        """Set tags (`{"team": "search"}`) and delete others by key; returns the tags that the endpoint then has."""
        return self._run(update_tags(self._context, name, add, delete))

    def update_rate_limits(self, name: str, limits: RateLimits) -> RateLimitList:
        """Replace the rate limits of an endpoint. Deprecated by the service: `update_ai_gateway` has them too."""
        return self._run(update_rate_limits(self._context, name, limits))

    def update_ai_gateway(self, name: str, gateway: Gateway) -> AiGatewayConfig:
        """Replace the gateway's configuration (guardrails, rate limits, fallback, tables), whole."""
        return self._run(update_ai_gateway(self._context, name, gateway))

    def delete(self, name: str) -> None:
        """Delete an endpoint."""
        return self._run(delete_endpoint(self._context, name))

    def wait(self, name: str, **options: Unpack[WaitOptions]) -> Endpoint:
        """Wait until an endpoint is ready and no change of it is under way; returns it.

        EndpointFailedError if the last change failed or was cancelled, with what the deployments say, or if `timeout`
        seconds (1,200) pass; its `state` is the last one seen.
        """
        return self._run(wait_for_endpoint(self._context, name, **options))


class AsyncEndpoints:
    """The endpoints of a workspace, for asyncio: `client.endpoints` of `AsyncClient`.

    Every verb raises NotFoundError for an endpoint that does not exist, and the other errors of a call.
    """

    def __init__(self, run: AsyncRun, context: Context) -> None:
        self._run = run
        self._context = context

    async def list(self) -> EndpointList:
        """All endpoints that you may see, in short: without pending configuration and deployment states."""
        return await self._run(list_endpoints(self._context))

    async def get(self, name: str) -> Endpoint:
        """One endpoint, in full."""
        return await self._run(get_endpoint(self._context, name))

    async def create(
        self,
        name: str,
        *,
        wait: bool | WaitOptions = False,
        **spec: Unpack[EndpointSpec],
    ) -> Endpoint:
        """Create an endpoint that serves one of `external_model`, `entity_name` or `config`.

        Returns at once, while it deploys; with `wait=True`, or `wait={"timeout": 600}`, when it is ready (see `wait`).

            await client.endpoints.create("gpt", external_model=ExternalModel(provider="openai", …))
            await client.endpoints.create("llama", entity_name="main.models.llama", provisioned_model_units=50)
        """
        return await self._run(create_endpoint(self._context, name, spec, wait))

    async def update(
        self,
        name: str,
        *,
        wait: bool | WaitOptions = False,
        **spec: Unpack[ConfigSpec],
    ) -> Endpoint:
        """Replace what an endpoint serves. It answers as before until the change is deployed.

        ConflictError while another change is under way.
        """
        return await self._run(update_endpoint(self._context, name, spec, wait))

    async def update_tags(self, name: str, add: TagsLike = (), delete: Iterable[str] = ()) -> TagList:
        """Set tags (`{"team": "search"}`) and delete others by key; returns the tags that the endpoint then has."""
        return await self._run(update_tags(self._context, name, add, delete))

    async def update_rate_limits(self, name: str, limits: RateLimits) -> RateLimitList:
        """Replace the rate limits of an endpoint. Deprecated by the service: `update_ai_gateway` has them too."""
        return await self._run(update_rate_limits(self._context, name, limits))

    async def update_ai_gateway(self, name: str, gateway: Gateway) -> AiGatewayConfig:
        """Replace the gateway's configuration (guardrails, rate limits, fallback, tables), whole."""
        return await self._run(update_ai_gateway(self._context, name, gateway))

    async def delete(self, name: str) -> None:
        """Delete an endpoint."""
        return await self._run(delete_endpoint(self._context, name))

    async def wait(self, name: str, **options: Unpack[WaitOptions]) -> Endpoint:
        """Wait until an endpoint is ready and no change of it is under way; returns it.

        EndpointFailedError if the last change failed or was cancelled, with what the deployments say, or if `timeout`
        seconds (1,200) pass; its `state` is the last one seen.
        """
        return await self._run(wait_for_endpoint(self._context, name, **options))
