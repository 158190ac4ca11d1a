"""Who may ask: nobody without the token, under a foreign name, from a foreign page, or with too much."""

from __future__ import annotations

import ast
import gzip
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route
from workspace_api import CHAT, CONTROL, Api, external

import fm_workspace
from fm_workspace import Limits
from fm_workspace._app import Parts, build_app
from fm_workspace._callers import Callers
from fm_workspace._guard import Rules
from fm_workspace._simulated import SimulatedEngine
from fm_workspace._store import Store

QUERY = f"/serving-endpoints/{CHAT}/invocations"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def all_routes() -> list[tuple[str, str]]:
    store = Store()
    app: FastAPI = build_app(Parts(Rules(Callers("token-for-tests")), store, SimulatedEngine()))
    store.close()
    schema = app.openapi()["paths"]
    found = [(method.upper(), path) for path, methods in schema.items() for method in methods]
    plain = [route.path for route in app.routes if isinstance(route, Route)]
    return sorted(found) + [("GET", path) for path in plain] + [("GET", "/no/such/route")]


ROUTES = all_routes()
MAX_BODY_BYTES = Limits().body_bytes


def test_the_router_was_enumerated() -> None:
    assert len(ROUTES) > 20
    assert ("POST", "/serving-endpoints/{name}/invocations") in ROUTES


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("credential", [None, "", "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {} x"])
def test_every_route_refuses_who_has_no_token(api: Api, method: str, path: str, credential: str | None) -> None:
    headers = {} if credential is None else {"Authorization": credential.format(api.workspace.token)}
    url = path.replace("{name}", CHAT).replace("{served}", CHAT).replace("{model}", "a.b.c").replace("{version}", "1")
    answer = _bare(api).request(method, api.workspace.host + url, json={}, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"


_clients: list[httpx.Client] = []


def _bare(api: Api) -> httpx.Client:
    """A client that sends nothing of its own accord."""
    if not _clients:
        _clients.append(httpx.Client(trust_env=False))
    return _clients[0]


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Any:
    yield
    for client in _clients:
        client.close()


def test_a_token_in_the_address_counts_for_nothing(api: Api) -> None:
    answer = _bare(api).get(f"{api.workspace.host}{CONTROL}", params={"token": api.workspace.token})
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:8080", "LOCALHOST", "[::1]:80", "[::1]"])
def test_it_answers_to_its_own_names(api: Api, host: str) -> None:
    assert api.http.get(CONTROL, headers={"Host": host}).status_code == 200


FOREIGN = [
    "example.com",
    "127.0.0.1.evil.test",
    "localhost.evil.test",
    "localhost:80@evil.test",
    "evil.test:80",
    "2130706433",
    "0x7f.1",
    "127.1",
    "127.0.0.1:http",
    "[::1",
    "[::ffff:127.0.0.1]",
    "localhost.",
    "",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_it_answers_to_no_other_name(api: Api, host: str) -> None:
    assert api.http.get(CONTROL, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("lines", [[], ["Host: localhost", "Host: evil.test"]], ids=["none", "two"])
def test_a_request_has_one_host(api: Api, lines: list[str]) -> None:
    head = ["GET /api/2.0/serving-endpoints HTTP/1.1", *lines, f"Authorization: Bearer {api.workspace.token}"]
    with socket.create_connection(("127.0.0.1", urlsplit(api.workspace.host).port or 0), 5) as connection:
        connection.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode())
        assert connection.recv(64).split()[1] in (b"400", b"421")


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1.evil.test", "file://", "chrome://x"])
def test_pages_of_other_origins_are_refused(api: Api, origin: str) -> None:
    assert api.http.get(CONTROL, headers={"Origin": origin}).status_code == 403
    assert api.http.get(CONTROL, headers={"Origin": api.workspace.host}).status_code == 200


def test_no_cors_header_is_ever_sent(api: Api) -> None:
    answer = api.http.options(CONTROL, headers={"Origin": api.workspace.host, "Access-Control-Request-Method": "GET"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize(("method", "path"), [("POST", QUERY), ("POST", CONTROL), ("PATCH", f"{CONTROL}/x/tags")])
def test_writes_must_be_json(api: Api, method: str, path: str, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert api.http.request(method, path, content=b"{}", headers=headers).status_code == 415
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert api.http.request(method, path, content=b"{}", headers=headers).status_code in (400, 404)


def test_compressed_bodies_are_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert api.http.post(QUERY, content=gzip.compress(b"{}"), headers=headers).status_code == 415


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_4_mib_is_a_413_in_json(api: Api, chunked: bool) -> None:
    def pieces() -> Any:
        for _ in range(5):
            yield b" " * (1024 * 1024)

    content = pieces() if chunked else b" " * (MAX_BODY_BYTES + 1)
    answer = api.http.post(QUERY, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_TOO_LARGE")
    assert api.text(CHAT, "Hello")


def test_a_body_of_just_4_mib_is_read(api: Api) -> None:
    body = b'{"messages": [{"role": "user", "content": "Hello"}]}'.ljust(MAX_BODY_BYTES)
    assert api.http.post(QUERY, content=body, headers={"Content-Type": "application/json"}).status_code == 200


def test_every_answer_has_a_request_id_and_is_not_kept(api: Api) -> None:
    for answer in (
        api.query(CHAT, HELLO),
        api.query("nobody", HELLO),
        api.http.get("/", headers={"Host": "evil.test"}),
    ):
        assert len(answer.headers["x-request-id"]) == 36
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


def test_credentials_are_never_shown(start: Callable[..., Api], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api = start(deploy_seconds=1000)
    canary = "canary-for-tests"
    shown = [api.create("ext", external("https://example.com", canary)).text]
    shown += [api.http.get(f"{CONTROL}{path}").text for path in ("", "/ext", "/ext/openapi", "/ext/metrics")]
    shown += [
        api.http.put(f"{CONTROL}/ext/config", json={"served_entities": [external("https://x.test", canary)]}).text
    ]
    shown += [api.query("ext", HELLO).text, repr(api.workspace), str(vars(api.workspace)["_thread"])]
    assert "**REDACTED**" in shown[0]
    assert not [text for text in [*shown, caplog.text] if canary in text]
    assert api.workspace.token not in repr(api.workspace) + caplog.text


def test_a_reference_to_a_secret_is_shown_as_it_is(api: Api) -> None:
    config = {"openai_api_key": "{{secrets/scope/key}}"}
    model = {"name": "gpt-4o", "provider": "openai", "task": "llm/v1/chat", "openai_config": config}
    api.created("referring", {"external_model": model})
    (entity,) = api.get("referring")["config"]["served_entities"]
    assert entity["external_model"]["openai_config"] == config
    assert entity["name"] == "gpt-4o"


@pytest.mark.skipif(sys.platform != "linux", reason="where all of 127.0.0.0/8 is this machine")
@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2"])
def test_it_listens_on_no_address_but_its_own(api: Api) -> None:
    port = urlsplit(api.workspace.host).port or 0
    socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), 5)


def test_the_sources_load_nothing_that_could_run_code() -> None:
    """No pickle, no YAML, no eval: JSON and parameters of SQL alone."""
    folder = Path(fm_workspace.__file__).parent
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")}
    nodes = [(name, node) for name, tree in trees.items() for node in ast.walk(tree)]
    imported = {
        alias.name.partition(".")[0] for _, node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").partition(".")[0] for _, node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "importlib"} == set()
    called = {node.func.id for _, node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called & {"eval", "exec", "compile", "__import__"} == set()
