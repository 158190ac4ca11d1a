"""The routes of the management API, `/api/2.0/serving-endpoints`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import PlainTextResponse

from ._access import Asker, allows, check_access, needed_for
from ._engine import JSONObject
from ._errors import ServiceError, invalid_parameter
from ._lifecycle import Endpoint, Entity
from ._limits import Metrics
from ._models import (
    AIGateway,
    CreateEndpoint,
    PatchNotifications,
    PatchTags,
    PatchTelemetry,
    PutRateLimits,
    UpdateConfig,
    UpdateProvisioned,
)
from ._openapi import describe
from ._permissions import permission_routes
from ._quirks import TASKS, task_of
from ._registry import Registry
from ._views import detailed, summary, tag_list

PREFIX = "/api/2.0/serving-endpoints"
THROUGHPUT_CHUNK = 980
"""`throughput_chunk_size` of the service's own example."""
_FAMILIES = ("llama", "mixtral", "mistral", "dbrx", "mpt", "gte", "bge", "qwen", "gemma", "deepseek")


def control_routes(registry: Registry, metrics: Metrics) -> APIRouter:
    """All routes of the management API."""

    async def permitted(request: Request, caller: Asker) -> None:
        if name := request.path_params.get("name"):
            check_access(registry.find(name), caller, needed_for(request.method), name)

    whole, router = APIRouter(), APIRouter(prefix=PREFIX, dependencies=[Depends(permitted)])
    # A fixed path comes before one with a name in it.
    _add_provisioned(router, registry)
    _add_endpoints(router, registry)
    _add_settings(router, registry)
    _add_reports(router, registry, metrics)
    whole.include_router(router)
    whole.include_router(permission_routes(registry))
    return whole


def _add_provisioned(router: APIRouter, registry: Registry) -> None:
    @router.post("/pt")
    async def create_provisioned(body: CreateEndpoint, caller: Asker) -> JSONObject:
        return detailed(registry.create(body, caller.user), caller)

    @router.put("/pt/{name}/config")
    async def update_provisioned(name: str, body: UpdateProvisioned, caller: Asker) -> JSONObject:
        return detailed(registry.update_at_once(name, body.config, caller), caller)

    @router.get("/get-model-optimization-info/{model}/{version}")
    async def optimization_info(model: str, version: str) -> JSONObject:
        return _optimization(model, version)


def _add_endpoints(router: APIRouter, registry: Registry) -> None:
    # MLflow's client ends the path of the collection with a slash.
    @router.post("/", include_in_schema=False)
    @router.post("")
    async def create(body: CreateEndpoint, caller: Asker) -> JSONObject:
        return detailed(registry.create(body, caller.user), caller)

    @router.get("/", include_in_schema=False)
    @router.get("")
    async def list_all(caller: Asker) -> JSONObject:
        seen = [endpoint for endpoint in registry.all() if allows(endpoint, caller, "CAN_VIEW")]
        return {"endpoints": [summary(endpoint) for endpoint in seen]}

    @router.get("/{name}")
    async def get(name: str, caller: Asker) -> JSONObject:
        return detailed(registry.get(name), caller)

    @router.delete("/{name}")
    async def delete(name: str) -> JSONObject:
        registry.delete(name)
        return {}


def _add_settings(router: APIRouter, registry: Registry) -> None:
    @router.put("/{name}/config")
    async def update_config(name: str, body: UpdateConfig, caller: Asker) -> JSONObject:
        return detailed(registry.update(name, body, caller), caller)

    @router.patch("/{name}/tags")
    async def patch_tags(name: str, body: PatchTags) -> JSONObject:
        return {"tags": tag_list(registry.retag(name, body))}

    @router.put("/{name}/rate-limits")
    async def put_rate_limits(name: str, body: PutRateLimits) -> JSONObject:
        limits = [limit.given() for limit in body.rate_limits]
        return {"rate_limits": registry.set_rate_limits(name, limits).rate_limits}

    @router.put("/{name}/ai-gateway")
    async def put_ai_gateway(name: str, body: AIGateway) -> JSONObject:
        return registry.set_gateway(name, body).ai_gateway or {}

    @router.patch("/{name}/notifications")
    async def patch_notifications(name: str, body: PatchNotifications) -> JSONObject:
        endpoint = registry.set_detail(name, "email_notifications", body.email_notifications)
        return {"name": name, "email_notifications": endpoint.details.get("email_notifications")}

    @router.patch("/{name}/telemetry-config")
    async def patch_telemetry(name: str, body: PatchTelemetry, caller: Asker) -> JSONObject:
        return detailed(registry.set_detail(name, "telemetry_config", body.telemetry_config), caller)


def _add_reports(router: APIRouter, registry: Registry, metrics: Metrics) -> None:
    @router.get("/{name}/metrics", response_class=PlainTextResponse)
    async def get_metrics(name: str) -> PlainTextResponse:
        return PlainTextResponse(metrics.text(registry.get(name).id, name))

    @router.get("/{name}/openapi")
    async def get_openapi(name: str) -> JSONObject:
        return describe(registry.get(name))

    @router.get("/{name}/served-models/{served}/build-logs")
    async def build_logs(name: str, served: str) -> JSONObject:
        return {"logs": _build_log(registry, name, served)}

    @router.get("/{name}/served-models/{served}/logs")
    async def server_logs(name: str, served: str) -> JSONObject:
        return {"logs": _log(registry, name, served)}


def _log(registry: Registry, name: str, served: str) -> str:
    """The log of a server: what its endpoint has come to."""
    endpoint = registry.get(name)
    _check_served(endpoint, served)
    lines = [f"served entity {served}: endpoint is {endpoint.ready}, {endpoint.config_update}"]
    if endpoint.failed and endpoint.pending is not None:
        lines.append(f"deployment failed: {endpoint.pending.failure}")
    return "\n".join(lines)


def _build_log(registry: Registry, name: str, served: str) -> str:
    """The log of a build. An external model is not built, and has none."""
    endpoint = registry.get(name)
    entity = _check_served(endpoint, served)
    if entity.external:
        raise ServiceError(404, "RESOURCE_DOES_NOT_EXIST", f"Served entity '{served}' is external and has no build.")
    pending = endpoint.pending if endpoint.pending and endpoint.pending.config.entity(served) else None
    lines = [f"[{served}] fetching {entity.model} version {entity.spec.get('entity_version', '1')}"]
    if pending is None:
        lines.append(f"[{served}] build succeeded")
    elif endpoint.failed:
        lines += [f"[{served}] ERROR: {pending.failure}", f"[{served}] build failed"]
    return "\n".join(lines)


def _check_served(endpoint: Endpoint, served: str) -> Entity:
    entity = endpoint.entity(served)
    if entity is None:
        raise ServiceError(
            404, "RESOURCE_DOES_NOT_EXIST", f"Endpoint '{endpoint.name}' has no served entity '{served}'."
        )
    return entity


def _optimization(model: str, version: str) -> JSONObject:
    """Whether, and in which steps, throughput can be provisioned for a Unity Catalog model."""
    if model.count(".") != 2 or not version.isdigit():
        raise invalid_parameter(
            f"{model!r} version {version!r} is no Unity Catalog model: catalog.schema.model, number."
        )
    family = next((family for family in _FAMILIES if family in model.lower()), None)
    if family is None and task_of(model, {}) == TASKS["chat"]:
        return {"optimizable": False}
    return {"optimizable": True, "model_type": family or "embedding", "throughput_chunk_size": THROUGHPUT_CHUNK}
