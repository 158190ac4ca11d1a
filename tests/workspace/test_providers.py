"""External models that need no litellm: AI21 Labs, Azure with Entra ID; and what holds for the providers that do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from vendor_api import TOOL, connected, model
from vendor_azure import Azure, azure
from vendor_clouds import Bedrock, Vertex
from vendor_fakes import AI21, Anthropic
from vendor_server import ANSWER_TOKENS, KEY, PROMPT_TOKENS, VendorServer
from workspace_api import Api

from fm_workspace import Workspace

Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": ANSWER_TOKENS,
    "total_tokens": PROMPT_TOKENS + ANSWER_TOKENS,
}


@pytest.fixture
def ai21() -> Iterator[AI21]:
    with AI21() as server:
        yield server


def test_a_jamba_chats_streams_and_calls_tools(start: Start, ai21: AI21) -> None:
    api = connected(start, ai21)
    answer = api.chat("ext", "Hello there")
    assert answer["choices"][0]["message"]["content"] == "Echo: Hello there"
    assert answer["usage"] == USAGE
    chunks = api.stream("ext", "Hello there")
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "Echo: Hello there"
    assert chunks[-1]["usage"] == USAGE
    (call,) = api.chat("ext", "Weather in Paris?", tools=[TOOL])["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_jurassic_completes(start: Start, ai21: AI21, stream: bool) -> None:
    api = connected(start, ai21, "completions")
    body = {"prompt": "Once", "max_tokens": 5, "stop": "END", "n": 2}
    if stream:
        (chunk,) = api.events("ext", {**body, "stream": True})
    else:
        chunk = api.query("ext", body).json()
    assert [choice["text"] for choice in chunk["choices"]] == ["Echo: Once", "Echo: Once"]
    assert chunk["usage"]["prompt_tokens"] == PROMPT_TOKENS
    assert chunk["usage"]["completion_tokens"] == 2 * ANSWER_TOKENS
    assert ai21.seen[-1].body == {"prompt": "Once", "maxTokens": 5, "stopSequences": ["END"], "numResults": 2}


@pytest.mark.parametrize(("text", "status"), [("limit", 429), ("bad", 400), ("redirect", 502), ("garbage", 502)])
def test_a_failure_of_ai21_comes_in_the_services_form(start: Start, ai21: AI21, text: str, status: int) -> None:
    answer = connected(start, ai21).query("ext", {"messages": [{"role": "user", "content": text}]})
    assert (answer.status_code, answer.json()["external_model_provider"]) == (status, "ai21labs")


def test_a_key_that_a_provider_quotes_is_not_shown(start: Start, ai21: AI21) -> None:
    answer = connected(start, ai21, key='key-with-a-"quote"-in-it').query("ext", HELLO)
    assert answer.status_code == 401
    assert "quote" not in answer.text
    assert "**********" in answer.text


def test_azure_is_called_with_a_token_of_entra_fetched_once(start: Start) -> None:
    with Azure() as server:
        api = start(provider_urls={"entra": server.url})
        api.created("ext", azure(server))
        assert [api.text("ext", "Hello") for _ in range(3)] == ["Echo: Hello"] * 3
        paths = [asked.path.partition("?")[0] for asked in server.seen]
        assert paths == ["/tenant/oauth2/v2.0/token"] + 3 * ["/openai/deployments/mine/chat/completions"]
        form = parse_qs(server.seen[0].raw.decode())
        assert form["scope"] == ["https://cognitiveservices.azure.com/.default"]


def test_a_secret_that_entra_refuses_is_not_shown(start: Start) -> None:
    with Azure() as server:
        api = start(provider_urls={"entra": server.url})
        api.created("ext", azure(server, "secret-of-somebody-else"))
        answer = api.query("ext", HELLO)
        assert answer.status_code == 401
        assert answer.json()["external_model_message"]["error"] == "invalid_client"
        assert "somebody" not in answer.text


@pytest.mark.parametrize(
    "more",
    [{"microsoft_entra_client_secret_plaintext": ""}, {"microsoft_entra_tenant_id": "../evil"}],
    ids=["no secret", "no tenant"],
)
def test_a_login_that_cannot_be_is_a_400(start: Start, more: dict[str, str]) -> None:
    with Azure() as server:
        api = start(provider_urls={"entra": server.url})
        api.created("ext", azure(server, **more))
        assert (api.query("ext", HELLO).status_code, server.seen) == (400, [])


def test_palm_is_gone(start: Start) -> None:
    api = start()
    config = {"palm_config": {"palm_api_key_plaintext": KEY}}
    api.created("ext", {"external_model": {"name": "m", "provider": "palm", "task": "llm/v1/chat", **config}})
    answer = api.query("ext", HELLO)
    assert answer.status_code == 400
    assert answer.json()["external_model_provider"] == "palm"
    assert "google-cloud-vertex-ai" in answer.json()["external_model_message"]["message"]


@pytest.mark.parametrize("server", [Anthropic, Bedrock, Vertex])
@pytest.mark.parametrize(
    "changed", [{}, {"aws_region": "eu.evil.example/#", "region": "evil.example/#"}], ids=["no key", "no region"]
)
def test_a_vendor_that_cannot_be_called_as_configured_is_a_400(
    start: Start, server: type[VendorServer], changed: dict[str, str]
) -> None:
    """A region becomes part of a host's name, and must not make another host of it."""
    with server() as vendor:
        api, entity = start(provider_urls={vendor.name: vendor.url}), model(vendor)
        (field,) = [name for name in entity["external_model"] if name.endswith("_config")]
        config = entity["external_model"][field]
        misplaced = {name: value for name, value in changed.items() if name in config}
        entity["external_model"][field] = {**config, **misplaced} if changed else _without_keys(config)
        if server is Anthropic and changed:
            pytest.skip("has no region")
        api.created("ext", entity)
        answer = api.query("ext", HELLO)
        assert (answer.status_code, vendor.seen) == (400, []), answer.text
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def _without_keys(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not name.endswith("_plaintext")}


@pytest.mark.parametrize(
    "account",
    [
        "no JSON",
        {"type": "external_account", "credential_source": {"executable": {"command": "a-command-of-somebody-else"}}},
        {"type": "authorized_user", "client_email": "x", "private_key": "y", "token_uri": "https://example.com"},
        {"type": "service_account", "client_email": "x", "private_key": "y", "token_uri": "http://169.254.169.254/"},
        {"type": "service_account", "client_email": "x", "private_key": "y", "token_uri": "https://example.com/token"},
    ],
    ids=["text", "program", "user", "metadata", "stranger"],
)
def test_a_key_file_that_leads_elsewhere_is_refused(start: Start, account: Any) -> None:
    """Google's key files may name programs to run and addresses to ask."""
    with Vertex() as vendor:
        api, entity = start(provider_urls={vendor.name: vendor.url}), model(vendor)
        text = account if isinstance(account, str) else json.dumps(account)
        entity["external_model"]["google_cloud_vertex_ai_config"]["private_key_plaintext"] = text
        api.created("ext", entity)
        answer = api.query("ext", HELLO)
        assert (answer.status_code, vendor.seen) == (400, [])
        assert "169.254" not in answer.text


def test_variables_that_would_sign_with_other_keys_are_named(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ROLE_NAME", "other")
    with Bedrock() as vendor:
        answer = connected(start, vendor).query("ext", HELLO)
        assert (answer.status_code, vendor.seen) == (400, [])
        assert "AWS_ROLE_NAME" in answer.json()["message"]


@pytest.mark.parametrize(
    "urls",
    [{"anthropic": "http://example.com"}, {"openai": "https://example.com"}, {"cohere": "https://u:p@example.com"}],
)
def test_an_address_that_is_unfit_for_keys_is_refused_at_the_start(urls: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="provider_urls"):
        Workspace.start(provider_urls=urls)


def test_without_litellm_the_error_names_the_extra(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with Anthropic() as vendor:
        answer = connected(start, vendor).query("ext", HELLO)
        assert (answer.status_code, vendor.seen) == (400, [])
        assert 'pip install "fm-integrations[providers]"' in answer.json()["external_model_message"]["message"]


def test_litellm_is_loaded_by_who_calls_its_providers_only() -> None:
    code = "import sys, fm_workspace, fm_workspace._providers; print([n for n in ('litellm', 'boto3') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
