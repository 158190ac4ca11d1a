"""Tokens that are fetched: when, by whom, how often, and what happens when that fails."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import types
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from fault_lab import exposed
from fault_server import Answer, Connection, FaultServer, chat, either, reply
from timing import SOON

from fm_client import APIError, AsyncClient, AuthenticationError, Client, ConfigurationError, PermissionDeniedError
from fm_client import _oauth as oauth

SECRET = "canary-client-secret-for-tests"
DISCOVERY, TOKEN = oauth.DISCOVERY_PATH, oauth.DEFAULT_TOKEN_PATH
LOGIN = {"client_id": "app-1", "client_secret": SECRET}


def granting(server: FaultServer, *, ttl: Any = 3600, before: Callable[[], object] = lambda: None) -> None:
    """Every request for a token is granted another one: token-1, token-2, …"""
    count = iter(range(1, 1_000))

    def answer(connection: Connection) -> bool:
        before()
        return reply(200, {"access_token": f"token-{next(count)}", "token_type": "Bearer", "expires_in": ttl})(
            connection
        )

    server.script(DISCOVERY, reply(404, "no"))
    server.script(TOKEN, answer)


def grants(server: FaultServer) -> int:
    return sum(request.path == TOKEN for request in server.seen)


def bearers(server: FaultServer) -> list[str]:
    return [request.headers["authorization"] for request in server.seen if request.endpoint]


def test_a_token_is_fetched_once_and_used_for_all_calls(connect: Callable[..., Any], server: FaultServer) -> None:
    granting(server)
    server.script("ep", reply(200, chat()))
    fm = connect(server.host, None, **LOGIN)
    for _ in range(3):
        fm.chat("ep", "Hi")
    assert (1, ["Bearer token-1"] * 3) == (grants(server), bearers(server))
    request = next(r for r in server.seen if r.path == TOKEN)
    assert f"app-1:{SECRET}" == b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
    assert {"grant_type": ["client_credentials"], "scope": ["all-apis"]} == parse_qs(request.body.decode())


def test_the_workspace_may_name_another_path_but_no_other_host(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    granting(server)
    server.script("ep", reply(200, chat()))
    server.script(DISCOVERY, reply(200, {"token_endpoint": f"{server.host}/elsewhere"}))
    server.script("/elsewhere", reply(200, {"access_token": "from-elsewhere", "expires_in": 60}))
    connect(server.host, None, **LOGIN).chat("ep", "Hi")
    server.script(DISCOVERY, reply(200, {"token_endpoint": "https://evil.test/token"}))
    connect(server.host, None, **LOGIN).chat("ep", "Hi")
    assert ["Bearer from-elsewhere", "Bearer token-1"] == bearers(server)


@pytest.mark.parametrize(
    "refusal",
    [reply(401, {"error_code": "UNAUTHENTICATED", "message": "x"}), reply(403, "Invalid access token. [ReqId: 1]")],
    ids=["401", "403 expired"],
)
def test_a_refused_token_is_renewed_once(connect: Callable[..., Any], server: FaultServer, refusal: Answer) -> None:
    """H8"""
    granting(server)
    server.script("ep", refusal, reply(200, chat()))
    fm = connect(server.host, None, **LOGIN)
    assert "hello" == fm.chat("ep", "Hi").text
    assert ["Bearer token-1", "Bearer token-2"] == bearers(server)
    server.script("ep", refusal)
    with pytest.raises((AuthenticationError, PermissionDeniedError)):
        fm.chat("ep", "Hi")
    assert (3, 4) == (grants(server), server.attempts("ep"))


def test_fifty_threads_fetch_one_token(server: FaultServer) -> None:
    """H8: single flight."""
    granting(server, before=lambda: time.sleep(0.2))
    server.script("ep", reply(200, chat()))
    answers: list[str] = []
    with Client(server.host, **LOGIN) as fm:
        threads = [threading.Thread(target=lambda: answers.append(fm.chat("ep", "Hi").text)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (50, 1) == (len(answers), grants(server))


async def test_fifty_tasks_fetch_one_token_and_the_loop_goes_on(server: FaultServer) -> None:
    """H8: single flight; a renewal never blocks the loop."""
    loop, noticed, went_on = asyncio.get_running_loop(), threading.Event(), list[bool]()

    def until_noticed() -> None:
        loop.call_soon_threadsafe(noticed.set)
        went_on.append(noticed.wait(SOON))

    granting(server, before=until_noticed)
    server.script("ep", reply(200, chat()))
    async with AsyncClient(server.host, **LOGIN) as fm:
        answers = await asyncio.gather(*(fm.chat("ep", "Hi") for _ in range(50)))
    assert (50, 1, [True]) == (len(answers), grants(server), went_on)


def test_several_event_loops_share_one_token(server: FaultServer) -> None:
    granting(server)
    server.script("ep", reply(200, chat()))
    fm = AsyncClient(server.host, **LOGIN)

    async def ask() -> None:
        await fm.chat("ep", "Hi")
        await fm.aclose()

    for _ in range(3):
        asyncio.run(ask())
    assert (1, 3) == (grants(server), server.attempts("ep"))


class Held:
    """A credential under a clock that the test moves, fetched by a function that the test gives."""

    def __init__(self, *fetched: oauth.Fresh | Exception) -> None:
        self.time, self.script, self.fetches = 0.0, list(fetched), 0
        self.credential = oauth.FetchedToken("test", lambda context: None, lambda: self.time)  # type: ignore[arg-type,return-value]

    def token(self, stale: str | None = None) -> str:
        return self.credential.token(stale, self._run)

    def _run(self, make: Any) -> oauth.Fresh:
        self.fetches += 1
        result = self.script.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def test_a_token_is_renewed_twenty_minutes_early_or_at_half_its_life() -> None:
    held = Held(oauth.Fresh("a", 3600.0), oauth.Fresh("b", 600.0), oauth.Fresh("c", 600.0))
    assert "a" == held.token()
    held.time = 2399.0
    assert "a" == held.token()
    held.time = 2401.0
    assert "b" == held.token()
    held.time += 299.0
    assert "b" == held.token()
    held.time += 2.0
    assert "c" == held.token()


def test_a_failed_renewal_does_no_harm_while_the_old_token_is_good() -> None:
    failure = AuthenticationError("down")
    held = Held(oauth.Fresh("a", 3600.0), failure, failure, failure, oauth.Fresh("b", 3600.0))
    held.token()
    held.time = 2500.0
    assert ("a", 2) == (held.token(), held.fetches)
    held.time += 59.0
    assert ("a", 2) == (held.token(), held.fetches), "not asked again for a minute"
    held.time += 2.0
    assert ("a", 3) == (held.token(), held.fetches)
    held.time = 3561.0
    with pytest.raises(AuthenticationError, match="down"):
        held.token()
    assert "b" == held.token()


def test_a_wrong_secret_is_an_authentication_error_without_it(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script(DISCOVERY, reply(404, "no"))
    server.script(TOKEN, reply(401, {"error": "invalid_client", "error_description": "Client authentication failed"}))
    with pytest.raises(
        AuthenticationError, match="no token for these client credentials: Client authentication"
    ) as caught:
        connect(server.host, None, **LOGIN).chat("ep", "Hi")
    assert SECRET not in f"{caught.value!r}{vars(caught.value)}" and 1 == grants(server)


@pytest.mark.parametrize("body", ["<html>", {}, {"access_token": None}, {"access_token": 5}, []])
def test_an_answer_without_a_token_is_an_error(connect: Callable[..., Any], server: FaultServer, body: Any) -> None:
    server.script(DISCOVERY, reply(404, "no"))
    server.script(TOKEN, reply(200, body))
    with pytest.raises(Exception, match="access_token"):
        connect(server.host, None, **LOGIN).chat("ep", "Hi")


@pytest.mark.parametrize("ttl", [None, "soon", -5, "60"])
def test_a_life_that_is_none_is_survived(connect: Callable[..., Any], server: FaultServer, ttl: Any) -> None:
    granting(server, ttl=ttl)
    server.script("ep", reply(200, chat()))
    assert "hello" == connect(server.host, None, **LOGIN).chat("ep", "Hi").text


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_token_endpoint_that_quotes_the_login_is_quoted_without_it(
    connect: Callable[..., Any], server: FaultServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    subject = "canary-subject-token-for-tests"
    server.script(DISCOVERY, reply(404, "no"))
    server.script(TOKEN, either(lambda seen: reply(status, f"no: {seen.headers} {seen.body!r} {SECRET}"), server))
    with pytest.raises(APIError, match=r"\*{10}") as caught:
        connect(server.host, None, max_retries=0, **LOGIN).chat("ep", "Hi")
    assert SECRET not in exposed(caught.value)
    monkeypatch.setenv("DATABRICKS_OIDC_TOKEN", subject)
    monkeypatch.setenv("DATABRICKS_HOST", server.host)
    with pytest.raises(APIError, match=r"subject_token=\*{10}") as caught:
        connect(None, None, max_retries=0).chat("ep", "Hi")
    assert subject not in exposed(caught.value)


def test_the_token_endpoint_is_asked_again_when_it_fails(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script(DISCOVERY, reply(404, "no"))
    server.script(TOKEN, reply(500, "x"), reply(200, {"access_token": "late", "expires_in": 60}))
    server.script("ep", reply(200, chat()))
    connect(server.host, None, **LOGIN).chat("ep", "Hi")
    assert ["Bearer late"] == bearers(server)


# ----------------------------------------------------------------------------------------- which way, from which place


def test_client_credentials_come_from_environment_or_profile(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    granting(server)
    monkeypatch.setenv("DATABRICKS_HOST", server.host)
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "app-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", SECRET)
    with Client() as fm:
        assert "oauth-m2m" == fm.settings.credential.kind
    profile = tmp_path / "cfg"
    profile.write_text(f"[app]\nhost = {server.host}\nclient_id = app-1\nclient_secret = {SECRET}\n")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(profile))
    with Client(profile="app") as fm:
        assert "oauth-m2m" == fm.settings.credential.kind
        assert SECRET not in repr(fm.settings) + repr(fm.settings.credential)


def test_two_ways_in_one_place_are_an_error_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://example.test")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token-env")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "app-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", SECRET)
    with pytest.raises(ConfigurationError, match="more than one way to log in.*pat, oauth-m2m.*auth_type") as caught:
        Client()
    assert SECRET not in str(caught.value)
    assert "oauth-m2m" == Client(auth_type="oauth-m2m").settings.credential.kind
    monkeypatch.setenv("DATABRICKS_AUTH_TYPE", "pat")
    assert "pat" == Client().settings.credential.kind


def test_an_auth_type_without_its_values_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://example.test")
    monkeypatch.setenv("DATABRICKS_AUTH_TYPE", "oauth-m2m")
    with pytest.raises(ConfigurationError, match="'oauth-m2m' needs client_id and client_secret"):
        Client()
    monkeypatch.delenv("DATABRICKS_AUTH_TYPE")
    with pytest.raises(ConfigurationError, match="'pat' needs token"):
        Client(auth_type="pat")


def test_half_a_login_and_two_logins_in_arguments_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    host = "https://example.test"
    for login in ({"client_secret": SECRET}, {"token": "t", **LOGIN}):
        with pytest.raises(ConfigurationError, match="client_secret=") as caught:
            Client(host, **login)
        assert SECRET not in str(caught.value)
    monkeypatch.setenv("DATABRICKS_HOST", host)
    monkeypatch.setenv("DATABRICKS_TOKEN", "another-login")
    with pytest.raises(ConfigurationError, match="client_id= needs client_secret="):
        Client(client_id="app-1")


def test_an_auth_type_of_the_environment_chooses_among_what_the_profile_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "cfg"
    profile.write_text(f"[both]\nhost = example.test\ntoken = t\nclient_id = a\nclient_secret = {SECRET}\n")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(profile))
    monkeypatch.setenv("DATABRICKS_AUTH_TYPE", "oauth-m2m")
    assert "oauth-m2m" == Client(profile="both").settings.credential.kind


def test_an_identity_providers_token_is_exchanged_and_read_anew(
    connect: Callable[..., Any], server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    granting(server)
    server.script("ep", reply(401, "x"), reply(200, chat()))
    monkeypatch.setenv("DATABRICKS_HOST", server.host)
    monkeypatch.setenv("DATABRICKS_OIDC_TOKEN_ENV", "MY_ID_TOKEN")
    monkeypatch.setenv("MY_ID_TOKEN", "id-1")
    connect(None, None).chat("ep", "Hi")
    file = tmp_path / "token"
    file.write_text("id-2\n")
    monkeypatch.delenv("DATABRICKS_OIDC_TOKEN_ENV")
    monkeypatch.setenv("DATABRICKS_OIDC_TOKEN_FILEPATH", str(file))
    connect(None, None, client_id="app-1").chat("ep", "Hi")
    forms = [parse_qs(request.body.decode()) for request in server.seen if request.path == TOKEN]
    assert [["id-1"], ["id-1"], ["id-2"]] == [form["subject_token"] for form in forms]
    assert {"urn:ietf:params:oauth:grant-type:token-exchange"} == {form["grant_type"][0] for form in forms}


def test_in_a_model_serving_container_the_containers_token_is_used(
    connect: Callable[..., Any], server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(json.dumps({"OAUTH_TOKEN": [{"oauthTokenValue": "from-the-container"}]}))
    monkeypatch.setattr(oauth.container_token, "__defaults__", (str(file),))
    monkeypatch.setenv("IS_IN_DB_MODEL_SERVING_ENV", "true")
    monkeypatch.setenv("DATABRICKS_MODEL_SERVING_HOST_URL", server.host)
    server.script("ep", reply(200, chat()))
    fm = connect(None, None)
    fm.chat("ep", "Hi")
    assert ["Bearer from-the-container"] == bearers(server)
    file.write_text("{}")
    with pytest.raises(ConfigurationError, match="no token of a model-serving container"):
        connect(None, None).chat("ep", "Hi")


def test_an_error_about_the_token_names_the_endpoint_that_was_asked(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    server.script(DISCOVERY, reply(404, "no"))
    server.script(TOKEN, reply(401, {"error": "invalid_client"}))
    fm = connect(server.host, None, **LOGIN)
    for ask in (lambda: fm.chat("ep", "Hi"), lambda: list(fm.stream_chat("ep", "Hi")), lambda: fm.embed("ep", "Hi")):
        with pytest.raises(AuthenticationError) as caught:
            ask()
        assert ("ep", 0) == (caught.value.endpoint, server.attempts("ep"))


class FakeConfig:
    """The part of `databricks.sdk.core.Config` that is used."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def authenticate(self) -> dict[str, str]:
        return {"Authorization": f"Bearer sdk-{self.options.get('auth_type')}"}


def test_every_other_way_goes_through_the_sdk_which_is_imported_when_needed(
    connect: Callable[..., Any], server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("databricks", "databricks.sdk", "databricks.sdk.core"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["databricks.sdk.core"], "Config", FakeConfig, raising=False)
    server.script("ep", reply(200, chat()))
    connect(server.host, None, auth_type="databricks-cli").chat("ep", "Hi")
    assert ["Bearer sdk-databricks-cli"] == bearers(server)


def test_without_the_sdk_the_extra_is_named(
    connect: Callable[..., Any], server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "databricks.sdk.core", None)
    with pytest.raises(ConfigurationError, match=r'pip install "fm-integrations\[databricks\]"'):
        connect(server.host, None, auth_type="azure-cli").chat("ep", "Hi")
