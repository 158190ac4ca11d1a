"""The routes of `/api/2.0/secrets`: scopes, secrets, and who may use them. Listings show no value."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import StringConstraints

from ._access import Asker
from ._engine import JSONObject
from ._models import Body
from ._scopes import Permission, Scopes, decoded, no_acl

PREFIX = "/api/2.0/secrets"
BACKEND = "DATABRICKS"
Principal = Annotated[str, StringConstraints(pattern=r"^[\w .,:;@+/()'&-]+$", max_length=256)]


class CreateScope(Body):
    """POST scopes/create."""

    scope: str
    initial_manage_principal: Literal["users"] | None = None
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


class PutACL(Body):
    """POST acls/put."""

    scope: str
    principal: Principal
    permission: Permission


class DeleteACL(Body):
    """POST acls/delete."""

    scope: str
    principal: Principal


def scope_routes(scopes: Scopes) -> APIRouter:
    """All routes of secrets."""
    router = APIRouter(prefix=PREFIX)
    _add_scopes(router, scopes)
    _add_secrets(router, scopes)
    _add_acls(router, scopes)
    return router


def _add_scopes(router: APIRouter, scopes: Scopes) -> None:
    @router.post("/scopes/create")
    async def create_scope(body: CreateScope, caller: Asker) -> JSONObject:
        scopes.create(body.scope, body.initial_manage_principal or caller.user)
        return {}

    @router.post("/scopes/delete")
    async def delete_scope(body: DeleteScope, caller: Asker) -> JSONObject:
        scopes.check(body.scope, caller, "MANAGE")
        scopes.delete(body.scope)
        return {}

    @router.get("/scopes/list")
    async def list_scopes(caller: Asker) -> JSONObject:
        seen = [name for name in scopes.names() if scopes.allows(name, caller, "READ")]
        return {"scopes": [{"name": name, "backend_type": BACKEND} for name in seen]}


def _add_secrets(router: APIRouter, scopes: Scopes) -> None:
    @router.post("/put")
    async def put_secret(body: PutSecret, caller: Asker) -> JSONObject:
        scopes.check(body.scope, caller, "WRITE")
        scopes.put(body.scope, body.key, decoded(body.string_value, body.bytes_value))
        return {}

    @router.post("/delete")
    async def delete_secret(body: DeleteSecret, caller: Asker) -> JSONObject:
        scopes.check(body.scope, caller, "WRITE")
        scopes.remove(body.scope, body.key)
        return {}

    @router.get("/list")
    async def list_secrets(scope: str, caller: Asker) -> JSONObject:
        scopes.check(scope, caller, "READ")
        return {"secrets": [{"key": key, "last_updated_timestamp": at} for key, at in scopes.keys(scope)]}

    @router.get("/get")
    async def get_secret(scope: str, key: str, caller: Asker) -> JSONObject:
        scopes.check(scope, caller, "READ")
        return {"key": key, "value": base64.b64encode(scopes.get(scope, key)).decode()}


def _add_acls(router: APIRouter, scopes: Scopes) -> None:
    @router.post("/acls/put")
    async def put_acl(body: PutACL, caller: Asker) -> JSONObject:
        scopes.check(body.scope, caller, "MANAGE")
        scopes.grant(body.scope, body.principal, body.permission)
        return {}

    @router.post("/acls/delete")
    async def delete_acl(body: DeleteACL, caller: Asker) -> JSONObject:
        scopes.check(body.scope, caller, "MANAGE")
        scopes.revoke(body.scope, body.principal)
        return {}

    @router.get("/acls/list")
    async def list_acls(scope: str, caller: Asker) -> JSONObject:
        scopes.check(scope, caller, "MANAGE")
        return {"items": [{"principal": who, "permission": permission} for who, permission in scopes.acls(scope)]}

    @router.get("/acls/get")
    async def get_acl(scope: str, principal: str, caller: Asker) -> JSONObject:
        scopes.check(scope, caller, "MANAGE")
        if (permission := dict(scopes.acls(scope)).get(principal)) is None:
            raise no_acl(scope, principal)
        return {"principal": principal, "permission": permission}
