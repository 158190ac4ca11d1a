"""Who looks on may ask for whose model answers: the endpoint is asked, once, and while the call goes on."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from fault_server import (
    DONE,
    Answer,
    Connection,
    FaultServer,
    chat,
    chunked,
    embeddings,
    reply,
    reset,
    silence,
    words,
)
from response_events import message
from stage import Stage
from stage import described as told
from stage import reply as answered
from timing import HELD, SOON, eventually

from fm_client import AsyncClient, BadRequestError, CallObserver, Client, ObservedCall, Timeout, observe
from fm_client._known import LOOK_SECONDS, TURN_SECONDS, Looks
from fm_client._wire import Beside, Done, Pause, step

HOSTED = "databricks-meta-llama-3-3-70b-instruct"
PATH = "/api/2.0/serving-endpoints/ep"
COMPLETION = {"id": "c", "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}]}
PIECES = [
    b'data: {"id": "c", "choices": [{"index": 0, "text": "a", "finish_reason": null}]}\n\n',
    b'data: {"id": "c", "choices": [{"index": 0, "text": "b", "finish_reason": "stop"}]}\n\n',
]
ITEMS = {"id": "r", "object": "response", "status": "completed", "output": [message("hello")]}


class Named(CallObserver):
    """Whose model answered, as far as it was known when the call was over."""

    def __init__(self, call: ObservedCall) -> None:
        self.call = call
        self.provider: str | None = "it is not over"
        self.answer: Any = None

    def ended(self, answer: Any, error: BaseException | None) -> None:
        self.answer, served = answer, getattr(answer, "served_model", None)
        self.provider = self.call.provider(getattr(answer, "endpoint", None) or self.call.models[-1], served)


@pytest.fixture
def seen() -> Iterator[list[Named]]:
    calls: list[Named] = []

    def begin(call: ObservedCall) -> CallObserver:
        calls.append(Named(call))
        return calls[-1]

    stop = observe(begin, look_up_provider=True)
    yield calls
    stop()


def external(**entities: str) -> Answer:
    """The description of an endpoint with so many served entities, and whose models they are."""
    models = [
        {"name": name, "external_model": {"provider": provider, "name": "m", "task": "llm/v1/chat"}}
        for name, provider in entities.items()
    ]
    return reply(200, {"name": "ep", "config": {"served_entities": models}})


def met(all_of_them: threading.Barrier, then: Answer) -> Answer:
    """An answer that is given when all are asked for."""

    def answer(connection: Connection) -> bool:
        all_of_them.wait(SOON)
        return then(connection)

    return answer


def delayed(seconds: float, then: Answer) -> Answer:
    def answer(connection: Connection) -> bool:
        time.sleep(seconds)
        return then(connection)

    return answer


def looks(server: FaultServer) -> int:
    """How often the endpoint was asked what it is."""
    return sum(asked.method == "GET" for asked in server.seen)


WAYS: dict[str, tuple[Answer, Callable[[Any], Any]]] = {
    "chat": (reply(200, chat()), lambda fm: fm.chat("ep", "Hi")),
    "complete": (reply(200, COMPLETION), lambda fm: fm.complete("ep", "Hi")),
    "embed": (reply(200, embeddings([[1.0, 2.0]])), lambda fm: fm.embed("ep", "Hi")),
    "responses": (reply(200, ITEMS), lambda fm: fm.chat("ep", "Hi", api="responses")),
    "stream_chat": (chunked(*words("a", "b"), DONE), lambda fm: list(fm.stream_chat("ep", "Hi"))),
    "stream_complete": (chunked(*PIECES, DONE), lambda fm: list(fm.stream_complete("ep", "Hi"))),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_first_call_knows_whose_model_answered_and_the_endpoint_is_asked_once(
    fm: Any, server: FaultServer, seen: list[Named], way: str
) -> None:
    answer, ask = WAYS[way]
    server.script("ep", answer)
    server.script(PATH, external(a="anthropic"))
    ask(fm)
    ask(fm)
    assert ["anthropic", "anthropic"] == [call.provider for call in seen]
    assert 1 == looks(server)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_asked_unless_somebody_wants_to_know(fm: Any, server: FaultServer, way: str) -> None:
    calls: list[Named] = []
    stop = observe(lambda call: calls.append(Named(call)))
    passing = observe(lambda call: None, look_up_provider=True)  # who lets the call pass wants to know nothing
    answer, ask = WAYS[way]
    server.script("ep", answer)
    server.script(PATH, external(a="anthropic"))
    ask(fm)
    stop()
    passing()
    assert 1 == len(calls) and 0 == looks(server)


def test_hosted_models_and_endpoints_that_are_known_are_not_asked(
    fm: Any, server: FaultServer, seen: list[Named]
) -> None:
    server.script("ep", reply(200, chat()))
    server.script(HOSTED, reply(200, chat()))
    server.script(PATH, external(a="cohere"))
    fm.call("endpoints.get", "ep")
    fm.chat(HOSTED, "Hi")
    fm.chat("ep", "Hi")
    assert ["databricks", "cohere"] == [call.provider for call in seen]
    assert 1 == looks(server)


def test_an_endpoint_that_only_a_list_has_described_is_asked(fm: Any, server: FaultServer, seen: list[Named]) -> None:
    """A list may leave out what tells Azure from OpenAI."""
    azure = {"provider": "openai", "name": "m", "openai_config": {"openai_api_type": "azure"}}
    server.script("ep", reply(200, chat()))
    server.script(PATH, reply(200, {"name": "ep", "config": {"served_entities": [{"external_model": azure}]}}))
    short = {"name": "ep", "config": {"served_entities": [{"external_model": {"provider": "openai", "name": "m"}}]}}
    server.script("/api/2.0/serving-endpoints", reply(200, {"endpoints": [short]}))
    fm.call("endpoints.list")
    fm.chat("ep", "Hi")
    assert "azure" == seen[0].provider


@pytest.mark.parametrize(("served", "provider"), [("b", "anthropic"), (None, None)])
def test_of_a_divided_endpoint_the_served_entity_decides(
    fm: Any, server: FaultServer, seen: list[Named], served: str | None, provider: str | None
) -> None:
    server.script("ep", reply(200, chat(), **{"served-model-name": served} if served else {}))
    server.script(PATH, external(a="openai", b="anthropic"))
    fm.chat("ep", "Hi")
    assert provider == seen[0].provider


def test_the_endpoint_that_served_is_the_one_that_counts(fm: Any, server: FaultServer, seen: list[Named]) -> None:
    server.script("ep", reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}))
    server.script("second", reply(200, chat()))
    server.script(PATH, external(a="openai"))
    server.script("/api/2.0/serving-endpoints/second", reply(200, {"name": "second", "config": {}}))
    fm.chat(["ep", "second"], "Hi")
    assert "databricks" == seen[0].provider and "openai" == seen[0].call.provider("ep")


@pytest.mark.parametrize("way", ["chat", "embed"])
def test_the_endpoint_is_asked_while_the_call_goes_on(
    fm: Any, server: FaultServer, seen: list[Named], way: str
) -> None:
    """Neither is answered before both are asked."""
    answer, ask = WAYS[way]
    both = threading.Barrier(2)
    server.script("ep", met(both, answer))
    server.script(PATH, met(both, external(a="openai")))
    ask(fm)
    assert "openai" == seen[0].provider


def test_a_slow_description_delays_no_piece_and_the_end_by_no_more_than_its_limit(
    fm: Any, server: FaultServer, seen: list[Named]
) -> None:
    server.script("ep", chunked(*words("a", "b"), DONE))
    server.script(PATH, silence(HELD))
    began = time.monotonic()
    chunks = fm.stream_chat("ep", "Hi")
    assert "a" == next(chunks).text and time.monotonic() - began < LOOK_SECONDS
    assert "b" == next(chunks).text and time.monotonic() - began < LOOK_SECONDS
    list(chunks)
    assert LOOK_SECONDS - 0.1 < time.monotonic() - began < SOON
    assert seen[0].provider is None
    list(fm.stream_chat("ep", "Hi"))
    assert 1 == looks(server), "it is left in peace for a while"


def test_a_call_never_outlives_its_own_limit_for_it(fm: Any, server: FaultServer, seen: list[Named]) -> None:
    server.script("ep", reply(200, chat()))
    server.script(PATH, silence(HELD))
    began = time.monotonic()
    assert "hello" == fm.chat("ep", "Hi", timeout=Timeout(total=0.5)).text
    assert time.monotonic() - began < LOOK_SECONDS
    assert seen[0].provider is None


@pytest.mark.parametrize(
    "refusal",
    [
        reply(403, {"error_code": "PERMISSION_DENIED", "message": "no"}),
        reply(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}),
        reply(503, {"message": "down"}, **{"Retry-After": "30"}),
        reply(200, "<html>"),
        reset,
    ],
    ids=["403", "404", "503", "html", "reset"],
)
@pytest.mark.parametrize("way", ["chat", "embed", "stream_chat"])
def test_an_endpoint_that_does_not_say_changes_nothing_and_is_asked_no_more(
    fm: Any, server: FaultServer, seen: list[Named], way: str, refusal: Answer
) -> None:
    answer, ask = WAYS[way]
    server.script("ep", delayed(3 * TURN_SECONDS, answer))  # else the look has its connection, which may be stale
    server.script(PATH, refusal)
    ask(fm)
    ask(fm)
    assert [None, None] == [call.provider for call in seen]
    assert 1 == looks(server)


@pytest.mark.parametrize("seconds", [0.0, 3 * TURN_SECONDS])
@pytest.mark.parametrize("way", WAYS)
def test_what_asking_raises_is_no_failure_of_the_call(
    connect: Any, server: FaultServer, seen: list[Named], way: str, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes through what the caller gives, which may raise anything."""
    tokens = ["token-for-tests"]
    answer, ask = WAYS[way]
    server.script("ep", delayed(seconds, answer))
    ask(connect(server.host, tokens.pop))
    gc.collect()
    assert (None, 0, []) == (seen[0].provider, looks(server), caplog.records)


@pytest.mark.parametrize("way", ["chat", "complete", "embed"])
def test_a_call_has_the_only_connection_first(connect: Any, server: FaultServer, seen: list[Named], way: str) -> None:
    answer, ask = WAYS[way]
    server.script("ep", answer)
    server.script(PATH, delayed(0.5, external(a="openai")))
    is_sync = isinstance(connect(server.host).client, Client)
    limits = httpx.Limits(max_connections=1)
    http = httpx.Client(limits=limits) if is_sync else httpx.AsyncClient(limits=limits)
    fm = connect(server.host, http_client=http, timeout=Timeout(pool=0.2))
    ask(fm)
    fm._finish(http.close() if isinstance(http, httpx.Client) else http.aclose())
    assert "openai" == seen[0].provider


async def test_an_answer_that_was_there_when_the_call_was_cancelled_is_told(
    server: FaultServer, seen: list[Named]
) -> None:
    server.script("ep", reply(200, chat(), **{"served-model-name": "a"}))
    server.script(PATH, silence(HELD))
    async with AsyncClient(server.host, "token-for-tests") as fm:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fm.chat("ep", "Hi"), LOOK_SECONDS / 2)
    assert "hello" == seen[0].answer.text


@pytest.mark.parametrize("way", ["chat", "embed", "stream_chat"])
def test_of_a_call_that_fails_it_is_known_as_well(fm: Any, server: FaultServer, seen: list[Named], way: str) -> None:
    server.script("ep", reply(400, {"error_code": "BAD_REQUEST", "message": "no"}))
    server.script(PATH, delayed(0.2, external(a="openai")))
    with pytest.raises(BadRequestError, match="no"):
        WAYS[way][1](fm)
    assert "openai" == seen[0].provider


def test_many_first_calls_ask_once_together(connect: Any, server: FaultServer, seen: list[Named]) -> None:
    server.script("ep", reply(200, embeddings([[1.0, 2.0]])))
    server.script(PATH, external(a="openai"))
    connect(server.host).embed("ep", ["text"] * 20, batch_size=1)
    assert "openai" == seen[0].provider and 1 == looks(server)


def test_of_a_stream_that_is_left_early_it_is_known_as_well(fm: Any, server: FaultServer, seen: list[Named]) -> None:
    server.script("ep", chunked(0.3, *words("a", "b", finish=None), end="hold"))
    server.script(PATH, external(a="openai"))
    chunks = fm.stream_chat("ep", "Hi")
    next(chunks)
    assert eventually(lambda: seen[0].call.provider("ep") is not None)
    assert "a" == seen[0].call.arrived().text[:1], "what has arrived can be had at any time"
    chunks.close()
    assert "openai" == seen[0].provider


def test_before_anything_has_arrived_there_is_nothing(fm: Any, server: FaultServer) -> None:
    found: list[Any] = []
    stop = observe(lambda call: found.append(call.arrived()))
    server.script("ep", reply(200, chat()))
    fm.chat("ep", "Hi")
    stop()
    assert [None] == found


def test_one_call_asks_and_another_waits_for_what_it_says() -> None:
    stage = Stage(told(config={}))
    first, second = Looks(stage.context, None), Looks(stage.context, None)
    aside = first.beside("ep")
    assert isinstance(aside, Beside)
    assert isinstance(step(aside.flow), Pause), "the call goes first"
    step(aside.flow)  # it asks
    assert second.beside("ep") is None is first.beside("ep")
    assert isinstance(step(second.end("ep")), Pause)
    stage.time += LOOK_SECONDS
    assert isinstance(step(first.end("ep")), Done), "there is no time left to wait"


def test_a_forked_child_asks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, parent = Stage(told(config={})), os.getpid()
    aside = Looks(stage.context, None).beside("ep")
    assert aside is not None
    for _ in ("the call goes first", "it asks"):
        step(aside.flow)
    monkeypatch.setattr("os.getpid", lambda: parent + 1)
    assert isinstance(Looks(stage.context, None).beside("ep"), Beside)


def test_where_there_can_be_no_thread_nobody_waits_for_one(
    server: FaultServer, seen: list[Named], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(**_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    server.script("ep", reply(200, chat()))
    monkeypatch.setattr("fm_client._threads.Thread", no_more)
    began = time.monotonic()
    Client(server.host, "token-for-tests").chat("ep", "Hi")
    assert time.monotonic() - began < LOOK_SECONDS
    assert seen[0].provider is None


@pytest.mark.parametrize("failure", [ValueError("of a token function"), RuntimeError("of a driver")])
def test_what_is_begun_beside_a_call_raises_nothing(failure: Exception) -> None:
    aside = Looks(Stage(answered({}, 500)).context, None).beside("ep")
    assert aside is not None
    for _ in ("the call goes first", "it asks"):
        step(aside.flow)
    assert isinstance(step(aside.flow, failure=failure), Done)


async def test_a_client_that_is_closed_leaves_nothing_running(server: FaultServer, seen: list[Named]) -> None:
    server.script("ep", chunked(*words("a", finish=None), end="hold"))
    server.script(PATH, silence(HELD))
    before = asyncio.all_tasks()
    async with AsyncClient(server.host, "token-for-tests") as fm, aclosing(fm.stream_chat("ep", "Hi")) as chunks:
        await anext(chunks)
        assert before != asyncio.all_tasks()
    assert before == asyncio.all_tasks()


def test_what_asks_is_not_loaded_before_somebody_wants_to_know() -> None:
    code = """
import sys
from fm_client import CallObserver, Client, observe
fm = Client("http://127.0.0.1:9", "token-for-tests", max_retries=0)
def ask():
    try:
        fm.chat("ep", "Hi")
    except Exception:
        return "fm_client._known" in sys.modules
found = [ask()]
for wanted in (False, True):
    observe(lambda call: CallObserver(), look_up_provider=wanted)
    found.append(ask())
print(found)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[False, False, True]" == ran.stdout.strip()
