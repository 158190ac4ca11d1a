"""Core clients, shared by all deployments clients of a target, and the time limits that MLflow's environment sets."""

from __future__ import annotations

import atexit
import math
import os
import threading
from dataclasses import dataclass, field

from fm_client import Client, Clients, Timeout

from ._targets import Target

PREDICT_TIMEOUT = "MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT"
"""Seconds for one request. Unset, MLflow takes 120; here it is the core's 300, longer than the service's own 297."""
TOTAL_TIMEOUT = "MLFLOW_DEPLOYMENT_PREDICT_TOTAL_TIMEOUT"
"""Seconds for all attempts together; unset, the core's default, or the time for one request if that is longer."""


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
    environment = {name: value for name, value in os.environ.items() if name.startswith("DATABRICKS_")}
    with _lock:
        pooled = _pool.get(target)
        if pooled is not None and pooled.environment == environment:
            return pooled.clients
        client = Client(host=target.host, profile=target.profile)
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


def predict_timeout(given: float | None = None) -> Timeout | float | None:
    """The limits of a query: `given` (seconds, for all of it), else the environment's; None leaves them to the core."""
    if given is not None:
        return given
    single, total = _seconds(PREDICT_TIMEOUT), _seconds(TOTAL_TIMEOUT)
    if single is None and total is None:
        return None
    default = Timeout()
    read = default.read if single is None else single
    if total is None:
        total = max(default.total or 0.0, read or 0.0)
    return Timeout(read=read, total=total)


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
