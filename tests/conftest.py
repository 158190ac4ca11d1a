"""What all tests share: a clean environment, a scripted server, and one way to write a test for both clients."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fault_server import FaultServer
from hypothesis import settings

from fm_client import AsyncClient, Client

TOKEN = "token-for-tests"

# Without a deadline: a machine that is busy is no counterexample.
settings.register_profile("ours", max_examples=int(os.environ.get("FM_TEST_EXAMPLES", "100")), deadline=None)
settings.load_profile("ours")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A developer's own workspace, profile or proxy changes no result."""
    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "FM_CATALOG", "MLFLOW_", "SSL_CERT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("fm_client._retiring._warned", {})  # a test is a process of its own, as to what was told once
    monkeypatch.setattr("fm_client._known._looks", {})  # and to what was asked once: a port may be that of another test
    monkeypatch.setattr("fm_client._vendors._known", {})
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "")
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server that answers by script."""
    with FaultServer() as running:
        yield running


class Driver:
    """A client, sync or async, behind one sync face, so that a test is written once and run for both."""

    def __init__(self, client: Client | AsyncClient, loop: asyncio.AbstractEventLoop | None) -> None:
        self.client, self.loop = client, loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        target = getattr(self.client, name)
        return lambda *args, **kwargs: self._finish(target(*args, **kwargs))

    def call(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """`fm.call("endpoints.get", name)`."""
        target: Any = self.client
        for part in path.split("."):
            target = getattr(target, part)
        return self._finish(target(*args, **kwargs))

    def _finish(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            assert self.loop is not None
            return self.loop.run_until_complete(result)
        if inspect.isasyncgen(result):
            return self._items(result)
        return result

    def _items(self, items: Any) -> Iterator[Any]:
        assert self.loop is not None
        try:
            while True:
                try:
                    yield self.loop.run_until_complete(anext(items))
                except StopAsyncIteration:
                    return
        finally:
            self.loop.run_until_complete(items.aclose())


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Driver]]:
    """`connect(host, token, …)` -> a client of the kind that is under test."""
    loop = asyncio.new_event_loop() if request.param == "async" else None
    opened: list[Driver] = []

    def make(host: str, token: Any = TOKEN, **options: Any) -> Driver:
        kind = Client if loop is None else AsyncClient
        opened.append(Driver(kind(host, token, **options), loop))
        return opened[-1]

    yield make
    for driver in opened:
        driver._finish(driver.client.close() if isinstance(driver.client, Client) else driver.client.aclose())
    if loop is not None:
        loop.close()


@pytest.fixture
def fm(connect: Callable[..., Driver], server: FaultServer) -> Driver:
    """A client of the scripted server, sync and async in turn."""
    return connect(server.host)
