"""MLflow's own deployments target `databricks`, unchanged, on the embedded workspace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import deployments

LLAMA, GTE = "databricks-meta-llama-3-3-70b-instruct", "databricks-gte-large-en"
CHAT = {"messages": [{"role": "user", "content": "The sky is blue. What colour is the sky?"}]}
CONFIG = {
    "served_entities": [
        {"name": "one", "entity_name": "main.default.llama", "entity_version": "1", "max_provisioned_throughput": 980}
    ]
}


@pytest.fixture
def target() -> Any:
    return deployments.get_deploy_client("databricks")


@pytest.fixture
def endpoint(target: Any) -> Iterator[str]:
    made = target.create_endpoint(config={"name": "mlflow-endpoint", "config": CONFIG})
    yield made["name"]
    target.delete_endpoint(endpoint=made["name"])


def test_it_predicts(target: Any) -> None:
    answer = target.predict(endpoint=LLAMA, inputs=CHAT)
    assert "blue" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["total_tokens"] > 0


def test_it_predicts_in_a_stream(target: Any) -> None:
    chunks = list(target.predict_stream(endpoint=LLAMA, inputs=CHAT))
    whole = target.predict(endpoint=LLAMA, inputs=CHAT)
    pieces = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]


def test_it_embeds(target: Any) -> None:
    answer = target.predict(endpoint=GTE, inputs={"input": ["one", "two"]})
    assert [len(each["embedding"]) for each in answer["data"]] == [1024, 1024]


def test_it_creates_gets_and_lists_endpoints(target: Any, endpoint: str) -> None:
    assert target.get_endpoint(endpoint=endpoint)["name"] == endpoint
    assert {endpoint, LLAMA} <= {each["name"] for each in target.list_endpoints()}


def test_it_updates_config_tags_limits_and_gateway(target: Any, endpoint: str) -> None:
    _settled(target, endpoint)
    changed = [{**CONFIG["served_entities"][0], "entity_version": "2"}]
    target.update_endpoint_config(endpoint=endpoint, config={"served_entities": changed})
    assert _settled(target, endpoint)["config"]["served_entities"][0]["entity_version"] == "2"
    target.update_endpoint_tags(endpoint=endpoint, config={"add_tags": [{"key": "team", "value": "search"}]})
    limits = [{"calls": 9, "key": "endpoint", "renewal_period": "minute"}]
    target.update_endpoint_rate_limits(endpoint=endpoint, config={"rate_limits": limits})
    target.update_endpoint_ai_gateway(endpoint=endpoint, config={"usage_tracking_config": {"enabled": True}})
    shown = target.get_endpoint(endpoint=endpoint)
    assert (shown["tags"], shown["rate_limits"]) == ([{"key": "team", "value": "search"}], limits)
    assert shown["ai_gateway"] == {"usage_tracking_config": {"enabled": True}}


def test_errors_arrive_as_its_own(target: Any) -> None:
    with pytest.raises(Exception, match="does not exist"):
        target.predict(endpoint="nobody", inputs=CHAT)


def _settled(target: Any, endpoint: str) -> Any:
    for _ in range(100):
        shown = target.get_endpoint(endpoint=endpoint)
        if shown["state"]["config_update"] == "NOT_UPDATING":
            return shown
        time.sleep(0.1)
    raise AssertionError("still updating")
