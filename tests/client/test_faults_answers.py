"""Fault matrix, rows P1, P2, E1 to E5, H6 and Z1: answers that are no good, not whole, not yet there, or far too large."""

from __future__ import annotations

import base64
import functools
import gzip
import json
import struct
import time
import tracemalloc
import zlib
from itertools import count
from typing import Any

import pytest
from fault_lab import Lab, laboratory
from fault_server import DONE, Answer, chat, chunked, delta, either, embeddings, event, head, raw, reply
from matrix import ENDPOINT, FINE, GOOD, KINDS, Kind, Outcome, Row, cells, good
from timing import SOON

from fm_client import (
    APIError,
    EmbeddingContractError,
    EndpointNotReadyError,
    ResponseFormatError,
    ResponseTooLargeError,
    ServerError,
    StreamInterruptedError,
    ZeroVectorWarning,
)

lab = pytest.fixture(params=["sync", "async"])(laboratory)
each_kind = pytest.mark.parametrize("kind", KINDS)
each_chat = pytest.mark.parametrize("kind", ["chat", "stream"])
CHATS: tuple[Kind, ...] = ("chat", "stream")


def saying(kind: Kind, *, finish: str = "stop", **message: Any) -> Answer:
    """A chat answer with this message: in one piece, or as a stream of one event and an end."""
    if kind == "chat":
        body = chat("", **message)
        body["choices"][0]["finish_reason"] = finish
        return reply(200, body)
    return chunked(event(delta(**{"content": "", **message})), event(delta("", finish=finish)), DONE)


def whole(lab: Lab, kind: Kind, answer: Answer) -> Any:
    """The response to `answer`, whichever way it came."""
    lab.server.script(ENDPOINT, answer)
    lab.expect(1)
    value = lab.ask(lab.client(), kind).value
    return value if kind == "chat" else value[-1].response


NO_CHOICES = [
    Row("P1", "no choices", (reply(200, {**chat(), "choices": []}),), Outcome(1, ResponseFormatError, 200), kinds=CHATS),
    Row("P1", "choices absent", (reply(200, {"id": "x"}),), Outcome(1, ResponseFormatError, 200), kinds=CHATS),
    Row("P1", "choices null", (reply(200, {"choices": None}),), Outcome(1, ResponseFormatError, 200), kinds=CHATS),
    Row("P1", "choices no list", (reply(200, {"choices": {"0": {}}}),), Outcome(1, ResponseFormatError, 200), kinds=CHATS),
    Row("P1", "message no object", (reply(200, {"choices": [{"message": "hi"}]}),), Outcome(1, ResponseFormatError, 200), kinds=CHATS),
]  # fmt: skip


@pytest.mark.parametrize(("row", "kind"), cells(NO_CHOICES))
def test_an_answer_without_choices_is_none(lab: Lab, row: Row, kind: Kind) -> None:
    """P1"""
    lab.play(row, kind)


@each_chat
@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls", "a new word"])
def test_why_an_answer_ended_is_seen(lab: Lab, kind: Kind, finish: str) -> None:
    """P1"""
    assert finish == whole(lab, kind, saying(kind, finish=finish)).finish_reason


@each_chat
def test_content_null_is_no_text(lab: Lab, kind: Kind) -> None:
    """P1"""
    answer = whole(lab, kind, saying(kind, content=None))
    assert ("", [], "stop") == (answer.text, answer.tool_calls, answer.finish_reason)


@each_chat
def test_a_refusal_is_kept(lab: Lab, kind: Kind) -> None:
    """P1"""
    message = whole(lab, kind, saying(kind, content=None, refusal="I cannot help with that")).message
    assert ("", "I cannot help with that") == (message.text, message.model_extra["refusal"])


def call(arguments: Any, id: str | None = "call_1", **fields: Any) -> dict[str, Any]:
    """A tool call, as the service sends it."""
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}, **fields}


@each_chat
@pytest.mark.parametrize(
    "arguments",
    ['{"city": "Par', '{"city": "Paris"', "nonsense", "[1]", '"text"', "7", "null", '{"a": 1} {"a": 2}', '{"a": 1'],
)
def test_arguments_that_are_no_object_are_never_a_valid_call(lab: Lab, kind: Kind, arguments: str) -> None:
    """P2: however the answer says it ended."""
    answer = whole(lab, kind, saying(kind, tool_calls=[call(arguments, index=0)], finish="tool_calls"))
    ((invalid,), valid) = answer.invalid_tool_calls, answer.tool_calls
    assert ([], arguments, "f") == (valid, invalid.function.arguments, invalid.name)


@each_chat
@pytest.mark.parametrize("arguments", ["", "{}", None])
def test_no_arguments_are_an_empty_object(lab: Lab, kind: Kind, arguments: str | None) -> None:
    """P2"""
    (found,) = whole(lab, kind, saying(kind, tool_calls=[call(arguments, index=0)])).tool_calls
    assert ({}, "call_1") == (found.args, found.id)


@each_chat
def test_two_calls_with_one_id_stay_two_calls(lab: Lab, kind: Kind) -> None:
    """P2"""
    calls = [call('{"a": 1}', index=0), call('{"a": 2}', index=1)]
    answer = whole(lab, kind, saying(kind, tool_calls=calls))
    assert [{"a": 1}, {"a": 2}] == [found.args for found in answer.tool_calls], answer.message


@each_chat
def test_a_call_without_an_id_gets_one(lab: Lab, kind: Kind) -> None:
    """P2"""
    (found,) = whole(lab, kind, saying(kind, tool_calls=[call("{}", id=None, index=0)])).tool_calls
    assert found.id.startswith("call_")


def test_a_call_that_was_cut_with_its_stream_is_no_valid_call(lab: Lab) -> None:
    """P2, S1"""
    lab.server.script(ENDPOINT, chunked(event(delta(tool_calls=[call('{"city": "Par', index=0)]))))
    lab.expect(1)
    partial = lab.verify(Outcome(1, StreamInterruptedError), lab.client(), "stream").partial
    assert ([], '{"city": "Par') == (partial.tool_calls, partial.invalid_tool_calls[0].function.arguments)


def item(index: Any, *vector: Any) -> dict[str, Any]:
    return {"index": index, "embedding": list(vector)}


TWO = ["a", "b"]
ORDERS = {
    "E1 shuffled": [item(1, 2.0), item(0, 1.0)],
    "E1 no index": [{"embedding": [1.0]}, {"embedding": [2.0]}],
    "E1 index null": [item(None, 1.0), item(None, 2.0)],
    "E5 base64": [{"index": i, "embedding": base64.b64encode(struct.pack("<f", i + 1)).decode()} for i in (0, 1)],
    "E5 base64, shuffled": [{"index": i, "embedding": base64.b64encode(struct.pack("<f", i + 1)).decode()} for i in (1, 0)],
}  # fmt: skip


@pytest.mark.parametrize("data", ORDERS.values(), ids=ORDERS.keys())
def test_vectors_come_in_the_order_of_the_texts(lab: Lab, data: Any) -> None:
    """E1, E5"""
    lab.server.script(ENDPOINT, reply(200, {"data": data}))
    lab.expect(1)
    assert [[1.0], [2.0]] == lab.ask(lab.client(), "embed", inputs=TWO).value.vectors


DEFECTS = {
    "E2 missing": ([item(0, 1.0)], (1,)),
    "E2 none": ([], (0, 1)),
    "E2 extra": ([item(0, 1.0), item(1, 1.0), item(2, 1.0)], ()),
    "E2 doubled": ([item(0, 1.0), item(0, 1.0)], (1,)),
    "E2 out of range": ([item(0, 1.0), item(2, 1.0)], (1,)),
    "E2 negative": ([item(0, 1.0), item(-1, 1.0)], (1,)),
    "E2 index on some": ([item(0, 1.0), {"embedding": [1.0]}], (1,)),
    "E2 index is text": ([item("0", 1.0), item("1", 1.0)], (0, 1)),
    "E2 index is true": ([item(0, 1.0), item(True, 1.0)], (1,)),
    "E2 index is 1.0": ([item(0, 1.0), item(1.0, 1.0)], (1,)),
    "E3 NaN": ([item(0, 1.0), item(1, float("nan"))], (1,)),
    "E3 infinity": ([item(0, float("inf")), item(1, 1.0)], (0,)),
    "E3 boolean inside": ([item(0, 1.0), item(1, True)], (1,)),
    "E3 null inside": ([item(0, 1.0), item(1, None)], (1,)),
    "E3 text inside": ([item(0, 1.0), item(1, "1.0")], (1,)),
    "E3 list inside": ([item(0, 1.0), item(1, [1.0])], (1,)),
    "E3 empty": ([item(0, 1.0), item(1)], (1,)),
    "E3 null": ([item(0, 1.0), {"index": 1, "embedding": None}], (1,)),
    "E3 absent": ([item(0, 1.0), {"index": 1}], (1,)),
    "E3 ragged": ([item(0, 1.0), item(1, 1.0, 2.0)], (1,)),
    "E5 no base64": ([item(0, 1.0), {"index": 1, "embedding": "%%%"}], (1,)),
    "E5 base64 of odd length": ([item(0, 1.0), {"index": 1, "embedding": "AAAA"}], (1,)),
    "E5 base64 of NaN": ([item(0, 1.0), {"index": 1, "embedding": base64.b64encode(struct.pack("<f", float("nan"))).decode()}], (1,)),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_vectors_is_an_error_that_names_the_inputs(lab: Lab, defect: str) -> None:
    """E2, E3"""
    data, positions = DEFECTS[defect]
    lab.server.script(ENDPOINT, reply(200, json.dumps({"data": data}), content_type="application/json"))
    lab.expect(1)
    outcome = Outcome(1, EmbeddingContractError, 200, facts={"positions": positions})
    lab.verify(outcome, lab.client(), "embed", inputs=TWO)


def test_vectors_of_zeros_are_vectors(lab: Lab) -> None:
    """E3: also where they are to be normalised."""
    lab.server.script(ENDPOINT, reply(200, embeddings([[0.0, 0.0]])))
    lab.expect(1)
    with pytest.warns(ZeroVectorWarning):
        assert [[0.0, 0.0]] == lab.ask(lab.client(), "embed", normalize=True).value.vectors


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_batch_that_fails_for_good_leaves_what_was_done(lab: Lab, bad: int, concurrency: int) -> None:
    """E4: no list with holes comes back; the error has the vectors that are there."""
    texts = [str(i) for i in range(5)]

    def choose(seen: Any) -> Answer:
        number = int(seen.json["input"][0])
        return reply(500, "boom") if number == bad else reply(200, embeddings([[number + 1.0]]))

    lab.server.script(ENDPOINT, either(choose, lab.server))
    with pytest.raises(ServerError, match="boom") as caught:
        lab.ask(lab.client(concurrency=concurrency), "embed", inputs=texts, batch_size=1)
    lab.errors.append(caught.value)
    lab.expect_what_came()
    sent = [request.json["input"][0] for request in lab.server.seen]
    assert 3 == sent.count(str(bad)) == caught.value.attempts
    completed = caught.value.completed
    assert {position: [position + 1.0] for position in completed} == completed
    assert set(map(str, completed)) <= set(sent) - {str(bad)}
    if concurrency == 1:
        assert list(range(bad)) == list(completed), "what comes later is not sent"


NOT_READY = {
    "503": reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "The endpoint is scaling from zero"}, retry_after="0.02"),
    "400": reply(400, "Model ep is not ready yet", retry_after="0.02"),
    "404": reply(404, {"error_code": "NOT_FOUND", "message": "endpoint ep is starting"}, retry_after="0.02"),
}  # fmt: skip


@each_kind
@pytest.mark.parametrize("status", NOT_READY)
class TestAnEndpointThatScalesFromZero:
    """H6"""

    def test_is_an_error_of_its_own(self, lab: Lab, kind: Kind, status: str) -> None:
        lab.server.script(ENDPOINT, NOT_READY[status])
        attempts = 3 if status == "503" else 1
        lab.expect(attempts)
        with pytest.raises(EndpointNotReadyError) as caught:
            lab.ask(lab.client(), kind)
        lab.errors.append(caught.value)
        assert (attempts, int(status), "req-1") == (
            caught.value.attempts,
            caught.value.status_code,
            caught.value.request_id,
        )

    def test_is_waited_for_where_that_is_asked(self, lab: Lab, kind: Kind, status: str) -> None:
        waits = (NOT_READY[status],) * 6
        row = Row("H6", status, (*waits, good), Outcome(7), params={"wait_ready": 60.0})
        client = lab.client()
        lab.play(row, kind, client)
        assert 100.0 == client._context.budget(ENDPOINT).tokens, "waiting is no failure"

    def test_and_no_longer_than_that(self, lab: Lab, kind: Kind, status: str) -> None:
        lab.server.script(ENDPOINT, NOT_READY[status])
        begun = time.monotonic()
        with pytest.raises(EndpointNotReadyError) as caught:
            lab.ask(lab.client(max_retries=0), kind, wait_ready=0.3)
        lab.errors.append(caught.value)
        assert 0.26 <= time.monotonic() - begun < SOON
        attempts = lab.server.attempts(ENDPOINT)
        assert 1 < caught.value.attempts == attempts <= 0.3 / 0.02 + 1
        lab.expect(attempts)


@each_kind
def test_one_caller_asks_for_all_whether_an_endpoint_is_ready(lab: Lab, kind: Kind) -> None:
    """H6"""
    numbers = count()
    answer = either(lambda _: GOOD[kind] if next(numbers) >= 20 else NOT_READY["503"], lab.server)
    lab.server.script(ENDPOINT, answer)
    results = lab.together(10, lab.client(), kind, wait_ready=60.0)
    assert [FINE] * 10 == [result.text for result in results]
    lab.expect(20 + 10)
    *others, prober = sorted(result.attempts for result in results)
    assert prober > 10 and max(others) <= 2


MIB = 1024 * 1024
ZEROS = b" " * (8 * MIB)
JSON = "application/json"
RAW_DEFLATE = zlib.compressobj(wbits=-15)
BOMBS: dict[str, Answer] = {
    "gzip": reply(200, gzip.compress(ZEROS), content_type=JSON, content_encoding="gzip"),
    "gzip in members": reply(200, gzip.compress(ZEROS[:MIB]) * 8, content_type=JSON, content_encoding="gzip"),
    "deflate": reply(200, zlib.compress(ZEROS), content_type=JSON, content_encoding="deflate"),
    "raw deflate": reply(200, RAW_DEFLATE.compress(ZEROS) + RAW_DEFLATE.flush(), content_type=JSON, content_encoding="deflate"),
    "1 GB declared": raw(head(200, {"content-type": JSON, "content-length": "1000000000", "x-request-id": "req-1"}), end="hold"),
    "as it is": chunked(*[ZEROS[:65_536]] * 128, content_type=JSON),
}  # fmt: skip


@functools.cache
def big_bomb() -> bytes:
    """200 MiB in 200 KiB."""
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join(packer.compress(b" " * MIB) for _ in range(200)) + packer.flush()


UNLIMITED = ("1 GB declared", "stream")
"""A stream may say how long it is going to be: what counts is each of its events."""


def limits(kind: Kind) -> dict[str, int]:
    """An answer in one piece to a stream request counts as one event."""
    return {"max_event_bytes": MIB} if kind == "stream" else {"max_response_bytes": MIB}


class TestTooLarge:
    """Z1: what is too large, unpacked, is let go before it fills the memory."""

    @pytest.mark.parametrize(("bomb", "kind"), [(b, k) for b in BOMBS for k in KINDS if (b, k) != UNLIMITED])
    def test_an_answer(self, lab: Lab, kind: Kind, bomb: str) -> None:
        lab.server.script(ENDPOINT, BOMBS[bomb])
        lab.expect(1)
        client = lab.client(**limits(kind))
        tracemalloc.start()
        try:
            status = 200 if kind == "stream" else None
            lab.verify(Outcome(1, ResponseTooLargeError, status), client, kind, timeout=5.0)
            assert tracemalloc.get_traced_memory()[1] < 4 * MIB
        finally:
            tracemalloc.stop()
        lab.play(Row("Z1", "afterwards", (good,), Outcome(1)), kind, client)

    @each_kind
    def test_an_error(self, lab: Lab, kind: Kind) -> None:
        lab.server.script(ENDPOINT, reply(400, gzip.compress(ZEROS), content_encoding="gzip"))
        lab.expect(1)
        lab.verify(Outcome(1, ResponseTooLargeError), lab.client(max_response_bytes=MIB), kind)

    @each_kind
    def test_an_encoding_that_was_not_asked_for_is_no_answer(self, lab: Lab, kind: Kind) -> None:
        row = Row(
            "Z1",
            "br",
            (reply(200, b"\x0b\x02\x80{}\x03", content_type=JSON, content_encoding="br"),),
            Outcome(1, ResponseFormatError),
        )
        lab.play(row, kind)  # fmt: skip

    def test_200_mb_under_the_limit_of_64_mib(self, lab: Lab) -> None:
        lab.server.script(ENDPOINT, reply(200, big_bomb(), content_type=JSON, content_encoding="gzip"))
        lab.expect(1)
        tracemalloc.start()
        try:
            lab.verify(Outcome(1, ResponseTooLargeError), lab.client(), "chat")
            assert tracemalloc.get_traced_memory()[1] < 80 * MIB
        finally:
            tracemalloc.stop()


@each_kind
def test_a_damaged_compressed_answer_is_no_answer(lab: Lab, kind: Kind) -> None:
    """Z1"""
    packed = gzip.compress(json.dumps(chat()).encode())
    for body in (packed[:-9], packed[:20] + b"\0\xff" * 20, b"no gzip at all"):
        answer = reply(200, body, content_type=JSON, content_encoding="gzip")
        lab.server.script(ENDPOINT, answer)
        lab.expect(1)
        with pytest.raises(APIError) as caught:
            lab.ask(lab.client(), kind)
        lab.errors.append(caught.value)
        assert ResponseFormatError is type(caught.value)
