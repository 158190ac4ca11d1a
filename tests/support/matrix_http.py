"""Rows H2 to H15 of the fault matrix: one answer of the service, repeated or followed by a good one."""

from __future__ import annotations

from typing import Any

from fault_server import reply
from matrix import Outcome, Row, good

from fm_client import (
    APIError,
    BadRequestError,
    ConflictError,
    EndpointNotReadyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ResponseFormatError,
    ServerError,
    UnprocessableEntityError,
)

BUSY = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}
LIMIT = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Exceeded output tokens per minute rate limit"}
LIMITED = reply(429, LIMIT)
HTML = "<html><head><style>p {color: red}</style></head><body><h1>502 Bad\x1b[31m Gateway</h1>\r\n</body></html>"
EXPIRED = {
    "401": reply(401, {"error_code": "UNAUTHENTICATED", "message": "no"}),
    "403 invalid": reply(403, "Invalid access token. [ReqId: 1]"),
    "403 expiring": reply(403, {"error_code": "PERMISSION_DENIED", "message": "Token is expiring within 30 seconds"}),
}


def refused(
    id: str, fault: str, answer: Any, error: type[APIError], status: int, code: str | None = None, **more: Any
) -> Row:
    """A row of an answer that is final."""
    return Row(id, fault, (answer,), Outcome(more.pop("attempts", 1), error, status, code, **more))


PASSING = [
    Row("H4", f"{status} once", (reply(status, BUSY), good), Outcome(2)) for status in (408, 425, 500, 502, 503, 504, 529)
]  # fmt: skip

LIMITS = [
    refused("H2", "429", LIMITED, RateLimitError, 429, LIMIT["error_code"], attempts=3, says=LIMIT["message"], facts={"retry_after": None}),
    refused("H3", "429 for 600 s", reply(429, LIMIT, retry_after="600"), RateLimitError, 429, LIMIT["error_code"], facts={"retry_after": 600.0}),
]  # fmt: skip

OUTAGES = [
    refused("H5", "503", reply(503, BUSY), ServerError, 503, BUSY["error_code"], attempts=3, says="busy"),
    refused("H6", "503 not ready", reply(503, "The endpoint is not ready yet"), EndpointNotReadyError, 503, attempts=3),
    refused("H11", "502 HTML", reply(502, HTML, content_type="text/html"), ServerError, 502, attempts=3, says="502 Bad [31m Gateway"),
    refused("H11", "502 empty", reply(502), ServerError, 502, attempts=3, says="without saying why"),
]  # fmt: skip

REFUSALS = [
    refused("H7", "400 JSON", reply(400, {"error_code": "BAD_REQUEST", "message": "max_tokens cannot exceed 8192"}), BadRequestError, 400, "BAD_REQUEST", says="max_tokens cannot exceed 8192"),
    refused("H7", "400 text", reply(400, "Bad request: rpc error: max_tokens is 9000"), BadRequestError, 400, says="rpc error: max_tokens is 9000"),
    refused("H7", "400 latin-1", reply(400, "paramètre inconnu".encode("latin-1")), BadRequestError, 400, says="param\ufffdtre inconnu"),
    refused("H7", "400 of 1 MB", reply(400, "x" * 1_000_000), BadRequestError, 400, says="xxx…"),
    refused("H9", "403", reply(403, {"error_code": "PERMISSION_DENIED", "message": "no query permission"}), PermissionDeniedError, 403, "PERMISSION_DENIED"),
    refused("H10", "404", reply(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "none such"}), NotFoundError, 404, "ENDPOINT_NOT_FOUND"),
    refused("H10", "409", reply(409, {"error_code": "RESOURCE_CONFLICT", "message": "busy"}), ConflictError, 409, "RESOURCE_CONFLICT"),
    refused("H10", "413", reply(413, HTML, content_type="text/html"), RequestTooLargeError, 413),
    refused("H10", "422", reply(422, {"detail": "no sense"}), UnprocessableEntityError, 422, says="no sense"),
]  # fmt: skip

NO_ANSWERS = [
    refused("H12", "200 HTML", reply(200, "<html>login</html>", content_type="text/html"), ResponseFormatError, 200),
    refused("H12", "200 empty", reply(200, b"", content_type="application/json"), ResponseFormatError, 200),
    refused("H12", "200 no JSON", reply(200, "fine", content_type="application/json"), ResponseFormatError, 200),
    refused("H12", "200 other type", reply(200, b"\x89PNG\r\n", content_type="image/png"), ResponseFormatError, 200),
    refused("H12", "204", reply(204), ResponseFormatError, 204),
]

INSIDE = [
    Row("H13", "200 with coded error", (reply(200, {"error_code": "BAD_REQUEST", "message": "no"}),), Outcome(1, BadRequestError, None, "BAD_REQUEST")),
    Row("H13", "200 with coded limit", (reply(200, LIMIT),), Outcome(3, RateLimitError, None, LIMIT["error_code"])),
    Row("H13", "200 with error object", (reply(200, {"error": {"message": "no", "code": 400}}),), Outcome(1, BadRequestError, 400, says="no")),
    Row("H13", "200 with limit object", (reply(200, {"error": {"message": "later", "code": 429}}),), Outcome(3, RateLimitError, 429, says="later")),
    Row("H13", "200 with error, then good", (reply(200, LIMIT), good), Outcome(2)),
]  # fmt: skip

ASKED = [
    Row("H15", "400 to be repeated", (reply(400, "odd", x_should_retry="true"),), Outcome(3, BadRequestError, 400)),
    Row("H15", "400 repeated", (reply(400, "odd", x_should_retry="true"), good), Outcome(2)),
    Row("H15", "503 not to be repeated", (reply(503, BUSY, x_should_retry="false"),), Outcome(1, ServerError, 503, BUSY["error_code"])),
]  # fmt: skip

ROWS = PASSING + LIMITS + OUTAGES + REFUSALS + NO_ANSWERS + INSIDE + ASKED
