"""Every error this package raises.

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
    │   │   ├── ContextLengthError      … more tokens than the model takes
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

from typing import Any


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


class ToolArgumentsError(FMError, ValueError):
    """What the model gives a tool is no JSON object, as when it was cut off: such a call is never to be executed."""


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


class ContextLengthError(BadRequestError):
    """400: prompt and answer together have more tokens than the model takes. Send less, or ask for less."""


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
    """An endpoint's deployment failed, was cancelled, or was not ready in the time given. `state` is its last one.

    `build_log` is the log of the build that failed; None if there is none.
    """

    def __init__(self, message: str, *, state: Any = None, build_log: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.state = state
        self.build_log = build_log
