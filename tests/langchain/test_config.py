"""Constructors, copies, pickles, serialisation, traces and cache keys."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
from fault_server import FaultServer, reply
from fault_server import chat as answer
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr, ValidationError

from fm_client import Client, Clients, ConfigurationError, Timeout
from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings, FoundationModelLLM

CHAT = "databricks-meta-llama-3-3-70b-instruct"
SECRET = "token-for-tests-that-nobody-may-see"
MODELS = [ChatFoundationModel, FoundationModelLLM, FoundationModelEmbeddings]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda cls: cls.__name__)


@every_model
def test_constructing_needs_no_workspace(model: Any) -> None:
    assert model(model="e").model == "e"


@every_model
def test_the_endpoint_and_the_token_have_the_names_of_the_field_too(model: Any) -> None:
    built = model(endpoint="e", api_key=SECRET, profile="DEV")
    assert (built.model, built.token.get_secret_value(), built.config_profile) == ("e", SECRET, "DEV")


@every_model
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"model": "e", "tokn": SECRET}, "unknown argument 'tokn'; did you mean token"),
        ({"model": "e", "endpoint": "f"}, "mean the same"),
        ({"model": ""}, "model is empty"),
        ({}, "model"),
    ],
)
def test_a_mistake_in_the_constructor_is_an_error_that_tells_no_secret(
    model: Any, fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint) as caught:
        model(**{"token": SECRET, **fields})
    assert SECRET not in str(caught.value)


def test_a_client_and_a_host_are_not_given_both(server: Any) -> None:
    with Client(server.host, SECRET) as client, pytest.raises(ValidationError, match="not both"):
        ChatFoundationModel(model="e", client=client, host=server.host)


@every_model
def test_the_token_is_never_shown(model: Any) -> None:
    built = model(model="e", host="https://example.test", token=SECRET)
    shown = [repr(built), str(built), built.model_dump_json(), repr(built.model_dump()), repr(pickle.dumps(built))]
    if not isinstance(built, FoundationModelEmbeddings):
        shown += [dumps(built), repr(built._get_ls_params()), built._get_llm_string() if model is MODELS[0] else ""]
    assert [SECRET in text for text in shown] == [False] * len(shown)


def repickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes


@pytest.mark.parametrize("kind", ["fresh", "used"])
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, repickled])
def test_a_copy_works_like_the_original(
    how: Any, kind: str, chat: Any, server: Any, drive: Any, keep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", server.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", "token-from-the-environment")
    server.script(CHAT, reply(200, answer("Hello")))
    llm = chat(temperature=0.5)
    if kind == "used":
        drive(llm).invoke("Hi")
    copied = keep(how(llm))

    assert drive(copied).invoke("Hi").text == "Hello"
    assert (copied.model, copied.temperature) == (llm.model, 0.5)


def test_a_changed_copy_goes_to_its_own_host(chat: Any, server: Any, keep: Any) -> None:
    server.script(CHAT, reply(200, answer("first")))
    llm = chat()
    llm.invoke("Hi")
    with FaultServer() as other:
        other.script(CHAT, reply(200, answer("second")))
        changed = keep(llm.model_copy(update={"host": other.host}))
        assert changed.invoke("Hi").text == "second"
    assert llm.invoke("Hi").text == "first"


@pytest.mark.parametrize("wrapped", [False, True], ids=["Client", "Clients"])
def test_a_given_client_is_used_and_left_open(wrapped: bool, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    with Client(server.host, "token-for-tests") as client:
        llm = ChatFoundationModel(model=CHAT, client=Clients(client=client) if wrapped else client, timeout=9)
        drive(llm).invoke("Hi")
        llm.close()
        assert drive(llm).invoke("Hi").text == "hello"


def test_one_model_serves_several_event_loops(chat: Any, server: Any) -> None:
    server.script(CHAT, reply(200, answer("Hello")))
    llm = chat()
    assert [asyncio.run(llm.ainvoke("Hi")).text for _ in range(3)] == ["Hello"] * 3


def test_a_token_function_is_asked(chat: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    drive(chat(token=lambda: "token-from-a-function")).invoke("Hi")
    assert server.seen[-1].headers["authorization"] == "Bearer token-from-a-function"


def test_a_missing_workspace_is_told_by_the_first_call(drive: Any) -> None:
    with pytest.raises(ConfigurationError, match="no workspace is configured"):
        drive(ChatFoundationModel(model="e")).invoke("Hi")


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")  # `load` itself
@pytest.mark.parametrize("model", [ChatFoundationModel, FoundationModelLLM])
def test_a_serialised_model_comes_back_with_its_token_from_the_environment(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", SECRET)
    given = {"host": "https://example.test", "temperature": 0.5, "timeout": Timeout(read=9.0), "stop": ["x"]}
    original = model(model=["a", "b"], token=SECRET, **given)
    serialised = dumpd(original)
    loaded = load(serialised, allowed_objects=[model], valid_namespaces=["langchain_fm"], secrets_from_env=True)

    assert SECRET not in repr(serialised)
    assert loaded.token == SecretStr(SECRET)
    assert loaded.asdict() == original.asdict()
    assert loaded.timeout == Timeout(read=9.0)


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")  # `load` itself
@pytest.mark.parametrize("model", [ChatFoundationModel, FoundationModelLLM])
def test_all_that_may_be_loaded_includes_these_models_for_who_names_the_package(model: Any) -> None:
    """And for nobody else: data that claims to be such a model makes none where it is not expected."""
    serialised = dumpd(model(model="e"))
    assert type(load(serialised, allowed_objects="all", valid_namespaces=["langchain_fm"])) is model
    for kinds in ("all", "core", "messages"):
        with pytest.raises(ValueError, match="Invalid namespace|not allowed"):
            load(serialised, allowed_objects=kinds)
    with pytest.raises(ValueError, match="not allowed"):
        load(serialised, allowed_objects="core", valid_namespaces=["langchain_fm"])


def test_a_serialised_model_is_text_and_loads_from_it() -> None:
    original = ChatFoundationModel(
        model="e", thinking={"type": "enabled", "budget_tokens": 1024}, custom_inputs={"a": 1}
    )
    with pytest.warns(match="beta"):
        loaded = loads(dumps(original), allowed_objects=[ChatFoundationModel], valid_namespaces=["langchain_fm"])
    assert loaded.asdict() == original.asdict()


def test_cached_answers_are_not_shared_between_different_questions(chat: Any, server: Any) -> None:
    server.script(
        CHAT, reply(200, answer("1")), reply(200, answer("2")), reply(200, answer("3")), reply(200, answer("4"))
    )
    cache = InMemoryCache()
    llm, strict, warm = chat(cache=cache), chat(cache=cache, stop=["x"]), chat(cache=cache, temperature=1)

    assert [model.invoke("Hi").text for model in (llm, llm, strict, warm)] == ["1", "1", "2", "3"]
    assert llm.invoke("Hi", stop=["x"]).text == "2"
    assert llm.invoke("Hi", seed=1).text == "4"


def test_cached_completions_are_not_shared_between_different_stops(llm: Any, server: Any) -> None:
    texts = ["1", "2", "3"]
    server.script("completions", *(reply(200, {"choices": [{"index": 0, "text": text}]}) for text in texts))
    cache = InMemoryCache()
    plain, stopped = llm(cache=cache), llm(cache=cache, stop=["x"])
    assert [model.invoke("Hi") for model in (plain, plain, stopped, stopped)] == ["1", "1", "2", "2"]


def test_cached_completions_are_not_shared_between_different_calls(llm: Any, server: Any, drive: Any) -> None:
    """LangChain's own key for completions leaves out what a call says itself, but for `stop`."""
    texts = ["1", "2", "3", "4"]
    server.script("completions", *(reply(200, {"choices": [{"index": 0, "text": text}]}) for text in texts))
    server.script("other", reply(200, {"choices": [{"index": 0, "text": "other"}]}))
    driven = drive(llm(cache=InMemoryCache()))
    asked: list[dict[str, Any]] = [{}, {"temperature": 0}, {"temperature": 1}, {"model": "other"}, {"stop": ["x"]}]

    for _ in range(2):
        assert [driven.invoke("Hi", **call) for call in asked] == ["1", "2", "3", "other", "4"]
    assert server.connections == 1


def test_the_cache_key_names_the_workspace() -> None:
    hosts = ["https://a.example.test", "https://b.example.test"]
    keys = {ChatFoundationModel(model="e", host=host, token=SECRET)._get_llm_string() for host in hosts}
    assert len(keys) == 2


def test_traces_say_what_is_asked() -> None:
    llm = ChatFoundationModel(model=["e", "f"], temperature=0.5, max_tokens=9, stop="x")
    assert llm._get_ls_params() == {
        "ls_provider": "databricks",
        "ls_model_type": "chat",
        "ls_model_name": "e",
        "ls_temperature": 0.5,
        "ls_max_tokens": 9,
        "ls_stop": ["x"],
    }
    assert llm._get_ls_params(stop=["y"], model="g", temperature=0)["ls_model_name"] == "g"
    assert {"fm-integrations", "langchain-core"} <= (llm.metadata or {})["lc_versions"].keys()


def test_traces_do_not_tell_how_a_models_tools_log_in(chat: Any, server: Any, sent: Any, drive: Any) -> None:
    """A tool of another server is called by the model's provider, with what it is given for that."""
    tool = {"type": "mcp", "server_url": "https://example.test", "authorization": SECRET, "headers": {"x-key": SECRET}}
    given = copy.deepcopy(tool)

    class Tracer(BaseCallbackHandler):
        told: Any = None

        def on_chat_model_start(self, *_: Any, **told: Any) -> None:
            self.told = told["invocation_params"]

    server.script(CHAT, reply(200, answer()))
    for bound in (chat().bind(tools=[tool]), chat().bind(extra_body={"tools": [tool]})):
        tracer = Tracer()
        drive(bound).invoke("Hi", {"callbacks": [tracer]})

        assert "https://example.test" in str(tracer.told)
        assert SECRET not in str(tracer.told)
        assert sent()["tools"] == [given]
    assert tool == given


def test_the_model_profile_tells_what_the_catalog_knows() -> None:
    profile = ChatFoundationModel(model=CHAT).profile or {}
    assert (profile.get("tool_calling"), profile.get("max_input_tokens")) == (True, 128_000)
    assert (profile.get("text_inputs"), profile.get("structured_output")) == (True, True)
    assert (ChatFoundationModel(model="databricks-gemini-3-flash").profile or {}).get("video_inputs") is True
    assert ChatFoundationModel(model="mine").profile is None
    assert ChatFoundationModel(model="mine", profile={"tool_calling": True}).profile == {"tool_calling": True}


def test_tokens_are_counted_without_a_network(chat: Any, server: Any) -> None:
    llm = chat()
    assert llm.get_num_tokens("four words of text") == 5
    assert llm.get_num_tokens("你好") == 2
    assert llm.get_num_tokens_from_messages([("user", "Hi")], tools=[{"title": "t", "properties": {}}]) > 0
    assert chat(custom_get_token_ids=lambda text: [1, 2, 3]).get_num_tokens("x") == 3
    assert server.seen == []


@pytest.mark.parametrize(
    ("argument", "cure"),
    [
        ("base_url", "host="),
        ("workspace_client", "client="),
        ("extra_params", "extra_body="),
        ("stream_usage", "leave it out"),
    ],
)
def test_an_argument_of_another_package_is_answered_with_ours(argument: str, cure: str) -> None:
    with pytest.raises(ValidationError, match=f"unknown argument '{argument}': .*{cure}"):
        ChatFoundationModel(model="e", **{argument: "x"})


def test_the_profile_of_an_endpoint_is_asked_for_on_request(deployed: Any, live: Any, drive: Any) -> None:
    llm = live(model=deployed())
    assert llm.profile is None
    found = llm.load_profile() if drive(llm).loop is None else drive(llm).loop.run_until_complete(llm.aload_profile())

    assert found is llm.profile
    assert {"tool_calling": True, "structured_output": True, "reasoning_output": False}.items() <= found.items()
    assert llm.with_structured_output({"title": "t"}).first.kwargs["response_format"]["type"] == "json_schema"


def test_an_endpoint_that_says_it_cannot_call_tools_is_believed(chat: Any, server: Any) -> None:
    entity = {"name": "e", "entity_name": "main.default.llama", "provisioned_model_units": 50}
    answered = {"name": CHAT, "config": {"served_entities": [entity]}, "capabilities": {"function_calling": False}}
    server.script(f"/api/2.0/serving-endpoints/{CHAT}", reply(200, answered))
    assert (chat().load_profile() or {})["tool_calling"] is False


def test_fields_can_be_made_configurable(server: Any, sent: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    with Client(server.host, "token-for-tests") as client:
        llm = ChatFoundationModel(model=CHAT, client=client)
        llm.configurable_fields(temperature=ConfigurableField(id="t")).invoke("Hi", config={"configurable": {"t": 0.7}})
    assert sent()["temperature"] == 0.7
