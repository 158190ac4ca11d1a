"""Calls that LangChain or LlamaIndex make: one span with all of it, with their own autologging and without."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import mlflow
import pytest
from deployments_api import CHAT, GTE
from fault_server import DONE, FaultServer, chat, chunked, delta, event, reply
from traces import HOLDS, Traces, afinish, finish, kept

import mlflow_fm

BATCHES = 3
USED = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
COMPLETION = {
    "id": "c",
    "model": "m-1",
    "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


@pytest.fixture(autouse=True)
def recorded(traces: Traces) -> Iterator[None]:
    mlflow_fm.autolog(prices={"completions": (1.0, 2.0)})
    yield
    mlflow_fm.autolog(disable=True)


def chat_model() -> Any:
    from langchain_fm import ChatFoundationModel

    return kept(ChatFoundationModel(model=CHAT, host="local"))


def llm() -> Any:
    from llamaindex_fm import FoundationModelLLM

    return kept(FoundationModelLLM(CHAT, host="local"))


def embedding() -> Any:
    from llamaindex_fm import FoundationModelEmbedding

    return kept(FoundationModelEmbedding(GTE, host="local", embed_batch_size=2))


LANGCHAIN: dict[str, Callable[[], Any]] = {
    "invoke": lambda: chat_model().invoke("Hi"),
    "ainvoke": lambda: chat_model().ainvoke("Hi"),
    "stream": lambda: chat_model().stream("Hi"),
    "astream": lambda: chat_model().astream("Hi"),
}
LLAMA_INDEX: dict[str, Callable[[], Any]] = {
    "complete": lambda: llm().complete("Hi"),
    "acomplete": lambda: llm().acomplete("Hi"),
    "stream_complete": lambda: llm().stream_complete("Hi"),
    "astream_complete": lambda: llm().astream_complete("Hi"),
}


def check_completed(span: Any, traces: Traces, *, streamed: bool) -> None:
    """The span has all that is known of a chat, and its trace counts that once."""
    usage = span.attributes["mlflow.chat.tokenUsage"]
    assert usage == traces.last().info.token_usage and usage["output_tokens"] > 0
    assert (CHAT, "databricks", CHAT) == tuple(
        span.attributes[name] for name in ("mlflow.llm.model", "mlflow.llm.provider", "fm.endpoint")
    )
    assert span.attributes["fm.request_id"] and 1 == span.attributes["fm.requests"]
    assert streamed == ("fm.time_to_first_token" in span.attributes)


@pytest.mark.parametrize("way", LANGCHAIN)
def test_the_span_of_langchain_is_completed_and_not_doubled(langchain: Any, traces: Traces, way: str) -> None:
    finish(LANGCHAIN[way]())
    check_completed(traces.only(), traces, streamed="stream" in way)


@pytest.mark.parametrize(
    "way", ["complete", "acomplete", "stream_complete", pytest.param("astream_complete", marks=HOLDS)]
)
def test_the_span_of_llama_index_is_completed_and_not_doubled(llama_index: Any, traces: Traces, way: str) -> None:
    finish(LLAMA_INDEX[way]())
    check_completed(traces.only(), traces, streamed="stream" in way)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_in_a_chain_the_tokens_count_once(langchain: Any, traces: Traces, way: str) -> None:
    from langchain_core.prompts import ChatPromptTemplate

    chain = ChatPromptTemplate.from_template("{text}") | chat_model()
    finish(getattr(chain, way)({"text": "Hi"}))
    assert 3 == len(traces.all())
    (span,) = [span for span in traces.all() if "mlflow.chat.tokenUsage" in span.attributes]
    check_completed(span, traces, streamed=False)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_completions_get_the_usage_and_cost_that_langchain_leaves_out(
    langchain: Any, traces: Traces, server: FaultServer, way: str
) -> None:
    from langchain_fm import FoundationModelLLM

    server.script("completions", reply(200, COMPLETION))
    model = FoundationModelLLM(model="completions", host=server.host, token="token-for-tests")
    finish(getattr(model, way)("Hi"))
    assert USED == traces.only().attributes["mlflow.chat.tokenUsage"]
    assert {"input_cost": 3e-6, "output_cost": 4e-6, "total_cost": 7e-6} == traces.only().attributes["mlflow.llm.cost"]


@pytest.mark.parametrize("way", ["complete", "stream_complete"])
def test_tokens_that_were_cached_are_told_apart_which_mlflow_leaves_out_for_llama_index(
    llama_index: Any, traces: Traces, server: FaultServer, way: str
) -> None:
    from llamaindex_fm import FoundationModelLLM

    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    usage |= {"prompt_tokens_details": {"cached_tokens": 4}}  # type: ignore[dict-item]
    streamed = chunked(event(delta("a", finish="stop", usage=usage)), DONE)
    server.script("ep", streamed if "stream" in way else reply(200, chat() | {"usage": usage}))
    finish(getattr(FoundationModelLLM("ep", host=server.host, token="token-for-tests"), way)("Hi"))
    counted = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "cache_read_input_tokens": 4}
    assert counted == traces.only().attributes["mlflow.chat.tokenUsage"] == traces.last().info.token_usage | counted


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("way", ["generate", "agenerate"])
def test_several_prompts_at_once_count_once_each(
    langchain: Any, traces: Traces, server: FaultServer, way: str, inline: bool
) -> None:
    from langchain_fm import FoundationModelLLM

    if inline and "run_tracer_inline" not in inspect.signature(langchain.autolog).parameters:
        pytest.skip("this MLflow has no such setting")
    langchain.autolog(silent=True, **({"run_tracer_inline": True} if inline else {}))
    server.script("completions", reply(200, COMPLETION))
    model = FoundationModelLLM(model="completions", host=server.host, token="token-for-tests")
    finish(getattr(model, way)(["a", "b", "c"]))
    used = [span.attributes["mlflow.chat.tokenUsage"] for span in traces.all() if "fm.requests" in span.attributes]
    assert 3 * USED["total_tokens"] == sum(usage["total_tokens"] for usage in used)


@pytest.mark.parametrize("way", ["generate", "batch"])
def test_what_comes_after_several_prompts_is_traced(
    langchain: Any, traces: Traces, server: FaultServer, way: str
) -> None:
    """MLflow's tracer would leave the ended span of one of them active."""
    from langchain_fm import FoundationModelLLM

    server.script("completions", reply(200, COMPLETION))
    model = FoundationModelLLM(model="completions", host=server.host, token="token-for-tests")
    getattr(model, way)(["a", "b", "c"])
    with mlflow.start_span("after"):
        pass
    assert 1 == len(traces.named("after"))


def test_embeddings_of_langchain_which_it_does_not_trace_have_a_span(langchain: Any, traces: Traces) -> None:
    from langchain_fm import FoundationModelEmbeddings

    FoundationModelEmbeddings(model=GTE, host="local").embed_documents(["a", "b"])
    assert f"embed {GTE}" == traces.only().name


@pytest.mark.parametrize("way", ["get_text_embedding_batch", "aget_text_embedding_batch"])
def test_embeddings_of_llama_index_count_all_their_batches_once(llama_index: Any, traces: Traces, way: str) -> None:
    finish(getattr(embedding(), way)(["one"] * 2 * BATCHES))
    (span,) = [span for span in traces.all() if "fm.requests" in span.attributes]
    assert (f"FoundationModelEmbedding.{way}", "EMBEDDING", BATCHES) == (
        span.name,
        span.span_type,
        span.attributes["fm.requests"],
    )
    usage = span.attributes["mlflow.chat.tokenUsage"]
    assert 2 * BATCHES == usage["input_tokens"] == traces.last().info.token_usage["input_tokens"]


def test_an_async_stream_counts_once_in_either_case(llama_index: Any, traces: Traces) -> None:
    finish(llm().astream_complete("Hi"))
    used = [span for span in traces.all() if "mlflow.chat.tokenUsage" in span.attributes]
    assert 1 == len(used) and used[0].attributes["fm.time_to_first_token"] > 0


@HOLDS
@pytest.mark.parametrize("elsewhere", [False, True], ids=["where it was asked for", "in a task of its own"])
def test_the_span_of_an_async_stream_is_a_child_of_the_one_around_it(
    llama_index: Any, traces: Traces, elsewhere: bool
) -> None:
    async def ask() -> None:
        with mlflow.start_span("asks"):
            pieces = await llm().astream_complete("Hi")
            await (asyncio.create_task(afinish(pieces)) if elsewhere else afinish(pieces))

    asyncio.run(ask())
    (parent,), (child,) = traces.named("asks"), [span for span in traces.all() if "fm.requests" in span.attributes]
    assert (2, parent.span_id) == (len(traces.all()), child.parent_id)
    check_completed(child, traces, streamed=True)


@HOLDS
def test_an_engine_that_streams_async_is_one_trace_to_its_end(llama_index: Any, traces: Traces) -> None:
    """Left to MLflow, it is never recorded at all."""
    from llama_index.core import Document, VectorStoreIndex

    index = VectorStoreIndex.from_documents([Document(text="BGE vectors have length 1.")], embed_model=embedding())
    engine = index.as_query_engine(llm=llm(), streaming=True, use_async=True)

    async def ask() -> str:
        answer = await engine.aquery("Which vectors have length 1?")
        return "".join([text async for text in answer.async_response_gen()])

    before = {span.trace_id for span in traces.all()}
    said = asyncio.run(ask())
    (trace_id,) = {span.trace_id for span in traces.all()} - before
    spans = [span for span in traces.all() if span.trace_id == trace_id]
    (root,) = [span for span in spans if span.parent_id is None]
    (asked,) = [span for span in spans if "fm.time_to_first_token" in span.attributes]
    assert ("RetrieverQueryEngine.aquery", "OK", said) == (root.name, root.status.status_code.value, root.outputs)
    assert root.end_time_ns >= asked.end_time_ns and "databricks" == asked.attributes["mlflow.llm.provider"]


@HOLDS
def test_without_our_tracing_mlflow_is_as_it_was(llama_index: Any) -> None:
    from mlflow.llama_index.tracer import StreamResolver

    async def pieces() -> AsyncGenerator[int, None]:
        yield 1

    stream = pieces()
    assert StreamResolver().is_streaming_result(stream)
    mlflow_fm.autolog(disable=True)
    assert not StreamResolver().is_streaming_result(stream)


IN_EITHER_ORDER = """
import asyncio, mlflow, mlflow_fm, warnings
warnings.simplefilter("ignore")
{first}
{second}
from llamaindex_fm import FoundationModelLLM
async def ask():
    return [piece async for piece in await FoundationModelLLM({model!r}, host="local").astream_complete("Hi")]
asyncio.run(ask())
(trace,) = mlflow.MlflowClient().search_traces(["0"])
print([span.name for span in trace.data.spans], trace.info.token_usage["output_tokens"] > 0)
"""
OURS, THEIRS = "mlflow_fm.autolog()", "mlflow.llama_index.autolog(silent=True)"


@HOLDS
@pytest.mark.parametrize(("first", "second"), [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours first", "theirs first"])
def test_which_of_the_two_is_switched_on_first_makes_no_difference(traces: Traces, first: str, second: str) -> None:
    pytest.importorskip("llama_index.core")
    code = IN_EITHER_ORDER.format(first=first, second=second, model=CHAT)
    where = os.environ | {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    ran = subprocess.run([sys.executable, "-c", code], env=where, capture_output=True, text=True, check=False)
    assert (0, "['FoundationModelLLM.astream_complete'] True") == (ran.returncode, ran.stdout.strip()), ran.stderr


@pytest.mark.parametrize("way", [*LANGCHAIN, *LLAMA_INDEX])
def test_without_autologging_of_the_framework_the_span_is_ours(traces: Traces, way: str) -> None:
    pytest.importorskip("langchain_core" if way in LANGCHAIN else "llama_index.core")
    finish((LANGCHAIN | LLAMA_INDEX)[way]())
    assert f"chat {CHAT}" == traces.only().name
    check_completed(traces.only(), traces, streamed="stream" in way)


def test_a_failed_call_leaves_the_error_to_the_framework(langchain: Any, traces: Traces, server: FaultServer) -> None:
    from langchain_fm import ChatFoundationModel

    server.script("ep", reply(400, {"error_code": "BAD_REQUEST", "message": "no"}))
    with pytest.raises(Exception, match="no"):
        ChatFoundationModel(model="ep", host=server.host, token="token-for-tests").invoke("Hi")
    span = traces.only()
    assert "ERROR" == span.status.status_code.value and 1 == len(span.events)
    assert "ep" == span.attributes["fm.endpoint"]
