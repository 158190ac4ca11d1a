"""What can be set on an endpoint besides what it serves: tags, limits, gateway, notifications, permissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._context import Context
from ._endpoint_bodies import TagsLike, grant_list, tag_list
from ._endpoint_calls import call, get_endpoint, items, one
from ._errors import ResponseFormatError
from ._gateway_bodies import gateway_body, older_rate_limits
from ._objects import text_list
from ._routes import endpoint_path, permissions_path
from ._wire import Flow
from .types import (
    AiGatewayConfig,
    EmailNotifications,
    Grant,
    PermissionLevel,
    Permissions,
    RateLimit,
    Tag,
)
from .types._base import JSONObject, WireModel

RateLimits = Sequence[RateLimit | Mapping[str, Any]]
Gateway = AiGatewayConfig | Mapping[str, Any]
Grants = Iterable[Grant | Mapping[str, Any]]


class _Notified(WireModel):
    email_notifications: EmailNotifications | None = None


def update_tags(context: Context, name: str, add: TagsLike, delete: Iterable[str]) -> Flow[list[Tag]]:
    """Set and delete tags; returns all that the endpoint then has."""
    body: JSONObject = {"add_tags": tag_list(add), "delete_tags": text_list(delete, "the keys to delete")}
    body = {key: value for key, value in body.items() if value}
    then = items(Tag, "tags", name)
    return (yield from call(context, "PATCH", endpoint_path(name, "tags"), body, name=name, then=then))


def update_rate_limits(context: Context, name: str, limits: RateLimits) -> Flow[list[RateLimit]]:
    """Replace an endpoint's own rate limits, of the older kind."""
    body = {"rate_limits": older_rate_limits(limits)}
    then = items(RateLimit, "rate_limits", name)
    return (yield from call(context, "PUT", endpoint_path(name, "rate-limits"), body, name=name, then=then))


def update_ai_gateway(context: Context, name: str, gateway: Gateway) -> Flow[AiGatewayConfig]:
    """Replace the gateway's configuration, whole."""
    body, then = gateway_body(gateway), one(AiGatewayConfig, name)
    return (yield from call(context, "PUT", endpoint_path(name, "ai-gateway"), body, name=name, then=then))


def update_notifications(
    context: Context, name: str, success: Iterable[str] | None, failure: Iterable[str] | None
) -> Flow[EmailNotifications]:
    """Say whom to write to; None leaves a list out of the request."""
    given = {"on_update_success": success, "on_update_failure": failure}
    mails = {key: text_list(value, key) for key, value in given.items() if value is not None}
    body, then = {"email_notifications": mails}, one(_Notified, name)
    path = endpoint_path(name, "notifications")
    answer = yield from call(context, "PATCH", path, body, name=name, then=then)
    return answer.email_notifications or EmailNotifications()


def get_permissions(context: Context, name: str) -> Flow[Permissions]:
    """Who may do what with an endpoint."""
    path = yield from _permissions_path(context, name)
    return (yield from call(context, "GET", path, name=name, then=one(Permissions, name)))


def set_permissions(context: Context, name: str, grants: Grants) -> Flow[Permissions]:
    """Replace all permissions."""
    return (yield from _change_permissions(context, "PUT", name, grants))


def update_permissions(context: Context, name: str, grants: Grants) -> Flow[Permissions]:
    """Add permissions, or change those of the principals named."""
    return (yield from _change_permissions(context, "PATCH", name, grants))


def permission_levels(context: Context, name: str) -> Flow[list[PermissionLevel]]:
    """The levels that can be granted on an endpoint."""
    path = yield from _permissions_path(context, name, "permissionLevels")
    then = items(PermissionLevel, "permission_levels", name)
    return (yield from call(context, "GET", path, name=name, then=then))


def _change_permissions(context: Context, method: str, name: str, grants: Grants) -> Flow[Permissions]:
    body = {"access_control_list": grant_list(grants)}
    path = yield from _permissions_path(context, name)
    return (yield from call(context, method, path, body, name=name, then=one(Permissions, name)))


def _permissions_path(context: Context, name: str, *rest: str) -> Flow[str]:
    """The path, which has the endpoint's id in it and not its name."""
    endpoint = yield from get_endpoint(context, name)
    if not endpoint.id:
        raise ResponseFormatError("the endpoint has no id, by which its permissions are found", endpoint=name)
    return permissions_path(endpoint.id, *rest)
