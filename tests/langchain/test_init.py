"""`init_chat_model`, and models whose fields the configuration of a call sets."""

from __future__ import annotations

from typing import Any

import pytest
from fault_server import chat as answer
from fault_server import reply
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from pydantic import BaseModel

from fm_client import InvalidRequestError
from langchain_fm import ChatFoundationModel, init_chat_model

CHAT = "databricks-meta-llama-3-3-70b-instruct"
TOKEN = "token-for-tests"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Place(BaseModel):
    """A place."""

    city: str


@pytest.mark.parametrize("name", [CHAT, f"databricks:{CHAT}", [CHAT, "my-endpoint"]])
def test_a_model_is_made_by_the_name_of_its_endpoint(name: Any) -> None:
    llm = init_chat_model(name, temperature=0.5)
    assert type(llm) is ChatFoundationModel
    assert (llm.model, llm.temperature) == (name if isinstance(name, list) else CHAT, 0.5)


@pytest.mark.parametrize("name", [CHAT, f"databricks:{CHAT}"])
def test_the_provider_may_be_named_apart_as_in_langchains_own_function(name: str) -> None:
    assert init_chat_model(name, model_provider="databricks").model == CHAT


@pytest.mark.parametrize("named", [{"model": "openai:gpt-4o"}, {"model": "gpt-4o", "model_provider": "openai"}])
def test_another_provider_is_refused(named: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="'openai' is another provider"):
        init_chat_model(**named)  # type: ignore[call-overload]  # of texts alone


def test_a_field_that_is_none_cannot_be_configurable() -> None:
    with pytest.raises(InvalidRequestError, match="temprature is no field"):
        init_chat_model(CHAT, configurable_fields=["temprature"])


@pytest.fixture
def configurable(server: Any, keep: Any) -> Any:
    made: list[Any] = []

    def make(**kwargs: Any) -> Any:
        made.append(
            init_chat_model(CHAT, **{"host": server.host, "token": TOKEN, "configurable_fields": "any", **kwargs})
        )
        keep(made[-1].default)
        return made[-1]

    return make


def test_the_configuration_of_a_call_sets_the_fields(configurable: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script("other", reply(200, answer()))
    llm = configurable(temperature=0.9, config_prefix="llm")
    message = drive(llm).invoke("Hi", {"configurable": {"llm_model": "other", "llm_temperature": 0.1}})

    assert message.response_metadata["endpoint"] == "other"
    assert sent()["temperature"] == 0.1


def test_tools_and_schemas_are_bound_and_the_fields_stay_configurable(
    configurable: Any, server: Any, sent: Any, drive: Any
) -> None:
    server.script(CHAT, reply(200, answer('{"city": "Paris"}')))
    llm = configurable()
    drive(llm.bind_tools([add], tool_choice="any")).invoke("Hi", {"configurable": {"temperature": 0.1}})
    assert (sent()["tools"][0]["function"]["name"], sent()["tool_choice"], sent()["temperature"]) == (
        "add",
        "required",
        0.1,
    )

    found = drive(llm.with_structured_output(Place)).invoke("Hi", {"configurable": {"temperature": 0.2}})
    assert found == Place(city="Paris")
    assert (sent()["response_format"]["type"], sent()["temperature"]) == ("json_schema", 0.2)


def test_a_configured_call_goes_over_the_connections_that_are_there(configurable: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    driven = drive(configurable())
    for temperature in (0.1, 0.2, 0.3):
        driven.invoke("Hi", {"configurable": {"temperature": temperature}})
    assert server.connections == 1


def test_nobody_who_configures_a_call_can_send_the_token_elsewhere(configurable: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    drive(configurable()).invoke("Hi", {"configurable": {"host": "https://example.test", "token": "x", "client": "x"}})
    assert server.seen[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_value_that_cannot_be_is_refused_before_anything_is_sent(configurable: Any, server: Any, drive: Any) -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        drive(configurable()).invoke("Hi", {"configurable": {"max_tokens": "many"}})
    assert server.seen == []


def test_a_configuration_can_be_set_beforehand(configurable: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    llm = configurable().with_config(configurable={"temperature": 0.4})
    drive(llm.bind_tools([add])).invoke("Hi")
    assert (sent()["temperature"], len(sent()["tools"])) == (0.4, 1)


def test_more_fields_can_be_added(configurable: Any, server: Any, sent: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    llm = configurable(configurable_fields=["temperature"]).configurable_fields(seed=ConfigurableField(id="s"))
    llm.invoke("Hi", {"configurable": {"temperature": 0.3, "s": 5}})
    assert (sent()["temperature"], sent()["seed"]) == (0.3, 5)


def test_a_stream_is_configured_too(configurable: Any, live: Any, drive: Any, merged: Any, workspace: Any) -> None:
    llm = configurable(host=workspace.host, token=workspace.token)
    chunks = drive(llm).stream("Hello", {"configurable": {"max_tokens": 2}})
    assert merged(chunks).response_metadata["finish_reason"] == "length"
