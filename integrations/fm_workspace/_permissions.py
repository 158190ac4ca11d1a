"""The routes of `/api/2.0/permissions/serving-endpoints`: who may do what, by an endpoint's id."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from ._access import Asker, Level, check_access, needed_for
from ._engine import JSONObject
from ._errors import invalid_parameter
from ._lifecycle import Endpoint
from ._models import Body
from ._registry import Registry

PREFIX = "/api/2.0/permissions/serving-endpoints"
DESCRIPTIONS: dict[Level, str] = {
    "CAN_MANAGE": "Can read, query, change and delete the endpoint, and set permissions on it",
    "CAN_QUERY": "Can read and query the endpoint",
    "CAN_VIEW": "Can read the endpoint",
}
_PRINCIPALS = ("user_name", "group_name", "service_principal_name")


class Access(Body):
    """A permission for one principal."""

    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: str | None = None
    permission_level: Level


class AccessList(Body):
    """PUT and PATCH of permissions."""

    access_control_list: list[Access] = Field(default_factory=list)


def permission_routes(registry: Registry) -> APIRouter:
    """All routes of permissions."""

    async def permitted(request: Request, caller: Asker) -> None:
        identity = request.path_params["identity"]
        found = registry.with_id(identity)
        check_access(found, caller, needed_for(request.method), found.name if found else identity)

    router = APIRouter(prefix=PREFIX, dependencies=[Depends(permitted)])

    @router.get("/{identity}")
    async def get(identity: str) -> JSONObject:
        return _view(registry.by_id(identity))

    @router.put("/{identity}")
    async def replace_all(identity: str, body: AccessList) -> JSONObject:
        return _view(registry.set_permissions(identity, _granted(body.access_control_list)))

    @router.patch("/{identity}")
    async def add(identity: str, body: AccessList) -> JSONObject:
        before = registry.by_id(identity).permissions
        return _view(registry.set_permissions(identity, before | _granted(body.access_control_list)))

    @router.get("/{identity}/permissionLevels")
    async def levels(identity: str) -> JSONObject:
        registry.by_id(identity)
        shown = [{"permission_level": level, "description": text} for level, text in DESCRIPTIONS.items()]
        return {"permission_levels": shown}

    return router


def _granted(entries: Iterable[Access]) -> dict[str, str]:
    return {_principal(entry): entry.permission_level for entry in entries}


def _principal(entry: Access) -> str:
    """Who is meant, as one text: `user_name:ada@example.com`."""
    named = [field for field in _PRINCIPALS if getattr(entry, field)]
    if len(named) != 1:
        raise invalid_parameter(f"An entry of access_control_list needs one of {', '.join(_PRINCIPALS)}.")
    return f"{named[0]}:{getattr(entry, named[0])}"


def _view(endpoint: Endpoint) -> JSONObject:
    """`ServingEndpointPermissions`: the creator can always manage it."""
    everyone = {**endpoint.permissions, f"user_name:{endpoint.creator}": "CAN_MANAGE"}
    shown = []
    for principal, level in everyone.items():
        field, _, name = principal.partition(":")
        permission = {"permission_level": level, "inherited": False}
        shown.append({field: name, "display_name": name, "all_permissions": [permission]})
    return {
        "object_id": f"/serving-endpoints/{endpoint.id}",
        "object_type": "serving-endpoint",
        "access_control_list": shown,
    }
