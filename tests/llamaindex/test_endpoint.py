"""What an endpoint says of itself decides how it is used."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from fault_server import FaultServer, chat, reply, silence
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool

from fm_client import Client
from fm_workspace import Workspace
from llamaindex_fm import FoundationModelLLM, _endpoint

HELLO = [ChatMessage(role="user", content="The sky is blue. What is blue?")]
ENDPOINT = "mine"
ABOUT = f"/api/2.0/serving-endpoints/{ENDPOINT}"


@pytest.fixture(scope="module")
def own(ws: Workspace) -> Iterator[Workspace]:
    """A workspace with endpoints whose names say nothing."""
    served: dict[str, dict[str, Any]] = {
        "of-mine": {"entity_name": "system.ai.meta_llama_v3_3_70b_instruct", "min_provisioned_throughput": 970},
        "text-only": {
            "entity_name": "main.models.mpt",
            "min_provisioned_throughput": 970,
            "tags": {"fm_task": "completions"},
        },
        "elsewhere": {
            "external_model": {
                "provider": "openai",
                "name": "gpt-5-mini",
                "task": "llm/v1/chat",
                "openai_config": {"openai_api_key_plaintext": "key-for-tests", "openai_api_base": "http://127.0.0.1:9"},
            }
        },
    }
    with Client(ws.host, ws.token) as client:
        for name, spec in served.items():
            if "entity_name" in spec:
                spec |= {"entity_version": "1", "max_provisioned_throughput": 970}
            client.endpoints.create(name, wait=True, **spec)
        yield ws
        for name in served:
            client.endpoints.delete(name)


@pytest.fixture
def on(own: Workspace, keep: Any) -> Any:
    """`on("endpoint")` -> an LLM on an endpoint of the workspace."""
    return lambda name, **fields: keep(FoundationModelLLM(name, host=own.host, token=own.token, **fields))


@pytest.fixture
def told(server: FaultServer, keep: Any) -> Any:
    """`told(answer)` -> an LLM on an endpoint of which `answer` is what can be found out."""

    def make(answer: Any, **fields: Any) -> FoundationModelLLM:
        server.script(ABOUT, answer)
        server.script(ENDPOINT, reply(200, chat()))
        return keep(FoundationModelLLM(ENDPOINT, host=server.host, token="token-for-tests", **fields))

    return make


def looks(server: FaultServer) -> int:
    return sum(seen.path == ABOUT for seen in server.seen)


def described(**fields: Any) -> Any:
    return reply(200, {"name": ENDPOINT, "state": {"ready": "READY", "config_update": "NOT_UPDATING"}, **fields})


@pytest.mark.parametrize("name", ["chat", "stream_chat", "complete", "stream_complete"])
def test_an_endpoint_that_completes_is_used_so_unasked(caller: Any, on: Any, name: str) -> None:
    prompt = HELLO if "chat" in name else "The sky is blue. What is blue?"
    llm = on("text-only", max_tokens=20)
    answer = caller.items(llm, name, prompt)[-1] if "stream" in name else caller.run(llm, name, prompt)
    assert answer.raw["choices"][0]["text"]
    assert str(answer)


def test_metadata_says_what_the_endpoint_serves(on: Any) -> None:
    chats, completes, elsewhere = (on(name).metadata for name in ("of-mine", "text-only", "elsewhere"))
    assert (chats.is_chat_model, chats.is_function_calling_model, chats.context_window) == (True, True, 128_000)
    assert (completes.is_chat_model, completes.is_function_calling_model) == (False, False)
    assert (elsewhere.is_chat_model, elsewhere.context_window) == (True, 400_000)


def test_what_the_model_can_do_decides_what_is_asked(on: Any) -> None:
    assert on("of-mine")._by_schema
    assert not on("text-only")._by_schema
    assert on("elsewhere")._profiles[0].get("supports_parallel_tools") is None, "nothing was asked yet"
    llm = on("elsewhere")
    llm.metadata  # noqa: B018  # asks
    assert llm._profiles[0]["supports_parallel_tools"] is True


def test_what_is_given_beats_what_the_endpoint_says(on: Any) -> None:
    meta = on("of-mine", context_window=9000, is_function_calling_model=False, max_tokens=7).metadata
    assert (meta.context_window, meta.is_function_calling_model, meta.num_output) == (9000, False, 7)


def test_an_endpoint_is_asked_once(caller: Any, told: Any, server: FaultServer) -> None:
    llm = told(described(task="llm/v1/chat"))
    for _ in range(3):
        caller.run(llm, "chat", HELLO)
    assert llm.metadata.is_chat_model
    copies = (copy.copy(llm), copy.deepcopy(llm), pickle.loads(pickle.dumps(llm)))  # noqa: S301  # our own
    assert [made.metadata.is_chat_model for made in copies] == [True] * 3
    assert looks(server) == 1


def test_an_endpoint_of_the_catalog_or_of_a_task_is_not_asked(told: Any, server: FaultServer) -> None:
    llm = told(described(task="llm/v1/completions"), task="llm/v1/chat")
    assert llm.metadata.is_chat_model
    llm.chat(HELLO)
    server.script("databricks-gpt-5", reply(200, chat()))
    known = llm.model_copy(update={"model": "databricks-gpt-5", "task": None})
    known.chat(HELLO)
    assert known.metadata.context_window == 400_000
    assert [seen.method for seen in server.seen] == ["POST", "POST"]


@pytest.mark.parametrize(
    "answer", [reply(403, {"message": "no"}), reply(500, "down"), reply(200, "{}")], ids=["403", "500", "nonsense"]
)
def test_an_endpoint_that_tells_nothing_is_taken_for_a_chat(
    caller: Any, told: Any, server: FaultServer, answer: Any
) -> None:
    llm = told(answer)
    assert caller.run(llm, "chat", HELLO).message.content == "hello"
    assert llm.metadata.is_chat_model
    assert looks(server) == 1, "neither repeated, nor asked again so soon"


def test_an_endpoint_is_asked_again_later(told: Any, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_endpoint, "PAUSE_SECONDS", 0.0)
    llm = told(reply(500, "down"))
    assert llm.metadata.is_chat_model
    server.script(ABOUT, described(task="llm/v1/completions"))
    assert not llm.metadata.is_chat_model


def test_an_endpoint_that_does_not_answer_is_not_waited_for(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_endpoint, "LOOK_SECONDS", 0.2)
    assert told(silence(30)).metadata.is_chat_model


async def test_async_calls_ask_without_blocking(told: Any) -> None:
    """The payload of the event before the call asks nothing."""
    llm = told(described(task="llm/v1/chat"))
    await llm.achat(HELLO)
    async for _ in await llm.astream_chat(HELLO):
        pass
    assert llm._clients._sync is None
    await llm.aclose()


@pytest.mark.parametrize("name", ["achat_with_tools", "astream_chat_with_tools"])
async def test_async_calls_with_tools_ask_without_blocking(told: Any, server: FaultServer, name: str) -> None:
    llm = told(described(task="llm/v1/chat"))
    found = await getattr(llm, name)([FunctionTool.from_defaults(len, name="length")], "What is blue?")
    if "stream" in name:
        found = [item async for item in found][-1]
    assert (found.message.content, looks(server)) == ("hello", 1)
    assert llm._clients._sync is None
    await llm.aclose()


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # LlamaIndex's own use of it
async def test_an_agent_is_not_held_up_once_the_metadata_is_loaded(told: Any) -> None:
    llm = told(described(task="llm/v1/chat"))
    assert (await llm.aload_metadata()).is_function_calling_model
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(len, name="length")], llm=llm)
    assert str(await agent.run("What is blue?")) == "hello"
    assert llm._clients._sync is None
    await llm.aclose()
