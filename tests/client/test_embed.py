"""Any number of texts gives the vectors of just these texts in this order, or an error."""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import Connection, FaultServer, embeddings, reply, silence
from hypothesis import given
from hypothesis import strategies as st
from timing import HELD

from fm_client import (
    APITimeoutError,
    ConfigurationError,
    EmbeddingContractError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
    ZeroVectorWarning,
)
from fm_client._embeddings import split
from fm_client._vectors import _in_order, add_usages, unit
from fm_client.types import Usage


def of_text(text: str) -> list[float]:
    """A vector that tells which text it belongs to."""
    return [float(len(text)), float(sum(map(ord, text))), 1.0]


@pytest.fixture
def embedder(server: FaultServer) -> FaultServer:
    """Answers for whatever inputs the last request had, in reversed order, at most 30 a request."""

    def answer(connection: Connection) -> bool:
        texts = next(r for r in reversed(server.seen) if r.connection == connection.number).json["input"]
        if len(texts) > 30:
            return reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Exceeded workspace QPS rate limit"})(
                connection
            )
        body = embeddings(map(of_text, texts), order=reversed(range(len(texts))))
        return reply(200, body)(connection)

    server.script("ep", answer)
    return server


@pytest.mark.parametrize("count", [1, 30, 31, 205])
def test_any_number_of_texts_in_their_order(connect: Callable[..., Any], embedder: FaultServer, count: int) -> None:
    """E1, and halving on a batch-size 429."""
    texts = [f"text {'x' * (i % 7)} {i}" for i in range(count)]
    answer = connect(embedder.host, max_retries=0).embed("ep", texts)
    assert [of_text(text) for text in texts] == answer.vectors
    assert ("ep", 3) == (answer.endpoint, answer.dimension)
    sent = [request.json["input"] for request in embedder.seen]
    good = [texts for texts in sent if len(texts) <= 30]
    assert sorted(texts) == sorted(text for batch in good for text in batch), "nothing is embedded twice"
    assert answer.usage.input_tokens == 3 * len(good)


def test_a_size_that_was_refused_is_not_tried_again(connect: Callable[..., Any], embedder: FaultServer) -> None:
    fm = connect(embedder.host, max_retries=0)
    fm.embed("ep", ["x"] * 40)
    before = len(embedder.seen)
    fm.embed("ep", ["x"] * 40)
    assert 2 == len(embedder.seen) - before


def test_a_limit_that_no_size_passes_costs_one_request_a_size(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script("ep", reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "workspace QPS rate limit"}))
    fm = connect(server.host, max_retries=1)
    fm.client._context.jitter = lambda: 0.0
    with pytest.raises(RateLimitError):
        fm.embed("ep", ["x"] * 8)
    assert [8, 8, 4, 2, 1] == [len(request.json["input"]) for request in server.seen]
    assert {} == fm.client._context.batch_limits


def test_a_request_over_the_limit_in_bytes_says_nothing_about_short_texts(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    server.script(
        "ep", reply(200, embeddings([[1.0]])), reply(200, embeddings([[1.0]])), reply(200, embeddings([[1.0]] * 9))
    )
    fm = connect(server.host, max_request_bytes=100)
    fm.embed("ep", ["x" * 60] * 2)
    fm.embed("ep", ["x"] * 9)
    assert [1, 1, 9] == [len(request.json["input"]) for request in server.seen]


def test_413_is_halved_too(connect: Callable[..., Any], server: FaultServer) -> None:
    """H10"""
    server.script("ep", reply(413, "too large"), reply(200, embeddings([[1.0]])), reply(200, embeddings([[2.0]])))
    assert [[1.0], [2.0]] == connect(server.host).embed("ep", ["a", "b"]).vectors


def test_a_413_for_a_single_text_is_the_error(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script("ep", reply(413, "too large"))
    with pytest.raises(Exception, match="too large"):
        connect(server.host).embed("ep", ["a"])
    assert 1 == server.attempts("ep")


def test_a_plain_429_is_not_halved(connect: Callable[..., Any], server: FaultServer) -> None:
    """H2"""
    server.script(
        "ep", reply(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Exceeded output tokens per minute"})
    )
    with pytest.raises(RateLimitError):
        connect(server.host).embed("ep", ["a", "b"], max_retries=1)
    assert [2, 2] == [len(request.json["input"]) for request in server.seen]


def test_a_failing_batch_fails_the_call_and_keeps_what_is_done(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    """E4: no partial list is taken for a whole one, and nothing that was paid for is lost."""
    done = [reply(200, embeddings([[1.0]])), reply(200, embeddings([[2.0]]))]
    server.script("ep", *done, reply(500, "boom"))
    with pytest.raises(ServerError, match="boom") as caught:
        connect(server.host, concurrency=1).embed("ep", ["a", "b", "c", "d"], batch_size=1, max_retries=0)
    assert {0: [1.0], 1: [2.0]} == caught.value.completed
    assert 3 == server.attempts("ep"), "later batches are not sent"


def test_the_limit_of_a_call_is_one_of_each_batch(connect: Callable[..., Any], server: FaultServer) -> None:
    vector = reply(200, embeddings([[1.0]]))
    server.script("ep", lambda connection: time.sleep(0.5) or vector(connection))
    fm = connect(server.host, concurrency=1)
    assert 3 == len(fm.embed("ep", ["a", "b", "c"], batch_size=1, timeout=1.2).vectors)
    server.script("ep", vector, silence(HELD))
    with pytest.raises(APITimeoutError) as caught:
        fm.embed("ep", ["a", "b", "c"], batch_size=1, timeout=0.6)
    assert ("total", [0]) == (caught.value.phase, list(caught.value.completed))


def test_progress_is_told_after_each_request(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script("ep", reply(200, embeddings([[1.0], [1.0]])), reply(200, embeddings([[1.0]])))
    told: list[tuple[int, int]] = []
    fm = connect(server.host, concurrency=1)
    fm.embed("ep", ["a", "b", "c"], batch_size=2, on_progress=lambda *done: told.append(done))
    assert [(2, 3), (3, 3)] == told


def test_show_progress_draws_a_bar(
    connect: Callable[..., Any], server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script("ep", reply(200, embeddings([[1.0], [1.0]])), reply(200, embeddings([[1.0]])))
    connect(server.host, concurrency=1).embed("ep", ["a", "b", "c"], batch_size=2, show_progress=True)
    assert "3/3" in capsys.readouterr().err


def test_a_bar_without_tqdm_says_what_to_install(
    connect: Callable[..., Any], server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ConfigurationError, match="pip install tqdm"):
        connect(server.host).embed("ep", ["a"], show_progress=True)
    assert [] == server.seen


def test_base64_is_left_out_where_a_route_refuses_it(connect: Callable[..., Any], server: FaultServer) -> None:
    """E5"""
    server.script(
        "ep", reply(400, 'Bad request: json: unknown field "encoding_format"'), reply(200, embeddings([[1.0]]))
    )
    fm = connect(server.host)
    for _ in range(2):
        assert [[1.0]] == fm.embed("ep", ["a"], encoding_format="base64").vectors
    assert [True, False, False] == ["encoding_format" in request.json for request in server.seen]


def test_an_order_without_index_is_the_order_of_the_inputs(connect: Callable[..., Any], server: FaultServer) -> None:
    """E1"""
    server.script("ep", reply(200, {"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]}))
    assert [[1.0], [2.0]] == connect(server.host).embed("ep", ["a", "b"]).vectors


def item(index: Any, *vector: Any) -> dict[str, Any]:
    return {"index": index, "embedding": list(vector)}


DEFECTS = {
    "missing": [item(0, 1.0)],
    "extra": [item(0, 1.0), item(1, 1.0), item(2, 1.0)],
    "doubled index": [item(0, 1.0), item(0, 1.0)],
    "index out of range": [item(0, 1.0), item(2, 1.0)],
    "index on some": [item(0, 1.0), {"embedding": [1.0]}],
    "index no number": [item("0", 1.0), item("1", 1.0)],
    "empty": [item(0, 1.0), item(1)],
    "ragged": [item(0, 1.0), item(1, 1.0, 2.0)],
    "boolean": [item(0, 1.0), {"index": 1, "embedding": [True]}],
    "boolean among numbers": [item(0, 1.0, 2.0, 3.0), {"index": 1, "embedding": [1.0, False, 2.0]}],
    "null": [item(0, 1.0), item(1, None)],
    "text": [item(0, 1.0), item(1, "1.0")],
    "null vector": [item(0, 1.0), {"index": 1, "embedding": None}],
    "bad base64": [item(0, 1.0), {"index": 1, "embedding": "%%%"}],
}


@pytest.mark.parametrize("data", DEFECTS.values(), ids=DEFECTS.keys())
def test_defects_are_errors_that_name_positions(connect: Callable[..., Any], server: FaultServer, data: Any) -> None:
    """E2, E3"""
    server.script("ep", reply(200, {"data": data}))
    with pytest.raises(EmbeddingContractError) as caught:
        connect(server.host).embed("ep", ["a", "b"])
    assert 1 == server.attempts("ep") and set(caught.value.positions) <= {0, 1}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_errors(connect: Callable[..., Any], server: FaultServer, number: str) -> None:
    """E3"""
    server.script(
        "ep", reply(200, f'{{"data": [{{"index": 0, "embedding": [1.0, {number}]}}]}}', content_type="application/json")
    )
    with pytest.raises(EmbeddingContractError, match="input 0"):
        connect(server.host).embed("ep", ["a"])


def test_base64_is_little_endian_float32(connect: Callable[..., Any], server: FaultServer) -> None:
    """E5"""
    text = base64.b64encode(struct.pack("<3f", 1.0, -2.5, 0.25)).decode()
    server.script("ep", reply(200, {"data": [{"index": 0, "embedding": text}]}))
    assert [[1.0, -2.5, 0.25]] == connect(server.host).embed("ep", ["a"]).vectors


def test_normalize_and_the_optional_fields(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script("ep", reply(200, embeddings([[3.0, 4.0]])))
    answer = connect(server.host).embed("ep", "one text", normalize=True, instruction="query:", dimensions=2)
    assert [[0.6, 0.8]] == answer.vectors
    assert {"input": ["one text"], "instruction": "query:", "dimensions": 2} == server.seen[0].json


@pytest.mark.parametrize("inputs", [[], [""], ["a", ""], [None], [5], None, b"x", {"a": 1}, 5], ids=repr)
def test_inputs_that_are_none(connect: Callable[..., Any], server: FaultServer, inputs: Any) -> None:
    """Bad input: embeddings."""
    with pytest.raises(InvalidRequestError, match="inputs"):
        connect(server.host).embed("ep", inputs)
    with pytest.raises(InvalidRequestError, match="batch_size"):
        connect(server.host).embed("ep", ["a"], batch_size=0)
    with pytest.raises(InvalidRequestError, match="'normalise' .did you mean 'normalize'"):
        connect(server.host).embed("ep", ["a"], normalise=True)
    assert [] == server.seen


@given(st.lists(st.text(min_size=1), min_size=1, max_size=50), st.integers(1, 60))
def test_batches_together_are_all_texts_in_order(texts: list[str], size: int) -> None:
    """P11"""
    batches = split(texts, size)
    assert texts == [text for _, batch in batches for text in batch]
    assert all(len(batch) <= size and texts[start] == batch[0] for start, batch in batches)


@given(st.permutations(range(8)))
def test_any_permutation_comes_back_in_order(order: list[int]) -> None:
    """P10"""
    data = [{"index": i, "embedding": [i + 1.0]} for i in order]
    assert [[i + 1.0] for i in range(8)] == _in_order(json.loads(json.dumps(data)), 0, 8, {})


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-100), min_size=1, max_size=20))
def test_unit_vectors_have_length_one_or_are_zero(vector: list[float]) -> None:
    length = math.sqrt(math.fsum(x * x for x in unit(vector)))
    assert length == pytest.approx(1.0) if any(vector) else length == 0.0


def test_usage_is_summed_over_requests() -> None:
    total = add_usages([Usage(prompt_tokens=3, total_tokens=3), None, Usage(prompt_tokens=4, total_tokens=4)])
    assert (7, 7) == (total.input_tokens, total.total_tokens)


def test_details_of_usage_are_summed_too_and_one_request_keeps_all_of_its_own() -> None:
    one = Usage(prompt_tokens=3, prompt_tokens_details={"cached_tokens": 1, "by": {"text": 2}})
    assert one == add_usages([one])
    total = add_usages([one, Usage(prompt_tokens=4), one])
    assert (10, {"cached_tokens": 2, "by": {"text": 4}}) == (total.prompt_tokens, total.prompt_tokens_details)
    assert {"cached_tokens": 1, "by": {"text": 2}} == one.prompt_tokens_details, "the sum is an object of its own"


def test_a_count_that_cannot_be_read_does_not_cost_the_vectors(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    usage = {"prompt_tokens": 2.5, "total_tokens": 3, "prompt_tokens_details": "none"}
    server.script("ep", reply(200, embeddings([[1.0]]) | {"usage": usage, "model": 7}))
    answer = connect(server.host).embed("ep", "a")
    assert ([[1.0]], None, 3, None) == (answer.vectors, answer.usage.prompt_tokens, answer.usage.total_tokens, answer.model)  # fmt: skip


def test_a_vector_of_zeros_is_told(connect: Callable[..., Any], server: FaultServer) -> None:
    """E3"""
    server.script("ep", reply(200, embeddings([[0.0, 0.0]])))
    with pytest.warns(ZeroVectorWarning, match="'ep' answered a vector of zeros for input 0"):
        connect(server.host).embed("ep", ["a"])
