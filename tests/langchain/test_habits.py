"""The service's habits, switched on in a real workspace by tags, as LangChain sees them."""

from __future__ import annotations

from typing import Any

import pytest

from fm_client import ContentFilteredError, RateLimitError
from langchain_fm import ChatFoundationModel

SKY = "The sky is blue. What colour is the sky?"


@pytest.fixture
def model_with(live: Any, deployed: Any) -> Any:
    """`model_with(**tags)` -> a chat model of an endpoint with those habits."""

    def make(*, max_retries: int = 2, **tags: str) -> ChatFoundationModel:
        model: ChatFoundationModel = live(model=deployed(**tags), max_retries=max_retries)
        return model

    return make


@pytest.mark.parametrize("style", ["cumulative", "nulls", "final", "never"])
def test_usage_of_a_stream_is_counted_once_in_every_style(model_with: Any, drive: Any, merged: Any, style: str) -> None:
    driven = drive(model_with(fm_usage_style=style))
    usage = merged(driven.stream(SKY)).usage_metadata
    whole = driven.invoke(SKY).usage_metadata
    assert usage == (None if style == "never" else whole)


def test_signed_reasoning_comes_apart_from_the_text_and_goes_back(model_with: Any, drive: Any, merged: Any) -> None:
    driven = drive(model_with(fm_content_style="signed"))
    whole, streamed = driven.invoke(SKY), merged(driven.stream(SKY))
    assert whole.text == streamed.text == "The sky is blue."
    assert whole.content[0]["summary"][0]["signature"]
    assert driven.invoke([SKY, streamed, "And what colour is it at noon?"]).text


def test_null_ids_and_dated_models_are_no_trouble(model_with: Any, drive: Any, merged: Any) -> None:
    driven = drive(model_with(fm_null_ids="true", fm_model_name="my-llama-2025-08-07"))
    for message in (driven.invoke(SKY), merged(driven.stream(SKY))):
        assert message.text == "The sky is blue."
        assert message.response_metadata["model_name"] == "my-llama-2025-08-07"


def test_refused_stream_options_are_done_without(model_with: Any, drive: Any, merged: Any) -> None:
    driven = drive(model_with(fm_reject_fields="stream_options", fm_usage_style="final"))
    assert merged(driven.stream(SKY)).text == "The sky is blue."


def test_what_the_content_filter_ends_says_so(model_with: Any, drive: Any) -> None:
    driven = drive(model_with(fm_content_filter="blue"))
    with pytest.raises(ContentFilteredError):
        driven.invoke(SKY)
    message = drive(model_with(fm_content_filter="language model")).invoke("Tell me more")
    assert message.response_metadata["finish_reason"] == "content_filter"


def test_a_limit_of_the_service_is_a_rate_limit_error(model_with: Any, drive: Any) -> None:
    driven = drive(model_with(max_retries=0, fm_queries_per_minute="1"))
    driven.invoke(SKY)
    with pytest.raises(RateLimitError, match="QPS rate limit"):
        driven.invoke(SKY)
