"""The routes of `/api/2.0/secrets`: scopes and secrets. Listings show no value."""

from __future__ import annotations

import base64
from typing import Literal

from fastapi import APIRouter

from ._engine import JSONObject
from ._models import Body
from ._scopes import Scopes, decoded

PREFIX = "/api/2.0/secrets"
BACKEND = "DATABRICKS"


class CreateScope(Body):
    """POST scopes/create."""

    scope: str
    initial_manage_principal: str | None = None
    scope_backend_type: Literal["DATABRICKS"] | None = None


class DeleteScope(Body):
    """POST scopes/delete."""

    scope: str


class PutSecret(Body):
    """POST put."""

    scope: str
    key: str
    string_value: str | None = None
    bytes_value: str | None = None


class DeleteSecret(Body):
    """POST delete."""

    scope: str
    key: str


def scope_routes(scopes: Scopes) -> APIRouter:
    """All routes of secrets."""
    router = APIRouter(prefix=PREFIX)
    _add_scopes(router, scopes)
    _add_secrets(router, scopes)
    return router


def _add_scopes(router: APIRouter, scopes: Scopes) -> None:
    @router.post("/scopes/create")
    async def create_scope(body: CreateScope) -> JSONObject:
        scopes.create(body.scope)
        return {}

    @router.post("/scopes/delete")
    async def delete_scope(body: DeleteScope) -> JSONObject:
        scopes.delete(body.scope)
        return {}

    @router.get("/scopes/list")
    async def list_scopes() -> JSONObject:
        return {"scopes": [{"name": name, "backend_type": BACKEND} for name in scopes.names()]}


def _add_secrets(router: APIRouter, scopes: Scopes) -> None:
    @router.post("/put")
    async def put_secret(body: PutSecret) -> JSONObject:
        scopes.put(body.scope, body.key, decoded(body.string_value, body.bytes_value))
        return {}

    @router.post("/delete")
    async def delete_secret(body: DeleteSecret) -> JSONObject:
        scopes.remove(body.scope, body.key)
        return {}

    @router.get("/list")
    async def list_secrets(scope: str) -> JSONObject:
        return {"secrets": [{"key": key, "last_updated_timestamp": at} for key, at in scopes.keys(scope)]}

    @router.get("/get")
    async def get_secret(scope: str, key: str) -> JSONObject:
        return {"key": key, "value": base64.b64encode(scopes.get(scope, key)).decode()}
