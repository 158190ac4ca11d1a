"""The models inside what LangChain users build: retries, fallbacks, agents, graphs, parallel branches, limits."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from fault_server import DONE, chunked, event, reply, words
from fault_server import chat as answer
from fault_server import delta as piece
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core import exceptions as lc
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel

CHAT = "databricks-meta-llama-3-3-70b-instruct"
BUSY = reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"})
QUESTION = [HumanMessage("Add the numbers 3 and 4.")]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Place(BaseModel):
    """A place."""

    city: str


def test_a_runnable_with_retry_repeats_what_is_retryable(chat: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, BUSY, BUSY, reply(200, answer("Hello")))
    llm = chat(max_retries=0).with_retry(
        retry_if_exception_type=(lc.ModelAPIError,), wait_exponential_jitter=False, stop_after_attempt=3
    )
    assert drive(llm).invoke("Hi").text == "Hello"
    assert server.attempts(CHAT) == 3


def test_a_runnable_with_retry_repeats_nothing_else(chat: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(400, {"message": "bad"}))
    llm = chat().with_retry(retry_if_exception_type=(lc.ModelAPIError, lc.ModelRateLimitError))
    with pytest.raises(lc.ModelInvalidRequestError):
        drive(llm).invoke("Hi")
    assert server.attempts(CHAT) == 1


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])
def test_a_fallback_answers_where_the_model_cannot(
    is_streamed: bool, chat: Any, server: Any, drive: Any, merged: Any
) -> None:
    server.script(CHAT, reply(429, {"message": "slow down"}))
    server.script("other", chunked(*words("Hel", "lo"), DONE) if is_streamed else reply(200, answer("Hello")))
    llm = chat(max_retries=0).with_fallbacks(
        [chat(model="other")], exceptions_to_handle=(lc.ModelRateLimitError, lc.ModelAPIError)
    )
    message = merged(drive(llm).stream("Hi")) if is_streamed else drive(llm).invoke("Hi")
    assert (message.text, message.response_metadata["endpoint"]) == ("Hello", "other")


def test_a_fallback_does_not_hide_a_wrong_request(chat: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(400, {"message": "bad"}))
    llm = chat().with_fallbacks([chat(model="other")], exceptions_to_handle=(lc.ModelRateLimitError,))
    with pytest.raises(lc.ModelInvalidRequestError):
        drive(llm).invoke("Hi")
    assert server.attempts("other") == 0


def graph(llm: Any) -> Any:
    """A loop of model and tools, built by hand."""
    bound = llm.bind_tools([add])

    def model(state: MessagesState) -> Any:
        return {"messages": [bound.invoke(state["messages"])]}

    async def amodel(state: MessagesState) -> Any:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    from langchain_core.runnables import RunnableLambda

    built = StateGraph(MessagesState)
    built.add_node("model", RunnableLambda(model, afunc=amodel))
    built.add_node("tools", ToolNode([add]))
    built.add_edge(START, "model")
    built.add_conditional_edges("model", tools_condition)
    built.add_edge("tools", "model")
    return built.compile()


@pytest.mark.parametrize("model", [CHAT, "databricks-claude-sonnet-4-5", "databricks-gpt-oss-120b"])
@pytest.mark.parametrize("build", [graph, lambda llm: create_agent(llm, [add])], ids=["graph", "agent"])
def test_an_agent_calls_its_tool_and_answers(build: Any, model: str, live: Any, drive: Any) -> None:
    messages = drive(build(live(model=model))).invoke({"messages": QUESTION})["messages"]

    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[2].content == "7"
    assert "7" in messages[3].text


@pytest.mark.parametrize("build", [graph, lambda llm: create_agent(llm, [add])], ids=["graph", "agent"])
def test_an_agent_streams_the_tokens_of_its_model(build: Any, live: Any, drive: Any, merged: Any) -> None:
    with get_usage_metadata_callback() as counted:
        items = drive(build(live())).stream({"messages": QUESTION}, stream_mode="messages")
    chunks = [chunk for chunk, _ in items if isinstance(chunk, AIMessageChunk)]
    by_id = {chunk.id: [other for other in chunks if other.id == chunk.id] for chunk in chunks}
    first, last = (merged(own) for own in by_id.values())

    assert [call["args"] for call in first.tool_calls] == [{"a": 3, "b": 4}]
    assert "7" in last.text and len(by_id[first.id]) > 2
    (usage,) = counted.usage_metadata.values()
    assert usage["total_tokens"] == sum(m.usage_metadata["total_tokens"] for m in (first, last))


@pytest.mark.parametrize(
    "strategy", [Place, ProviderStrategy(Place), ToolStrategy(Place)], ids=["auto", "provider", "tool"]
)
def test_an_agent_answers_by_a_schema(strategy: Any, live: Any, drive: Any) -> None:
    agent = create_agent(live(), [add], response_format=strategy)
    found = drive(agent).invoke(
        {"messages": [HumanMessage("Name the place: the city of the 'Louvre'.")]}, {"recursion_limit": 6}
    )
    assert isinstance(found["structured_response"], Place)


def test_an_agent_takes_a_configurable_model(workspace: Any, drive: Any, keep: Any) -> None:
    from langchain_fm import init_chat_model

    llm = init_chat_model(CHAT, host=workspace.host, token=workspace.token, configurable_fields=["model"])
    keep(llm.default)
    choice = {"configurable": {"model": "databricks-gpt-oss-120b"}}
    messages = drive(create_agent(llm, [add])).invoke({"messages": QUESTION}, choice)["messages"]
    assert {message.response_metadata["endpoint"] for message in messages if isinstance(message, AIMessage)} == {
        "databricks-gpt-oss-120b"
    }


def test_a_chain_maps_200_inputs_over_two_branches(live: Any, drive: Any) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Say what you are told."), ("user", "{text}")])
    branch = prompt | live() | StrOutputParser()
    chain = RunnableParallel(left=branch, right=branch)
    texts = [f"The answer is {i}." for i in range(100)]
    results = drive(chain).batch([{"text": text} for text in texts], {"max_concurrency": 32})

    assert len(results) == len(texts)
    for i, result in enumerate(results):
        assert result["left"] == result["right"]
        assert f" {i}." in result["left"]


def test_200_calls_at_once_share_a_model(chat: Any, server: Any) -> None:
    server.script(CHAT, reply(200, answer("Hello")))
    llm = chat()

    async def ask() -> list[Any]:
        try:
            return await asyncio.gather(*(llm.ainvoke(f"Hi {i}") for i in range(200)))
        finally:
            await llm.aclose()

    assert [message.text for message in asyncio.run(ask())] == ["Hello"] * 200
    assert sorted(request.json["messages"][0]["content"] for request in server.seen) == sorted(
        f"Hi {i}" for i in range(200)
    )


def test_an_event_loop_runs_on_while_a_model_is_asked(chat: Any, server: Any) -> None:
    server.script(CHAT, chunked(1.0, *words("Hel", "lo"), DONE))
    llm = chat()

    async def ask() -> tuple[Any, int]:
        ticks = 0
        call = asyncio.create_task(llm.ainvoke("Hi", stream=True))
        while not call.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await llm.aclose()
        return await call, ticks

    message, ticks = asyncio.run(ask())
    assert (message.text, ticks > 5) == ("Hello", True)


def test_threads_share_a_model(live: Any) -> None:
    llm, found, gate = live(), [], threading.Barrier(8)

    def ask() -> None:
        gate.wait()
        found.extend(llm.invoke("Hello").text for _ in range(3))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24 and len(set(found)) == 1


def test_a_rate_limiter_holds_calls_back(chat: Any, server: Any, drive: Any) -> None:
    server.script(CHAT, reply(200, answer()))
    limiter = InMemoryRateLimiter(requests_per_second=10, check_every_n_seconds=0.01, max_bucket_size=1)
    driven, began = drive(chat(rate_limiter=limiter)), time.monotonic()
    for _ in range(3):
        driven.invoke("Hi")
    assert time.monotonic() - began >= 0.2


def test_events_of_the_third_protocol_tell_of_text_and_calls(chat: Any, server: Any, merged: Any) -> None:
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": "add", "arguments": '{"a": 3, "b": 4}'}}
    server.script(
        CHAT,
        chunked(
            event(piece("One moment")), event(piece(None, tool_calls=[call])), event(piece("", finish="stop")), DONE
        ),
    )
    events = list(chat().bind_tools([add]).stream_events("Hi", version="v3"))
    kinds = [found["event"] for found in events]
    assert (kinds[0], kinds[-1]) == ("message-start", "message-finish")
    assert {found["content"]["type"] for found in events if found["event"] == "content-block-start"} == {
        "text",
        "tool_call_chunk",
    }
