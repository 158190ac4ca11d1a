"""Serving endpoints: create, read, change, delete and wait for them, on every route.

The verbs are flows; `Endpoints` and `AsyncEndpoints` hand them to the driver of their client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol, TypeVar, Unpack

from . import _endpoint_flows as flows
from . import _endpoint_reports as reports
from . import _endpoint_settings as settings
from ._context import Context
from ._endpoint_bodies import ConfigSpec, EndpointSpec, TagsLike
from ._endpoint_calls import Limits, get_endpoint
from ._endpoint_scale import ScaleSpec
from ._endpoint_settings import Gateway, Grants, RateLimits
from ._endpoint_wait import wait_for_endpoint
from ._known import LOOK_SECONDS, route_told
from ._routes import Route, endpoint_path
from ._waiting import WaitOptions
from ._wire import Flow
from .types import (
    AiGatewayConfig,
    EmailNotifications,
    Endpoint,
    OptimizationInfo,
    PermissionLevel,
    Permissions,
    RateLimit,
    Tag,
)
from .types._base import JSONObject

T = TypeVar("T")
# A method called `list` hides the type of that name inside its class.
EndpointList = list[Endpoint]
TagList = list[Tag]
RateLimitList = list[RateLimit]
LevelList = list[PermissionLevel]


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
        return self._run(flows.list_endpoints(self._context))

    def get(self, name: str, **limits: Unpack[Limits]) -> Endpoint:
        """One endpoint, in full, within limits of the client or of this call."""
        return self._run(get_endpoint(self._context, name, **limits))

    def route(self, name: str, within: float = LOOK_SECONDS) -> Route | None:
        """By which route an endpoint serves; None where that cannot be told within so many seconds, 2 at most.

        Of a hosted model the catalog says it; any other endpoint is asked, once in ten minutes for all clients of the
        process. With `within=0` nothing is asked. No failure is raised: not to know it does no harm.

            client.endpoints.route("databricks-gte-large-en")  # Route.HOSTED
        """
        endpoint_path(name)  # a name that none can have is no failure of asking
        with suppress(Exception):  # a token function, or a transport of the caller's, may raise anything
            return self._run(route_told(self._context, name, within))
        return None

    def create(self, name: str, *, wait: bool | WaitOptions = False, **spec: Unpack[EndpointSpec]) -> Endpoint:
        """Create an endpoint that serves one of `external_model`, `entity_name`, `served_entities` or `config`.

        Returns at once, while it deploys; with `wait=True`, or `wait={"timeout": 600}`, when it is ready (see `wait`).

            client.endpoints.create("gpt", external_model=ExternalModel(provider="openai", …))
            client.endpoints.create("llama", entity_name="main.models.llama", provisioned_model_units=50)
            client.endpoints.create("e5", entity_name="main.models.e5", entity_version=1, throughput_chunks=2)

        `throughput_chunks` are multiples of what `optimization_info` says, which is asked for it.
        """
        return self._run(flows.create_endpoint(self._context, name, spec, wait))

    def update(self, name: str, *, wait: bool | WaitOptions = False, **spec: Unpack[ConfigSpec]) -> Endpoint:
        """Replace what an endpoint serves. It answers as before until the change is deployed.

        ConflictError while another change is under way.
        """
        return self._run(flows.update_endpoint(self._context, name, spec, wait))

    def scale(
        self,
        name: str,
        *,
        served: str | None = None,
        traffic: Mapping[str, int] | None = None,
        wait: bool | WaitOptions = False,
        **size: Unpack[ScaleSpec],
    ) -> Endpoint:
        """Give a provisioned endpoint another size or traffic split; all else of it stays as it is.

        `served` names the served entity, where there are several; `traffic` is the share of each, in percent.

            client.endpoints.scale("llama", throughput_chunks=4, wait=True)
        """
        return self._run(flows.scale_endpoint(self._context, name, served, size, traffic, wait))

    def delete(self, name: str) -> None:
        """Delete an endpoint."""
        return self._run(flows.delete_endpoint(self._context, name))

    def wait(self, name: str, **options: Unpack[WaitOptions]) -> Endpoint:
        """Wait until an endpoint is ready and no change of it is under way; returns it.

        EndpointFailedError if the last change failed or was cancelled, with what the deployments say and the log of
        the failed build, or if `timeout` seconds (1,200) pass; its `state` is the last one seen.
        """
        return self._run(wait_for_endpoint(self._context, name, **options))

    def optimization_info(self, model: str, version: str | int) -> OptimizationInfo:
        """Whether, and in which steps, throughput can be provisioned for a model of Unity Catalog."""
        return self._run(reports.optimization_info(self._context, model, version))

    def schema(self, name: str) -> JSONObject:
        """What an endpoint's queries look like: an OpenAPI document."""
        return self._run(reports.schema(self._context, name))

    def metrics(self, name: str) -> str:
        """An endpoint's metrics in the Prometheus text format; `parse_metrics` reads it."""
        return self._run(reports.metrics(self._context, name))

    def logs(self, name: str, served: str | None = None) -> str:
        """The log of a served entity's server. `served` may be left out where only one is served."""
        return self._run(reports.logs(self._context, name, served, "logs"))

    def build_logs(self, name: str, served: str | None = None) -> str:
        """The log of a served entity's build. `served` may be left out where only one is served."""
        return self._run(reports.logs(self._context, name, served, "build-logs"))

    def update_tags(self, name: str, add: TagsLike = (), delete: Iterable[str] = ()) -> TagList:
        """Set tags (`{"team": "search"}`) and delete others by key; returns the tags that the endpoint then has."""
        return self._run(settings.update_tags(self._context, name, add, delete))

    def update_rate_limits(self, name: str, limits: RateLimits) -> RateLimitList:
        """Replace the rate limits of an endpoint. Deprecated by the service: `update_ai_gateway` has them too."""
        return self._run(settings.update_rate_limits(self._context, name, limits))

    def update_ai_gateway(self, name: str, gateway: Gateway) -> AiGatewayConfig:
        """Replace the gateway's configuration (guardrails, rate limits, fallback, tables), whole."""
        return self._run(settings.update_ai_gateway(self._context, name, gateway))

    def update_notifications(
        self,
        name: str,
        *,
        on_update_success: Iterable[str] | None = None,
        on_update_failure: Iterable[str] | None = None,
    ) -> EmailNotifications:
        """Whom to write to when an update has ended: addresses of e-mail. None leaves a list out of the request."""
        return self._run(settings.update_notifications(self._context, name, on_update_success, on_update_failure))

    def get_permissions(self, name: str) -> Permissions:
        """Who may do what with an endpoint."""
        return self._run(settings.get_permissions(self._context, name))

    def set_permissions(self, name: str, grants: Grants) -> Permissions:
        """Replace all permissions: `[Grant(group_name="analysts", permission_level="CAN_QUERY")]`."""
        return self._run(settings.set_permissions(self._context, name, grants))

    def update_permissions(self, name: str, grants: Grants) -> Permissions:
        """Add permissions, or change those of the principals named; those of all others stay."""
        return self._run(settings.update_permissions(self._context, name, grants))

    def permission_levels(self, name: str) -> LevelList:
        """The levels that can be granted on an endpoint."""
        return self._run(settings.permission_levels(self._context, name))


class AsyncEndpoints:
    """The endpoints of a workspace, for asyncio: `client.endpoints` of `AsyncClient`.

    Every verb raises NotFoundError for an endpoint that does not exist, and the other errors of a call.
    """

    def __init__(self, run: AsyncRun, context: Context) -> None:
        self._run = run
        self._context = context

    async def list(self) -> EndpointList:
        """All endpoints that you may see, in short: without pending configuration and deployment states."""
        return await self._run(flows.list_endpoints(self._context))

    async def get(self, name: str, **limits: Unpack[Limits]) -> Endpoint:
        """One endpoint, in full, within limits of the client or of this call."""
        return await self._run(get_endpoint(self._context, name, **limits))

    async def route(self, name: str, within: float = LOOK_SECONDS) -> Route | None:
        """By which route an endpoint serves; None where that cannot be told within so many seconds, 2 at most.

        Of a hosted model the catalog says it; any other endpoint is asked, once in ten minutes for all clients of the
        process. With `within=0` nothing is asked. No failure is raised: not to know it does no harm.

            await client.endpoints.route("databricks-gte-large-en")  # Route.HOSTED
        """
        endpoint_path(name)  # a name that none can have is no failure of asking
        with suppress(Exception):  # a token function, or a transport of the caller's, may raise anything
            return await self._run(route_told(self._context, name, within))
        return None

    async def create(self, name: str, *, wait: bool | WaitOptions = False, **spec: Unpack[EndpointSpec]) -> Endpoint:
        """Create an endpoint that serves one of `external_model`, `entity_name`, `served_entities` or `config`.

        Returns at once, while it deploys; with `wait=True`, or `wait={"timeout": 600}`, when it is ready (see `wait`).

            await client.endpoints.create("gpt", external_model=ExternalModel(provider="openai", …))
            await client.endpoints.create("llama", entity_name="main.models.llama", provisioned_model_units=50)
            await client.endpoints.create("e5", entity_name="main.models.e5", entity_version=1, throughput_chunks=2)

        `throughput_chunks` are multiples of what `optimization_info` says, which is asked for it.
        """
        return await self._run(flows.create_endpoint(self._context, name, spec, wait))

    async def update(self, name: str, *, wait: bool | WaitOptions = False, **spec: Unpack[ConfigSpec]) -> Endpoint:
        """Replace what an endpoint serves. It answers as before until the change is deployed.

        ConflictError while another change is under way.
        """
        return await self._run(flows.update_endpoint(self._context, name, spec, wait))

    async def scale(
        self,
        name: str,
        *,
        served: str | None = None,
        traffic: Mapping[str, int] | None = None,
        wait: bool | WaitOptions = False,
        **size: Unpack[ScaleSpec],
    ) -> Endpoint:
        """Give a provisioned endpoint another size or traffic split; all else of it stays as it is.

        `served` names the served entity, where there are several; `traffic` is the share of each, in percent.

            await client.endpoints.scale("llama", throughput_chunks=4, wait=True)
        """
        return await self._run(flows.scale_endpoint(self._context, name, served, size, traffic, wait))

    async def delete(self, name: str) -> None:
        """Delete an endpoint."""
        return await self._run(flows.delete_endpoint(self._context, name))

    async def wait(self, name: str, **options: Unpack[WaitOptions]) -> Endpoint:
        """Wait until an endpoint is ready and no change of it is under way; returns it.

        EndpointFailedError if the last change failed or was cancelled, with what the deployments say and the log of
        the failed build, or if `timeout` seconds (1,200) pass; its `state` is the last one seen.
        """
        return await self._run(wait_for_endpoint(self._context, name, **options))

    async def optimization_info(self, model: str, version: str | int) -> OptimizationInfo:
        """Whether, and in which steps, throughput can be provisioned for a model of Unity Catalog."""
        return await self._run(reports.optimization_info(self._context, model, version))

    async def schema(self, name: str) -> JSONObject:
        """What an endpoint's queries look like: an OpenAPI document."""
        return await self._run(reports.schema(self._context, name))

    async def metrics(self, name: str) -> str:
        """An endpoint's metrics in the Prometheus text format; `parse_metrics` reads it."""
        return await self._run(reports.metrics(self._context, name))

    async def logs(self, name: str, served: str | None = None) -> str:
        """The log of a served entity's server. `served` may be left out where only one is served."""
        return await self._run(reports.logs(self._context, name, served, "logs"))

    async def build_logs(self, name: str, served: str | None = None) -> str:
        """The log of a served entity's build. `served` may be left out where only one is served."""
        return await self._run(reports.logs(self._context, name, served, "build-logs"))

    async def update_tags(self, name: str, add: TagsLike = (), delete: Iterable[str] = ()) -> TagList:
        """Set tags (`{"team": "search"}`) and delete others by key; returns the tags that the endpoint then has."""
        return await self._run(settings.update_tags(self._context, name, add, delete))

    async def update_rate_limits(self, name: str, limits: RateLimits) -> RateLimitList:
        """Replace the rate limits of an endpoint. Deprecated by the service: `update_ai_gateway` has them too."""
        return await self._run(settings.update_rate_limits(self._context, name, limits))

    async def update_ai_gateway(self, name: str, gateway: Gateway) -> AiGatewayConfig:
        """Replace the gateway's configuration (guardrails, rate limits, fallback, tables), whole."""
        return await self._run(settings.update_ai_gateway(self._context, name, gateway))

    async def update_notifications(
        self,
        name: str,
        *,
        on_update_success: Iterable[str] | None = None,
        on_update_failure: Iterable[str] | None = None,
    ) -> EmailNotifications:
        """Whom to write to when an update has ended: addresses of e-mail. None leaves a list out of the request."""
        return await self._run(settings.update_notifications(self._context, name, on_update_success, on_update_failure))

    async def get_permissions(self, name: str) -> Permissions:
        """Who may do what with an endpoint."""
        return await self._run(settings.get_permissions(self._context, name))

    async def set_permissions(self, name: str, grants: Grants) -> Permissions:
        """Replace all permissions: `[Grant(group_name="analysts", permission_level="CAN_QUERY")]`."""
        return await self._run(settings.set_permissions(self._context, name, grants))

    async def update_permissions(self, name: str, grants: Grants) -> Permissions:
        """Add permissions, or change those of the principals named; those of all others stay."""
        return await self._run(settings.update_permissions(self._context, name, grants))

    async def permission_levels(self, name: str) -> LevelList:
        """The levels that can be granted on an endpoint."""
        return await self._run(settings.permission_levels(self._context, name))
