"""Observers are told of each call once: its begin, its requests, its first piece and its end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from canaries import TOKEN, leaks
from fault_lab import exposed
from fault_server import DONE, Answer, FaultServer, chat, chunked, either, embeddings, reply, reset, silence, words

from fm_client import (
    APIError,
    AsyncClient,
    BadRequestError,
    CallObserver,
    ObservedCall,
    StreamInterruptedError,
    observe,
)
from fm_client._calls import stream_chat
from fm_client._observe import observed

BUSY = reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}, **{"Retry-After": "0"})
COMPLETION = {"id": "c", "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}]}


class Ledger(CallObserver):
    """What one call did."""

    def __init__(self, call: ObservedCall) -> None:
        self.call = call
        self.sent_to: list[tuple[str, int | None]] = []
        self.events: list[str] = []
        self.threads: set[int] = set()
        self.answer: Any = None
        self.error: BaseException | None = None

    def sent(self, endpoint: str, failure: Any) -> None:
        self.sent_to.append((endpoint, failure and failure.status_code))
        self.threads.add(threading.get_ident())
        self.events.append("sent")

    def first_piece(self) -> None:
        self.events.append("first piece")

    def ended(self, answer: Any, error: BaseException | None) -> None:
        self.answer, self.error = answer, error
        self.events.append("ended")


@pytest.fixture
def seen() -> Iterator[list[Ledger]]:
    """All calls of the test, in the order in which they began."""
    calls: list[Ledger] = []

    def begin(call: ObservedCall) -> CallObserver:
        calls.append(Ledger(call))
        return calls[-1]

    stop = observe(begin)
    yield calls
    stop()


WHOLE: dict[str, tuple[Answer, Callable[[Any], Any], dict[str, Any]]] = {
    "chat": (
        reply(200, chat("hello")),
        lambda fm: fm.chat("ep", "Hi", temperature=0),
        {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0},
    ),
    "complete": (reply(200, COMPLETION), lambda fm: fm.complete("ep", "Hi"), {"prompt": "Hi"}),
    "embed": (reply(200, embeddings([[1.0, 2.0]])), lambda fm: fm.embed("ep", "Hi"), {"input": ["Hi"]}),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_call_is_seen_from_its_begin_to_its_end(fm: Any, server: FaultServer, seen: list[Ledger], kind: str) -> None:
    answer, ask, body = WHOLE[kind]
    server.script("ep", answer)
    received = ask(fm)
    (call,) = seen
    assert (kind, ("ep",), body, False) == (call.call.kind, call.call.models, call.call.body, call.call.stream)
    assert ["sent", "ended"] == call.events
    assert call.answer is received and call.error is None


@pytest.mark.parametrize("kind", WHOLE)
def test_a_request_that_is_sent_again_says_for_what(
    fm: Any, server: FaultServer, seen: list[Ledger], kind: str
) -> None:
    answer, ask, _ = WHOLE[kind]
    server.script("ep", BUSY, answer)
    ask(fm)
    assert [("ep", None), ("ep", 503)] == seen[0].sent_to
    assert ["sent", "sent", "ended"] == seen[0].events


@pytest.mark.parametrize("kind", WHOLE)
def test_a_call_that_fails_ends_with_the_error_that_is_raised(
    fm: Any, server: FaultServer, seen: list[Ledger], kind: str
) -> None:
    server.script("ep", reply(400, {"error_code": "BAD_REQUEST", "message": "no"}))
    with pytest.raises(BadRequestError) as caught:
        WHOLE[kind][1](fm)
    assert (caught.value, None) == (seen[0].error, seen[0].answer)
    assert ["sent", "ended"] == seen[0].events


@pytest.mark.parametrize("kind", ["chat", "stream"])
def test_nobody_is_told_what_a_tool_of_another_server_logs_in_with(
    fm: Any, server: FaultServer, seen: list[Ledger], kind: str
) -> None:
    tool = {"type": "mcp", "server_url": "https://example.test", "authorization": TOKEN, "headers": {"x-key": TOKEN}}
    server.script("one", chunked(*words("a"), DONE) if kind == "stream" else reply(200, chat()))
    list((fm.chat if kind == "chat" else fm.stream_chat)("one", "Hi", extra_body={"tools": [tool]}))

    assert server.seen[0].json["tools"] == [tool]
    assert "https://example.test" in str(seen[0].call.body)
    assert TOKEN not in str(seen[0].call.body)


def test_a_call_that_falls_back_is_one_call(fm: Any, server: FaultServer, seen: list[Ledger]) -> None:
    server.script("first", BUSY)
    server.script("second", reply(200, chat()))
    fm.chat(["first", "second"], "Hi")
    (call,) = seen
    assert [("first", None), ("second", None)] == call.sent_to
    assert "second" == call.answer.endpoint


def test_what_is_asked_after_an_unknown_name_is_no_request_of_the_call(
    fm: Any, server: FaultServer, seen: list[Ledger]
) -> None:
    server.script("ep", reply(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}))
    with pytest.raises(Exception, match="none"):
        fm.chat("ep", "Hi")
    assert [("ep", None)] == seen[0].sent_to


def test_a_stream_is_seen_to_begin_and_to_end(fm: Any, server: FaultServer, seen: list[Ledger]) -> None:
    server.script("ep", chunked(*words("a", "b"), DONE))
    chunks = fm.stream_chat("ep", "Hi")
    assert [] == seen, "nothing is asked before somebody reads"
    last = list(chunks)[-1]
    (call,) = seen
    assert call.call.stream
    assert ["sent", "first piece", "ended"] == call.events
    assert call.answer is last.response and "ab" == call.answer.text


def test_an_observer_has_the_context_in_which_the_call_was_made(fm: Any, server: FaultServer) -> None:
    place = contextvars.ContextVar("place", default="elsewhere")
    found: list[str] = []
    stop = observe(lambda call: found.extend([call.context[place], place.get()]))
    server.script("ep", chunked(*words("a"), DONE))
    token = place.set("here")
    chunks = fm.stream_chat("ep", "Hi")
    place.reset(token)
    list(chunks)
    stop()
    assert ["here", "elsewhere"] == found


def test_a_stream_that_is_left_early_ends_with_what_had_arrived(
    fm: Any, server: FaultServer, seen: list[Ledger]
) -> None:
    server.script("ep", chunked(*words("a", "b", finish=None), end="hold"))
    chunks = fm.stream_chat("ep", "Hi")
    assert "a" == next(chunks).text
    chunks.close()
    assert ["sent", "first piece", "ended"] == seen[0].events
    assert isinstance(seen[0].error, GeneratorExit) and seen[0].answer.text.startswith("a")


def test_a_stream_that_breaks_ends_with_its_error_and_what_had_arrived(
    fm: Any, server: FaultServer, seen: list[Ledger]
) -> None:
    server.script("ep", chunked(*words("a", finish=None), end="cut"))
    with pytest.raises(StreamInterruptedError) as caught:
        list(fm.stream_chat("ep", "Hi"))
    assert seen[0].error is caught.value and "a" == seen[0].answer.text
    assert ["sent", "first piece", "ended"] == seen[0].events


def test_all_batches_of_embeddings_are_one_call(fm: Any, server: FaultServer, seen: list[Ledger]) -> None:
    server.script("ep", either(lambda asked: reply(200, embeddings([[1.0, 2.0]] * len(asked.json["input"]))), server))
    answer = fm.embed("ep", [f"text {i}" for i in range(5)], batch_size=2)
    (call,) = seen
    assert 5 == len(call.call.body["input"])
    assert [("ep", None)] * 3 == call.sent_to
    assert call.answer is answer and 1 == call.events.count("ended")


def test_a_batch_that_fails_ends_the_call_once(fm: Any, server: FaultServer, seen: list[Ledger]) -> None:
    server.script("ep", reply(400, {"error_code": "BAD_REQUEST", "message": "no"}))
    with pytest.raises(BadRequestError) as caught:
        fm.embed("ep", ["a", "b", "c"], batch_size=1)
    assert 1 == seen[0].events.count("ended") and seen[0].error is caught.value


async def test_a_call_that_is_cancelled_ends_at_once(server: FaultServer, seen: list[Ledger]) -> None:
    server.script("ep", silence(30))
    async with AsyncClient(server.host, "token-for-tests") as fm:
        for ask in (fm.chat("ep", "Hi"), fm.embed("ep", ["Hi"]), fm.embed("ep", ["a", "b"], batch_size=1)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask, 0.2)
            assert "ended" == seen[-1].events[-1] and 1 == seen[-1].events.count("ended")
            assert seen[-1].answer is None
            assert isinstance(seen[-1].error, (GeneratorExit, asyncio.CancelledError))


@pytest.mark.parametrize("method", ["begin", "sent", "first_piece", "ended"])
def test_an_observer_that_fails_breaks_no_call_and_hides_nothing_from_the_others(
    fm: Any, server: FaultServer, seen: list[Ledger], caplog: pytest.LogCaptureFixture, method: str
) -> None:
    def fail(*facts: Any) -> Any:
        raise RuntimeError("an observer's own mistake")

    broken = type("Broken", (CallObserver,), {method: fail})
    stop = observe(fail if method == "begin" else lambda call: broken())
    try:
        server.script("ep", chunked(*words("a", "b"), DONE))
        assert "ab" == "".join(chunk.text for chunk in fm.stream_chat("ep", "Hi"))
    finally:
        stop()
    assert "an observer failed and was passed over: RuntimeError" in caplog.text
    late = observe(lambda call: None)  # one that does not care for this call
    server.script("ep", reset, reply(200, chat()))
    assert "hello" == fm.chat("ep", "Hi").text
    late()
    assert [["sent", "first piece", "ended"], ["sent", "sent", "ended"]] == [call.events for call in seen]


def test_an_observer_that_was_stopped_sees_no_more(fm: Any, server: FaultServer) -> None:
    calls: list[ObservedCall] = []
    stop = observe(calls.append)
    server.script("ep", reply(200, chat()))
    fm.chat("ep", "Hi")
    stop()
    stop()  # a second time does nothing
    fm.chat("ep", "Hi")
    assert 1 == len(calls)


def test_one_function_that_looks_on_twice_is_stopped_once_for_each(fm: Any, server: FaultServer) -> None:
    calls: list[ObservedCall] = []
    first, second = observe(calls.append), observe(calls.append)
    first()
    first()
    server.script("ep", reply(200, chat()))
    fm.chat("ep", "Hi")
    second()
    fm.chat("ep", "Hi")
    assert 1 == len(calls)


def test_while_nobody_looks_on_the_flow_is_the_very_same(fm: Any) -> None:
    flow = stream_chat(fm.client._context, "ep", "Hi", {})
    assert observed(lambda: ObservedCall("chat", ("ep",), {}), flow) is flow
    assert "_streamed" == flow.__name__


@pytest.mark.parametrize(
    "fault", [reply(401, {"error_code": "401", "message": "no"}), reset, BUSY], ids=["401", "reset", "503"]
)
@pytest.mark.parametrize("kind", [*WHOLE, "stream"])
def test_a_call_that_is_looked_at_shows_no_token_when_it_fails(
    connect: Callable[..., Any], server: FaultServer, seen: list[Ledger], kind: str, fault: Answer
) -> None:
    server.script("ep", fault)
    fm = connect(server.host, TOKEN, max_retries=1)
    ask = WHOLE[kind][1] if kind in WHOLE else lambda fm: list(fm.stream_chat("ep", "Hi"))
    with pytest.raises(APIError) as caught:
        ask(fm)
    assert [] == leaks(exposed(caught.value)) == leaks(repr(vars(seen[0])))
    assert f"Bearer {TOKEN}" == server.seen[-1].headers["authorization"]


def external(provider: str, *served: str, **settings: Any) -> dict[str, Any]:
    """An external endpoint, as the service describes it."""
    model = {"provider": provider, "name": "m", "task": "llm/v1/chat", **settings}
    return {"name": "ep", "config": {"served_entities": [{"name": name, "external_model": model} for name in served]}}


AZURE = external("openai", "a", openai_config={"openai_api_type": "azuread", "openai_api_base": "https://x.test"})
MIXED = external("openai", "a")
MIXED["config"]["served_entities"] += external("anthropic", "b")["config"]["served_entities"]
HOSTED = {"name": "ep", "config": {"served_entities": [{"name": "a", "foundation_model": {"name": "m"}}]}}


@pytest.mark.parametrize(
    ("described", "served", "vendor"),
    [
        (external("anthropic", "a"), None, "anthropic"),
        (external("cohere", "a", "b"), "c", "cohere"),
        (AZURE, "a", "azure"),
        (MIXED, "b", "anthropic"),
        (MIXED, None, None),
        (HOSTED, "a", "databricks"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "look"), [("chat", "endpoints.get"), ("chat", "endpoints.route"), ("embed", "endpoints.get")]
)
def test_whose_model_answers_is_known_of_endpoints_that_were_described(
    fm: Any,
    server: FaultServer,
    seen: list[Ledger],
    kind: str,
    look: str,
    described: Any,
    served: str | None,
    vendor: str | None,
) -> None:
    """Nothing is asked for it, unless somebody wants it."""
    server.script("ep", WHOLE[kind][0])
    server.script("/api/2.0/serving-endpoints/ep", reply(200, described))
    WHOLE[kind][1](fm)
    assert seen[0].call.provider("ep", served) is None and 1 == len(server.seen)
    fm.call(look, "ep")
    WHOLE[kind][1](fm)
    assert vendor == seen[1].call.provider("ep", served)


def test_a_list_of_endpoints_says_whose_models_they_are_and_takes_back_nothing(
    fm: Any, server: FaultServer, seen: list[Ledger]
) -> None:
    """It has them in short, perhaps without what tells Azure from OpenAI."""
    server.script("ep", WHOLE["chat"][0])
    server.script("/api/2.0/serving-endpoints", reply(200, {"endpoints": [external("openai", "a")]}))
    server.script("/api/2.0/serving-endpoints/ep", reply(200, AZURE))
    found = []
    for asked in (["endpoints.list"], ["endpoints.get", "ep"], ["endpoints.list"]):
        fm.call(*asked)
        fm.chat("ep", "Hi")
        found.append(seen[-1].call.provider("ep"))
    assert ["openai", "azure", "azure"] == found


def test_of_an_endpoint_that_was_deleted_nothing_is_known(fm: Any, server: FaultServer, seen: list[Ledger]) -> None:
    server.script("ep", WHOLE["chat"][0])
    server.script("/api/2.0/serving-endpoints/ep", reply(200, AZURE), reply(200, {}))
    fm.call("endpoints.get", "ep")
    fm.chat("ep", "Hi")
    assert "azure" == seen[-1].call.provider("ep")
    fm.call("endpoints.delete", "ep")
    assert seen[-1].call.provider("ep") is None


def test_an_observed_call_shows_no_content_in_its_repr() -> None:
    assert "secret" not in repr(ObservedCall("chat", ("ep",), {"messages": ["secret"]}))
