"""The service's error bodies -> typed errors: five shapes, in answers and inside streams."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ._errors import (
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ContentFilteredError,
    ContextLengthError,
    EndpointNotReadyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    RequestTooLargeError,
    ServerError,
    UnprocessableEntityError,
)
from ._redact import CUT, shown
from ._wire import Reply

MAX_MESSAGE_CHARS = 2_048
"""How much of a service's own text an error message quotes."""
MAX_DEPTH = 200
"""How deeply JSON may be nested: pydantic's own limit. Deeper, and who walks through it runs out of stack."""

STATUS_ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: RequestTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    503: ServerError,
}

# The service's own code is more exact than the status, which gateways rewrite; so it decides where it is known.
CODE_ERRORS: dict[str, type[APIStatusError]] = {
    "BAD_REQUEST": BadRequestError,
    "INVALID_PARAMETER_VALUE": BadRequestError,
    "INVALID_STATE": BadRequestError,
    "UNAUTHENTICATED": AuthenticationError,
    "CUSTOMER_UNAUTHORIZED": AuthenticationError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "NOT_FOUND": NotFoundError,
    "ENDPOINT_NOT_FOUND": NotFoundError,
    "RESOURCE_DOES_NOT_EXIST": NotFoundError,
    "ABORTED": ConflictError,
    "ALREADY_EXISTS": ConflictError,
    "RESOURCE_ALREADY_EXISTS": ConflictError,
    "RESOURCE_CONFLICT": ConflictError,
    "REQUEST_LIMIT_EXCEEDED": RateLimitError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "INTERNAL_ERROR": ServerError,
    "UNKNOWN": ServerError,
    "DATA_LOSS": ServerError,
    "TEMPORARILY_UNAVAILABLE": ServerError,
    "DEADLINE_EXCEEDED": ServerError,
    # Of the Responses API, inside streams and answers.
    "server_error": ServerError,
    "rate_limit_exceeded": RateLimitError,
    "invalid_prompt": BadRequestError,
}

_TOO_DEEP = f"the JSON is nested more than {MAX_DEPTH} deep"
# Compiled when they are first used, by `re`, which keeps them: importing them compiled would cost everyone.
_CODED_TEXT = r"(?s)^([A-Z][A-Z_]{4,}): (.*)$"
_MARKUP = r"(?is)<(?:style|script).*?</(?:style|script)>|<[^>]*>"
_NOT_READY = r"(?i)not (?:yet )?ready|scal(?:ing|ed) (?:up )?(?:from|to) zero|is (?:starting|deploying)"
_FILTERED = r"(?i)(?:input|output)_guardrail|content_filter|content management policy"
_OVERFLOW = (
    r"(?i)context[ _](?:length|window)|prompt is too long|input is too long|maximum number of tokens|"
    r"too many (?:input )?tokens"
)
# The service says that a credential aged with 403 as well as with 401.
_EXPIRED = r"(?i)invalid access token|token.{0,24}expir|expir.{0,24}token"


def error_for(reply: Reply, *, endpoint: str = "") -> APIStatusError:
    """The typed error of an answer with an error status."""
    payload = json_of(reply.body)
    code, message = read_error(payload if payload is not None else text_of(reply.body))
    return status_error(
        code,
        message or f"the service answered {reply.status} without saying why",
        endpoint=endpoint,
        status_code=reply.status,
        request_id=reply.request_id,
        retry_after=_body_retry_after(payload),
        body=text_of(reply.body),
    )


def error_in(payload: Any, *, endpoint: str = "", request_id: str | None = None) -> APIStatusError | None:
    """The error inside an answer (or a stream event) that came with status 200; None if it is none."""
    if not isinstance(payload, Mapping) or not ({"error", "error_code", "external_model_error"} & payload.keys()):
        return None
    if payload.get("error") is None and payload.get("error_code") is None and "external_model_error" not in payload:
        return None
    code, message = read_error(payload)
    body = text_of(json.dumps(payload, default=str).encode())
    inner = payload.get("error")
    status = inner.get("code") if isinstance(inner, Mapping) else None
    return status_error(
        code,
        message or "the service sent an error event without a text",
        endpoint=endpoint,
        status_code=status if isinstance(status, int) and 400 <= status < 600 else None,
        request_id=request_id,
        retry_after=_body_retry_after(payload),
        body=body,
    )


def status_error(code: str | None, message: str, *, status_code: int | None, **facts: Any) -> APIStatusError:
    """The error class for a service code and an HTTP status, with its message cut to size."""
    cls = CODE_ERRORS.get(code or "") or _class_of_status(status_code)
    text = f"{message} {facts.get('body', '')}"
    if issubclass(cls, BadRequestError) and re.search(_FILTERED, text):
        cls = ContentFilteredError
    elif issubclass(cls, (BadRequestError, RequestTooLargeError)) and re.search(_OVERFLOW, message):
        cls = ContextLengthError
    elif issubclass(cls, (ServerError, BadRequestError, NotFoundError)) and re.search(_NOT_READY, message):
        cls = EndpointNotReadyError
    return cls(_clip(message), status_code=status_code, error_code=code, **facts)


def is_expired_token(error: APIError) -> bool:
    """Whether a fresh credential may help: a 401, or a 403 that speaks of an invalid or expired token."""
    if isinstance(error, AuthenticationError):
        return True
    return isinstance(error, PermissionDeniedError) and bool(re.search(_EXPIRED, error.message))


def read_error(body: Any) -> tuple[str | None, str]:
    """`(code, message)` of any of the service's error bodies: three JSON shapes, coded text, plain text or HTML."""
    if isinstance(body, Mapping):
        return _read_object(body)
    text = re.sub(_MARKUP, " ", str(body)) if str(body).lstrip().startswith("<") else str(body)
    text = " ".join(text.split())
    coded = re.match(_CODED_TEXT, text)
    return (coded[1], coded[2]) if coded else (None, text)


def _read_object(body: Mapping[str, Any]) -> tuple[str | None, str]:
    for key in ("external_model_message", "external_model_error"):
        if isinstance(body.get(key), Mapping):
            code, message = _read_object(body[key])
            return code, f"{body.get('external_model_provider') or 'the external provider'} answered: {message}"
    inner = body.get("error")
    if isinstance(inner, Mapping):
        code, message = _read_object(inner)
        return (code or _word(inner.get("type"))), message
    code = _word(body.get("error_code") or body.get("code"))
    message = body.get("message") or body.get("error_description") or inner or body.get("detail") or ""
    return _unwrap(code, message)


def _unwrap(code: str | None, message: Any) -> tuple[str | None, str]:
    """A message may be an object, a JSON string, or repeat its own code."""
    if not isinstance(message, str):
        return code, json.dumps(message, default=str)
    nested = json_of(message.encode("utf-8", "replace")) if message.lstrip().startswith("{") else None
    if isinstance(nested, Mapping) and ("message" in nested or "error" in nested):
        return _read_object({"error_code": code, **nested})
    coded = re.match(_CODED_TEXT, message)
    if coded and code in (None, coded[1]):
        return coded[1], coded[2]
    return code, message


def json_of(body: bytes) -> Any:
    """The JSON value of `body`; None if it is none."""
    try:
        return load_json(body)
    except ValueError:
        return None


def load_json(body: bytes) -> Any:
    """The JSON value of `body`; a ValueError if it is none, or nested too deeply."""
    try:
        value = json.loads(body)
    except RecursionError as exc:
        raise ValueError(_TOO_DEEP) from exc
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        level = [inner for values in nested for inner in values]
    return bool(level)


def text_of(body: bytes) -> str:
    """At most 2,048 characters of `body`, with control characters made visible."""
    return _clip(body[: 4 * MAX_MESSAGE_CHARS].decode("utf-8", "replace"))


def _class_of_status(status: int | None) -> type[APIStatusError]:
    if status in STATUS_ERRORS:
        return STATUS_ERRORS[status]
    if status is not None and 300 <= status < 400:
        return RedirectError
    return BadRequestError if status is not None and 400 <= status < 500 else ServerError


def _body_retry_after(payload: Any) -> float | None:
    inner = payload.get("error") if isinstance(payload, Mapping) else None
    seconds = inner.get("retry_after") if isinstance(inner, Mapping) else None
    return float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < 1e6 else None


def _word(value: Any) -> str | None:
    return _clip(value) if isinstance(value, str) and value else None


def _clip(text: str) -> str:
    return shown(text) if len(text) <= MAX_MESSAGE_CHARS else shown(text[:MAX_MESSAGE_CHARS]) + CUT
