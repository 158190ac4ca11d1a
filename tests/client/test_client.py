"""One client over threads, event loops and copies; what it imports, and what a pickle of it holds."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import subprocess
import sys
import threading

import httpx
import pytest
from fault_server import (
    FaultServer,
    chat,
    reply,
)  # fmt: skip
from timing import SOON

from fm_client import (
    AsyncClient,
    Client,
    Clients,
    ConfigurationError,
)


def test_one_client_serves_many_threads(server: FaultServer) -> None:
    server.script("ep", reply(200, chat()))
    answers: list[str] = []
    with Client(server.host, "t") as fm:
        threads = [threading.Thread(target=lambda: answers.append(fm.chat("ep", "Hi").text)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ["hello"] * 20 == answers


def test_one_client_serves_several_event_loops(server: FaultServer) -> None:
    """L1"""
    server.script("ep", reply(200, chat()))
    fm = AsyncClient(server.host, "t")

    async def ask() -> str:
        try:
            return (await fm.chat("ep", "Hi")).text
        finally:
            await fm.aclose()

    assert ["hello"] * 3 == [asyncio.run(ask()) for _ in range(3)]


SECRET = "canary-token-for-tests"


def test_a_pickle_has_no_secret_and_finds_it_again(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """L3"""
    server.script("ep", reply(200, chat()))
    for made in (
        Client(server.host, SECRET),
        AsyncClient(server.host, SECRET),
        Clients(host=server.host, token=SECRET),
    ):
        data = pickle.dumps(made)
        assert SECRET.encode() not in data
    with pytest.raises(ConfigurationError, match="no credential"):
        pickle.loads(data).sync.chat("ep", "Hi")  # noqa: S301  # our own bytes
    monkeypatch.setenv("DATABRICKS_HOST", server.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", SECRET)
    with pickle.loads(data).sync as fm:  # noqa: S301  # our own bytes
        assert "hello" == fm.chat("ep", "Hi").text


def test_copies_share_the_connections(server: FaultServer) -> None:
    with Client(server.host, "t") as fm:
        assert fm is copy.deepcopy(fm) is copy.copy(fm)
    pair = Clients(host=server.host, token="t")
    assert pair is copy.deepcopy(pair)


def test_a_pair_opens_nothing_before_it_is_used_and_shares_settings(server: FaultServer) -> None:
    assert "unopened" in repr(Clients(host="nonsense host"))
    with Client(server.host, "t") as fm:
        pair = Clients(client=fm)
        assert pair.sync is fm and pair.aio.settings is fm.settings
    with httpx.Client() as own, pytest.raises(ConfigurationError, match="its own http_client"):
        _ = Clients(client=Client(server.host, "t", http_client=own)).aio
    with pytest.raises(ConfigurationError, match="client= or host"):
        Clients(client=fm, host="x")
    with pytest.raises(ConfigurationError, match="must be a Client"):
        Clients(client="fm")  # type: ignore[arg-type]  # that is the test


def test_importing_the_core_loads_no_framework_and_no_sdk() -> None:
    """Asserted in a fresh interpreter."""
    heavy = (
        "langchain",
        "llama_index",
        "mlflow",
        "openai",
        "databricks",
        "fastapi",
        "uvicorn",
        "typer",
        "rich",
        "requests",
        "numpy",
    )
    code = f"import sys, fm_client; print([m for m in {heavy!r} if any(n == m or n.startswith(m + '_') or n.startswith(m + '.') for n in sys.modules)])"
    assert (
        "[]" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    )


def test_a_client_that_is_dropped_and_not_closed_leaves_no_socket_open(server: FaultServer) -> None:
    server.script("ep", reply(200, chat()))
    fm = Client(server.host, "t")
    fm.chat("ep", "Hi")
    del fm
    gc.collect()
    assert server.disconnected.wait(SOON)
