"""Each call is one span, with all that is known of it; nothing is traced before it is asked for."""

from __future__ import annotations

import asyncio
import contextvars
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from deployments_api import CHAT, GTE, user
from fault_server import DONE, Answer, FaultServer, chat, chunked, either, embeddings, reply, silence, words
from mlflow.exceptions import MlflowException
from traces import Traces

import mlflow_fm
from fm_client import AsyncClient, BadRequestError, Client, StreamInterruptedError
from mlflow_fm import FoundationModelDeploymentClient, Price

BUSY = reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}, **{"Retry-After": "0"})
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
COMPLETION = {
    "id": "c",
    "model": "m-1",
    "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
CANARY = "canary-0123456789"


@pytest.fixture
def traces(traces: Traces) -> Iterator[Traces]:
    mlflow_fm.autolog()
    yield traces
    mlflow_fm.autolog(disable=True)


def test_a_chat_is_a_span_with_all_that_is_known_of_it(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("ep", reply(200, chat("hello") | {"model": "m-1"}, **{"x-request-id": "r-1"}))
    answer = fm.chat("ep", "Hi", tools=[TOOL], temperature=0)
    span = traces.only()
    assert ("chat ep", "CHAT_MODEL", "OK") == (span.name, span.span_type, span.status.status_code.value)
    assert [{"role": "user", "content": "Hi"}] == span.inputs["messages"] and 0 == span.inputs["temperature"]
    assert answer.to_dict() == span.outputs
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    found = span.attributes
    assert usage == found["mlflow.chat.tokenUsage"] == traces.last().info.token_usage
    assert ("m-1", "openai") == (found["mlflow.llm.model"], found["mlflow.message.format"])
    assert [TOOL] == found["mlflow.chat.tools"]
    assert ("ep", "r-1", 1, 0) == tuple(
        found[f"fm.{name}"] for name in ("endpoint", "request_id", "requests", "retries")
    )


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
def test_the_responses_api_is_traced_as_the_chat_that_it_is(traces: Traces, way: str) -> None:
    with Client(host="local") as fm:
        answer = getattr(fm, way)(CHAT, "Hi", api="responses", max_tokens=5)
        whole = answer if way == "chat" else list(answer)[-1].response
    span = traces.only()
    assert ("CHAT_MODEL", CHAT) == (span.span_type, span.attributes["mlflow.llm.model"])
    assert whole.usage.output_tokens == span.attributes["mlflow.chat.tokenUsage"]["output_tokens"] > 0
    assert whole.text == span.outputs["choices"][0]["message"]["content"]


def test_a_completion_is_a_span(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("ep", reply(200, COMPLETION))
    fm.complete("ep", "Once")
    span = traces.only()
    assert ("complete ep", "LLM", "Once") == (span.name, span.span_type, span.inputs["prompt"])
    assert "hello" == span.outputs["choices"][0]["text"]
    assert 5 == span.attributes["mlflow.chat.tokenUsage"]["total_tokens"]


def test_embeddings_are_one_span_however_many_requests_they_take(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("ep", either(lambda asked: reply(200, embeddings([[1.0, 2.0]] * len(asked.json["input"]))), server))
    fm.embed("ep", ["a", "b", "c", "d", "e"], batch_size=2)
    span = traces.only()
    assert ("embed ep", "EMBEDDING") == (span.name, span.span_type)
    assert ["a", "b", "c", "d", "e"] == span.inputs["input"]
    assert (5, 2) == (span.outputs["vectors"], span.outputs["dimension"]), "the numbers themselves are left out"
    assert 3 == span.attributes["fm.requests"]
    assert 9 == span.attributes["mlflow.chat.tokenUsage"]["input_tokens"]


def test_a_stream_is_a_span_with_the_time_to_its_first_piece(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("ep", chunked(0.2, *words("a", "b"), 0.2, DONE))
    list(fm.stream_chat("ep", "Hi"))
    span = traces.only()
    assert "ab" == span.outputs["choices"][0]["message"]["content"]
    assert 0.2 <= span.attributes["fm.time_to_first_token"] <= (span.end_time_ns - span.start_time_ns) / 1e9 - 0.15
    assert ["first_token"] == [event.name for event in span.events]


def test_a_stream_that_is_left_early_is_recorded_as_far_as_it_came(
    fm: Any, server: FaultServer, traces: Traces
) -> None:
    server.script("ep", chunked(*words("a", "b", finish=None), end="hold"))
    chunks = fm.stream_chat("ep", "Hi")
    next(chunks)
    chunks.close()
    span = traces.only()
    assert "OK" == span.status.status_code.value and span.attributes["fm.given_up"]
    assert span.outputs["choices"][0]["message"]["content"].startswith("a")


def test_a_stream_that_breaks_is_an_error_with_what_had_arrived(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("ep", chunked(*words("a", finish=None), end="cut"))
    with pytest.raises(StreamInterruptedError):
        list(fm.stream_chat("ep", "Hi"))
    span = traces.only()
    assert "ERROR" == span.status.status_code.value
    assert "a" == span.outputs["choices"][0]["message"]["content"]


def test_retries_and_the_endpoint_that_served_are_recorded(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("first", BUSY)
    server.script("second", BUSY, reply(200, chat()))
    fm.chat(["first", "second"], "Hi")
    span = traces.only()
    assert ["fallback", "retry"] == [event.name for event in span.events]
    assert {"endpoint": "second", "error": "ServerError", "status": 503} == dict(span.events[1].attributes)
    assert "second" == span.attributes["fm.endpoint"] and ["first", "second"] == span.attributes["fm.endpoints"]
    assert (3, 1) == (span.attributes["fm.requests"], span.attributes["fm.retries"])


def test_an_error_is_recorded_with_what_it_says(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("ep", reply(400, {"error_code": "BAD_REQUEST", "message": "too many cooks"}))
    with pytest.raises(BadRequestError):
        fm.chat("ep", "Hi")
    span = traces.only()
    assert "ERROR" == span.status.status_code.value and "too many cooks" in span.status.description
    assert "BadRequestError" == span.events[-1].attributes["exception.type"]
    assert 400 == span.attributes["fm.status"]


async def test_a_call_that_is_cancelled_is_an_error(server: FaultServer, traces: Traces) -> None:
    server.script("ep", silence(30))
    async with AsyncClient(server.host, "token-for-tests") as fm:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fm.chat("ep", "Hi"), 0.2)
    span = traces.only()
    assert "ERROR" == span.status.status_code.value and "cancelled" in span.status.description


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_span_is_a_child_of_the_one_that_is_open_where_the_call_is_made(
    fm: Any, server: FaultServer, traces: Traces, has_ended: bool
) -> None:
    """Unless its trace is closed by the time the stream is read: then of the one that is open there."""
    server.script("ep", chunked(*words("a"), DONE))
    if has_ended:
        with mlflow.start_span("asks"):
            chunks = fm.stream_chat("ep", "Hi")
        with mlflow.start_span("reads") as parent:
            list(chunks)
    else:
        with mlflow.start_span("asks") as parent:
            chunks = fm.stream_chat("ep", "Hi")
            contextvars.Context().run(list, chunks)
    (child,) = traces.named("chat ep")
    assert (parent.span_id, parent.trace_id) == (child.parent_id, child.trace_id)


def test_spans_of_tasks_and_threads_stay_with_their_own_parent(server: FaultServer, traces: Traces) -> None:
    server.script("ep", either(lambda asked: reply(200, embeddings([[1.0, 2.0]] * len(asked.json["input"]))), server))

    async def ask(fm: AsyncClient, i: int) -> None:
        with mlflow.start_span(f"task {i}"):
            await fm.embed("ep", [f"{i}"] * 4, batch_size=1)

    async def main() -> None:
        async with AsyncClient(server.host, "token-for-tests") as fm:
            await asyncio.gather(*(ask(fm, i) for i in range(5)))

    asyncio.run(main())
    with mlflow.start_span("task 5"), Client(server.host, "token-for-tests") as fm:
        fm.embed("ep", ["5"] * 4, batch_size=1)  # in threads
    parents = {span.span_id: span.name for span in traces.all() if span.name.startswith("task")}
    children = traces.named("embed ep")
    assert 6 == len(children)
    assert all(f"task {child.inputs['input'][0]}" == parents[child.parent_id] for child in children)


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda target: target.predict(endpoint=CHAT, inputs=user("Hi")), f"chat {CHAT}"),
        (lambda target: target.predict(endpoint=GTE, inputs={"input": ["Hi"]}), f"embed {GTE}"),
        (lambda target: list(target.predict_stream(endpoint=CHAT, inputs=user("Hi"))), f"chat {CHAT}"),
    ],
    ids=["chat", "embed", "stream"],
)
def test_the_deployments_client_is_traced(
    client: FoundationModelDeploymentClient, traces: Traces, ask: Callable[..., Any], name: str
) -> None:
    ask(client)
    span = traces.only()
    assert name == span.name
    assert span.name.partition(" ")[2] == span.attributes["mlflow.llm.model"], "the name that a catalog of prices has"


@pytest.mark.parametrize("price", [Price(1.0, 10.0, 0.5), (1.0, 10.0, 0.5)], ids=["Price", "tuple"])
@pytest.mark.parametrize("key", ["ep", "m-1"], ids=["by endpoint", "by model"])
def test_a_call_costs_what_the_user_says(fm: Any, server: FaultServer, traces: Traces, price: Any, key: str) -> None:
    usage = {"prompt_tokens": 3_000_000, "completion_tokens": 1_000_000, "total_tokens": 4_000_000}
    usage |= {"prompt_tokens_details": {"cached_tokens": 2_000_000}}  # type: ignore[dict-item]
    server.script("ep", reply(200, chat() | {"model": "m-1", "usage": usage}))
    mlflow_fm.autolog(prices={key: price})
    fm.chat("ep", "Hi")
    span = traces.only()
    assert {"input_cost": 2.0, "output_cost": 10.0, "total_cost": 12.0} == span.attributes["mlflow.llm.cost"]
    assert 2_000_000 == span.attributes["mlflow.chat.tokenUsage"]["cache_read_input_tokens"]


def test_a_hosted_model_costs_what_mlflows_own_catalog_says(
    traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed by its tracking server, which is a part of the whole of mlflow, as the catalog is."""
    pytest.importorskip("flask", reason="this is mlflow-skinny")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the database's libraries
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
        with Client(host="local") as fm:
            fm.chat(CHAT, "Hi", max_tokens=10)
            fm.embed(GTE, ["one", "two"])
        costs = {span.name: span.attributes["mlflow.llm.cost"] for span in traces.all()}
    assert {f"chat {CHAT}", f"embed {GTE}"} == costs.keys()
    assert costs[f"chat {CHAT}"]["output_cost"] > 0 < costs[f"embed {GTE}"]["input_cost"]
    assert 0 == costs[f"embed {GTE}"]["output_cost"]


@pytest.mark.parametrize(
    "price", [(), (1, 2, 3, 4), (-1.0,), "1", 2.0, {"input": 1}, (float("nan"),), ("1", "2"), (None, 1.0)]
)
def test_a_price_that_is_none_is_refused_and_leaves_tracing_as_it_was(
    fm: Any, server: FaultServer, traces: Traces, price: Any
) -> None:
    with pytest.raises(MlflowException, match="price of 'ep'") as caught:
        mlflow_fm.autolog(prices={"ep": price})
    assert "INVALID_PARAMETER_VALUE" == caught.value.error_code
    server.script("ep", reply(200, chat()))
    fm.chat("ep", "Hi")
    traces.only()


def test_prices_that_name_nothing_are_refused() -> None:
    with pytest.raises(MlflowException, match="prices must be an object"):
        mlflow_fm.autolog(prices=[(1.0, 2.0)])  # type: ignore[arg-type]


ASKED: dict[str, tuple[Answer, Callable[[Any], Any]]] = {
    "chat": (
        reply(200, chat(CANARY)),
        lambda fm: fm.chat("ep", CANARY, tools=[TOOL | {"description": CANARY}], stop=[CANARY], temperature=0),
    ),
    "other fields": (reply(200, chat(CANARY)), lambda fm: fm.chat("ep", "Hi", extra_body={"custom_inputs": CANARY})),
    "stream": (chunked(*words(CANARY, "b"), DONE), lambda fm: list(fm.stream_chat("ep", CANARY))),
    "complete": (
        reply(200, COMPLETION | {"choices": [{"index": 0, "text": CANARY}]}),
        lambda fm: fm.complete("ep", CANARY),
    ),
    "embed": (reply(200, embeddings([[1.0]])), lambda fm: fm.embed("ep", CANARY, instruction=CANARY)),
    "error": (reply(400, {"error_code": "BAD_REQUEST", "message": CANARY}), lambda fm: fm.chat("ep", "Hi")),
}


@pytest.mark.parametrize("case", ASKED)
@pytest.mark.parametrize("content", [True, False])
def test_content_is_left_out_where_the_user_says_so(
    fm: Any, server: FaultServer, traces: Traces, case: str, content: bool
) -> None:
    answer, ask = ASKED[case]
    server.script("ep", answer)
    mlflow_fm.autolog(content=content)
    try:
        ask(fm)
    except BadRequestError:
        assert "error" == case
    assert content is (CANARY in traces.text())
    assert "ep" == traces.only().attributes["fm.endpoint"]


def test_no_token_is_in_any_trace(connect: Callable[..., Any], server: FaultServer, traces: Traces) -> None:
    server.script("ep", BUSY, reply(401, {"error_code": "401", "message": f"cannot take Bearer {CANARY}"}))
    with pytest.raises(Exception, match="cannot take"):
        connect(server.host, CANARY).chat("ep", "Hi")
    assert f"Bearer {CANARY}" == server.seen[-1].headers["authorization"]
    assert "cannot take" in traces.text() and CANARY not in traces.text()


def test_tracing_ends_when_it_is_switched_off(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("ep", reply(200, chat()))
    mlflow_fm.autolog()
    mlflow_fm.autolog()
    fm.chat("ep", "Hi")
    traces.only()
    mlflow_fm.autolog(disable=True)
    fm.chat("ep", "Hi")
    traces.only()


def test_a_store_that_cannot_be_reached_breaks_no_call(
    fm: Any, server: FaultServer, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    server.script("ep", reply(200, chat()))
    assert "hello" == fm.chat("ep", "Hi").text
