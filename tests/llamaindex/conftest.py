"""A workspace, a scripted server, and one way to write a test for the sync and the async half of a class."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from fault_server import FaultServer, embeddings, reply

from fm_workspace import Workspace
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM, offline

CHAT = "databricks-meta-llama-3-3-70b-instruct"
CHAT_TASK = "llm/v1/chat"
"""Said beforehand: the scripted server describes no endpoints."""
EMBED = "databricks-gte-large-en"
TOKEN = "token-for-tests"
T = TypeVar("T")


@pytest.fixture(autouse=True, scope="session")
def _offline() -> None:
    offline()


@pytest.fixture(scope="session")
def ws() -> Iterator[Workspace]:
    """A workspace that all tests of this folder share."""
    with Workspace.start() as workspace:
        yield workspace


class Caller:
    """Calls `chat` or `achat`, and so on, as a plain function would."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop

    def run(self, target: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a call."""
        if self.loop is None:
            return getattr(target, name)(*args, **kwargs)
        return self.loop.run_until_complete(getattr(target, f"a{name}")(*args, **kwargs))

    def items(self, target: Any, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """All items of a stream."""
        if self.loop is None:
            return list(getattr(target, name)(*args, **kwargs))

        async def collect() -> list[Any]:
            return [item async for item in await getattr(target, f"a{name}")(*args, **kwargs)]

        return self.loop.run_until_complete(collect())


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """Components whose connections a test leaves open."""
    components: list[Any] = []
    yield components
    for component in components:
        component.close()


@pytest.fixture
def keep(opened: list[Any]) -> Callable[[T], T]:
    """`keep(component)` is the component, closed after the test."""

    def kept(component: T) -> T:
        opened.append(component)
        return component

    return kept


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, opened: list[Any]) -> Iterator[Caller]:
    """Sync and async in turn."""
    if request.param == "sync":
        yield Caller(None)
        return
    loop = asyncio.new_event_loop()
    yield Caller(loop)
    for component in opened:
        loop.run_until_complete(component.aclose())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def llm(ws: Workspace, keep: Callable[[Any], Any]) -> FoundationModelLLM:
    """A chat model of the workspace."""
    return keep(FoundationModelLLM(CHAT, host=ws.host, token=ws.token))


@pytest.fixture
def embed_model(ws: Workspace, keep: Callable[[Any], Any]) -> FoundationModelEmbedding:
    """An embedding model of the workspace."""
    return keep(FoundationModelEmbedding(EMBED, host=ws.host, token=ws.token))


@pytest.fixture
def scripted(server: FaultServer, keep: Callable[[Any], Any]) -> Callable[..., FoundationModelLLM]:
    """`scripted("endpoint", answer, …, temperature=0)` -> an LLM on an endpoint that answers so."""

    def make(endpoint: str, *answers: Any, **fields: Any) -> FoundationModelLLM:
        server.script(endpoint, *(reply(200, answer) if isinstance(answer, dict) else answer for answer in answers))
        return keep(FoundationModelLLM(endpoint, **{"host": server.host, "token": TOKEN, "task": CHAT_TASK, **fields}))

    return make


@pytest.fixture
def scripted_embed(server: FaultServer, keep: Callable[[Any], Any]) -> Callable[..., FoundationModelEmbedding]:
    """`scripted_embed("endpoint", vectors)` -> an embedding model on an endpoint that answers so."""

    def make(endpoint: str = "e", vectors: Any = ([1.0, 2.0],), **fields: Any) -> FoundationModelEmbedding:
        server.script(endpoint, reply(200, embeddings(vectors)))
        return keep(FoundationModelEmbedding(endpoint, **{"host": server.host, "token": TOKEN, **fields}))

    return make
