"""A call as a span: what was asked and answered, tokens, cost, model, repeats, and the time to the first piece."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.entities import NoOpSpan, SpanEvent, SpanStatus, SpanStatusCode
from mlflow.tracing.fluent import start_span_no_context

from fm_client import APIError, CallObserver, EmbeddingResponse, ObservedCall, Usage, catalog

from ._frameworks import active_span, before_end, framework_span
from ._prices import Price, cost

PROVIDER = "databricks"
"""Of hosted and provisioned models; and who was asked, in the span of a framework, which names somebody always."""
# What MLflow's catalog of prices calls other than the service does; Bedrock's models have its own prices.
_PROVIDERS = {
    "ai21labs": "ai21",
    "amazon-bedrock": "bedrock",
    "databricks-model-serving": PROVIDER,
    "google-cloud-vertex-ai": "vertex_ai",
}
_TYPES = {"chat": "CHAT_MODEL", "complete": "LLM", "embed": "EMBEDDING"}
# What of a request is no content. Fields that nobody foresaw may be.
_SETTINGS = frozenset(
    {
        "dimensions",
        "encoding_format",
        "frequency_penalty",
        "logprobs",
        "max_tokens",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "seed",
        "stream",
        "temperature",
        "thinking",
        "top_k",
        "top_logprobs",
        "top_p",
    }
)
# MLflow's names; an older one of it has fewer, and keeps the others as they are.
_MODEL, _PROVIDER, _FORMAT = "mlflow.llm.model", "mlflow.llm.provider", "mlflow.message.format"
_USAGE, _COST, _TOOLS = "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.chat.tools"


@dataclass(frozen=True, slots=True)
class Recording:
    """What the user wants recorded."""

    content: bool
    prices: Mapping[str, Price]


class CallSpan(CallObserver):
    """The span of one call: its own, or that of the framework that makes the call, which is completed."""

    def __init__(self, call: ObservedCall, recording: Recording) -> None:
        self._call, self._recording = call, recording
        self._endpoint = call.models[0]
        self._repeats: list[bool] = []  # of each request whether it was one; lists take what several threads append
        active = active_span(call)
        borrowed = framework_span(active)
        self._is_own = borrowed is None
        self._is_over, self._used = False, None
        self._span: Any = self._start(active) if borrowed is None else borrowed
        if not self._is_own:
            self._span.set_attributes(self._identity(self._endpoint, None))
            if call.stream or self._span.get_attribute(_FORMAT) == "llamaindex":  # each of them has one call only
                before_end(self._span, self._complete)
        self._began = time.perf_counter()  # not before: MLflow's first span takes it half a second of imports

    @property
    def is_recorded(self) -> bool:
        """Whether anybody will see it: MLflow's tracing may be switched off, or take samples."""
        return not isinstance(self._span, NoOpSpan)

    def sent(self, endpoint: str, failure: APIError | None) -> None:
        """Note an attempt that is not the first one."""
        self._repeats.append(failure is not None)
        if failure is not None:
            status = {"status": failure.status_code} if failure.status_code else {}
            self._note("retry", endpoint=endpoint, error=type(failure).__name__, **status)
        elif endpoint != self._endpoint:
            self._note("fallback", endpoint=endpoint, instead_of=self._endpoint)
        self._endpoint = endpoint

    def first_piece(self) -> None:
        """Note how long it took."""
        self._note("first_token")
        self._span.set_attribute("fm.time_to_first_token", round(time.perf_counter() - self._began, 6))

    def ended(self, answer: Any, error: BaseException | None) -> None:
        """Record the answer or the error, and close the span if it is our own."""
        if self._is_over:
            return
        given_up = isinstance(error, GeneratorExit)
        self._record(answer, given_up=given_up)
        if status := getattr(error, "status_code", None):
            self._span.set_attribute("fm.status", status)
        if not self._is_own:
            return
        if answer is not None:
            self._span.set_outputs(self._outputs(answer))
        if error is None or (given_up and answer is not None):
            self._span.end(status=SpanStatus(SpanStatusCode.OK))
        else:
            self._fail(error)

    def _complete(self) -> None:
        """The framework ends its span. If the call goes on, it was given up; else what the framework knows less of."""
        if not self._is_over:
            self._record(self._call.arrived(), given_up=True)
        elif self._used:  # LlamaIndex's has no cached tokens
            self._span.set_attribute(_USAGE, self._used)

    def _record(self, answer: Any, *, given_up: bool) -> None:
        self._is_over = True
        facts = self._facts(answer)
        self._used = facts.get(_USAGE)
        self._span.set_attributes(facts)
        if given_up:
            self._span.set_attribute("fm.given_up", True)

    def _start(self, parent: Any) -> Any:
        call = self._call
        attributes = self._names(self._endpoint, None)
        if len(call.models) > 1:
            attributes["fm.endpoints"] = list(call.models)
        if call.kind == "chat":
            attributes[_FORMAT] = "openai"
        if self._recording.content and call.body.get("tools"):
            attributes[_TOOLS] = call.body["tools"]
        return start_span_no_context(
            f"{call.kind} {call.models[0]}",
            span_type=_TYPES.get(call.kind, "CHAT_MODEL"),
            parent_span=parent,
            inputs=self._inputs(),
            attributes=attributes,
        )

    def _inputs(self) -> dict[str, Any]:
        kept = self._recording.content
        asked = {name: value for name, value in self._call.body.items() if kept or name in _SETTINGS}
        return {"model": self._call.models[0], **asked}

    def _outputs(self, answer: Any) -> Any:
        if isinstance(answer, EmbeddingResponse):  # numbers by the thousand, which nobody reads in a trace
            return {"model": answer.model, "vectors": len(answer.vectors), "dimension": answer.dimension}
        if self._recording.content:
            return answer.to_dict()
        return {"finish_reasons": [choice.finish_reason for choice in getattr(answer, "choices", ())]}

    def _facts(self, answer: Any) -> dict[str, Any]:
        """What was found out in the end."""
        counts = {"fm.requests": len(self._repeats), "fm.retries": sum(self._repeats)}
        facts: dict[str, Any] = self._with_earlier(counts)
        if answer is None:
            return facts | self._identity(self._endpoint, None)
        endpoint = answer.endpoint or self._endpoint
        identity = self._identity(endpoint, answer)
        facts |= identity
        found = {"request_id": answer.request_id, "served_model": answer.served_model}
        facts |= {f"fm.{name}": value for name, value in found.items() if value}
        if answer.usage is not None:
            facts |= self._usage(answer.usage, endpoint, identity[_MODEL])
        return facts

    def _identity(self, endpoint: str, answer: Any) -> dict[str, Any]:
        """Which endpoint and model it is, and whose, where that is known."""
        vendor = self._call.provider(endpoint, answer and answer.served_model)
        provider = _PROVIDERS.get(vendor, vendor) if vendor else None
        if provider is None and not self._is_own:
            provider = PROVIDER
        return self._names(endpoint, answer) | ({_PROVIDER: provider} if provider else {})

    def _names(self, endpoint: str, answer: Any) -> dict[str, Any]:
        return {"fm.endpoint": endpoint, _MODEL: _model_of(endpoint, answer and answer.model)}

    def _usage(self, usage: Usage, endpoint: str, model: str) -> dict[str, Any]:
        prices = self._recording.prices
        price = prices.get(endpoint) or prices.get(model)
        facts: dict[str, Any] = {_USAGE: tokens(usage)}
        if price is not None:
            facts[_COST] = cost(price, usage)
        return self._with_earlier(facts)

    def _with_earlier(self, facts: dict[str, Any]) -> dict[str, Any]:
        """`facts` and those of calls before it in the same span: LlamaIndex has one for all batches of texts."""
        if self._is_own or self._span.get_attribute("fm.requests") is None:
            return facts
        return {name: _sum(self._span.get_attribute(name), found) for name, found in facts.items()}

    def _fail(self, error: BaseException) -> None:
        kind, text = type(error).__name__, str(error) if self._recording.content else ""
        if isinstance(error, GeneratorExit):
            kind, text = "Cancelled", "the call was cancelled"
        self._note("exception", **{"exception.type": kind, "exception.message": text})
        self._span.end(status=SpanStatus(SpanStatusCode.ERROR, f"{kind}: {text}" if text else kind))

    def _note(self, name: str, **facts: Any) -> None:
        event: Any = SpanEvent  # mypy takes it for abstract
        self._span.add_event(event(name, attributes=facts))


def tokens(usage: Usage) -> dict[str, int]:
    """Usage by MLflow's names; input includes what was cached."""
    counted = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.sum_tokens,
    }
    cached = {
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_creation_tokens,
    }
    return counted | {name: count for name, count in cached.items() if count}


def _model_of(endpoint: str, model: str | None) -> str:
    """The name by which MLflow's catalog prices a model: that of its endpoint if it is hosted, else what answered."""
    return endpoint if catalog.get(endpoint) else model or endpoint


def _sum(before: Any, found: Any) -> Any:
    if isinstance(found, Mapping):
        return {name: value + (before or {}).get(name, 0) for name, value in found.items()}
    return found + (before or 0)
