"""Limits of size: what is too large is neither sent nor kept, and costs no more memory than its limit."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import bomb_script
import pytest
from fault_server import (
    DONE,
    Answer,
    FaultServer,
    chat,
    chunked,
    delta,
    embeddings,
    event,
    head,
    raw,
    reply,
    text,
    words,
)
from timing import SOON

from fm_client import APIError, RequestTooLargeError, ResponseTooLargeError, StreamInterruptedError

MIB = 1024 * 1024
KINDS = ("chat", "stream", "embed")
each_kind = pytest.mark.parametrize("kind", KINDS)


def ask(fm: Any, kind: str, content: str = "Hi") -> Any:
    if kind == "embed":
        return fm.embed("ep", content)
    return fm.chat("ep", content) if kind == "chat" else text(fm.stream_chat("ep", content))


def answer(kind: str, size: int) -> bytes:
    """An answer of just `size` bytes in which text or numbers fill up what is left."""
    filled: Callable[[int], dict[str, Any]] = {
        "chat": lambda n: chat("x" * n),
        "stream": lambda n: delta("x" * n, finish="stop"),
        "embed": lambda n: {**embeddings([[1.0]]), "model": "x" * n},
    }[kind]
    data = json.dumps(filled(size - len(json.dumps(filled(0))))).encode()
    assert len(data) == size
    return data


def gzipped(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
@pytest.mark.parametrize("kind", ["chat", "embed"])
def test_the_limit_of_an_answer_is_exact_and_counts_what_is_unpacked(
    connect: Callable[..., Any], server: FaultServer, kind: str, encoding: str
) -> None:
    """Z1"""
    fm = connect(server.host, max_response_bytes=10_000)
    for size, fits in ((10_000, True), (10_001, False)):
        data = answer(kind, size)
        packed = {"identity": data, "gzip": gzipped(data), "deflate": zlib.compress(data)}[encoding]
        server.script("ep", reply(200, packed, content_type="application/json", content_encoding=encoding))
        if fits:
            assert ask(fm, kind)
            continue
        with pytest.raises(ResponseTooLargeError, match="larger than 10,000 bytes") as caught:
            ask(fm, kind)
        assert ("ep", "req-1") == (caught.value.endpoint, caught.value.request_id)
    assert 2 == server.attempts("ep"), "asking again would bring it again"


@each_kind
def test_an_answer_without_a_length_ends_at_the_limit(
    connect: Callable[..., Any], server: FaultServer, kind: str
) -> None:
    """Z1: it is cut off, and not read to the end that there may not be."""

    def endless(connection: Any) -> bool:
        connection.write(head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}))
        while True:
            connection.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    server.script("ep", endless)
    limits = {"max_response_bytes": MIB, "max_event_bytes": MIB}
    with pytest.raises(ResponseTooLargeError):
        ask(connect(server.host, **limits), kind)
    assert 1 == server.attempts("ep")
    assert server.disconnected.wait(SOON)


@pytest.mark.parametrize("status", [400, 429, 500])
@each_kind
def test_an_error_that_is_too_large_is_none_to_be_read(
    connect: Callable[..., Any], server: FaultServer, kind: str, status: int
) -> None:
    server.script("ep", reply(status, b"x" * 20_000))
    with pytest.raises(APIError) as caught:
        ask(connect(server.host, max_response_bytes=10_000, max_retries=0), kind)
    assert isinstance(caught.value, ResponseTooLargeError) and len(str(caught.value)) < 300


def test_the_limit_of_an_event_is_exact(connect: Callable[..., Any], server: FaultServer) -> None:
    """S11"""
    fm = connect(server.host, max_event_bytes=10_000)
    server.script("ep", chunked(event(answer("stream", 10_000)), DONE))
    assert text(fm.stream_chat("ep", "Hi"))
    server.script("ep", chunked(event(answer("stream", 10_001)), DONE))
    with pytest.raises(ResponseTooLargeError, match=r"max_event_bytes \(10,000\)"):
        text(fm.stream_chat("ep", "Hi"))
    assert 2 == server.attempts("ep")


def test_an_event_in_the_middle_that_is_too_large_keeps_what_came_before(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    """S11"""
    server.script("ep", chunked(*words("a", "b", finish=None), 0.05, event(answer("stream", 10_001)), DONE))
    with pytest.raises(StreamInterruptedError, match="max_event_bytes") as caught:
        text(connect(server.host, max_event_bytes=10_000).stream_chat("ep", "Hi"))
    assert "ab" == caught.value.partial_text
    assert isinstance(caught.value.__cause__, ResponseTooLargeError)


def test_a_stream_as_a_whole_may_be_larger_than_any_limit(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script("ep", chunked(*[event(answer("stream", 9_000))] * 50, DONE))
    fm = connect(server.host, max_event_bytes=10_000, max_response_bytes=10_000)
    assert len(text(fm.stream_chat("ep", "Hi"))) > 400_000


@functools.cache
def bomb(kind: str) -> bytes:
    """200 MB of an answer that begins like any other, as 200 kB."""
    begin = b'data: {"a": "' if kind == "stream" else b'{"a": "'
    packer = zlib.compressobj(wbits=31)
    spaces = b" " * 1_000_000
    return b"".join([packer.compress(begin), *(packer.compress(spaces) for _ in range(200)), packer.flush()])


GOOD: dict[str, Answer] = {
    "chat": reply(200, chat()),
    "stream": chunked(*words("a"), DONE),
    "embed": reply(200, embeddings([[1.0]])),
}


@pytest.mark.parametrize("sort", ["sync", "async"])
@each_kind
def test_a_bomb_costs_less_than_80_mib(server: FaultServer, kind: str, sort: str) -> None:
    """Z1: 200 MB in 200 kB, also for a stream, though that asks for nothing compressed."""
    headers = {"content-type": "text/event-stream" if kind == "stream" else "application/json"}
    headers |= {"content-encoding": "gzip", "content-length": str(len(bomb(kind)))}
    server.script("bomb", raw(head(200, headers), bomb(kind), end="keep"))
    server.script("good", GOOD[kind])
    command = [sys.executable, bomb_script.__file__, kind, sort, server.host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    cost, _, error = done.stdout.partition(" ")
    assert int(cost) < 80, "MiB; 64 of them are the limit of an answer"
    assert "larger than" in error
    assert 1 == server.attempts("bomb")


SIZES = {"default": {}, "set": {"max_request_bytes": 100_000}}


@pytest.mark.parametrize("options", SIZES.values(), ids=SIZES.keys())
@each_kind
def test_a_request_over_the_limit_is_not_sent_and_one_at_the_limit_is(
    connect: Callable[..., Any], server: FaultServer, kind: str, options: dict[str, int]
) -> None:
    """H10: the service's own limit, 4 MiB, unless told otherwise."""
    limit = options.get("max_request_bytes", 4 * MIB)
    server.script("ep", GOOD[kind])
    fm = connect(server.host, **options)
    ask(fm, kind)
    rest = limit - len(server.seen[0].body) + len("Hi")
    ask(fm, kind, "x" * rest)
    assert limit == len(server.seen[1].body)
    with pytest.raises(RequestTooLargeError, match=f"has {limit + 1:,} bytes, over the limit of {limit:,}") as caught:
        ask(fm, kind, "x" * (rest + 1))
    assert "max_request_bytes" in str(caught.value) and (0, "ep") == (caught.value.attempts, caught.value.endpoint)
    assert 2 == server.attempts("ep")


def test_the_limit_of_a_request_counts_bytes_and_not_characters(fm: Any, server: FaultServer) -> None:
    with pytest.raises(RequestTooLargeError, match=r"has 4,500,0\d\d bytes"):
        fm.chat("ep", "東" * 1_500_000)
    assert [] == server.seen


def test_texts_that_are_too_large_together_are_sent_apart(connect: Callable[..., Any], server: FaultServer) -> None:
    """H10: a batch over the limit is halved before anything is sent."""
    server.script("ep", reply(200, embeddings([[1.0]])))
    assert 3 == len(connect(server.host, max_request_bytes=10_000).embed("ep", ["x" * 6_000] * 3).vectors)
    assert [1, 1, 1] == [len(request.json["input"]) for request in server.seen]
