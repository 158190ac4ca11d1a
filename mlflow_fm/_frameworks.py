"""The span that MLflow's autologging for a framework has made of a call, so that the call does not get a second one."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Callable
from types import FrameType, SimpleNamespace
from typing import Any

import mlflow
from mlflow.tracing.trace_manager import InMemoryTraceManager
from mlflow.utils.import_hooks import register_post_import_hook

from fm_client import ObservedCall

LANGCHAIN_TRACER = "mlflow.langchain.langchain_tracer"
LLAMA_INDEX_TRACER = "mlflow.llama_index.tracer"
_CALLERS = ("langchain_fm.", "langchain_core.language_models.")
_MODELS = frozenset({"CHAT_MODEL", "LLM", "EMBEDDING"})
_FORMATS = frozenset({"langchain", "llamaindex"})


def active_span(call: ObservedCall) -> Any:
    """The span that is open where the call was made, or, if it has ended since, where it runs; None without one."""
    places = (call.context.run(mlflow.get_current_active_span), mlflow.get_current_active_span())
    # With its root a trace ends, and takes no more spans.
    return next((found for found in places if found is not None and found.end_time_ns is None), None)


def framework_span(active: Any) -> Any:
    """The open span of LangChain's or LlamaIndex's model for the call that runs here; None if there is none."""
    found = _around_jobs(active)
    return found if found is not None and _is_of_model(found) else _langchain_span()


def _around_jobs(span: Any) -> Any:
    """The span around LlamaIndex's `run_jobs`, which has a model's batches done at once; else `span`."""
    spans: Any = InMemoryTraceManager.get_instance()  # type: ignore[no-untyped-call]
    while span is not None and span.name.startswith("run_jobs"):
        span = spans.get_span_from_id(span.trace_id, span.parent_id)
    return span


def _is_of_model(span: Any) -> bool:
    if span.span_type not in _MODELS:
        return False
    # What only the autologging of the two sets: a user's own span of such a type is no double of the call's.
    return span.get_attribute("mlflow.message.format") in _FORMATS or span.get_attribute("embed_batch_size") is not None


def _langchain_span() -> Any:
    """LangChain's span where it is not the active one: async callbacks run in a thread, whose context is lost.

    It is found by the run manager that LangChain has for the call, which is further up the stack.
    """
    if LANGCHAIN_TRACER not in sys.modules:
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        of_model = frame.f_globals.get("__name__", "").startswith(_CALLERS)
        if of_model and (manager := frame.f_locals.get("run_manager")) is not None:
            return _span_of_run(manager)
        frame = frame.f_back
    return None


def _span_of_run(manager: Any) -> Any:
    for handler in manager.handlers:
        if type(handler).__module__ == LANGCHAIN_TRACER:
            found = getattr(handler, "_run_span_mapping", {}).get(str(manager.run_id))
            return found and found.span
    return None


def before_end(span: Any, tell: Callable[[], None]) -> None:
    """Have `tell` called when the framework ends `span`, as long as it takes what it is told.

    When a stream is left early, the frameworks end their span first and the stream after it, so that who looks on at
    the stream comes too late. MLflow's processors of spans are the user's to configure; the span itself is at hand.
    """
    ended = span.end  # the class's own, or what somebody else has put there

    def end(*args: Any, **kwargs: Any) -> None:
        vars(span).pop("end", None)  # it may be ended twice, and by several threads
        try:
            tell()
        except Exception:
            logging.getLogger(__name__).debug("a span ends without what was known of its call", exc_info=True)
        ended(*args, **kwargs)

    span.end = end


class _Mending:
    """Whether async streams of LlamaIndex are to be traced to their end."""

    is_on = False


def mend_async_streams() -> Callable[[], None]:
    """Have the span that MLflow makes of an async stream of LlamaIndex end with the stream; returns what ends that.

    MLflow takes for a stream what `inspect.isgenerator` does, and that is no async generator. So it ends the span, and
    a trace of which it is the root, before the first piece is there; and the spans around it, which wait for a stream
    that was never noted, do not end at all.
    """

    def stop() -> None:
        _Mending.is_on = False

    _Mending.is_on = True
    _mend_when_imported()
    return stop


@functools.cache
def _mend_when_imported() -> None:
    register_post_import_hook(_mend, LLAMA_INDEX_TRACER)


def _mend(tracer: Any) -> None:
    if not _holds_async_streams(tracer):
        return
    is_stream = tracer.StreamResolver.is_streaming_result

    def is_streaming_result(self: Any, result: Any) -> bool:
        return bool(is_stream(self, result)) or (_Mending.is_on and inspect.isasyncgen(result))

    tracer.StreamResolver.is_streaming_result = is_streaming_result


def _holds_async_streams(tracer: Any) -> bool:
    """Whether the tracer takes one where it is given one: MLflow does from 3.6 on, and this is a private part of it."""

    async def stream() -> AsyncIterator[None]:
        yield

    try:
        return tracer.StreamResolver().register_stream_span(SimpleNamespace(span_id=""), stream()) is True
    except (AttributeError, TypeError, ValueError):
        return False
