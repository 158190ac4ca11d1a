"""Tracing, switched on by one call: every query of every client becomes a span of MLflow's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fm_client import ObservedCall, observe

from ._errors import mlflow_errors
from ._frameworks import mend_async_streams
from ._prices import PriceLike, read_prices
from ._spans import CallSpan, Recording

_stops: list[Callable[[], None]] = []


def autolog(
    *,
    disable: bool = False,
    content: bool = True,
    prices: Mapping[str, PriceLike] | None = None,
    look_up_provider: bool = True,
) -> None:
    """Trace chat, completions and embeddings: of the core client, of all three adapters, sync, async and streamed.

    >>> import mlflow_fm
    >>> mlflow_fm.autolog(content=False, prices={"my-endpoint": (0.5, 1.5)})
    >>> mlflow_fm.autolog(disable=True)

    `content` False leaves out what was asked, what was answered and the texts of errors; names, counts and settings
    stay.
    `prices`: endpoint or model -> `Price`, or (input, output), in USD for a million tokens; for others MLflow's own
    catalog decides.
    `look_up_provider`: an endpoint that is not in the catalog, and was not described to this process yet, is asked once
    whose models it serves, while the call goes on. False asks nothing for the sake of a trace.
    Called again, it replaces what was said before. Where `mlflow.langchain.autolog()` or
    `mlflow.llama_index.autolog()` has a span for the call, that span is completed and no second one is made.
    """
    with mlflow_errors():
        recording = Recording(content, read_prices(prices or {}))
    while _stops:
        _stops.pop()()
    if not disable:
        _stops.append(observe(lambda call: _begin(call, recording), look_up_provider=look_up_provider))
        _stops.append(mend_async_streams())


def _begin(call: ObservedCall, recording: Recording) -> CallSpan | None:
    span = CallSpan(call, recording)
    return span if span.is_recorded else None  # nothing is asked for a call that is switched off, or no sample
