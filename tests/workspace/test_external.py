"""External models and the upstream engine: forwarded over real HTTP to a second workspace, or to a scripted server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from workspace_api import BGE, CHAT, CONTROL, GTE, Api, external

from fm_workspace import Upstream, Workspace

Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def provider() -> Iterator[Api]:
    """The workspace that plays the provider."""
    with Workspace.start() as workspace:
        api = Api(workspace)
        yield api
        api.http.close()


def openai(provider: Api, model: str = CHAT, task: str = "llm/v1/chat", **more: Any) -> dict[str, Any]:
    return external(provider.workspace.host, provider.workspace.token, model, task, **more)


def custom(provider: Api, auth: dict[str, Any], path: str = "") -> dict[str, Any]:
    config = {"custom_provider_url": f"{provider.workspace.host}/serving-endpoints{path}", **auth}
    model = {"name": CHAT, "provider": "custom", "task": "llm/v1/chat", "custom_provider_config": config}
    return {"external_model": model, "name": "custom"}


def databricks(provider: Api) -> dict[str, Any]:
    config = {
        "databricks_workspace_url": provider.workspace.host,
        "databricks_api_token_plaintext": provider.workspace.token,
    }
    model = {"name": CHAT, "provider": "databricks-model-serving", "task": "llm/v1/chat"}
    return {"external_model": {**model, "databricks_model_serving_config": config}, "name": "databricks"}


def kinds(provider: Api) -> list[dict[str, Any]]:
    bearer = {"bearer_token_auth": {"token_plaintext": provider.workspace.token}}
    key = {"api_key_auth": {"key": "Authorization", "value_plaintext": f"Bearer {provider.workspace.token}"}}
    return [
        openai(provider),
        custom(provider, bearer),
        custom(provider, key, "/chat/completions"),
        databricks(provider),
    ]


@pytest.mark.parametrize("kind", range(4), ids=["openai", "custom-bearer", "custom-key", "databricks"])
def test_queries_are_answered_by_the_provider(start: Start, provider: Api, kind: int) -> None:
    api = start()
    api.created("ext", kinds(provider)[kind])
    assert provider.workspace.token not in api.http.get(f"{CONTROL}/ext").text
    whole, direct = api.chat("ext", "Hello"), provider.chat(CHAT, "Hello")
    assert whole["choices"] == direct["choices"]
    assert whole["usage"] == direct["usage"]
    chunks = api.stream("ext", "Hello", temperature=0)
    assert chunks[-1]["usage"] == direct["usage"]


def test_embeddings_are_forwarded_and_an_instruction_becomes_part_of_the_texts(start: Start, provider: Api) -> None:
    api = start()
    api.created("ext", openai(provider, BGE, "llm/v1/embeddings"))
    plain = api.query("ext", {"input": ["search: cats"]}).json()["data"]
    assert api.query("ext", {"input": ["cats"], "instruction": "search:"}).json()["data"] == plain
    assert plain == provider.query(BGE, {"input": ["search: cats"]}).json()["data"]


def test_the_openai_paths_serve_external_endpoints_too(start: Start, provider: Api) -> None:
    api = start()
    api.created("ext", openai(provider))
    answer = api.post("/serving-endpoints/chat/completions", {**HELLO, "model": "ext"})
    assert answer.json()["choices"] == provider.chat(CHAT, "Hello")["choices"]
    assert answer.headers["served-model-name"] == CHAT


def test_a_providers_error_keeps_its_status_and_body(start: Start, provider: Api) -> None:
    api = start()
    api.created("ext", openai(provider, "nobody"), external(provider.workspace.host, "wrong-token", name="keyless"))
    url = "/serving-endpoints/ext/served-models/{}/invocations"
    answer = api.post(url.format("nobody"), HELLO)
    assert answer.status_code == 404
    assert answer.json()["error"] == "Received error from openai"
    assert answer.json()["external_model_message"]["error_code"] == "ENDPOINT_NOT_FOUND"
    assert api.post(url.format("keyless"), HELLO).status_code == 401
    assert api.post(url.format("nobody"), {**HELLO, "stream": True}).status_code == 404


def test_extra_params_reach_the_provider(start: Start, provider: Api) -> None:
    api = start()
    api.created("ext", openai(provider))
    answer = api.query("ext", {**HELLO, "extra_params": {"colour": "red"}, "client_request_id": "mine"})
    assert 'unknown field "colour"' in answer.json()["external_model_message"]["message"]


def test_an_unreachable_provider_is_a_502(start: Start) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = start()
    api.created("ext", external(f"http://127.0.0.1:{port}", "token-for-tests"))
    answer = api.query("ext", HELLO)
    assert answer.status_code == 502
    assert "cannot be reached" in answer.json()["external_model_message"]["message"]


def test_secrets_are_resolved_when_used(start: Start, provider: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api = start(secrets={"prod/key": provider.workspace.token})
    for scope in ("prod", "env-scope", "none"):
        entity = openai(provider)
        del entity["external_model"]["openai_config"]["openai_api_key_plaintext"]
        entity["external_model"]["openai_config"]["openai_api_key"] = f"{{{{secrets/{scope}/key}}}}"
        api.created(scope, entity)
    monkeypatch.setenv("FM_SECRET_ENV_SCOPE_KEY", provider.workspace.token)
    assert api.text("prod", "Hello") == api.text("env-scope", "Hello")
    answer = api.query("none", HELLO)
    assert answer.status_code == 400
    assert "FM_SECRET_NONE_KEY" in answer.json()["message"]


def test_a_redacted_credential_that_comes_back_keeps_the_old_one(start: Start, provider: Api) -> None:
    api = start()
    api.created("ext", openai(provider))
    shown = api.get("ext")["config"]["served_entities"][0]
    entity = {"name": shown["name"], "external_model": shown["external_model"]}
    update = {"served_entities": [entity]}
    assert api.http.put(f"{CONTROL}/ext/config", json=update).status_code == 200
    assert api.get("ext")["config"]["config_version"] == 2
    assert api.text("ext", "Hello")
    renamed = {"served_entities": [{**entity, "name": "other"}]}
    answer = api.http.put(f"{CONTROL}/ext/config", json=renamed)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_credential_is_sent_to_no_other_address_than_it_was_given_for(start: Start, provider: Api) -> None:
    api, other = start(), start()
    api.created("ext", openai(provider))
    entity = api.get("ext")["config"]["served_entities"][0]
    entity["external_model"]["openai_config"]["openai_api_base"] = f"{other.workspace.host}/serving-endpoints"
    answer = api.http.put(f"{CONTROL}/ext/config", json={"served_entities": [entity]})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "credential anew" in answer.json()["message"]
    entity["external_model"]["openai_config"]["openai_api_key_plaintext"] = other.workspace.token
    assert api.http.put(f"{CONTROL}/ext/config", json={"served_entities": [entity]}).status_code == 200
    assert api.text("ext", "Hello")


def test_the_upstream_engine_answers_hosted_endpoints(start: Start, provider: Api) -> None:
    base = f"{provider.workspace.host}/serving-endpoints"
    api = start(engine=Upstream(base, provider.workspace.token))
    assert api.chat(CHAT, "Hello")["choices"] == provider.chat(CHAT, "Hello")["choices"]
    assert api.stream(CHAT, "Hello")[-1]["usage"] == provider.chat(CHAT, "Hello")["usage"]
    assert api.query(GTE, {"input": "x"}).json()["data"] == provider.query(GTE, {"input": "x"}).json()["data"]


def test_the_upstream_engine_maps_models(start: Start, provider: Api) -> None:
    base = f"{provider.workspace.host}/serving-endpoints"
    models = {"pt": BGE, "*": CHAT}
    api = start(engine=Upstream(base, provider.workspace.token, models))
    api.created("pt", {"entity_name": "main.default.bge", "entity_version": "1"})
    api.created("other", {"entity_name": "main.default.llama", "entity_version": "1"})
    assert len(api.query("pt", {"input": "x"}).json()["data"][0]["embedding"]) == 1024
    assert api.chat("other", "Hello")["model"] == provider.chat(CHAT, "Hello")["model"]


def test_the_upstream_engines_errors_keep_their_status(start: Start, provider: Api) -> None:
    api = start(engine=Upstream(f"{provider.workspace.host}/serving-endpoints", "wrong-token"))
    answer = api.query(CHAT, HELLO)
    assert answer.status_code == 401
    assert "wrong-token" not in answer.text + repr(Upstream("https://example.com", "wrong-token"))


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://example.com", "https://u:p@x", "https://x?y=1", "nonsense", "https://"]
)
def test_an_address_that_a_key_must_not_go_to_is_refused(url: str) -> None:
    with pytest.raises(Exception, match="https"):
        Upstream(url, "token-for-tests")


class Scripted(BaseHTTPRequestHandler):
    """Answers every POST with what the test has put down."""

    protocol_version = "HTTP/1.1"
    answers: list[tuple[int, dict[str, str], bytes]]
    seen: list[tuple[str, dict[str, str], Any]]

    def do_POST(self) -> None:  # the name that http.server asks for
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, {key.lower(): value for key, value in self.headers.items()}, json.loads(body)))
        status, headers, content = self.answers.pop(0) if self.answers else (500, {}, b"nothing is left")
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def scripted() -> Iterator[tuple[str, type[Scripted]]]:
    """A server with an address, that answers as it is told."""
    handler = type("Handler", (Scripted,), {"answers": [], "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    thread.join()


OK = (200, {}, b'{"id": "x", "object": "chat.completion", "choices": []}')


def test_retry_after_of_a_provider_is_kept(start: Start, scripted: tuple[str, type[Scripted]]) -> None:
    host, server = scripted
    api = start()
    api.created("ext", external(host, "token-for-tests"))
    server.answers.append((429, {"Retry-After": "17"}, b'{"error": {"message": "slow down"}}'))
    answer = api.query("ext", HELLO)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
    assert answer.json()["external_model_message"] == {"error": {"message": "slow down"}}
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer", [(200, {}, b"<html>"), (200, {}, b"[]"), (302, {"Location": "http://127.0.0.1:1/"}, b"")], ids=str
)
def test_an_answer_that_is_none_is_a_502(start: Start, scripted: tuple[str, type[Scripted]], answer: Any) -> None:
    host, server = scripted
    api = start()
    api.created("ext", external(host, "token-for-tests"))
    server.answers.append(answer)
    assert api.query("ext", HELLO).status_code == 502


def test_azure_is_called_by_deployment_and_version(start: Start, scripted: tuple[str, type[Scripted]]) -> None:
    host, server = scripted
    config = {
        "openai_api_type": "azure",
        "openai_api_base": host,
        "openai_deployment_name": "my deployment",
        "openai_api_version": "2024-06-01",
        "openai_api_key_plaintext": "token-for-tests",
    }
    api = start()
    model = {"name": "gpt-4o", "provider": "openai", "task": "llm/v1/chat", "openai_config": config}
    api.created("ext", {"external_model": model})
    server.answers.append(OK)
    assert api.query("ext", {**HELLO, "max_completion_tokens": 5}).status_code == 200
    ((path, headers, body),) = server.seen
    assert path == "/openai/deployments/my%20deployment/chat/completions?api-version=2024-06-01"
    assert headers["api-key"] == "token-for-tests"
    assert "authorization" not in headers
    assert body == {**HELLO, "max_completion_tokens": 5, "model": "gpt-4o"}


def test_a_stream_that_breaks_says_so_in_the_stream(start: Start, scripted: tuple[str, type[Scripted]]) -> None:
    host, server = scripted
    api = start()
    api.created("ext", external(host, "token-for-tests"))
    headers = {"Content-Type": "text/event-stream", "Content-Length": "1000", "Connection": "close"}
    server.answers.append((200, headers, b'data: {"choices": []}\n\n'))
    with api.http.stream("POST", "/serving-endpoints/ext/invocations", json={**HELLO, "stream": True}) as answer:
        *_, last = [line for line in answer.iter_lines() if line]
    assert json.loads(last.removeprefix("data: "))["error_code"] == "EXTERNAL_MODEL_ERROR"
