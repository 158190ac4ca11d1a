"""Models to test with: at the embedded workspace, and at a server that answers by script and keeps what it was sent."""

from __future__ import annotations

import asyncio
import functools
import inspect
import operator
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fault_server import FaultServer, Seen
from langchain_core.messages import AIMessageChunk

from fm_client import Client
from fm_workspace import Workspace
from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings, FoundationModelLLM

TOKEN = "token-for-tests"
CHAT = "databricks-meta-llama-3-3-70b-instruct"
EMBED = "databricks-gte-large-en"


@pytest.fixture(scope="session")
def workspace() -> Iterator[Workspace]:
    """One embedded workspace for all these tests."""
    with Workspace.start() as running:
        yield running


class Drive:
    """A model's methods, sync or async, behind one sync face, so that a test is written once and run for both."""

    def __init__(self, model: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.model, self.loop = model, loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """`drive.invoke(…)` calls `invoke`, or `ainvoke` in the event loop; a stream becomes a list."""
        if self.loop is None:
            return lambda *args, **kwargs: _listed(getattr(self.model, name)(*args, **kwargs))
        return lambda *args, **kwargs: self._finish(getattr(self.model, f"a{name}")(*args, **kwargs))

    def _finish(self, result: Any) -> Any:
        assert self.loop is not None
        return self.loop.run_until_complete(result if inspect.isawaitable(result) else _collect(result))


@pytest.fixture
def merged() -> Callable[[list[AIMessageChunk]], AIMessageChunk]:
    """`merged(chunks)`: a stream put together, as an application does it."""
    return lambda chunks: functools.reduce(operator.add, chunks)


def _listed(result: Any) -> Any:
    return list(result) if inspect.isgenerator(result) else result


async def _collect(items: Any) -> list[Any]:
    return [item async for item in items]


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Drive]]:
    """`drive(model)`: the model's sync methods, then its async ones."""
    if request.param == "sync":
        yield lambda model: Drive(model, None)
        return
    with asyncio.Runner() as runner:
        yield lambda model: Drive(model, runner.get_loop())


@pytest.fixture
def keep() -> Iterator[Callable[[Any], Any]]:
    """`keep(model)` is the model, closed after the test."""
    opened: list[Any] = []

    def kept(model: Any) -> Any:
        opened.append(model)
        return model

    yield kept
    for model in opened:
        model.close()


@pytest.fixture
def chat(server: FaultServer, keep: Callable[[Any], Any]) -> Callable[..., ChatFoundationModel]:
    """`chat(**fields)`: a chat model of the scripted server."""
    fields = {"model": CHAT, "host": server.host, "token": TOKEN}
    return lambda **given: keep(ChatFoundationModel(**{**fields, **given}))


@pytest.fixture
def llm(server: FaultServer, keep: Callable[[Any], Any]) -> Callable[..., FoundationModelLLM]:
    """`llm(**fields)`: a completion model of the scripted server."""
    fields = {"model": "completions", "host": server.host, "token": TOKEN}
    return lambda **given: keep(FoundationModelLLM(**{**fields, **given}))


@pytest.fixture
def embeddings(server: FaultServer, keep: Callable[[Any], Any]) -> Callable[..., FoundationModelEmbeddings]:
    """`embeddings(**fields)`: an embedding model of the scripted server."""
    fields = {"model": EMBED, "host": server.host, "token": TOKEN}
    return lambda **given: keep(FoundationModelEmbeddings(**{**fields, **given}))


@pytest.fixture
def live(workspace: Workspace, keep: Callable[[Any], Any]) -> Callable[..., ChatFoundationModel]:
    """`live(**fields)`: a chat model of the embedded workspace."""
    fields = {"model": CHAT, "host": workspace.host, "token": workspace.token}
    return lambda **given: keep(ChatFoundationModel(**{**fields, **given}))


@pytest.fixture
def deployed(workspace: Workspace) -> Iterator[Callable[..., str]]:
    """`deployed(fm_usage_style="final", …)`: the name of an endpoint with these tags, for the length of the test."""
    names: list[str] = []
    with Client(workspace.host, workspace.token) as fm:

        def create(**tags: str) -> str:
            names.append(f"endpoint-{uuid.uuid4().hex[:8]}")
            entity = {"entity_name": "main.default.llama", "entity_version": "1", "provisioned_model_units": 50}
            fm.endpoints.create(names[-1], **entity, tags=tags, wait=True)
            return names[-1]

        yield create
        for name in names:
            fm.endpoints.delete(name)


@pytest.fixture
def sent(server: FaultServer) -> Callable[[], Any]:
    """`sent()`: the body of the last request that had one."""

    def last() -> Any:
        request: Seen = [seen for seen in server.seen if seen.body][-1]
        return request.json

    return last
