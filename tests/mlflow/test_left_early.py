"""A stream that is left early: what the service has told of tokens by then counts, once, whoever made the call."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import mlflow
import pytest
from deployments_api import client_of, user
from fault_server import Answer, FaultServer, chunked, delta, event, reply, words
from traces import HOLDS, Traces, kept

import mlflow_fm
from fm_client import AsyncClient, Client

TOLD = {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6}
COST = {"input_cost": 5.0, "output_cost": 2.0, "total_cost": 7.0}
THINKS = 0.3
"""Seconds to the first piece: a model takes longer to answer than an endpoint to say what it is."""
CUMULATIVE = chunked(THINKS, *words("a", finish=None), end="hold")
SILENT = chunked(THINKS, event(delta("a")), end="hold")
MODEL = {"provider": "anthropic", "name": "claude", "task": "llm/v1/chat"}
DESCRIBED = reply(200, {"name": "ep", "config": {"served_entities": [{"name": "a", "external_model": MODEL}]}})
PATH = "/api/2.0/serving-endpoints/ep"


@pytest.fixture(autouse=True)
def recorded(traces: Traces, server: FaultServer) -> Iterator[None]:
    server.script(PATH, DESCRIBED)
    mlflow_fm.autolog(prices={"ep": (1e6, 2e6)})
    yield
    mlflow_fm.autolog(disable=True)


async def asked(server: FaultServer) -> AsyncGenerator[Any, None]:
    async with AsyncClient(server.host, "token-for-tests") as fm, aclosing(fm.stream_chat("ep", "Hi")) as chunks:
        async for chunk in chunks:
            yield chunk


def chat_model(server: FaultServer) -> Any:
    pytest.importorskip("langchain_core")
    from langchain_fm import ChatFoundationModel

    return kept(ChatFoundationModel(model="ep", host=server.host, token="token-for-tests"))


def llm(server: FaultServer) -> Any:
    pytest.importorskip("llama_index.core")
    from llamaindex_fm import FoundationModelLLM

    return kept(FoundationModelLLM("ep", host=server.host, token="token-for-tests"))


def said(text: str) -> Any:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content=text)]


WAYS: dict[str, Callable[[FaultServer], Any]] = {
    "client": lambda server: Client(server.host, "token-for-tests").stream_chat("ep", "Hi"),
    "async client": asked,
    "target": lambda server: client_of(server).predict_stream(endpoint="ep", inputs=user("Hi")),
    "async target": lambda server: client_of(server).apredict_stream(endpoint="ep", inputs=user("Hi")),
}
LANGCHAIN: dict[str, Callable[[FaultServer], Any]] = {
    "langchain": lambda server: chat_model(server).stream("Hi"),
    "async langchain": lambda server: chat_model(server).astream("Hi"),
}
LLAMA_INDEX: dict[str, Callable[[FaultServer], Any]] = {
    "llama_index": lambda server: llm(server).stream_complete("Hi"),
    "async llama_index": lambda server: llm(server).astream_complete("Hi"),
    "llama_index chat": lambda server: llm(server).stream_chat(said("Hi")),
    "async llama_index chat": lambda server: llm(server).astream_chat(said("Hi")),
}
HELD = [pytest.param(way, marks=[HOLDS] if "async" in way else []) for way in LLAMA_INDEX]


def leave(make: Callable[[FaultServer], Any], server: FaultServer) -> None:
    """Read one piece of a stream."""
    pieces = make(server)
    if inspect.isgenerator(pieces) or hasattr(pieces, "__next__"):
        next(iter(pieces))
        pieces.close()
    else:
        asyncio.run(aleave(pieces))


async def aleave(pieces: Any) -> None:
    if inspect.isawaitable(pieces):
        pieces = await pieces
    await anext(aiter(pieces))
    await pieces.aclose()
    del pieces  # LlamaIndex leaves ours for the garbage collector to close
    gc.collect()
    await asyncio.sleep(0.05)


def check(traces: Traces, *, told: bool) -> Any:
    """The one span of the call has what was told, and so has the trace; where nothing was, nothing is made up."""
    span = traces.only()
    expected = (TOLD, COST) if told else (None, None)
    assert expected == tuple(span.attributes.get(f"mlflow.{name}") for name in ("chat.tokenUsage", "llm.cost"))
    assert (TOLD if told else {}) == (traces.last().info.token_usage or {})
    assert span.attributes["fm.given_up"] and 1 == span.attributes["fm.requests"]
    assert "anthropic" == span.attributes["mlflow.llm.provider"]
    return span


@pytest.mark.parametrize(("answer", "told"), [(CUMULATIVE, True), (SILENT, False)], ids=["told", "not told"])
@pytest.mark.parametrize("way", [*WAYS, *LANGCHAIN, *LLAMA_INDEX])
def test_our_own_span_has_the_tokens_that_were_told(
    server: FaultServer, traces: Traces, way: str, answer: Answer, told: bool
) -> None:
    server.script("ep", answer)
    leave((WAYS | LANGCHAIN | LLAMA_INDEX)[way], server)
    span = check(traces, told=told)
    assert ("chat ep", "OK") == (span.name, span.status.status_code.value)


@pytest.mark.parametrize(("answer", "told"), [(CUMULATIVE, True), (SILENT, False)], ids=["told", "not told"])
@pytest.mark.parametrize("way", LANGCHAIN)
def test_the_span_of_langchain_has_them(
    langchain: Any, server: FaultServer, traces: Traces, way: str, answer: Answer, told: bool
) -> None:
    server.script("ep", answer)
    leave(LANGCHAIN[way], server)
    assert "ChatFoundationModel" == check(traces, told=told).name


@pytest.mark.parametrize(("answer", "told"), [(CUMULATIVE, True), (SILENT, False)], ids=["told", "not told"])
@pytest.mark.parametrize("way", HELD)
def test_the_span_of_llama_index_has_them(
    llama_index: Any, server: FaultServer, traces: Traces, way: str, answer: Answer, told: bool
) -> None:
    """It is over before the stream is closed."""
    server.script("ep", answer)
    leave(LLAMA_INDEX[way], server)
    assert "FoundationModelLLM" in check(traces, told=told).name


@pytest.mark.parametrize("way", ["llama_index", pytest.param("async llama_index", marks=HOLDS)])
def test_in_a_larger_trace_they_count_once(llama_index: Any, server: FaultServer, traces: Traces, way: str) -> None:
    server.script("ep", CUMULATIVE)
    with mlflow.start_span("around"):
        leave(LLAMA_INDEX[way], server)
    assert 1 == len({span.trace_id for span in traces.all()})
    assert TOLD == traces.last().info.token_usage
    assert 1 == sum("mlflow.chat.tokenUsage" in span.attributes for span in traces.all())


def test_a_stream_that_an_error_of_its_reader_ends_has_them_too(
    llama_index: Any, server: FaultServer, traces: Traces
) -> None:
    server.script("ep", CUMULATIVE)
    pieces = llm(server).stream_complete("Hi")
    next(pieces)
    with pytest.raises(ValueError, match="of the reader"):
        pieces.throw(ValueError("of the reader"))
    del pieces
    gc.collect()
    assert TOLD == traces.only().attributes["mlflow.chat.tokenUsage"]


def test_what_cannot_be_told_of_a_stream_does_not_keep_the_span_open(
    llama_index: Any, server: FaultServer, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    server.script("ep", CUMULATIVE)
    pieces = llm(server).stream_complete("Hi")
    next(pieces)
    monkeypatch.setattr("mlflow_fm._spans.tokens", fail)
    pieces.close()
    assert traces.only().end_time_ns is not None
