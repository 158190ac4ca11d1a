"""A span says whose model answered, where the process knows it; nothing is asked for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from deployments_api import CHAT, client_of, user
from fault_server import DONE, FaultServer, chat, chunked, embeddings, reply, words
from traces import Traces

import mlflow_fm
from fm_client import Client
from mlflow_fm import FoundationModelDeploymentClient

PROVIDER = "mlflow.llm.provider"


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


def test_every_client_knows_the_provider_once_one_has_looked_at_the_endpoint(
    server: FaultServer, traces: Traces
) -> None:
    server.script("ep", reply(200, chat()))
    server.script("/api/2.0/serving-endpoints/ep", reply(200, described("anthropic")))
    with Client(server.host, "token-for-tests") as fm:
        fm.chat("ep", "Hi")
        client_of(server).get_endpoint("ep")
        fm.chat("ep", "Hi")
    assert ["databricks", "anthropic"] == [span.attributes[PROVIDER] for span in traces.all()][::-1]


def test_langchains_model_knows_the_provider_once_it_has_asked_for_its_profile(
    client: FoundationModelDeploymentClient, gpt: str, traces: Traces
) -> None:
    pytest.importorskip("langchain_core")
    from langchain_fm import ChatFoundationModel

    model = ChatFoundationModel(model=gpt)
    model.load_profile()
    model.invoke("Hi")
    assert "openai" == traces.only().attributes[PROVIDER]


def test_llama_index_asks_what_an_endpoint_serves_and_so_knows_the_provider(
    client: FoundationModelDeploymentClient, gpt: str, traces: Traces
) -> None:
    pytest.importorskip("llama_index.core")
    from llamaindex_fm import FoundationModelLLM

    FoundationModelLLM(gpt).complete("Hi")
    assert "openai" == traces.only().attributes[PROVIDER]


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
    server.script("/api/2.0/serving-endpoints/ep", reply(200, description))
    fm.call("endpoints.get", "ep")
    server.script("ep", chunked(*words("a"), DONE))
    list(fm.stream_chat("ep", "Hi"))
    server.script("ep", reply(200, embeddings([[1.0, 2.0]])))
    fm.embed("ep", ["Hi"])
    assert [provider] * 2 == [span.attributes[PROVIDER] for span in traces.all()]
    assert 3 == len(server.seen)


def test_with_fallback_it_is_the_provider_that_served(fm: Any, server: FaultServer, traces: Traces) -> None:
    server.script("/api/2.0/serving-endpoints/ep", reply(200, described("cohere")))
    fm.call("endpoints.get", "ep")
    server.script(CHAT, reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}))
    server.script("ep", reply(200, chat()))
    fm.chat([CHAT, "ep"], "Hi")
    assert "cohere" == traces.only().attributes[PROVIDER]
