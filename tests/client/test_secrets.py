"""Planted secrets show up nowhere: in no text, log, warning, pickle, dump, or variable of a traceback."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import logging
import pickle
import ssl
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from canaries import CLIENT_SECRET, FETCHED, PROFILE_TOKEN, PROVIDER_KEY, TOKEN, external, leaks, outcome, seen_of
from fault_lab import exposed
from fault_server import (
    Answer,
    FaultServer,
    chat,
    chunked,
    either,
    embeddings,
    hang_up,
    head,
    raw,
    reply,
    reset,
    silence,
    words,
)
from pydantic import SecretStr
from tls_servers import TLSServer

from fm_client import (
    AsyncClient,
    Client,
    Clients,
    ConfigurationError,
    DroppedParameterWarning,
    EndpointConfig,
    OpenAIConfig,
    ServedEntity,
    Timeout,
)
from fm_client._auth import SDKToken, credential_for
from fm_client._oauth import DEFAULT_TOKEN_PATH, DISCOVERY_PATH


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is logged or printed that holds a secret, however talkative the loggers are told to be."""
    for name in ("", "httpcore", "httpx", "asyncio", "fm_client"):
        caplog.set_level(logging.DEBUG, name or None)
    yield
    assert [] == leaks(caplog.text)
    assert [] == leaks("".join(capfd.readouterr()))


CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda fm: fm.chat("ep", "Hi"),
    "stream": lambda fm: list(fm.stream_chat("ep", "Hi")),
    "embed": lambda fm: fm.embed("ep", [f"text {i}" for i in range(3)], batch_size=1),
    "create": lambda fm: fm.call("endpoints.create", "ep", external_model=external()),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def quoting(server: FaultServer, status: int) -> Answer:
    """A gateway that shows, for debugging, the request that it could not serve."""
    return either(lambda seen: reply(status, f"<html>cannot serve {seen.headers} {seen.body!r}</html>"), server)


WHOLE = [reply(200, chat()), reply(200, embeddings([[1.0]])), reply(200, {"name": "ep", "state": {}})]
FAULTS: dict[str, Answer] = {
    **{f"200 {i}": answer for i, answer in enumerate(WHOLE)},
    "stream": chunked(*words("a", "b")),
    "400": reply(400, {"error_code": "BAD_REQUEST", "message": "no"}),
    "401": reply(401, {"error_code": "UNAUTHENTICATED", "message": "invalid"}),
    "403": reply(403, {"error_code": "PERMISSION_DENIED", "message": "no"}),
    "403 expired": reply(403, {"error_code": "403", "message": "Invalid access token. [ReqId: 1]"}),
    "404": reply(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no"}),
    "429": reply(429, "slow down", retry_after="100"),
    "500": reply(500, "boom"),
    "redirect": reply(307, b"", location="https://elsewhere.test/"),
    "no JSON": reply(200, "<html>", content_type="application/json"),
    "reset": reset,
    "hang-up": hang_up,
    "silence": silence(5),
    "nonsense": raw(b"\x00\x01\x02 no HTTP\r\n\r\n"),
    "bad header": raw(b"HTTP/1.1 200 OK\r\nx y: \x00\r\n\r\n"),
    "stream cut": chunked(*words("a", "b", finish=None), end="cut"),
    "stream reset": chunked(*words("a", finish=None), end="reset"),
    "stream holds": chunked(*words("a", finish=None), end="hold"),
    "too large": raw(head(200, {"content-length": "999999999"})),
}


@each_call
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_no_answer_and_no_failure_shows_a_secret(
    connect: Callable[..., Any], server: FaultServer, fault: Answer, call: Callable[[Any], Any]
) -> None:
    server.default = fault
    fm = connect(server.host, TOKEN, max_retries=0, timeout=Timeout(read=0.15, idle=0.15))
    assert [] == leaks(outcome(call, fm))
    assert [] == leaks(seen_of(fm.client))
    assert [] != leaks(repr([request.headers for request in server.seen])), "the secret was there to be leaked"


@each_call
@pytest.mark.parametrize("status", [200, 400, 401, 403, 502])
def test_a_gateway_that_quotes_the_request_is_quoted_without_token_and_providers_key(
    connect: Callable[..., Any], server: FaultServer, status: int, call: Callable[[Any], Any]
) -> None:
    server.default = quoting(server, status)
    assert [] == leaks(outcome(call, connect(server.host, TOKEN, max_retries=0)))
    server.default = quoting(server, status)
    assert [] == leaks(outcome(call, connect(server.host, TOKEN, max_retries=1)))


@pytest.mark.parametrize("body", [{"name": "ep", "state": PROVIDER_KEY}, {"error_code": "X", "message": PROVIDER_KEY}])
def test_a_service_that_answers_with_a_providers_key_is_quoted_without_it(
    connect: Callable[..., Any], server: FaultServer, body: Any
) -> None:
    server.default = reply(200, body)
    shown = outcome(CALLS["create"], connect(server.host, TOKEN, max_retries=0))
    assert [] == leaks(shown) and "**********" in shown


@each_call
@pytest.mark.parametrize("token", [SecretStr(TOKEN), lambda: TOKEN], ids=["SecretStr", "function"])
def test_nobody_listening(connect: Callable[..., Any], token: Any, call: Callable[[Any], Any]) -> None:
    fm = connect("http://127.0.0.1:9", token, max_retries=0)
    assert [] == leaks(outcome(call, fm) + seen_of(fm.client))


@each_call
def test_a_certificate_that_is_not_accepted(connect: Callable[..., Any], call: Callable[[Any], Any]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with TLSServer(context) as server:
        shown = outcome(call, connect(server.host, TOKEN, max_retries=0))
    assert [] == leaks(shown) and "TLSError" in shown


@each_call
@pytest.mark.parametrize("end", ["\r\nX-Evil: 1", "\n", "\0", " ", "\u20ac"])
def test_a_token_that_cannot_be_a_header(connect: Callable[..., Any], end: str, call: Callable[[Any], Any]) -> None:
    shown = outcome(call, connect("http://127.0.0.1:9", lambda: TOKEN + end))
    assert [] == leaks(shown) and "ConfigurationError" in shown


@each_call
def test_a_bad_header_of_ones_own_http_client(
    connect: Callable[..., Any], server: FaultServer, call: Callable[[Any], Any]
) -> None:
    def tried(own: Any) -> str:
        return outcome(call, connect(server.host, PROFILE_TOKEN, http_client=own))

    headers = {"x-key": f"{TOKEN}\r\nX-Evil: 1"}
    own: Any = httpx.Client(headers=headers)
    try:
        shown = tried(own)
    except ConfigurationError:  # the other kind of client is under test
        own = httpx.AsyncClient(headers=headers)
        shown = tried(own)
    assert [] == leaks(shown) and "InvalidRequestError" in shown and [] == server.seen


GRANT = reply(200, {"access_token": FETCHED, "token_type": "Bearer", "expires_in": 3600})
OAUTH: dict[str, Answer | None] = {
    "granted": GRANT,
    "401": reply(401, {"error": "invalid_client", "error_description": "no"}),
    "500": reply(500, "boom"),
    "quoted": None,
    "no token": reply(200, {"token": FETCHED}),
    "bad token": reply(200, {"access_token": f"{FETCHED}\r\nX: 1"}),
    "token no text": reply(200, {"access_token": [FETCHED]}),
    "cut": chunked(b'{"access_token": "' + FETCHED.encode(), end="cut"),
    "reset": reset,
}


@each_call
@pytest.mark.parametrize("granted", OAUTH.values(), ids=OAUTH.keys())
def test_tokens_that_are_fetched(
    connect: Callable[..., Any], server: FaultServer, granted: Answer | None, call: Callable[[Any], Any]
) -> None:
    """Client secret and token alike; the workspace then refuses the token, which is fetched once more."""
    server.script(DISCOVERY_PATH, reply(404, "no"))
    server.script(DEFAULT_TOKEN_PATH, granted or quoting(server, 401))
    server.default = reply(403, {"error_code": "403", "message": "Invalid access token. [ReqId: 1]"})
    fm = connect(server.host, None, client_id="client-1", client_secret=CLIENT_SECRET, max_retries=0)
    shown = outcome(call, fm) + seen_of(fm.client) + seen_of(vars(fm.client.settings.credential))
    assert [] == leaks(shown)
    assert [] != leaks(repr([request.headers for request in server.seen]))


PROFILES = {
    "good": "[p]\nhost = {host}\ntoken = {secret}\n",
    "no host": "[p]\ntoken = {secret}\n",
    "bad host": "[p]\nhost = ftp://x\ntoken = {secret}\n",
    "bad token": "[p]\nhost = {host}\ntoken = {secret} x\n",
    "two ways": "[p]\nhost = {host}\ntoken = {secret}\nclient_id = a\nclient_secret = {secret}\n",
    "no section": "token = {secret}\n",
    "no value": "[p]\nhost = {host}\ntoken {secret}\n",
    "twice": "[p]\ntoken = {secret}\ntoken = {secret}\n",
    "other profile": "[q]\nhost = {host}\ntoken = {secret}\n",
    "no PAT": "[p]\nhost = {host}\nauth_type = pat\nclient_secret = {secret}\n",
    "other host": "[p]\nhost = https://other.test\ntoken = {secret}\n",
}


@pytest.mark.parametrize("where", ["profile", "environment"])
@pytest.mark.parametrize("text", PROFILES.values(), ids=PROFILES.keys())
def test_a_profile_file_good_or_bad(
    connect: Callable[..., Any], server: FaultServer, text: str, where: str, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "databrickscfg"
    path.write_text(text.format(host=server.host, secret=PROFILE_TOKEN))
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(path))
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    if where == "environment":
        monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "p")
    server.default = reply(500, "boom")

    def made_and_asked(_: Any) -> Any:
        profile = "p" if where == "profile" else None
        fm = connect(server.host if "other.test" in text else None, None, profile=profile)
        return fm.chat("ep", "Hi", max_retries=0)

    assert [] == leaks(outcome(made_and_asked, None))


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": "ftp://x"},
        {"host": "http://example.test"},
        {"host": f"https://user:{TOKEN}@example.test"},
        {"host": "https://example.test", "timeout": -1},
        {"host": "https://example.test", "concurrency": 0},
        {"host": "https://example.test", "verify": None},
        {"host": "https://example.test", "token": f"{TOKEN}\n"},
        {"host": "https://example.test", "token": TOKEN.encode()},
        {"host": "https://example.test", "token": None, "auth_type": "oauth-m2m"},
        {"host": None, "token": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_arguments_that_are_refused_show_no_secret_beside_them(kind: Any, arguments: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", PROFILE_TOKEN)
    with pytest.raises(ConfigurationError) as caught:
        kind(**{"token": TOKEN, "client_secret": CLIENT_SECRET, **arguments})
    # The part of the host after "@" is the caller's own mistake; it is in the caller's variables, not in the text.
    assert [] == leaks(str(caught.value)) and [] == leaks(exposed(caught.value).replace(f"user:{TOKEN}@", ""))


async def used(client: Any) -> Any:
    """A client that has been used, so that whatever it keeps is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if isinstance(client, Client):
            await asyncio.to_thread(client.chat, "ep", "Hi")
        else:
            await client.chat("ep", "Hi")
    return client


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_objects_of_the_core_hold_no_secret_that_can_be_seen(kind: Any, server: FaultServer) -> None:
    server.script(DISCOVERY_PATH, reply(404, "no"))
    server.script(DEFAULT_TOKEN_PATH, GRANT)
    server.script("ep", reply(200, chat()))
    clients = [
        await used(kind(server.host, TOKEN)),
        await used(kind(server.host, SecretStr(TOKEN))),
        await used(kind(server.host, lambda: TOKEN)),
        await used(kind(server.host, client_id="client-1", client_secret=CLIENT_SECRET)),
    ]
    pairs = [Clients(client=client) for client in clients]
    unopened = Clients(host=server.host, token=TOKEN, client_secret=CLIENT_SECRET)
    for thing in [*clients, *pairs, unopened]:
        assert [] == leaks(f"{thing!r} {thing!s} {vars(thing)}"), thing
        assert [] == leaks(pickle.dumps(thing))
        assert thing is copy.deepcopy(thing)
    assert [] == leaks(seen_of([*clients, *pairs, unopened]))
    for client in clients:
        settings = client.settings
        assert [] == leaks(f"{dataclasses.asdict(settings)} {dataclasses.replace(settings)}")
        assert settings == copy.deepcopy(settings)
        with pytest.raises(TypeError, match="pickle the client"):
            pickle.dumps(settings)
        await client.aclose() if isinstance(client, AsyncClient) else client.close()


@pytest.mark.parametrize("token", [TOKEN, SecretStr(TOKEN), lambda: TOKEN], ids=["text", "SecretStr", "function"])
def test_credentials_cannot_be_pickled_and_copies_are_the_same(token: Any) -> None:
    for credential in (credential_for(token), SDKToken("https://example.test", None, None)):
        assert [] == leaks(f"{credential!r} {vars(credential)!r}")
        assert credential is copy.copy(credential) is copy.deepcopy(credential)
        with pytest.raises(TypeError, match="pickle the client"):
            pickle.dumps(credential)


def test_a_providers_key_is_sent_and_shown_nowhere(connect: Callable[..., Any], server: FaultServer) -> None:
    server.default = reply(
        200, {"name": "ep", "config": {"served_entities": [{"external_model": external().to_wire()}]}}
    )
    endpoint = connect(server.host).call("endpoints.create", "ep", external_model=external())
    assert PROVIDER_KEY in server.seen[0].body.decode()
    model = external()
    entity = ServedEntity(name="e", external_model=model)
    for thing in (model, model.openai_config, entity, EndpointConfig(served_entities=[entity]), endpoint):
        assert [] == leaks(seen_of(thing)), "an answer that repeats the key is no reason to show it"
        assert [] == leaks(repr(dict(thing)))
    with pytest.raises(ValueError, match="openai_api_key_plaintext") as caught:
        OpenAIConfig(openai_api_key_plaintext=[PROVIDER_KEY])
    assert [] == leaks(str(caught.value))


def test_the_warning_of_a_dropped_field_shows_no_secret(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script("ep", reply(400, f"unknown field: temperature ({TOKEN})"), reply(200, chat()))
    with pytest.warns(DroppedParameterWarning) as caught:
        connect(server.host, TOKEN).chat("ep", "Hi", temperature=0.5)
    assert [] == leaks("".join(str(vars(warning)) for warning in caught))


LOGINS = {
    "container": {"IS_IN_DB_MODEL_SERVING_ENV": "true", "DATABRICKS_MODEL_SERVING_HOST_URL": "http://127.0.0.1:9"},
    "OIDC file": {"DATABRICKS_AUTH_TYPE": "file-oidc", "DATABRICKS_OIDC_TOKEN_FILEPATH": "{file}"},
    "profile": {"DATABRICKS_CONFIG_FILE": "{file}"},
}


@pytest.mark.parametrize(
    "text", [f'{{"OAUTH_TOKEN": "{TOKEN}"', f'[DEFAULT]\ntoken = "{TOKEN}" \xff'], ids=["cut", "é"]
)
@pytest.mark.parametrize("login", LOGINS)
def test_a_file_with_a_token_that_cannot_be_read_is_not_shown(
    connect: Callable[..., Any], login: str, text: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """What Python's own errors about a text carry is the whole text."""
    file = tmp_path / "token"
    file.write_bytes(text.encode("latin-1"))
    monkeypatch.setattr("fm_client._oauth.container_token.__defaults__", (str(file),))
    for name, value in LOGINS[login].items():
        monkeypatch.setenv(name, value.format(file=file))

    def made_and_asked(_: Any) -> Any:
        return connect(None if login != "OIDC file" else "http://127.0.0.1:9", None, max_retries=0).chat("ep", "Hi")

    shown = outcome(made_and_asked, None)
    assert [] == leaks(shown) and ("ConfigurationError" in shown or login == "OIDC file")


@pytest.mark.parametrize("step", ["__init__", "authenticate"])
@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_the_sdks_error_is_told_by_its_kind(
    connect: Callable[..., Any], server: FaultServer, kind: type[Exception], step: str, monkeypatch: Any
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise kind(f"\nsent {CLIENT_SECRET}")

    steps = {"__init__": lambda self, **options: None, step: fail}
    for name in ("databricks", "databricks.sdk", "databricks.sdk.core"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["databricks.sdk.core"], "Config", type("Config", (), steps), raising=False)
    shown = outcome(CALLS["chat"], connect(server.host, None, auth_type="azure-cli"))
    assert [] == leaks(shown) and kind.__name__ in shown
