"""`response_metadata["route"]`: told for every route, at the price of one question to each endpoint."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fault_server import DONE, FaultServer, chunked, reply, words
from fault_server import chat as answer

from fm_client import Client
from fm_workspace import Workspace

PAGE = "/api/2.0/serving-endpoints"
COMPLETION = {"object": "text_completion", "choices": [{"index": 0, "text": "ok", "finish_reason": "stop"}]}
EXTERNAL = {"config": {"served_entities": [{"name": "e", "external_model": {"provider": "openai", "name": "gpt-4o"}}]}}


@pytest.fixture(scope="module")
def routes(workspace: Workspace) -> Iterator[dict[str, str]]:
    """An endpoint of each route, by the route's name."""
    told = {"databricks_workspace_url": workspace.host, "databricks_api_token_plaintext": workspace.token}
    external = {"name": "databricks-meta-llama-3-3-70b-instruct", "provider": "databricks-model-serving"}
    external |= {"task": "llm/v1/chat", "databricks_model_serving_config": told}
    specs: dict[str, Any] = {
        "external": {"external_model": external},
        "provisioned": {
            "entity_name": "main.default.llama",
            "entity_version": "1",
            "provisioned_model_units": 50,
        },
        "custom": {"served_entities": [{"entity_name": "main.agents.chat_agent", "entity_version": "1"}]},
    }
    names = {route: f"{route}-{uuid.uuid4().hex[:8]}" for route in specs}
    with Client(workspace.host, workspace.token) as fm:
        for route, spec in specs.items():
            fm.endpoints.create(names[route], wait=True, **spec)
        yield {"hosted": "databricks-meta-llama-3-3-70b-instruct", **names}
        for name in names.values():
            fm.endpoints.delete(name)


@pytest.fixture
def name() -> str:
    """A name that no other test has asked for."""
    return f"endpoint-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def looks(server: FaultServer, name: str) -> Callable[[], int]:
    """`looks()`: how often the endpoint was asked what it is."""
    return lambda: sum(seen.path == f"{PAGE}/{name}" for seen in server.seen)


each_way = pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])


@each_way
@pytest.mark.parametrize("route", ["hosted", "provisioned", "external", "custom"])
def test_the_route_is_told(
    route: str, is_streamed: bool, routes: dict[str, str], live: Any, drive: Any, merged: Any
) -> None:
    driven = drive(live(model=routes[route]))
    found = merged(driven.stream("Hello")) if is_streamed else driven.invoke("Hello")
    assert (found.response_metadata["route"], found.response_metadata["endpoint"]) == (route, routes[route])
    assert type(found.response_metadata["route"]) is str


@each_way
def test_the_route_is_of_the_endpoint_that_served(
    is_streamed: bool, routes: dict[str, str], live: Any, drive: Any, merged: Any, deployed: Any
) -> None:
    driven = drive(live(model=[deployed(fm_queries_per_minute="1"), routes["external"]]))
    found = [merged(driven.stream("Hello")) if is_streamed else driven.invoke("Hello") for _ in range(2)]
    assert [message.response_metadata["route"] for message in found] == ["provisioned", "external"]


@each_way
def test_an_endpoint_is_asked_once(
    is_streamed: bool, name: str, looks: Any, chat: Any, server: FaultServer, drive: Any
) -> None:
    """Also by models that are made anew for each call."""
    server.script(name, chunked(*words("a"), DONE) if is_streamed else reply(200, answer()))
    server.script(f"{PAGE}/{name}", reply(200, {"name": name, **EXTERNAL}))
    for _ in range(3):
        driven = drive(chat(model=name))
        found = driven.stream("Hi")[-1] if is_streamed else driven.invoke("Hi")
        assert found.response_metadata["route"] == "external"
    assert looks() == 1


def test_calls_that_come_at_once_ask_once_and_all_know(name: str, looks: Any, chat: Any, server: FaultServer) -> None:
    def described(connection: Any) -> bool:
        time.sleep(0.1)
        return bool(reply(200, {"name": name, **EXTERNAL})(connection))

    server.script(name, reply(200, answer()))
    server.script(f"{PAGE}/{name}", described)
    llm = chat(model=name)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(llm.invoke, ["Hi"] * 8))
    found += asyncio.run(llm.abatch(["Hi"] * 8))
    assert {message.response_metadata["route"] for message in found} == {"external"}
    assert looks() == 1


@pytest.mark.parametrize("status", [403, 404, 500, 200])
def test_an_endpoint_that_does_not_say_is_not_asked_again(
    status: int, name: str, looks: Any, chat: Any, server: FaultServer, drive: Any
) -> None:
    server.script(name, reply(200, answer("Hello")))
    server.script(f"{PAGE}/{name}", reply(status, {"error_code": "PERMISSION_DENIED", "message": "no"}))
    driven = drive(chat(model=name))
    found = [driven.invoke("Hi"), driven.invoke("Hi")]
    assert [message.text for message in found] == ["Hello", "Hello"]
    assert not any("route" in message.response_metadata for message in found)
    assert looks() == 1


def test_it_takes_no_longer_than_the_call_may(name: str, chat: Any, server: FaultServer, drive: Any) -> None:
    server.script(name, reply(200, answer("Hello")))
    server.script(f"{PAGE}/{name}", chunked(end="hold"))
    began = time.monotonic()
    found = drive(chat(model=name, timeout=0.5)).invoke("Hi")
    assert (found.text, "route" in found.response_metadata) == ("Hello", False)
    assert time.monotonic() - began < 1.5


def test_an_event_loop_goes_on_meanwhile(name: str, chat: Any, server: FaultServer) -> None:
    server.script(name, reply(200, answer()))
    server.script(f"{PAGE}/{name}", chunked(0.3, b"{}"))
    turns = 0

    async def main() -> None:
        nonlocal turns
        call = asyncio.ensure_future(chat(model=name).ainvoke("Hi"))
        while not call.done():
            await asyncio.sleep(0.01)
            turns += 1
        await call

    asyncio.run(main())
    assert turns > 10


def test_a_call_that_is_given_up_leaves_the_question_to_the_next(name: str, chat: Any, server: FaultServer) -> None:
    server.script(name, reply(200, answer()))
    server.script(f"{PAGE}/{name}", chunked(end="hold"), reply(200, {"name": name, **EXTERNAL}))

    async def main() -> Any:
        llm = chat(model=name)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(llm.ainvoke("Hi"), 0.3)
        return await llm.ainvoke("Hi")

    assert asyncio.run(main()).response_metadata["route"] == "external"


def test_the_question_can_be_switched_off(name: str, looks: Any, chat: Any, server: FaultServer, drive: Any) -> None:
    server.script(name, reply(200, answer()))
    found = drive(chat(model=name, look_up_route=False)).invoke("Hi")
    assert ("route" in found.response_metadata, looks()) == (False, 0)


@each_way
def test_completions_tell_it_too(is_streamed: bool, name: str, llm: Any, server: FaultServer, drive: Any) -> None:
    piece = b'data: {"choices": [{"index": 0, "text": "ok", "finish_reason": "stop"}]}\n\n'
    server.script(name, chunked(piece, DONE) if is_streamed else reply(200, COMPLETION))
    server.script(f"{PAGE}/{name}", reply(200, {"name": name, **EXTERNAL}))
    result = drive(llm(model=name, streaming=is_streamed)).generate(["a"])
    assert result.generations[0][0].generation_info["route"] == "external"


def test_an_endpoint_that_was_changed_is_asked_again(routes: dict[str, str], workspace: Workspace, live: Any) -> None:
    """Another one may have its name."""
    spec: dict[str, Any] = {"entity_name": "main.default.llama", "entity_version": "1", "provisioned_model_units": 50}
    mine = f"mine-{uuid.uuid4().hex[:8]}"
    with Client(workspace.host, workspace.token) as fm:
        fm.endpoints.create(mine, wait=True, **spec)
        assert live(model=mine).invoke("Hello").response_metadata["route"] == "provisioned"
        fm.endpoints.delete(mine)
        agent = {"entity_name": "main.agents.chat_agent", "entity_version": "1"}
        fm.endpoints.create(mine, wait=True, served_entities=[agent])
        assert live(model=mine).invoke("Hello").response_metadata["route"] == "custom"
        fm.endpoints.delete(mine)
