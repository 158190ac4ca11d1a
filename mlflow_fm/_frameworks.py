"""The span that MLflow's autologging for a framework has made of a call, so that the call does not get a second one."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import mlflow

from fm_client import ObservedCall

LANGCHAIN_TRACER = "mlflow.langchain.langchain_tracer"
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
    return active if active is not None and _is_of_model(active) else _langchain_span()


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
