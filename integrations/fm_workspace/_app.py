"""The workspace as an ASGI application."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fm_client import catalog

from ._audit import Auditor
from ._control import control_routes
from ._data_plane import DataPlane, data_routes
from ._description import describe_all
from ._engine import Engine
from ._errors import JSON, ServiceError, invalid_parameter, no_route
from ._gateway import Balancer
from ._guard import Guard, Rules
from ._hosted import Hosted
from ._ledger import Ledger
from ._limits import Metrics, RateLimiter
from ._providers import Providers
from ._quirks import TASKS
from ._record_routes import record_routes
from ._records import Records
from ._registry import Registry
from ._scope_routes import scope_routes
from ._scopes import Scopes
from ._secrets import Secrets
from ._store import Store
from ._urls import Reach
from ._warmth import Warmth


@dataclass(frozen=True, slots=True)
class Parts:
    """What a workspace is put together from."""

    rules: Rules
    store: Store
    engine: Engine
    deploy_seconds: float = 0.0
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Callable[[], float] = time.time
    provider_urls: Mapping[str, str] = field(default_factory=dict)
    reach: Reach | None = field(default_factory=Reach)
    """Where providers may be; None: wherever the environment's proxy leads."""


def build_app(parts: Parts) -> FastAPI:
    """The application; it closes engine and store when it shuts down."""
    store, clock = parts.store, parts.clock
    registry = Registry(store, hosted_models(clock()), clock, parts.deploy_seconds)
    records, scopes = Records(store.database), Scopes(store.database, store.vault, clock)
    permit = parts.reach.permits if parts.reach else None
    providers = Providers(Secrets(parts.secrets, scopes), parts.provider_urls, permit)
    metrics = Metrics()
    ledger, warmth = Ledger(records, clock), Warmth(clock)
    plane = DataPlane(registry, parts.engine, providers, RateLimiter(), Balancer(), metrics, ledger, warmth)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await parts.engine.aclose()
        await providers.aclose()
        parts.store.close()

    app = FastAPI(
        title="Embedded workspace",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        default_response_class=JSON,
    )
    for routes in (control_routes(registry, metrics), scope_routes(scopes), record_routes(records), data_routes(plane)):
        app.include_router(routes)
    _handle_errors(app)
    app.add_middleware(Guard, rules=parts.rules, audit=Auditor(records, clock))
    app.openapi = cache(partial(describe_all, app))  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def hosted_models(now: float) -> list[Hosted]:
    """The models of the catalog that are hosted: those that have a task of ours and are not retired at `now`."""
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    return [
        Hosted(model.endpoint, model.display_name, model.task)
        for model in catalog.models()
        if model.task is not None and model.task in TASKS.values() and not _retired(model.endpoint, today)
    ]


def _retired(endpoint: str, today: dt.date) -> bool:
    found = catalog.retirement(endpoint)
    return found is not None and found.date <= today


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid_body(request: Request, error: RequestValidationError) -> Response:
        return _refusal(error).response()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code in (404, 405):
            return no_route(request.method, request.url.path).response()
        return ServiceError(error.status_code, "BAD_REQUEST", str(error.detail)).response()


def _refusal(error: RequestValidationError) -> ServiceError:
    """The management API's 400 for the first thing that is wrong with a body."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    if first["type"] == "json_invalid":
        return ServiceError(400, "MALFORMED_REQUEST", "Could not parse the request: it is not valid JSON.")
    if first["type"] == "extra_forbidden":
        return invalid_parameter(f"Could not parse request: unknown field '{path}'.")
    return invalid_parameter(f"Could not parse request: {path or 'body'}: {first['msg']}")
