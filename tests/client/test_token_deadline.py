"""The limit over a whole call holds for its token too: for fetching one, and for waiting while another caller does."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fault_server import FaultServer, chat, reply, silence
from timing import HELD, SOON, eventually

from fm_client import APITimeoutError, AsyncClient, Client
from fm_client._oauth import DEFAULT_TOKEN_PATH, DISCOVERY_PATH, FetchedToken, Fresh

LIMIT = 0.3
"""Seconds that a call may take."""
LOGIN: dict[str, Any] = {"client_id": "app-1", "client_secret": "client-secret-for-tests"}


def timed_out(connect: Callable[..., Any], *args: Any, **options: Any) -> APITimeoutError:
    """The error of a call that may take `LIMIT` seconds, and took about that."""
    fm = connect(*args, timeout=LIMIT, **options)
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        fm.chat("ep", "Hi")
    assert LIMIT - 0.02 <= time.monotonic() - began < SOON
    assert (caught.value.phase, caught.value.attempts) == ("total", 0)
    return caught.value


@pytest.mark.parametrize("silent", [DISCOVERY_PATH, DEFAULT_TOKEN_PATH])
def test_a_token_endpoint_that_keeps_silent(connect: Callable[..., Any], server: FaultServer, silent: str) -> None:
    server.script(DISCOVERY_PATH, reply(404, "no"))
    server.script(silent, silence(HELD))
    timed_out(connect, server.host, None, **LOGIN)
    assert server.attempts("ep") == 0


def test_a_token_endpoint_that_keeps_failing(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script(DISCOVERY_PATH, reply(404, "no"))
    server.script(DEFAULT_TOKEN_PATH, reply(503, "later", retry_after="0.25"))
    with pytest.raises(Exception, match="later|total timeout"):
        connect(server.host, None, timeout=LIMIT, max_retries=20, **LOGIN).chat("ep", "Hi")
    assert sum(request.path == DEFAULT_TOKEN_PATH for request in server.seen) <= 2, "one every 0.25 s"


async def test_a_function_that_hangs(server: FaultServer) -> None:
    """In AsyncClient; in Client it runs in the caller's own thread, which nothing can cut short."""

    async def hanging() -> str:
        await asyncio.sleep(HELD)
        return "never"

    release = threading.Event()

    def blocking() -> str:
        release.wait(HELD)
        return "never"

    for source in (hanging, blocking):
        async with AsyncClient(server.host, source, timeout=LIMIT) as fm:
            began = time.monotonic()
            with pytest.raises(APITimeoutError, match="token") as caught:
                await fm.chat("ep", "Hi")
            assert (caught.value.phase, time.monotonic() - began < SOON) == ("total", True)
    release.set()


async def test_a_functions_own_timeout_error_stays_its_own(server: FaultServer) -> None:
    async def failing() -> str:
        raise TimeoutError("the vault is slow")

    async with AsyncClient(server.host, failing) as fm:
        with pytest.raises(TimeoutError, match="the vault is slow"):
            await fm.chat("ep", "Hi")


class SlowConfig:
    """A `databricks.sdk.core.Config` that logs in when it is let, and counts."""

    let, logins = threading.Event(), 0

    def __init__(self, **_: Any) -> None:
        type(self).logins += 1
        self.let.wait(HELD)

    def authenticate(self) -> dict[str, str]:
        return {"Authorization": "Bearer sdk-token"}


@pytest.fixture
def slow_sdk(monkeypatch: pytest.MonkeyPatch) -> type[SlowConfig]:
    for name in ("databricks", "databricks.sdk", "databricks.sdk.core"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["databricks.sdk.core"], "Config", SlowConfig, raising=False)
    monkeypatch.setattr(SlowConfig, "let", threading.Event())
    monkeypatch.setattr(SlowConfig, "logins", 0)
    return SlowConfig


def test_a_login_of_the_sdk_that_takes_long_is_left_to_itself_and_its_token_used_later(
    connect: Callable[..., Any], server: FaultServer, slow_sdk: type[SlowConfig]
) -> None:
    server.script("ep", reply(200, chat()))
    fm = connect(server.host, None, auth_type="external-browser", timeout=LIMIT)
    for _ in range(3):
        with pytest.raises(APITimeoutError, match="token"):
            fm.chat("ep", "Hi")
    slow_sdk.let.set()
    fm = connect(server.host, None, auth_type="external-browser")
    assert (fm.chat("ep", "Hi").text, slow_sdk.logins) == ("hello", 2), "one for each client, however often it asked"


# ------------------------------------------------------------------------------- one fetches, the others wait for it


def granting_late(server: FaultServer) -> threading.Event:
    """A server that grants a token once the event is set."""
    release = threading.Event()
    grant = reply(200, {"access_token": "fetched-token-for-tests", "expires_in": 3600})
    server.script(DISCOVERY_PATH, reply(404, "no"))
    server.script(DEFAULT_TOKEN_PATH, lambda connection: release.wait(HELD) and grant(connection))
    server.script("ep", reply(200, chat()))
    return release


def is_asked(server: FaultServer) -> bool:
    return any(request.path == DEFAULT_TOKEN_PATH for request in server.seen)


def test_a_thread_whose_time_is_over_goes_and_the_others_get_the_token(server: FaultServer) -> None:
    release = granting_late(server)
    with (
        Client(server.host, None, **LOGIN) as patient,
        Client.sharing(patient) as hurried,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(patient.chat, "ep", "Hi")
        assert eventually(lambda: is_asked(server))
        with pytest.raises(APITimeoutError, match="token"):
            hurried.chat("ep", "Hi", timeout=LIMIT)
        assert not first.done()
        release.set()
        assert first.result().text == "hello"


async def test_a_task_whose_time_is_over_goes_and_the_others_get_the_token(server: FaultServer) -> None:
    release = granting_late(server)
    async with AsyncClient(server.host, None, **LOGIN) as fm:
        first = asyncio.create_task(fm.chat("ep", "Hi"))
        assert await asyncio.to_thread(eventually, lambda: is_asked(server))
        with pytest.raises(APITimeoutError, match="token"):
            await fm.chat("ep", "Hi", timeout=LIMIT)
        assert not first.done()
        release.set()
        assert (await first).text == "hello"


def test_the_failure_of_one_who_had_no_time_is_not_that_of_those_who_have(server: FaultServer) -> None:
    """The one in a hurry fetches, the patient one waits for it, and then fetches for itself."""
    server.script(DISCOVERY_PATH, reply(404, "no"))
    grant = reply(200, {"access_token": "fetched-token-for-tests", "expires_in": 3600})
    server.script(DEFAULT_TOKEN_PATH, silence(HELD), grant)
    server.script("ep", reply(200, chat()))
    with Client(server.host, None, **LOGIN) as fm, ThreadPoolExecutor(1) as pool:
        hurried = pool.submit(fm.chat, "ep", "Hi", timeout=LIMIT)
        assert eventually(lambda: is_asked(server))
        assert fm.chat("ep", "Hi", timeout=HELD).text == "hello"
        assert isinstance(hurried.exception(), APITimeoutError)


def test_a_token_that_is_still_good_is_used_when_there_is_no_time_to_renew_it() -> None:
    now = [0.0]
    credential = FetchedToken("test", lambda context, within: None, lambda: now[0])  # type: ignore[arg-type,return-value]
    assert credential.token(run=lambda make: Fresh("old-token", 3600.0)) == "old-token"
    now[0] = 3000.0

    def late(make: Any) -> Fresh:
        now[0] += 5.0
        raise APITimeoutError("late", phase="total")

    assert credential.token(run=late, within=5.0) == "old-token"
