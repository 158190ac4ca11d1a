"""Errors that are MLflow's and the core client's at once, so that `except` works with either.

except mlflow.exceptions.MlflowException     what MLflow's own code catches
except fm_client.RateLimitError              what the core would have raised, with all that it carries
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.exceptions import MlflowException, get_error_code
from mlflow.protos.databricks_pb2 import ErrorCode

from fm_client import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    EndpointFailedError,
    FMError,
    InvalidRequestError,
    StreamInterruptedError,
)

# For errors without an HTTP status: the first class that fits.
_CODES: tuple[tuple[type[FMError], str], ...] = (
    (ConfigurationError, "INVALID_PARAMETER_VALUE"),
    (InvalidRequestError, "INVALID_PARAMETER_VALUE"),
    (APITimeoutError, "DEADLINE_EXCEEDED"),
    (APIConnectionError, "TEMPORARILY_UNAVAILABLE"),
    (StreamInterruptedError, "TEMPORARILY_UNAVAILABLE"),
    (EndpointFailedError, "INVALID_STATE"),
)

_classes: dict[type[FMError], type[DeploymentError]] = {}


class DeploymentError(MlflowException):
    """A failure of the core client as an MlflowException.

    `error_code` is MLflow's name of it, `service_error_code` the service's own; `status_code`, `request_id`,
    `retry_after` (seconds), `attempts`, … are the core's, and also in `serialize_as_json()`.
    """

    core: FMError
    status_code: int | None = None

    def get_http_status_code(self) -> int:
        """The status of the service's answer, or the one that fits `error_code`."""
        return self.status_code or int(super().get_http_status_code())  # type: ignore[no-untyped-call]  # MLflow's

    def __str__(self) -> str:
        return str(self.core)  # with the service's own code, not MLflow's name of it

    def __reduce__(self) -> tuple[Any, ...]:
        # The class is made here and found in no module, so a pickle holds what it was made from.
        return mlflow_error, (self.core,)


def mlflow_error(error: FMError) -> DeploymentError:
    """`error` as an instance of its own class and of MlflowException."""
    cls, code, facts = _both(type(error)), _code_of(error), dict(vars(error))
    made = cls.__new__(cls)
    MlflowException.__init__(made, getattr(error, "message", str(error)), ErrorCode.Value(code), **_shown(facts))
    # Both parents have an `error_code`: MLflow's has the name, for it is what MLflow's own methods read.
    vars(made).update({**facts, "core": error, "error_code": code, "service_error_code": facts.get("error_code")})
    return made


def invalid(message: str) -> MlflowException:
    """An argument that cannot be right."""
    return _exception(message, "INVALID_PARAMETER_VALUE")


def unsupported(message: str) -> MlflowException:
    """Something that serving endpoints do not have."""
    return _exception(message, "NOT_IMPLEMENTED")


def missing(message: str) -> MlflowException:
    """Something that does not exist."""
    return _exception(message, "RESOURCE_DOES_NOT_EXIST")


def conflict(message: str) -> MlflowException:
    """Something that exists already."""
    return _exception(message, "ALREADY_EXISTS")


@contextmanager
def mlflow_errors() -> Iterator[None]:
    """Raise the core's errors, and the ValueErrors of pure code, as MLflow's."""
    try:
        yield
    except MlflowException:
        raise
    except FMError as error:
        # Its place in one traceback, and not a second one below it that says the same again.
        raise mlflow_error(error).with_traceback(error.__traceback__) from error.__cause__
    except ValueError as error:
        raise invalid(str(error)) from error


def _exception(message: str, code: str) -> MlflowException:
    return MlflowException(message, ErrorCode.Value(code))


def _both(core: type[FMError]) -> type[DeploymentError]:
    """A class that is both, under the core's name; always the same one."""
    if core not in _classes:
        _classes[core] = type(core.__name__, (DeploymentError, core), {"__doc__": core.__doc__, "__module__": __name__})
    return _classes[core]


def _code_of(error: FMError) -> str:
    """The service's own code where MLflow knows it, else by HTTP status, else by class."""
    if isinstance(error, APIError):
        if error.error_code and error.error_code in dict(ErrorCode.items()):
            return error.error_code
        if error.status_code is not None:
            return _code_of_status(error.status_code)
    return next((code for cls, code in _CODES if isinstance(error, cls)), "INTERNAL_ERROR")


def _code_of_status(status: int) -> str:
    code: str = ErrorCode.Name(get_error_code(status))  # type: ignore[no-untyped-call]  # MLflow's
    # MLflow's table has few statuses, and takes every other one for the server's fault.
    return "BAD_REQUEST" if 400 <= status < 500 and code == "INTERNAL_ERROR" else code


def _shown(facts: dict[str, Any]) -> dict[str, Any]:
    names = ("status_code", "request_id", "retry_after", "endpoint", "attempts")
    return {name: facts[name] for name in names if facts.get(name)}
