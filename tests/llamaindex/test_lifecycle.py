"""Copies, pickles, dumps, registries; and where the token is not."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
from typing import Any

import pytest
from fault_server import FaultServer, chat, embeddings, reply
from llama_index.core import Settings
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.llms.loading import load_llm
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from pydantic import PrivateAttr, create_model

from fm_client import AsyncClient, Client, Clients, ConfigurationError, Timeout
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

SECRET = "secret-token-of-tests"
KINDS = [FoundationModelLLM, FoundationModelEmbedding]


def use(component: Any) -> Any:
    """One call."""
    if isinstance(component, FoundationModelLLM):
        return component.complete("hello").text
    return component.get_text_embedding("hello")


@pytest.fixture(params=KINDS, ids=["llm", "embedding"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["fresh", "used"])
def component(request: pytest.FixtureRequest, kind: Any, server: FaultServer, keep: Any) -> Any:
    """A component that has been used, or not yet."""
    answer = chat() if kind is FoundationModelLLM else embeddings([[1.0]])
    server.script("e", reply(200, answer))
    made = keep(kind("e", host=server.host, token=SECRET, timeout=Timeout(read=9), max_retries=1, extra_body={"a": 1}))
    if request.param == "used":
        use(made)
    return made


def test_a_pickle_works_where_the_token_is_found_anew(
    component: Any, server: FaultServer, keep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(component)
    assert SECRET.encode() not in data
    again = keep(pickle.loads(data))  # noqa: S301  # our own
    assert again.to_dict() == component.to_dict()
    assert (again.timeout, again.max_retries) == (Timeout(read=9), 1)
    with pytest.raises(ConfigurationError, match="no credential"):
        use(again)
    monkeypatch.setenv("DATABRICKS_TOKEN", "token-of-the-worker")
    assert use(again)
    assert server.seen[-1].headers["authorization"] == "Bearer token-of-the-worker"


def test_a_pickle_carries_what_can_be_carried(component: Any) -> None:
    component.rate_limiter = TokenBucketRateLimiter(requests_per_minute=1000)  # has a lock
    again = pickle.loads(pickle.dumps(component))  # noqa: S301  # our own
    assert again.rate_limiter is None or again.rate_limiter.requests_per_minute == 1000
    assert again.callback_manager is not None


def test_a_client_of_ones_own_that_cannot_be_pickled_is_said_to_be_so(kind: Any) -> None:
    import httpx

    with httpx.Client() as own:
        component = kind("e", client=Client("http://127.0.0.1:1", "t", http_client=own))
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(component)


def test_a_copy_shares_the_connections(component: Any) -> None:
    component.rate_limiter = TokenBucketRateLimiter(requests_per_minute=1000)
    for made in (copy.copy(component), copy.deepcopy(component), component.model_copy(deep=True)):
        assert made._clients is component._clients
        assert made.to_dict() == component.to_dict()
        assert made.rate_limiter is component.rate_limiter
        assert use(made)
    deep = copy.deepcopy(component)
    deep.extra_body["a"] = 2
    assert component.extra_body == {"a": 1}


def test_a_dump_is_plain_secret_free_and_can_be_loaded(component: Any, kind: Any) -> None:
    dump = component.to_dict()
    assert json.loads(component.to_json()) == json.loads(json.dumps(dump))
    assert dump["class_name"] == kind.__name__ == kind.class_name()
    assert not {"token", "client", "timeout", "max_retries", "rate_limiter"} & dump.keys()
    assert kind.from_dict(dump).to_dict() == dump
    assert kind.from_json(component.to_json()).to_dict() == dump


def test_registries_load_a_dump() -> None:
    assert isinstance(load_llm(FoundationModelLLM("e").to_dict()), FoundationModelLLM)
    assert isinstance(load_embed_model(FoundationModelEmbedding("e").to_dict()), FoundationModelEmbedding)


def test_the_token_is_nowhere_to_be_read(component: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    use(component)
    shown = [
        repr(component),
        str(component),
        str(component.to_dict()),
        component.to_json(),
        str(component.to_payload()),
    ]
    shown += [str(component.__dict__), str(component.__pydantic_private__), str(vars(component)), caplog.text]
    assert not [text for text in shown if SECRET in text]
    assert SECRET.encode() not in pickle.dumps(component)


def test_an_error_does_not_tell_the_token(kind: Any, server: FaultServer, keep: Any) -> None:
    server.script("e", reply(401, {"error_code": "UNAUTHENTICATED", "message": "bad token"}))
    with pytest.raises(Exception, match="bad token") as caught:
        use(keep(kind("e", host=server.host, token=SECRET)))
    assert SECRET not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("made", [Client, AsyncClient, Clients])
def test_clients_of_any_kind_can_be_given(kind: Any, server: FaultServer, keep: Any, made: Any) -> None:
    server.script("e", reply(200, chat() if kind is FoundationModelLLM else embeddings([[1.0]])))
    client = made(host=server.host, token=SECRET)
    assert use(keep(kind("e", client=client)))
    with pytest.raises(ConfigurationError, match="either client="):
        kind("e", client=client, token="t")


def test_host_and_profile_cannot_be_changed_afterwards_but_tuning_can(component: Any) -> None:
    with pytest.raises(ValueError, match="frozen"):
        component.host = "https://example.com"
    component.timeout = Timeout(read=1)
    assert use(component)


def test_a_field_of_another_model_takes_them(component: Any, kind: Any) -> None:
    holder = create_model("Holder", component=(kind, ...), __config__={"arbitrary_types_allowed": True})
    assert holder(component=component).component is component
    assert holder.model_validate({"component": component}).component is component


def test_settings_take_them(component: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_llm", None)
    monkeypatch.setattr(Settings, "_embed_model", None)
    if isinstance(component, FoundationModelLLM):
        Settings.llm = component
        assert Settings.llm is component
    else:
        Settings.embed_model = component
        assert Settings.embed_model is component


def test_one_object_serves_threads_and_event_loops(component: Any) -> None:
    results: list[Any] = []

    async def ask() -> None:
        name = "acomplete" if isinstance(component, FoundationModelLLM) else "aget_text_embedding"
        results.extend(await asyncio.gather(*(getattr(component, name)("hello") for _ in range(3))))
        await component.aclose()

    threads = [threading.Thread(target=lambda: results.append(use(component))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        asyncio.run(ask())
    for thread in threads:
        thread.join()
    assert len(results) == 12


def test_a_closed_component_stays_closed(component: Any) -> None:
    component.close()
    with pytest.raises(ConfigurationError, match="closed"):
        use(component)


async def test_the_async_half_closes_by_event_loop(server: FaultServer) -> None:
    server.script("e", reply(200, chat()))
    llm = FoundationModelLLM("e", host=server.host, token=SECRET)
    await llm.acomplete("hello")
    await llm.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await llm.acomplete("hello")


def shout(llm: FoundationModelLLM, text: str) -> str:
    return f"{llm.model}: {text.upper()}"


class Louder(FoundationModelLLM):
    """What somebody makes of ours."""

    _volume: int = PrivateAttr(default=1)
    _shout: Any = PrivateAttr(default=shout)


def same(llm: Any) -> Any:
    return llm


def repickled(llm: Any) -> Any:
    return pickle.loads(pickle.dumps(llm))  # noqa: S301 - our own


@pytest.mark.parametrize("moved", [same, copy.deepcopy, repickled])
def test_a_subclass_has_private_attributes_as_pydantic_keeps_them(
    server: FaultServer, keep: Any, monkeypatch: pytest.MonkeyPatch, moved: Any
) -> None:
    """A function becomes a method there."""
    monkeypatch.setenv("DATABRICKS_TOKEN", SECRET)
    server.script("e", reply(200, chat()))
    llm = keep(Louder("e", host=server.host, token=SECRET))
    llm._volume = 2
    llm = keep(moved(llm))
    assert (llm._volume, llm._shout("a")) == (2, "e: A")
    use(llm)
