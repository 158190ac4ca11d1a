"""The service's habits, switched on in a real workspace by tags, as LlamaIndex sees them."""

from __future__ import annotations

from typing import Any

import pytest
from habits import endpoint_with
from llama_index.core.base.llms.types import ChatMessage

from fm_client import EndpointNotReadyError, RateLimitError
from fm_workspace import Workspace
from llamaindex_fm import FoundationModelLLM

SKY = "The sky is blue. What colour is the sky?"
ASKED = [ChatMessage(role="user", content=SKY)]


@pytest.fixture
def llm_with(ws: Workspace, keep: Any) -> Any:
    """`llm_with(**tags)` -> an LLM of an endpoint with those habits."""

    def make(*, max_retries: int = 0, **tags: str) -> FoundationModelLLM:
        settings = {"host": ws.host, "token": ws.token, "max_retries": max_retries, "task": "llm/v1/chat"}
        llm: FoundationModelLLM = keep(FoundationModelLLM(endpoint_with(ws, **tags), **settings))
        return llm

    return make


@pytest.mark.parametrize("style", ["cumulative", "nulls", "final", "never"])
def test_usage_of_a_stream_is_counted_once_in_every_style(caller: Any, llm_with: Any, style: str) -> None:
    llm = llm_with(fm_usage_style=style)
    last = caller.items(llm, "stream_chat", ASKED)[-1]
    whole = caller.run(llm, "chat", ASKED)
    expected = None if style == "never" else whole.raw["usage"]["total_tokens"]
    assert (last.raw.get("usage") or {}).get("total_tokens") == expected
    assert last.message.content == whole.message.content


def test_signed_reasoning_comes_apart_from_the_text(caller: Any, llm_with: Any) -> None:
    llm = llm_with(fm_content_style="signed")
    assert caller.run(llm, "chat", ASKED).message.content == "The sky is blue."
    answer = caller.items(llm, "stream_chat", ASKED)[-1].message
    again = caller.run(llm, "chat", [*ASKED, answer, ChatMessage(role="user", content="And at noon?")])
    assert answer.content == "The sky is blue."
    assert again.message.content


def test_an_endpoint_scaled_to_zero_is_waited_for(caller: Any, llm_with: Any) -> None:
    assert caller.run(llm_with(max_retries=5, fm_cold_start_seconds="1"), "chat", ASKED).message.content
    with pytest.raises(EndpointNotReadyError, match="scaling up from zero"):
        caller.run(llm_with(fm_cold_start_seconds="60"), "chat", ASKED)


@pytest.mark.parametrize(
    ("tags", "says"),
    [({"fm_queries_per_minute": "1"}, "QPS"), ({"fm_tokens_per_minute": "1001"}, "output tokens per minute")],
)
def test_a_limit_of_the_service_is_a_rate_limit_error(caller: Any, llm_with: Any, tags: Any, says: str) -> None:
    llm = llm_with(**tags)
    caller.run(llm, "chat", ASKED)
    with pytest.raises(RateLimitError, match=says):
        caller.run(llm, "chat", ASKED)


def test_null_ids_and_dated_models_are_no_trouble(caller: Any, llm_with: Any) -> None:
    answer = caller.run(llm_with(fm_null_ids="true", fm_model_name="my-llama-2025-08-07"), "chat", ASKED)
    assert (answer.message.content, answer.raw["model"]) == ("The sky is blue.", "my-llama-2025-08-07")
