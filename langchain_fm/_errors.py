"""The core's errors as errors of langchain-core too, so that code that catches either kind works."""

from __future__ import annotations

from typing import Any

from langchain_core import exceptions

from fm_client import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    FMError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ResponseFormatError,
    ServerError,
    StreamInterruptedError,
    TLSError,
    UnprocessableEntityError,
)

# The first row that fits counts. The last column is `is_retryable`.
_TABLE: tuple[tuple[type[FMError], str, bool], ...] = (
    (InvalidRequestError, "ModelInvalidRequestError", False),
    (APITimeoutError, "ModelTimeoutError", True),
    (TLSError, "ModelConnectionError", False),
    (APIConnectionError, "ModelConnectionError", True),
    (StreamInterruptedError, "ModelConnectionError", True),
    (AuthenticationError, "ModelAuthenticationError", False),
    (PermissionDeniedError, "ModelPermissionDeniedError", False),
    (NotFoundError, "ModelNotFoundError", False),
    (RateLimitError, "ModelRateLimitError", True),
    (ContextLengthError, "ContextOverflowError", False),
    (BadRequestError, "ModelInvalidRequestError", False),
    (UnprocessableEntityError, "ModelInvalidRequestError", False),
    (RequestTooLargeError, "ModelInvalidRequestError", False),
    (ServerError, "ModelAPIError", True),
    (ResponseFormatError, "ModelAPIError", False),
    (APIError, "ModelError", False),
)
_kinds: dict[type[FMError], type[FMError]] = {}


class model_errors:  # noqa: N801 - it is used like a function
    """Within: what the core raises is raised as a class that is langchain-core's as well."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, FMError) and (twin := as_model_error(error)) is not error:
            raise twin.with_traceback(error.__traceback__) from error.__cause__


def as_model_error(error: FMError) -> FMError:
    """`error` as an instance of both families; itself where langchain-core has no such class."""
    kind = _kind(type(error))
    return error if kind is type(error) else _revive(kind, error.args, {**vars(error), **_worth(error)})


def _worth(error: FMError) -> dict[str, bool]:
    """Whether another try is worth it, where not the class says so but the service, or what a stream broke of."""
    if isinstance(error, APIError) and error.should_retry is not None:
        return {"is_retryable": error.should_retry}
    cause = error.__cause__
    if isinstance(error, StreamInterruptedError) and isinstance(cause, FMError):
        return {"is_retryable": getattr(as_model_error(cause), "is_retryable", False)}
    return {}


def _kind(ours: type[FMError]) -> type[FMError]:
    if ours not in _kinds:
        _kinds[ours] = _make_kind(ours)
    return _kinds[ours]


def _make_kind(ours: type[FMError]) -> type[FMError]:
    """The class for `ours`: itself where langchain-core has no like of it."""
    name, retryable = next(((name, retry) for cls, name, retry in _TABLE if issubclass(ours, cls)), ("", False))
    theirs = getattr(exceptions, name, None)
    if theirs is None or issubclass(ours, theirs):
        return ours
    members = {"__doc__": ours.__doc__, "__module__": __name__, "__reduce__": _reduce, "is_retryable": retryable}
    return type(ours.__name__, (ours, theirs), members)


def _reduce(error: FMError) -> tuple[Any, ...]:
    # The class is made on demand and cannot be imported: a pickle names the two it is made of.
    ours = next(base for base in type(error).__bases__ if issubclass(base, FMError))
    return _unpickle, (ours, error.args, vars(error))


def _unpickle(ours: type[FMError], args: tuple[Any, ...], state: dict[str, Any]) -> FMError:
    return _revive(_kind(ours), args, state)


def _revive(kind: type[FMError], args: tuple[Any, ...], state: dict[str, Any]) -> FMError:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error
