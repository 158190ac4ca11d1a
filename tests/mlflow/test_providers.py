"""A span says whose model answered, from the first one on: where the process does not know, the endpoint is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from deployments_api import CHAT, Asked, client_of, user
from fault_server import DONE, Answer, FaultServer, chat, chunked, embeddings, event, reply, words
from response_events import message
from traces import HOLDS, Traces, finish, kept

import mlflow_fm
from fm_client import Client
from mlflow_fm import FoundationModelDeploymentClient, _frameworks

PROVIDER = "mlflow.llm.provider"
TOKEN = "token-for-tests"
PATH = "/api/2.0/serving-endpoints/ep"
COMPLETION = {"id": "c", "model": "m-1", "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}]}
ITEMS = {"id": "r", "object": "response", "status": "completed", "output": [message("hello")]}


@pytest.fixture
def traces(traces: Traces) -> Iterator[Traces]:
    mlflow_fm.autolog()
    yield traces
    mlflow_fm.autolog(disable=True)


@pytest.fixture
def gpt(client: FoundationModelDeploymentClient, server: FaultServer) -> Iterator[str]:
    """An endpoint of the workspace whose provider is the scripted server."""
    settings = {"openai_api_key_plaintext": "key-for-tests", "openai_api_base": f"{server.host}/v1"}
    model = {"name": "gpt-4o", "provider": "openai", "task": "llm/v1/chat", "openai_config": settings}
    server.script("/v1/chat/completions", reply(200, chat() | {"model": "gpt-4o-2024-08-06"}))
    yield client.create_endpoint("gpt", {"external_model": model}).name
    client.delete_endpoint("gpt")


def described(provider: str, **settings: Any) -> dict[str, Any]:
    model = {"provider": provider, "name": "m", "task": "llm/v1/chat", **settings}
    return {"name": "ep", "config": {"served_entities": [{"name": "ep-1", "external_model": model}]}}


def test_the_target_knows_the_provider_of_an_endpoint_that_it_has_made(
    client: FoundationModelDeploymentClient, gpt: str, traces: Traces
) -> None:
    client.predict(endpoint=gpt, inputs=user("Hi"))
    found = traces.only().attributes
    assert ("openai", "gpt-4o-2024-08-06", gpt) == (found[PROVIDER], found["mlflow.llm.model"], found["fm.endpoint"])


ANSWERS: dict[str, Answer] = {
    "chat": reply(200, chat()),
    "stream": chunked(*words("a", "b"), DONE),
    "complete": reply(200, COMPLETION),
    "stream_complete": chunked(event(COMPLETION), DONE),
    "embed": reply(200, embeddings([[1.0, 2.0]])),
    "responses": reply(200, ITEMS),
}
CLIENT: dict[str, Callable[[Any], Any]] = {
    "chat": lambda fm: fm.chat("ep", "Hi"),
    "stream": lambda fm: list(fm.stream_chat("ep", "Hi")),
    "complete": lambda fm: fm.complete("ep", "Hi"),
    "stream_complete": lambda fm: list(fm.stream_complete("ep", "Hi")),
    "embed": lambda fm: fm.embed("ep", ["Hi"]),
    "responses": lambda fm: fm.chat("ep", "Hi", api="responses"),
}
INPUTS: dict[str, Any] = {
    "chat": user("Hi"),
    "stream": user("Hi"),
    "complete": {"prompt": "Hi"},
    "stream_complete": {"prompt": "Hi"},
    "embed": {"input": ["Hi"]},
}


def langchain_model(server: FaultServer, name: str) -> Any:
    pytest.importorskip("langchain_core")
    import langchain_fm

    return kept(getattr(langchain_fm, name)(model="ep", host=server.host, token=TOKEN))


def llama_index_model(server: FaultServer, name: str) -> Any:
    pytest.importorskip("llama_index.core")
    import llamaindex_fm

    return kept(getattr(llamaindex_fm, name)("ep", host=server.host, token=TOKEN))


LANGCHAIN = [
    ("chat", "ChatFoundationModel", "invoke"),
    ("chat", "ChatFoundationModel", "ainvoke"),
    ("stream", "ChatFoundationModel", "stream"),
    ("stream", "ChatFoundationModel", "astream"),
    ("complete", "FoundationModelLLM", "invoke"),
    ("complete", "FoundationModelLLM", "ainvoke"),
    ("stream_complete", "FoundationModelLLM", "stream"),
    ("stream_complete", "FoundationModelLLM", "astream"),
    ("embed", "FoundationModelEmbeddings", "embed_query"),
    ("embed", "FoundationModelEmbeddings", "aembed_query"),
]
LLAMA_INDEX = [
    ("chat", "FoundationModelLLM", "complete"),
    ("chat", "FoundationModelLLM", "acomplete"),
    ("stream", "FoundationModelLLM", "stream_complete"),
    pytest.param("stream", "FoundationModelLLM", "astream_complete", marks=HOLDS),
    ("embed", "FoundationModelEmbedding", "get_text_embedding_batch"),
    ("embed", "FoundationModelEmbedding", "aget_text_embedding_batch"),
]


def external(server: FaultServer, kind: str) -> None:
    """An endpoint of which this process knows nothing."""
    server.script("ep", ANSWERS[kind])
    server.script(PATH, reply(200, described("anthropic")))


def check_first(server: FaultServer, traces: Traces) -> Any:
    """The provider is known, in one span, and was asked for once."""
    (span,) = [span for span in traces.all() if "fm.requests" in span.attributes]
    assert ("anthropic", "ep") == (span.attributes[PROVIDER], span.attributes["fm.endpoint"])
    assert 1 == sum(asked.path == PATH for asked in server.seen)
    return span


@pytest.mark.parametrize("kind", CLIENT)
def test_the_first_span_of_a_client_says_whose_model_it_is(
    fm: Any, server: FaultServer, traces: Traces, kind: str
) -> None:
    external(server, kind)
    CLIENT[kind](fm)
    check_first(server, traces)


@pytest.mark.parametrize("kind", INPUTS)
def test_the_first_span_of_the_target_does(server: FaultServer, traces: Traces, ask: Asked, kind: str) -> None:
    external(server, kind)
    arguments = {"endpoint": "ep", "inputs": INPUTS[kind]}
    if kind.startswith("stream"):
        list(ask.stream(client_of(server), **arguments))
    else:
        ask.predict(client_of(server), **arguments)
    check_first(server, traces)


@pytest.mark.parametrize(("kind", "name", "way"), LANGCHAIN)
def test_the_first_span_of_langchains_models_does(
    server: FaultServer, traces: Traces, kind: str, name: str, way: str
) -> None:
    external(server, kind)
    finish(getattr(langchain_model(server, name), way)("Hi"))
    check_first(server, traces)


@pytest.mark.parametrize(("kind", "name", "way"), LANGCHAIN)
def test_the_first_span_of_langchains_own_autologging_does(
    langchain: Any, server: FaultServer, traces: Traces, kind: str, name: str, way: str
) -> None:
    external(server, kind)
    finish(getattr(langchain_model(server, name), way)("Hi"))
    assert ("embed ep" if kind == "embed" else name) == check_first(server, traces).name


@pytest.mark.parametrize(("kind", "name", "way"), LLAMA_INDEX)
def test_the_first_span_of_llama_indexs_models_does(
    server: FaultServer, traces: Traces, kind: str, name: str, way: str
) -> None:
    external(server, kind)
    finish(getattr(llama_index_model(server, name), way)(["Hi"] if way.endswith("batch") else "Hi"))
    check_first(server, traces)


@pytest.mark.parametrize(("kind", "name", "way"), LLAMA_INDEX)
def test_the_first_span_of_llama_indexs_own_autologging_does(
    llama_index: Any, server: FaultServer, traces: Traces, kind: str, name: str, way: str
) -> None:
    external(server, kind)
    finish(getattr(llama_index_model(server, name), way)(["Hi"] if way.endswith("batch") else "Hi"))
    assert name in check_first(server, traces).name


FRESH = """
import mlflow, mlflow_fm, warnings
warnings.simplefilter("ignore")
mlflow_fm.autolog({arguments})
from mlflow.deployments import get_deploy_client
get_deploy_client("fm").predict(endpoint="gpt", inputs={{"messages": [{{"role": "user", "content": "Hi"}}]}})
(trace,) = mlflow.MlflowClient().search_traces(["0"])
print([span.attributes.get("mlflow.llm.provider") for span in trace.data.spans])
"""


@pytest.mark.parametrize(("arguments", "provider"), [("", "openai"), ("look_up_provider=False", None)])
def test_it_does_in_a_process_that_has_just_begun(
    client: FoundationModelDeploymentClient, gpt: str, traces: Traces, arguments: str, provider: str | None
) -> None:
    where = os.environ | {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    code = FRESH.format(arguments=arguments)
    ran = subprocess.run([sys.executable, "-c", code], env=where, capture_output=True, text=True, check=False)
    assert (0, f"[{provider!r}]") == (ran.returncode, ran.stdout.strip()), ran.stderr


@pytest.mark.parametrize("kind", CLIENT)
def test_nothing_is_asked_without_tracing_or_where_the_user_does_not_want_it(
    fm: Any, server: FaultServer, traces: Traces, kind: str
) -> None:
    external(server, kind)
    mlflow_fm.autolog(disable=True)
    CLIENT[kind](fm)
    mlflow_fm.autolog(look_up_provider=False)
    CLIENT[kind](fm)
    assert 2 == len(server.seen)
    assert PROVIDER not in traces.only().attributes, "nothing is claimed that is not known"
    Client(server.host, TOKEN).endpoints.get("ep")
    CLIENT[kind](fm)
    assert "anthropic" == traces.all()[0].attributes[PROVIDER]


def test_nothing_is_asked_while_mlflows_tracing_is_off(fm: Any, server: FaultServer, traces: Traces) -> None:
    external(server, "chat")
    mlflow.tracing.disable()
    try:
        assert "hello" == fm.chat("ep", "Hi").text
    finally:
        mlflow.tracing.enable()
    assert 1 == len(server.seen)
    fm.chat("ep", "Hi")
    assert "anthropic" == traces.only().attributes[PROVIDER]


def test_a_span_of_a_framework_may_be_ended_twice(traces: Traces) -> None:
    told: list[str] = []
    span = mlflow.start_span_no_context("around")
    _frameworks.before_end(span, lambda: told.append("first"))
    _frameworks.before_end(span, lambda: told.append("second"))
    end = span.end
    end()
    end()
    assert {"first", "second"} == set(told) and "end" not in vars(span)


def test_a_framework_that_names_somebody_names_who_was_asked_where_nothing_is_known(
    langchain: Any, server: FaultServer, traces: Traces
) -> None:
    server.script("ep", ANSWERS["chat"])
    server.script(PATH, reply(403, {"error_code": "PERMISSION_DENIED", "message": "no"}))
    finish(langchain_model(server, "ChatFoundationModel").invoke("Hi"))
    assert "databricks" == traces.only().attributes[PROVIDER]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_endpoint_that_does_not_say_leaves_call_and_span_as_they_are(
    fm: Any, server: FaultServer, traces: Traces, status: int
) -> None:
    server.script("ep", ANSWERS["chat"])
    server.script(PATH, reply(status, {"message": "no"}))
    assert "hello" == fm.chat("ep", "Hi").text
    assert "hello" == fm.chat("ep", "Hi").text
    assert 3 == len(server.seen)
    for span in traces.all():
        assert PROVIDER not in span.attributes and "OK" == span.status.status_code.value


def test_a_model_of_the_customers_is_one_of_the_services(fm: Any, server: FaultServer, traces: Traces) -> None:
    provisioned = {"entity_name": "main.m.llama", "min_provisioned_throughput": 0, "max_provisioned_throughput": 9500}
    server.script(PATH, reply(200, {"name": "ep", "config": {"served_entities": [provisioned]}}))
    for endpoint in ("ep", CHAT):
        server.script(endpoint, ANSWERS["chat"])
        fm.chat(endpoint, "Hi")
    assert ["databricks", "databricks"] == [span.attributes[PROVIDER] for span in traces.all()]
    assert 1 == sum(asked.method == "GET" for asked in server.seen)


@pytest.mark.parametrize(("served", "provider"), [("b", "cohere"), ("a", "openai"), (None, None)])
def test_of_a_divided_endpoint_it_is_the_provider_of_the_entity_that_answered(
    fm: Any, server: FaultServer, traces: Traces, served: str | None, provider: str | None
) -> None:
    entities = [
        {"name": name, "external_model": {"provider": vendor, "name": "m", "task": "llm/v1/chat"}}
        for name, vendor in {"a": "openai", "b": "cohere"}.items()
    ]
    server.script("ep", reply(200, chat(), **{"served-model-name": served} if served else {}))
    server.script(PATH, reply(200, {"name": "ep", "config": {"served_entities": entities}}))
    fm.chat("ep", "Hi")
    assert provider == traces.only().attributes.get(PROVIDER)


def test_a_model_costs_what_its_provider_asks(fm: Any, server: FaultServer, traces: Traces, tmp_path: Path) -> None:
    """By the catalog of MLflow's tracking server, in which one name has several prices; skinny has neither."""
    pytest.importorskip("flask", reason="this is mlflow-skinny")
    from mlflow.utils.providers import cost_per_token

    model = "gemini-2.0-flash-001"
    server.script("ep", reply(200, chat() | {"model": model}))
    server.script(PATH, reply(200, described("google-cloud-vertex-ai")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the database's libraries
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
        fm.chat("ep", "Hi")
        found = traces.only().attributes["mlflow.llm.cost"]
    price = cost_per_token(model, 5, 7, custom_llm_provider="vertex_ai")
    assert price == pytest.approx((found["input_cost"], found["output_cost"]))
    assert price != cost_per_token(model, 5, 7), "what it would cost if nobody knew whose it is"


@pytest.mark.parametrize(
    ("description", "provider"),
    [
        (described("anthropic"), "anthropic"),
        (described("openai", openai_config={"openai_api_type": "azure"}), "azure"),
        (described("amazon-bedrock"), "bedrock"),
        (described("google-cloud-vertex-ai"), "vertex_ai"),
        (described("ai21labs"), "ai21"),
        (described("databricks-model-serving"), "databricks"),
        (described("some-later-one"), "some-later-one"),
    ],
    ids=str,
)
def test_a_provider_has_the_name_that_mlflows_catalog_of_prices_has_for_it(
    fm: Any, server: FaultServer, traces: Traces, description: dict[str, Any], provider: str
) -> None:
    server.script(PATH, reply(200, description))
    server.script("ep", chunked(*words("a"), DONE))
    list(fm.stream_chat("ep", "Hi"))
    server.script("ep", reply(200, embeddings([[1.0, 2.0]])))
    fm.embed("ep", ["Hi"])
    assert [provider] * 2 == [span.attributes[PROVIDER] for span in traces.all()]
    assert 3 == len(server.seen)


def test_with_fallback_it_is_the_provider_that_served(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script(PATH, reply(200, described("cohere")))
    server.script(CHAT, reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}))
    server.script("ep", reply(200, chat()))
    fm.chat([CHAT, "ep"], "Hi")
    assert "cohere" == traces.only().attributes[PROVIDER]
