"""Core clients, shared by all deployments clients of a target, and the limits that MLflow's environment sets."""

from __future__ import annotations

import atexit
import math
import os
import threading
from dataclasses import dataclass, field

from fm_client import Client, Clients, Timeout

from ._targets import Target

PREDICT_TIMEOUT = "MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT"
"""Seconds without an answer, or without an event of a stream. Unset, MLflow takes 120; here it is the core's limits."""
TOTAL_TIMEOUT = "MLFLOW_DEPLOYMENT_PREDICT_TOTAL_TIMEOUT"
"""Seconds for all attempts together; unset, the core's default, or the time for one request if that is longer."""
REQUEST_TIMEOUTS = ("MLFLOW_DEPLOYMENT_CLIENT_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_TIMEOUT")
"""Seconds for a request that is no query; the first one that is set counts."""
MAX_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
"""Repeats after the first attempt, of any request; unset, the core's 2 and not MLflow's 7."""


@dataclass(frozen=True, slots=True)
class _Pooled:
    """Clients, and the settings in the environment that they were made under: these may be secret."""

    client: Client
    clients: Clients
    environment: dict[str, str] = field(repr=False)


_pool: dict[Target, _Pooled] = {}
_lock = threading.Lock()


def clients_for(target: Target) -> Clients:
    """The clients of a target: always the same ones, until the environment says something else.

    MLflow makes a deployments client for each request of an evaluation, so connections are kept here and not there.
    """
    ours = {MAX_RETRIES, *REQUEST_TIMEOUTS}
    environment = {name: text for name, text in os.environ.items() if name.startswith("DATABRICKS_") or name in ours}
    with _lock:
        pooled = _pool.get(target)
        if pooled is not None and pooled.environment == environment:
            return pooled.clients
        client = Client(
            host=target.host, profile=target.profile, timeout=request_timeout(), max_retries=_count(MAX_RETRIES)
        )
        _pool[target] = _Pooled(client, Clients(client=client), environment)
        if pooled is not None:
            pooled.client.close()  # what is under way in it still ends well
        return _pool[target].clients


def close_all() -> None:
    """Close the connections of all targets; they open again when they are needed."""
    with _lock:
        for pooled in _pool.values():
            pooled.client.close()
        _pool.clear()


atexit.register(close_all)


def predict_timeout(given: float | None = None) -> Timeout | float:
    """The limits of a query: `given` (seconds, for all of it), else the environment's, else the core's."""
    return _limits(_seconds(PREDICT_TIMEOUT), _seconds(TOTAL_TIMEOUT)) if given is None else given


def request_timeout() -> Timeout:
    """The limits of all other requests: the environment's, else the core's."""
    return _limits(next(filter(None, map(_seconds, REQUEST_TIMEOUTS)), None), None)


def _limits(single: float | None, total: float | None) -> Timeout:
    default = Timeout()
    read, idle = (default.read, default.idle) if single is None else (single, single)
    return Timeout(read=read, total=max(default.total or 0.0, read or 0.0) if total is None else total, idle=idle)


def _count(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text and not text.isdecimal():
        raise ValueError(f"{variable} must be a whole number that is not negative, not {text!r}")
    return int(text) if text else None


def _seconds(variable: str) -> float | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"{variable} must be a positive number of seconds, not {text!r}")
    return seconds
