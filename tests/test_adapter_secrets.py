"""Planted secrets show up in nothing that the adapters make of a client: texts, dumps, pickles, cache keys, errors."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from canaries import TOKEN, leaks, seen_of
from fault_lab import exposed
from fault_server import DONE, Answer, FaultServer, chat, chunked, embeddings, reply, reset, words
from langchain_core.load import dumpd, dumps
from mlflow.exceptions import MlflowException
from pydantic import SecretStr

from fm_client import FMError
from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings
from langchain_fm import FoundationModelLLM as CompletionModel
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM
from mlflow_fm import FoundationModelDeploymentClient

COMPLETION = {"id": "c", "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}]}
GOOD: dict[str, Answer] = {
    "chat": reply(200, chat()),
    "complete": reply(200, COMPLETION),
    "stream": chunked(*words("a", "b"), DONE),
    "embed": reply(200, embeddings([[1.0, 2.0]])),
}
# Class of the adapter, how it is made for a host, and each way to use it with the answer that this wants.
Use = tuple[str, Callable[[Any], Any]]
MODELS: dict[str, tuple[Callable[[str, Any], Any], tuple[Use, ...]]] = {
    "langchain chat": (
        lambda host, token: ChatFoundationModel(model="ep", host=host, token=token, max_retries=0),
        (("chat", lambda m: m.invoke("Hi")), ("stream", lambda m: list(m.stream("Hi")))),
    ),
    "langchain llm": (
        lambda host, token: CompletionModel(model="ep", host=host, token=token, max_retries=0),
        (("complete", lambda m: m.invoke("Hi")),),
    ),
    "langchain embeddings": (
        lambda host, token: FoundationModelEmbeddings(model="ep", host=host, token=token, max_retries=0),
        (("embed", lambda m: m.embed_query("Hi")), ("embed", lambda m: m.embed_documents(["Hi"]))),
    ),
    "llamaindex llm": (
        lambda host, token: FoundationModelLLM("ep", host=host, token=token, max_retries=0),
        (("chat", lambda m: m.complete("Hi")), ("stream", lambda m: list(m.stream_complete("Hi")))),
    ),
    "llamaindex embedding": (
        lambda host, token: FoundationModelEmbedding("ep", host=host, token=token, max_retries=0),
        (("embed", lambda m: m.get_query_embedding("Hi")), ("embed", lambda m: m.get_text_embedding("Hi"))),
    ),
}
BAD: dict[str, Answer] = {
    "401": reply(401, {"error_code": "UNAUTHENTICATED", "message": "invalid"}),
    "403": reply(403, {"error_code": "403", "message": "Invalid access token. [ReqId: 1]"}),
    "500": reply(500, f"cannot serve {{'authorization': 'Bearer {TOKEN}'}}"),
    "reset": reset,
    "stream break": chunked(*words("a", finish=None), end="cut"),
}
each_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    for logger in (None, "httpcore", "httpx", "langchain_core", "llama_index", "mlflow"):
        caplog.set_level(logging.DEBUG, logger)
    yield
    assert [] == leaks(caplog.text + "".join(capfd.readouterr()))


def dumped(model: Any) -> str:
    """Every form in which a model of a framework leaves the process, and what cache keys are made of."""
    found = [seen_of(model), repr(model.__dict__), repr(getattr(model, "__pydantic_private__", "")), repr(dict(model))]
    found.append(pickle.dumps(model).decode("latin-1"))
    methods = ("_get_ls_params", "_get_llm_string", "asdict", "to_payload", "to_dict", "to_json", "model_dump")
    found += [repr(made()) for method in methods if callable(made := getattr(model, method, None))]
    found += [repr(getattr(model, name, "")) for name in ("_identifying_params", "lc_attributes", "metadata")]
    if hasattr(model, "lc_secrets"):
        found += [dumps(model), json.dumps(dumpd(model))]
    return "".join(found)


@each_model
@pytest.mark.parametrize("token", [TOKEN, SecretStr(TOKEN), lambda: TOKEN], ids=["text", "SecretStr", "function"])
def test_a_model_fresh_or_used_shows_no_token(name: str, token: Any, server: FaultServer) -> None:
    make, uses = MODELS[name]
    model = make(server.host, token)
    assert [] == leaks(dumped(model))
    for answer, use in uses:
        server.script("ep", GOOD[answer])
        assert [] == leaks(repr(use(model)))
        assert f"Bearer {TOKEN}" == server.seen[-1].headers["authorization"]
    assert [] == leaks(dumped(model))


@each_model
@pytest.mark.parametrize("fault", BAD)
def test_a_model_that_fails_shows_no_token(name: str, fault: str, server: FaultServer) -> None:
    make, uses = MODELS[name]
    model = make(server.host, TOKEN)
    for _, use in uses:
        server.script("ep", BAD[fault])
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of either framework; only what it shows matters
            use(model)
        assert any(isinstance(link, FMError) for link in (caught.value, caught.value.__cause__))
        assert [] == leaks(exposed(caught.value))


@each_model
@pytest.mark.parametrize("arguments", [{"token": f"{TOKEN}\n"}, {"tokn": TOKEN}, {"timeout": -1}, {"host": "ftp://x"}])
def test_a_model_made_wrongly_shows_no_token(name: str, arguments: dict[str, Any], server: FaultServer) -> None:
    kind = type(MODELS[name][0](server.host, TOKEN))
    _, use = MODELS[name][1][0]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - ConfigurationError or pydantic's, both are ValueErrors
        use(kind(**{"model": "ep", "host": server.host, "token": TOKEN, **arguments}))
    assert [] == leaks(str(caught.value)) and [] == leaks(repr(vars(caught.value)))
    assert [] == server.seen


QUERIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "embed": {"input": ["Hi"]},
}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("fault", [None, *BAD])
def test_the_deployments_client_shows_no_token(
    query: str, fault: str | None, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", server.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    client = FoundationModelDeploymentClient("fm")
    server.script("ep", GOOD[query] if fault is None else BAD[fault])
    if fault is None:
        assert [] == leaks(seen_of(client.predict(endpoint="ep", inputs=QUERIES[query])))
    else:
        with pytest.raises(MlflowException) as caught:
            client.predict(endpoint="ep", inputs=QUERIES[query])
        assert [] == leaks(exposed(caught.value) + caught.value.serialize_as_json())
    assert [] == leaks(seen_of(client) + pickle.dumps(client).decode("latin-1"))
    assert f"Bearer {TOKEN}" == server.seen[-1].headers["authorization"]
