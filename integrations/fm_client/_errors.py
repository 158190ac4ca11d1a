"""Every error this package raises, and the reading of the service's error bodies.

FMError
├── ConfigurationError            host, token or profile: nothing was sent   (a ValueError)
├── InvalidRequestError           the arguments of a call: nothing was sent  (a ValueError)
└── APIError                      the call failed; carries endpoint, attempts, request_id, …
    ├── APIConnectionError        no usable answer arrived
    │   ├── APITimeoutError       … in time
    │   ├── ProxyError            … through the proxy
    │   └── TLSError              … because the certificate was not accepted
    ├── APIStatusError            the service answered with an error
    │   ├── BadRequestError             400
    │   │   └── ContentFilteredError    … a guardrail or content filter refused
    │   ├── AuthenticationError         401
    │   ├── PermissionDeniedError       403
    │   ├── NotFoundError               404
    │   ├── ConflictError               409
    │   ├── RequestTooLargeError        413
    │   ├── UnprocessableEntityError    422
    │   ├── RateLimitError              429
    │   ├── ServerError                 5xx
    │   │   └── EndpointNotReadyError   503 while the endpoint starts or deploys
    │   └── RedirectError               3xx (never followed: the token stays home)
    ├── ResponseFormatError       a 2xx answer that is not what the API promises
    │   ├── EmbeddingContractError      vectors missing, doubled, ragged or not finite
    │   └── ResponseTooLargeError       over `max_response_bytes` or `max_event_bytes`
    ├── StreamInterruptedError    the stream broke after it had begun; carries what had arrived
    └── EndpointFailedError       a deployment failed, or was not ready in time
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._wire import Reply

MAX_MESSAGE_CHARS = 2_048
"""How much of a service's own text an error message quotes."""


class FMError(Exception):
    """Base of every error raised by this package.

    >>> from fm_client import Client, FMError
    >>> try:
    ...     Client(host="https://user:pw@example.com", token="t")
    ... except FMError as error:
    ...     print(type(error).__name__)
    ConfigurationError
    """


class ConfigurationError(FMError, ValueError):
    """Host, token, profile or another setting is missing or wrong. Nothing was sent."""


class InvalidRequestError(FMError, ValueError):
    """An argument of a call cannot be sent. Nothing was sent."""


class APIError(FMError):
    """A call failed.

    Carries what is known: `endpoint`, `attempts` (how often the request was sent), `status_code`,
    `error_code` (the service's own), `request_id`, `retry_after` (seconds) and `body` (text, cut at 2,048 characters).
    After `embed`, `completed` has the vectors of the inputs that were done: position -> vector.
    """

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        attempts: int = 0,
        status_code: int | None = None,
        error_code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        body: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint
        self.attempts = attempts
        self.status_code = status_code
        self.error_code = error_code
        self.request_id = request_id
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.body = body
        self.completed: dict[int, list[float]] = {}

    def __str__(self) -> str:
        facts = [
            f"{name}={value}"
            for name, value in (
                ("endpoint", self.endpoint),
                ("status", self.status_code),
                ("error_code", self.error_code),
                ("request_id", self.request_id),
                ("attempts", self.attempts if self.attempts > 1 else None),
            )
            if value
        ]
        return f"{self.message} [{' '.join(facts)}]" if facts else self.message


class APIConnectionError(APIError):
    """No usable answer arrived: refused, reset, cut off, or the name did not resolve.

    `phase` "connect": the request cannot have been received. `stale`: the server had closed an idle connection that
    was then used again, so that it has not seen the request.
    """

    def __init__(self, message: str, *, stale: bool = False, phase: str = "exchange", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.stale = stale
        self.phase = phase


class APITimeoutError(APIConnectionError):
    """No usable answer arrived in time. `phase` says which limit ended it: connect, write, read, pool, total, idle."""


class ProxyError(APIConnectionError):
    """The proxy refused, or could not be reached."""


class TLSError(APIConnectionError):
    """The server's certificate was not accepted. Never retried."""


class APIStatusError(APIError):
    """The service answered with an error status, or with an error inside a 200 answer."""


class BadRequestError(APIStatusError):
    """400: the service refused the request as it stands. `body` holds its reason."""


class ContentFilteredError(BadRequestError):
    """400: a guardrail of the endpoint, or the provider's content filter, refused input or output."""


class AuthenticationError(APIStatusError):
    """401: the credential is missing, wrong or expired."""


class PermissionDeniedError(APIStatusError):
    """403: the credential is good, and may not do this."""


class NotFoundError(APIStatusError):
    """404: no such endpoint, model or path. The message names endpoints that are close."""


class ConflictError(APIStatusError):
    """409: it exists already, or another update is still running."""


class RequestTooLargeError(APIStatusError):
    """413, or a request over the service's limit that was therefore not sent (`attempts` is 0)."""


class UnprocessableEntityError(APIStatusError):
    """422: the body was read and makes no sense to the service."""


class RateLimitError(APIStatusError):
    """429: a limit of the endpoint, the workspace or the gateway. `retry_after` if the service said so."""


class ServerError(APIStatusError):
    """5xx: the service failed."""


class EndpointNotReadyError(ServerError):
    """503 (or a "not ready" text): the endpoint deploys, or starts after it had scaled to zero."""


class RedirectError(APIStatusError):
    """3xx: never followed, because the token and the prompt would travel along. Check `host`."""


class ResponseFormatError(APIError):
    """A 2xx answer that is not what the API promises: not JSON, or without the promised fields."""


class EmbeddingContractError(ResponseFormatError):
    """The vectors do not fit the inputs. `positions` names the inputs concerned."""

    def __init__(self, message: str, *, positions: tuple[int, ...] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.positions = positions


class ResponseTooLargeError(ResponseFormatError):
    """The answer is larger than `max_response_bytes`, or one event than `max_event_bytes`."""


class StreamInterruptedError(APIError):
    """A stream broke after its first event: it is not retried, and what had arrived is here.

    `partial` is a ChatResponse or CompletionResponse of all that came (text, tool calls, usage), never a whole answer.
    """

    def __init__(self, message: str, *, partial: Any = None, events: int = 0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.partial = partial
        self.events = events

    @property
    def partial_text(self) -> str:
        """The text that had arrived."""
        return self.partial.text if self.partial is not None else ""


class EndpointFailedError(APIError):
    """An endpoint's deployment failed, was cancelled, or was not ready in the time given. `state` is its last one."""

    def __init__(self, message: str, *, state: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.state = state


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
}

_CODED_TEXT = re.compile(r"^([A-Z][A-Z_]{4,}): (.*)$", re.DOTALL)
_MARKUP = re.compile(r"<(?:style|script).*?</(?:style|script)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_NOT_READY = re.compile(r"not (?:yet )?ready|scal(?:ing|ed) (?:up )?(?:from|to) zero|is (?:starting|deploying)", re.I)
_FILTERED = re.compile(r"(?:input|output)_guardrail|content_filter|content management policy", re.I)
# Two or more of these stand for "the credential aged", which the service says with 403 as well as 401.
_EXPIRED = re.compile(r"invalid access token|token.{0,24}expir|expir.{0,24}token", re.I)


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
    if issubclass(cls, BadRequestError) and _FILTERED.search(text):
        cls = ContentFilteredError
    elif issubclass(cls, (ServerError, BadRequestError, NotFoundError)) and _NOT_READY.search(message):
        cls = EndpointNotReadyError
    return cls(_clip(message), status_code=status_code, error_code=code, **facts)


def is_expired_token(error: APIError) -> bool:
    """Whether a fresh credential may help: a 401, or a 403 that speaks of an invalid or expired token."""
    if isinstance(error, AuthenticationError):
        return True
    return isinstance(error, PermissionDeniedError) and bool(_EXPIRED.search(error.message))


def read_error(body: Any) -> tuple[str | None, str]:
    """`(code, message)` of any of the service's error bodies: three JSON shapes, coded text, plain text or HTML."""
    if isinstance(body, Mapping):
        return _read_object(body)
    text = _MARKUP.sub(" ", str(body)) if str(body).lstrip().startswith("<") else str(body)
    text = " ".join(text.split())
    coded = _CODED_TEXT.match(text)
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
    coded = _CODED_TEXT.match(message)
    if coded and code in (None, coded[1]):
        return coded[1], coded[2]
    return code, message


def json_of(body: bytes) -> Any:
    """The JSON value of `body`; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


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
    return value if isinstance(value, str) and value else None


def _clip(text: str) -> str:
    # Line breaks and escapes in a service's text would forge lines in a log.
    shown = "".join(c if c.isprintable() else " " for c in text[: MAX_MESSAGE_CHARS + 1])
    return shown if len(shown) <= MAX_MESSAGE_CHARS else shown[:MAX_MESSAGE_CHARS] + "…"
