"""Waiting for an endpoint, and what to say when its deployment has failed."""

from __future__ import annotations

from ._context import Context
from ._endpoint_calls import get_endpoint
from ._endpoint_reports import build_log_of
from ._errors import APIConnectionError, EndpointFailedError, RateLimitError, ServerError, TLSError
from ._waiting import DEFAULT_WAIT, FIRST_POLL, LAST_POLL, OnState, WaitOptions, check_wait
from ._wire import Flow
from .types import Endpoint, EndpointConfig

SHOWN_LINES = 20
"""Lines of a failed build's log that stand in the note on the error; all of them are in its `build_log`."""


def wait_for_endpoint(
    context: Context,
    name: str,
    *,
    timeout: float = DEFAULT_WAIT,
    on_state: OnState | None = None,
    first_poll: float = FIRST_POLL,
    last_poll: float = LAST_POLL,
) -> Flow[Endpoint]:
    """Look at an endpoint until it is ready and no change of it is under way."""
    check_wait(timeout, first_poll, last_poll)
    deadline = context.clock() + timeout
    delay, pause, seen = 0.0, first_poll, None
    while True:
        try:
            endpoint = yield from get_endpoint(context, name, after=delay)
        except (ServerError, APIConnectionError, RateLimitError) as error:
            if context.clock() >= deadline or isinstance(error, TLSError):
                raise
            delay = last_poll  # it says nothing about the endpoint
            continue
        if on_state is not None and (shown := _progress(endpoint)) != seen:
            seen = shown
            on_state(endpoint)
        if endpoint.state is not None and endpoint.state.is_failed:
            raise (yield from _deployment_error(context, endpoint))
        if endpoint.is_ready and not endpoint.is_updating:
            return endpoint
        remaining = deadline - context.clock()
        if remaining <= 0:
            raise _failed(endpoint, f"endpoint {name!r} was not ready after {timeout:g} s: {endpoint.state}")
        delay, pause = min(pause, last_poll, remaining), min(pause + 1.0, last_poll)


def then_wait(context: Context, endpoint: Endpoint, options: WaitOptions | None) -> Flow[Endpoint]:
    """`endpoint`, or what it is when it is ready, where waiting is asked for."""
    if options is None:
        return endpoint
    return (yield from wait_for_endpoint(context, endpoint.name, **options))


def _deployment_error(context: Context, endpoint: Endpoint) -> Flow[EndpointFailedError]:
    """The error for a change that has failed, with the log of the build that failed where there is one."""
    cancelled = endpoint.state is not None and endpoint.state.config_update == "UPDATE_CANCELED"
    outcome = "was cancelled" if cancelled else "failed"
    error = _failed(endpoint, f"the deployment of endpoint {endpoint.name!r} {outcome} ({endpoint.state})")
    served = next((entity.name for entity in endpoint.failed_entities if entity.name), None)
    if served is not None:
        error.build_log = yield from build_log_of(context, endpoint.name, served)
    if error.build_log:
        lines = error.build_log.splitlines()
        error.add_note("\n".join([f"the build log of {served} ends:", *lines[-SHOWN_LINES:]]))
    return error


def _failed(endpoint: Endpoint, what: str) -> EndpointFailedError:
    reason = f"; {endpoint.failure}" if endpoint.failure else ""
    return EndpointFailedError(what + reason, state=endpoint.state, endpoint=endpoint.name)


def _progress(endpoint: Endpoint) -> tuple[object, ...]:
    entities = (endpoint.pending_config or endpoint.config or EndpointConfig()).entities
    return (str(endpoint.state), *(entity.state and entity.state.to_dict() for entity in entities))
