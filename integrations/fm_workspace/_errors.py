"""The service's error answers: which status, which code, which of its body shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

NO_ENDPOINT = (
    "The given endpoint does not exist, please retry after checking the specified model and version deployment exists."
)


class JSON(JSONResponse):
    """A JSON answer. Half of a surrogate pair, which a request may bring and UTF-8 has no place for, becomes a `?`."""

    def render(self, content: Any) -> bytes:
        """The bytes of the answer."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )


class ServiceError(Exception):
    """An error answer in the making. `body` replaces the usual `{"error_code", "message"}`; `plain` sends bare text."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        plain: bool = False,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.plain = plain
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The HTTP answer."""
        if self.plain:
            text = self.message.encode("utf-8", "replace")
            return PlainTextResponse(text, self.status, self.headers)
        body = self.body if self.body is not None else {"error_code": self.code, "message": self.message}
        return JSON(body, self.status, self.headers)


def bad_request(message: str) -> ServiceError:
    """400 of the query API, as JSON."""
    return ServiceError(400, "BAD_REQUEST", f"Bad request: {message}")


def unreadable(message: str) -> ServiceError:
    """400 of the query API's JSON reader, which answers in plain text."""
    return ServiceError(400, "BAD_REQUEST", f"Bad request: json: {message}", plain=True)


def unknown_field(name: str) -> ServiceError:
    """400 for a field that the route does not know."""
    return unreadable(f'unknown field "{name}"')


def invalid_parameter(message: str) -> ServiceError:
    """400 of the management API."""
    return ServiceError(400, "INVALID_PARAMETER_VALUE", message)


def already_exists(name: str) -> ServiceError:
    """400 for a second endpoint of one name."""
    return ServiceError(400, "RESOURCE_ALREADY_EXISTS", f"Endpoint with name '{name}' already exists.")


def update_in_progress(name: str) -> ServiceError:
    """409 for an update during an update."""
    return ServiceError(
        409,
        "RESOURCE_CONFLICT",
        f"Endpoint '{name}' is currently being updated. Wait until the update ends before you start another one.",
    )


def no_resource(name: str) -> ServiceError:
    """404 of the management API."""
    return ServiceError(404, "RESOURCE_DOES_NOT_EXIST", f"The endpoint with name '{name}' does not exist.")


def no_endpoint() -> ServiceError:
    """404 of the query API."""
    return ServiceError(404, "ENDPOINT_NOT_FOUND", NO_ENDPOINT)


def no_route(method: str, path: str) -> ServiceError:
    """404 for a path that is no API."""
    return ServiceError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")


def not_ready(name: str, reason: str) -> ServiceError:
    """503 while an endpoint deploys, or after its first deployment failed."""
    return ServiceError(503, "TEMPORARILY_UNAVAILABLE", f"Endpoint '{name}' is not ready: {reason}.")


def not_permitted(message: str) -> ServiceError:
    """403: known, and not allowed."""
    return ServiceError(403, "PERMISSION_DENIED", message)


def internal_error() -> ServiceError:
    """500: a fault of ours."""
    return ServiceError(500, "INTERNAL_ERROR", "The workspace failed; its log says why.")


def rate_limited(message: str, retry_after: float) -> ServiceError:
    """429 with `Retry-After` in whole seconds."""
    seconds = str(max(1, int(retry_after + 0.999)))
    return ServiceError(
        429, "REQUEST_LIMIT_EXCEEDED", f"REQUEST_LIMIT_EXCEEDED: {message}", headers={"Retry-After": seconds}
    )


def guardrail(side: str, finding: Mapping[str, Any]) -> ServiceError:
    """400 of a guardrail, whose message is itself JSON."""
    verdict = {
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        f"{side}_guardrail": [finding],
        "finishReason": f"{side}_guardrail_triggered",
    }
    return ServiceError(400, "BAD_REQUEST", json.dumps(verdict))


def external_error(status: int, provider: str, message: Any, headers: Mapping[str, str] | None = None) -> ServiceError:
    """A provider's error, wrapped as the service wraps it; `message` is the provider's own body."""
    text = f"Received error from {provider}"
    body = {"error": text, "external_model_provider": provider, "external_model_message": message}
    return ServiceError(status, "EXTERNAL_MODEL_ERROR", text, body=body, headers=headers)
