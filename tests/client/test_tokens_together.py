"""Credentials that several callers use at once: they share failures, forks, event loops, and block none of these."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import types
from typing import Any

import pytest
from fault_server import Answer, Connection, FaultServer, chat, reply
from timing import SOON

from fm_client import AsyncClient, AuthenticationError, Client, ConfigurationError
from fm_client._auth import SDKToken
from fm_client._oauth import DEFAULT_TOKEN_PATH, DISCOVERY_PATH, FetchedToken, Fresh

LOGIN: dict[str, Any] = {"client_id": "app-1", "client_secret": "client-secret-for-tests"}
REFUSAL = reply(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
GRANT = reply(200, {"access_token": "fetched-token-for-tests", "expires_in": 3600})


def logging_in(server: FaultServer, answer: Answer, seconds: float) -> None:
    """Requests for a token are answered with `answer`, after a while."""

    def slow(connection: Connection) -> bool:
        time.sleep(seconds)
        return answer(connection)

    server.script(DISCOVERY_PATH, reply(404, "no"))
    server.script(DEFAULT_TOKEN_PATH, slow)
    server.script("ep", reply(200, chat()))


def grants(server: FaultServer) -> int:
    return sum(request.path == DEFAULT_TOKEN_PATH for request in server.seen)


async def test_tasks_that_wait_for_a_token_share_its_refusal(server: FaultServer) -> None:
    logging_in(server, REFUSAL, 0.3)
    async with AsyncClient(server.host, **LOGIN) as fm:
        errors = await asyncio.gather(*(fm.chat("ep", "Hi") for _ in range(8)), return_exceptions=True)
        assert grants(server) == 1
        assert {(type(error), str(error)) for error in errors} == {(AuthenticationError, str(errors[0]))}
        assert len({id(error) for error in errors}) == 8, "each has one of its own, to which frames can be added"
        with pytest.raises(AuthenticationError):
            await fm.chat("ep", "Hi")
    assert grants(server) == 2, "who comes later asks again"


def test_threads_that_wait_for_a_token_share_its_refusal(server: FaultServer) -> None:
    logging_in(server, REFUSAL, 1.0)
    errors: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(AuthenticationError) as caught:
            fm.chat("ep", "Hi")
        errors.append(caught.value)

    with Client(server.host, **LOGIN) as fm:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len({id(error) for error in errors}), grants(server)) == (8, 1)


def test_who_waited_for_a_cancelled_attempt_makes_one_of_its_own() -> None:
    calls: list[int] = []

    async def fetch(_: object) -> Fresh:
        calls.append(1)
        await asyncio.sleep(0.01 if len(calls) > 1 else 30)
        return Fresh("late-token", 60.0)

    async def main() -> str:
        token = FetchedToken("test", lambda context: iter(()), time.monotonic)  # type: ignore[arg-type,return-value]
        first, second = (asyncio.ensure_future(token.atoken(run=fetch)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        return await second

    assert asyncio.run(main()) == "late-token"


FORKED = """
import os, signal, sys, threading, time
from fm_client import Client, Clients
kind, host = sys.argv[1:]
login = {"client_id": "app-1", "client_secret": "client-secret-for-tests"}
if kind == "token":
    fm = Client(host, **login)
    held = threading.Thread(target=lambda: fm.chat("ep", "Hi"))
else:
    clients = Clients(host=host, **login)
    make = clients._make
    clients._make = lambda *args: (time.sleep(0.6), make(*args))[1]
    held = threading.Thread(target=lambda: clients.sync)
held.start()
time.sleep(0.3)
child = os.fork()
if child == 0:
    signal.alarm(30)
    (fm if kind == "token" else clients.sync).chat("ep", "Hi")
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
held.join()
"""


@pytest.mark.parametrize("kind", ["token", "clients"])
def test_a_child_forked_while_a_thread_held_the_lock_goes_on(server: FaultServer, kind: str) -> None:
    logging_in(server, GRANT, 0.6)
    command = [sys.executable, "-c", FORKED, kind, server.host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "0\n", done.stderr


def test_the_locks_of_closed_event_loops_are_dropped() -> None:
    async def fetch(_: object) -> Fresh:
        await asyncio.sleep(0.01)
        return Fresh("token-for-tests", 60.0)

    async def contend() -> None:
        token._held = None
        await asyncio.gather(*(token.atoken(run=fetch) for _ in range(3)))

    token = FetchedToken("test", lambda context: iter(()), time.monotonic)  # type: ignore[arg-type,return-value]
    for _ in range(4):
        asyncio.run(contend())
    assert len(token._locks()._loops) == 1


async def test_a_plain_token_function_that_works_long_does_not_stop_the_event_loop(server: FaultServer) -> None:
    server.script("ep", reply(200, chat()))
    loop, noticed, went_on = asyncio.get_running_loop(), threading.Event(), list[bool]()

    def token() -> str:
        loop.call_soon_threadsafe(noticed.set)
        went_on.append(noticed.wait(SOON))
        return "token-for-tests"

    async with AsyncClient(server.host, token) as fm:
        await fm.chat("ep", "Hi")
    assert server.seen[0].headers["authorization"] == "Bearer token-for-tests"
    assert went_on == [True]


class BrokenConfig:
    """A `databricks.sdk.core.Config` that fails where it is told to, with a secret in its text."""

    where = ""

    def __init__(self, **_: Any) -> None:
        if self.where == "load":
            raise RuntimeError("client-secret-for-tests")

    def authenticate(self) -> dict[str, str]:
        raise RuntimeError("client-secret-for-tests")


@pytest.mark.parametrize(("where", "error"), [("load", ConfigurationError), ("authenticate", AuthenticationError)])
def test_what_the_sdk_raises_is_one_of_our_errors_without_its_text(
    monkeypatch: pytest.MonkeyPatch, where: str, error: type[Exception]
) -> None:
    for name in ("databricks", "databricks.sdk", "databricks.sdk.core"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(BrokenConfig, "where", where)
    monkeypatch.setattr(sys.modules["databricks.sdk.core"], "Config", BrokenConfig, raising=False)
    with pytest.raises(error, match="RuntimeError") as caught:
        SDKToken("https://example.test", None, None).token()
    assert "client-secret" not in f"{caught.value!r}{caught.value.__cause__}"
