"""Who may do what with an endpoint."""

from __future__ import annotations

from typing import Literal

from ._base import WireModel

Level = Literal["CAN_MANAGE", "CAN_QUERY", "CAN_VIEW"]
"""The levels of the service's API (databricks-sdk 0.156.0). Answers may name others: those are kept as text."""


class Grant(WireModel):
    """A permission for one user, group or service principal; exactly one of the three names is given.

    >>> Grant(group_name="analysts", permission_level="CAN_QUERY").to_dict()
    {'group_name': 'analysts', 'permission_level': 'CAN_QUERY'}
    """

    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: str | None = None
    """Its application id."""
    permission_level: Level | str | None = None


class Permission(WireModel):
    """A permission that somebody has."""

    permission_level: str | None = None
    inherited: bool | None = None
    inherited_from_object: list[str] | None = None


class AccessControl(WireModel):
    """All permissions of one user, group or service principal."""

    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: str | None = None
    display_name: str | None = None
    all_permissions: list[Permission] | None = None


class Permissions(WireModel):
    """Who may do what with an endpoint."""

    object_id: str | None = None
    object_type: str | None = None
    access_control_list: list[AccessControl] | None = None


class PermissionLevel(WireModel):
    """A level that can be granted."""

    permission_level: str | None = None
    description: str | None = None
