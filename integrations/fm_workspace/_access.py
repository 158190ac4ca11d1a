"""What a user may do with an endpoint: what its permissions grant or, without any, what the role of the user does."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Request

from ._callers import Caller, Role, asked_by
from ._errors import not_permitted
from ._lifecycle import Endpoint

Level = Literal["CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"]
LEVELS: tuple[Level, ...] = ("CAN_VIEW", "CAN_QUERY", "CAN_MANAGE")
"""Each includes those before it."""
_BY_ROLE: dict[Role, Level] = {"read": "CAN_VIEW", "query": "CAN_QUERY", "admin": "CAN_MANAGE"}


def level_of(endpoint: Endpoint | None, caller: Caller) -> Level | None:
    """The permission of `caller` for `endpoint`, None if there is none; for one that does not exist, by role.

    Admins, and who made the endpoint, can manage it.
    """
    if endpoint is None or caller.role == "admin":
        return _BY_ROLE[caller.role]
    if endpoint.creator == caller.user:
        return "CAN_MANAGE"
    if not endpoint.permissions:
        return _BY_ROLE[caller.role]
    granted = {endpoint.permissions.get(principal) for principal in caller.principals}
    return next((level for level in reversed(LEVELS) if level in granted), None)


def allows(endpoint: Endpoint | None, caller: Caller, needed: Level) -> bool:
    """Whether `caller` has at least the permission `needed`."""
    level = level_of(endpoint, caller)
    return level is not None and LEVELS.index(level) >= LEVELS.index(needed)


def check_access(endpoint: Endpoint | None, caller: Caller, needed: Level, name: str) -> None:
    """403 unless `caller` has at least the permission `needed` for the endpoint called `name`."""
    if not allows(endpoint, caller, needed):
        raise not_permitted(f"User {caller.user} does not have the permission {needed} on endpoint '{name}'.")


def needed_for(method: str) -> Level:
    """The permission that a request to the management API needs."""
    return "CAN_VIEW" if method == "GET" else "CAN_MANAGE"


async def _asker(request: Request) -> Caller:
    return asked_by(request.scope).caller


Asker = Annotated[Caller, Depends(_asker)]
"""Who asks, as a parameter of a route."""
