"""The official conformance suites of LangChain, against the embedded workspace over real HTTP."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fault_server import DONE, FaultServer, chunked, delta, event, reply
from fault_server import chat as answer
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests, chat_models
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from fm_client import Clients
from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings

MODEL = "databricks-meta-llama-3-3-70b-instruct"
EMBED = "databricks-gte-large-en"
OVERRIDE = "llama"
CLIENTS = Clients(host="local")
HOST = {"DATABRICKS_HOST": "https://example.test", "DATABRICKS_TOKEN": "token-for-tests"}
STYLES = ("cumulative", "nulls", "final", "never")
SAMPLES = {
    ".png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89",
    ".wav": b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00",
    ".pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
}
"""What stands in for the samples that the suite would download."""
DETAILS = {
    "prompt_tokens_details": {"audio_tokens": 4, "cached_tokens": 20},
    "completion_tokens_details": {"audio_tokens": 3, "reasoning_tokens": 5},
}
KINDS = ["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


@pytest.fixture(scope="module", autouse=True)
def endpoints() -> Iterator[None]:
    """An endpoint for each style of usage, one whose name is part of its model's name, for overriding; and closing."""
    created = {OVERRIDE: {}, **{style: {"fm_usage_style": style} for style in STYLES}}
    entity: dict[str, Any] = {"entity_name": "main.default.llama", "entity_version": "1", "provisioned_model_units": 50}
    for name, tags in created.items():
        CLIENTS.sync.endpoints.create(name, **entity, tags=tags, wait=True)
    yield
    for name in created:
        CLIENTS.sync.endpoints.delete(name)
    CLIENTS.sync.close()


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's downloads are read from here, so that its tests of pictures, sound and files run without a network."""

    def get(url: str, **options: Any) -> Any:
        return SimpleNamespace(content=next(data for suffix, data in SAMPLES.items() if url.endswith(suffix)))

    monkeypatch.setattr(chat_models, "httpx", SimpleNamespace(get=get))
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "tests")


@pytest.fixture
def vcr() -> SimpleNamespace:
    """What the test of a stream's time would play back: the workspace answers instead, over real HTTP."""
    return SimpleNamespace(responses=["the workspace's"])


class TestChatUnit(ChatModelUnitTests):
    chat_model_class = ChatFoundationModel
    chat_model_params = {"model": MODEL}  # noqa: RUF012  # a property there
    init_from_env_params = HOST, {"model": MODEL}, {"model": MODEL}


class Integration(ChatModelIntegrationTests):
    """All that the API can do is switched on; video is not part of it."""

    chat_model_class = ChatFoundationModel
    enable_vcr_tests = True
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_anthropic_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True
    model_override_value = OVERRIDE
    supported_usage_metadata_details = {"invoke": KINDS, "stream": KINDS}  # noqa: RUF012

    # The workspace counts no audio, reasoning or cached tokens: a server that answers by script does.
    def invoke_with_audio_input(self, *, stream: bool = False) -> AIMessage:
        return told(USAGE | DETAILS, stream)

    invoke_with_audio_output = invoke_with_reasoning_output = invoke_with_cache_read_input = invoke_with_audio_input

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return told(USAGE | {"cache_creation_input_tokens": 20, "cache_read_input_tokens": 30}, stream)


def told(usage: dict[str, Any], stream: bool) -> AIMessage:
    """What is told of this usage, whole or in a stream."""
    with FaultServer() as server, Clients(host=server.host, token="token-for-tests").sync as client:
        whole, last = answer() | {"usage": usage}, delta("", finish="stop", usage=usage)
        server.script(MODEL, chunked(event(delta("Hi")), event(last), DONE) if stream else reply(200, whole))
        model = ChatFoundationModel(model=MODEL, client=client)
        return functools.reduce(operator.add, list(model.stream("Hi"))) if stream else model.invoke("Hi")


class TestCumulativeUsage(Integration):
    chat_model_params = {"model": "cumulative", "client": CLIENTS}  # noqa: RUF012  # a property there


class TestUsageWithNulls(Integration):
    chat_model_params = {"model": "nulls", "client": CLIENTS}  # noqa: RUF012


class TestFinalUsage(Integration):
    chat_model_params = {"model": "final", "client": CLIENTS}  # noqa: RUF012


class TestNoUsage(Integration):
    """A route that tells no usage in a stream: all else has to work, and none is made up.

    The suite knows models that tell usage and models that tell none, but no route that tells it for whole answers only.
    """

    chat_model_params = {"model": "never", "client": CLIENTS}  # noqa: RUF012

    @pytest.mark.xfail(strict=True, raises=AssertionError, reason="there is no usage, and none is made up")
    def test_usage_metadata_streaming(self, model: BaseChatModel) -> None:
        if any(chunk.usage_metadata for chunk in model.stream("Hi")):
            pytest.fail("usage was made up")  # no AssertionError, and so not what is expected
        super().test_usage_metadata_streaming(model)


class TestHostedClaude(Integration):
    """Signed reasoning, cached tokens beside the prompt's, and content in parts."""

    chat_model_params = {"model": "databricks-claude-sonnet-4-5", "client": CLIENTS}  # noqa: RUF012


class TestHostedGptOss(Integration):
    chat_model_params = {"model": "databricks-gpt-oss-120b", "client": CLIENTS}  # noqa: RUF012


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    embeddings_class = FoundationModelEmbeddings
    embedding_model_params = {"model": EMBED}  # noqa: RUF012
    init_from_env_params = HOST, {"model": EMBED}, {"model": EMBED}


class TestEmbeddingsIntegration(EmbeddingsIntegrationTests):
    embeddings_class = FoundationModelEmbeddings
    embedding_model_params = {"model": EMBED, "client": CLIENTS}  # noqa: RUF012
