"""Properties that hold for any input: of streams, answers, addresses and error texts."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import httpcore
import pytest
from fault_lab import exposed
from fault_server import FaultServer, chat, chunked, delta, event, reply
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from response_events import agent_events, bare, call, events, message, named, reasoning, result, search
from timing import cpu_of

from fm_client import (
    APIError,
    AsyncClient,
    Client,
    EmbeddingContractError,
    InvalidRequestError,
    Reply,
    StreamInterruptedError,
)
from fm_client._context import MAX_DEPTH, encode
from fm_client._responses import StreamParser, chat_response
from fm_client._routes import MAX_NAME_CHARS, endpoint_path, invocations_path, pt_config_path
from fm_client._sse import SSEDecoder
from fm_client._vectors import read_batch
from fm_client.types import ChatChunk

# The server and the clients of a test serve all of its examples.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
SSE = {"content-type": "text/event-stream"}


# -- streams

CALL = st.builds(
    lambda index, args: {"index": index, "id": f"call-{index}", "function": {"name": "f", "arguments": args}},
    st.integers(0, 2),
    TEXT,
)
USAGE = st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9), "completion_tokens": st.integers(0, 9)})
DELTA = st.builds(
    lambda text, calls, usage, finish: delta(text, usage=usage, finish=finish, **({"tool_calls": calls} if calls else {})),
    st.none() | TEXT,
    st.lists(CALL, max_size=2),
    st.none() | USAGE,
    st.sampled_from([None, None, None, "stop", "length", "tool_calls"]),
)  # fmt: skip
ODD = st.sampled_from(
    [
        b": ping\n\n", b"event: note\n\n", b"data\n\n", b"id: 7\nretry: 10\n\n", b"data: [DONE]\n\n", b"data: {}\n\n",
        b'data: {"choices": []}\n\n', b'data: {"error_code": "INTERNAL_ERROR", "message": "no"}\n\n',
        b'event: error\ndata: {"message": "no"}\n\n', b"data: {\n\n", b"\xef\xbb\xbf", b"data: \xff\xfe\n\n", b"data: null\n\n",
    ]
)  # fmt: skip
SAID = [reasoning("hm"), message("héllo"), call(), search(), result(), call("g", "{}", "2")]
RESPONSE_EVENT = st.sampled_from([named(e) for e in events(*SAID)] + [bare(e) for e in agent_events(SAID)])
STREAM = st.lists(DELTA.map(event) | DELTA.map(event) | DELTA.map(event) | ODD, max_size=8).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes in pieces of any size."""
    data = draw(source)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]


def told(chunks: Iterator[Any]) -> list[Any]:
    """Everything that a stream gave, and how it ended."""
    got: list[Any] = []
    try:
        got.extend((chunk.model_dump(), chunk.response and chunk.response.model_dump()) for chunk in chunks)
    except APIError as error:
        partial = error.partial.model_dump() if isinstance(error, StreamInterruptedError) else None
        got.append((type(error), str(error), partial))
    return got


@pytest.fixture
def pair(server: FaultServer) -> Iterator[tuple[Callable[[str], Any], Callable[[str], Any]]]:
    """What the sync and the async client say of the same stream, asked by either API."""
    loop = asyncio.new_event_loop()
    sync, aio = Client(server.host, "t", max_retries=0), AsyncClient(server.host, "t", max_retries=0)

    async def collected(api: Any) -> list[Any]:
        got: list[Any] = []
        try:
            async for chunk in aio.stream_chat("ep", "Hi", api=api):
                got.append(chunk)  # noqa: PERF401 - what came before an error counts
        except APIError as error:
            got.append(error)
        return got

    def played(api: Any) -> Iterator[Any]:
        for item in loop.run_until_complete(collected(api)):
            if isinstance(item, APIError):
                raise item
            yield item

    yield lambda api: told(sync.stream_chat("ep", "Hi", api=api)), lambda api: told(played(api))
    sync.close()
    loop.run_until_complete(aio.aclose())
    loop.close()


@shared
@given(cut(STREAM), st.sampled_from(["ok", "cut"]))
def test_the_sync_and_the_async_client_give_the_same_for_any_stream(
    pair: Any, server: FaultServer, pieces: list[bytes], end: str
) -> None:
    """P2"""
    server.script("ep", chunked(*pieces, end=end))
    server.seen.clear()
    sync, aio = (says("chat") for says in pair)
    assert sync == aio and 2 == len(server.seen)


@shared
@given(cut(st.lists(RESPONSE_EVENT | ODD, max_size=8).map(b"".join)), st.sampled_from(["ok", "cut"]))
def test_the_same_holds_for_the_responses_api(pair: Any, server: FaultServer, pieces: list[bytes], end: str) -> None:
    """P2"""
    server.script("ep", chunked(*pieces, end=end))
    server.seen.clear()
    sync, aio = (says("responses") for says in pair)
    assert sync == aio and 2 == len(server.seen)


def parsed(pieces: list[bytes], *, end: bool = True) -> tuple[list[Any], StreamParser]:
    parser = StreamParser(ChatChunk, Reply(200, SSE), "ep", stream_end="either", limit=1 << 24)
    chunks: list[Any] = []
    for piece in [*filter(None, pieces), *([b""] if end else [])]:
        if parser.done or parser.failure:
            break
        chunks += parser.feed(piece)
    return chunks, parser


@given(cut(STREAM))
def test_any_cut_of_a_stream_gives_the_same_chunks_and_the_same_end(pieces: list[bytes]) -> None:
    """P1, of the parser: chunks, failure and what has arrived."""
    once, whole = parsed([b"".join(pieces)])
    often, again = parsed(pieces)
    assert [chunk.model_dump() for chunk in once] == [chunk.model_dump() for chunk in often]
    assert (str(whole.failure), whole.done, whole.events) == (str(again.failure), again.done, again.events)


@given(st.binary(max_size=200) | STREAM, st.integers(0, 300))
def test_the_events_of_a_prefix_are_a_prefix_of_the_events(data: bytes, length: int) -> None:
    """P4: nothing that was given out is taken back by what follows."""
    first, both = SSEDecoder(), SSEDecoder()
    events = first.feed(data[:length])
    assert events == both.feed(data)[: len(events)]
    chunks, _ = parsed([data[:length]], end=False)
    more, _ = parsed([data], end=False)
    assert [chunk.text for chunk in chunks] == [chunk.text for chunk in more][: len(chunks)]


@given(cut(st.binary(max_size=300)))
def test_no_bytes_make_a_stream_fail_but_by_an_error_of_ours(pieces: list[bytes]) -> None:
    """P3, of the parser."""
    chunks, parser = parsed(pieces)
    assert parser.done or isinstance(parser.failure, APIError)
    assert sum(len(chunk.text) for chunk in chunks) <= sum(map(len, pieces))


SHORT, LONG = event(delta("x" * 100)), b"x" * 1024
TEN_MB = 10_000_000
FLOODS: dict[str, tuple[bytes, bytes, bytes]] = {  # what begins, what repeats, what ends
    "small events": (b"", SHORT, b""),
    "small events, CRLF": (b"", SHORT.replace(b"\n", b"\r\n"), b""),
    "comments": (b"", b": ping\n\n", b""),
    "blank lines": (b"", b"\n" * 64, b""),
    "one line": (b"data: ", LONG, b"\n\n"),
    "one event of many lines": (b"", b"data: " + b"x" * 90 + b"\n", b"\n"),
    "no end": (b"", LONG, b""),
}


@pytest.mark.parametrize("size", [1_000, 65_536])
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_ten_megabytes_are_decoded_within_a_second(flood: tuple[bytes, bytes, bytes], size: int) -> None:
    """P6: by the time of this process, whatever else the machine does."""
    begin, middle, end = flood
    data = begin + middle * (TEN_MB // len(middle)) + end

    def decode() -> None:
        decoder = SSEDecoder(2 * TEN_MB)
        for start in range(0, len(data), size):
            decoder.feed(data[start : start + size])
        decoder.finish()

    assert cpu_of(decode) < 1.0


def test_a_tool_call_in_20_000_pieces_is_put_together_in_linear_time() -> None:
    """P6, of the merger: four times the pieces take four times as long, and not sixteen times."""
    first = event(delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "["}}]))
    piece = event(delta(tool_calls=[{"index": 0, "function": {"arguments": "1,"}}]))
    few, many = (cpu_of(lambda count=count: parsed([first, piece * count], end=False)) for count in (5_000, 20_000))
    assert many < 8 * few


# -- answers


@given(TEXT, st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=3), st.data())
def test_a_message_in_any_pieces_is_the_message_in_one(text: str, calls: list[dict[str, str]], data: Any) -> None:
    """P8: text and parallel tool calls, their pieces interleaved in any way that keeps each call's own order."""
    whole = [{"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": json.dumps(c)}} for i, c in enumerate(calls)]  # fmt: skip
    queues: list[list[dict[str, Any]]] = [[delta(piece) for piece in data.draw(pieces_of(text))]]
    for index, one in enumerate(whole):
        first = {"index": index, **one, "function": {"name": "f", "arguments": ""}}
        rest = [
            {"index": index, "function": {"arguments": p}} for p in data.draw(pieces_of(one["function"]["arguments"]))
        ]
        queues.append([delta(tool_calls=[piece]) for piece in (first, *rest)])
    stream, begun = [], [True] + [False] * len(whole)
    while any(queues):
        # A call begins after those before it: that is what gives it its place.
        possible = [i for i, queue in enumerate(queues) if queue and all(begun[:i])]
        turn = data.draw(st.sampled_from(possible))
        begun[turn] = True
        stream.append(event(queues[turn].pop(0)))
    chunks, _ = parsed([*stream, event(delta("", finish="stop"))])
    answer = chat_response(Reply(200, {}, json.dumps(chat(text, tool_calls=whole)).encode()), "ep")
    merged = chunks[-1].response
    assert (answer.text, [c.args for c in answer.tool_calls]) == (merged.text, [c.args for c in merged.tool_calls])


@st.composite
def pieces_of(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]


DEFECTS: dict[str, Callable[[list[dict[str, Any]], int], Any]] = {
    "missing": lambda data, i: data.pop(i),
    "doubled": lambda data, i: data.append(dict(data[i])),
    "NaN": lambda data, i: data[i].update(embedding=[math.nan, 1.0]),
    "infinite": lambda data, i: data[i].update(embedding=[1.0, -math.inf]),
    "null": lambda data, i: data[i].update(embedding=[None, 1.0]),
    "empty": lambda data, i: data[i].update(embedding=[]),
    "absent": lambda data, i: data[i].pop("embedding"),
    "text": lambda data, i: data[i].update(embedding=["1.0", 2.0]),
    "index beyond": lambda data, i: data[i].update(index=len(data)),
    "index negative": lambda data, i: data[i].update(index=-1),
    "index true": lambda data, i: data[i].update(index=True),
    "index gone": lambda data, i: data[i].pop("index"),
}


@given(st.permutations(range(5)), st.sampled_from([None, *DEFECTS]), st.integers(0, 4))
def test_vectors_are_those_of_their_texts_or_there_are_none(order: list[int], defect: str | None, at: int) -> None:
    """P10"""
    data = [{"index": i, "embedding": [float(i), 1.0]} for i in order]
    if defect is not None:
        DEFECTS[defect](data, at)
    answer = Reply(200, {}, json.dumps({"data": data}).encode())
    if defect is None:
        assert [[float(i), 1.0] for i in range(5)] == read_batch(answer, "ep", 0, 5).vectors
    else:
        with pytest.raises(EmbeddingContractError):
            read_batch(answer, "ep", 0, 5)


# -- requests

NAME = st.text(max_size=70) | st.from_regex(r"[\w./%#?;:@\\ -]{0,70}", fullmatch=True)
PATHS: dict[Callable[[str], str], str] = {
    invocations_path: "/serving-endpoints/{}/invocations",
    endpoint_path: "/api/2.0/serving-endpoints/{}",
    pt_config_path: "/api/2.0/serving-endpoints/pt/{}/config",
}


@given(NAME)
def test_any_name_is_refused_or_exactly_one_segment_of_the_address(name: str) -> None:
    """P12"""
    for build, shape in PATHS.items():
        try:
            path = build(name)
        except InvalidRequestError:
            continue
        url = httpcore.URL(f"https://x.test{path}")
        assert (shape.format(name).encode(), b"x.test") == (url.target, url.host)
        assert len(path.split("/")) == len(shape.split("/"))
        assert 0 < len(name) <= MAX_NAME_CHARS and name not in (".", "..")


@shared
@given(NAME)
def test_any_name_is_refused_or_the_endpoint_that_is_asked(fm: Any, server: FaultServer, name: str) -> None:
    """P12, on the wire."""
    server.seen.clear()
    server.default = reply(200, chat())
    try:
        fm.chat(name, "Hi")
    except InvalidRequestError:
        assert [] == server.seen
    else:
        assert [f"/serving-endpoints/{name}/invocations"] == [request.path for request in server.seen]


SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@given(st.dictionaries(TEXT, VALUE, max_size=4))
def test_what_is_sent_is_what_was_given(body: dict[str, Any]) -> None:
    assert body == json.loads(encode(body, 1 << 20))


@given(VALUE, st.sampled_from([1, None, True, 1.5, (1,), b"a"]), st.integers(0, 40))
def test_a_key_that_is_no_text_is_refused_at_any_depth(value: Any, key: Any, depth: int) -> None:
    bad: Any = {key: value}
    for level in range(depth):
        bad = [bad, value] if level % 2 else {"a": value, "b": bad}
    with pytest.raises(InvalidRequestError, match="keys must be text"):
        encode({"x": bad}, 1 << 20)


@given(st.integers(1, 2 * MAX_DEPTH))
def test_nesting_is_sent_up_to_its_limit(depth: int) -> None:
    value: Any = 1
    for _ in range(depth - 1):
        value = [value]
    try:
        encode({"x": value}, 1 << 20)
    except InvalidRequestError:
        assert depth > MAX_DEPTH
    else:
        assert depth <= MAX_DEPTH


# -- secrets

# Between tildes, because a secret that is a word of ours ("should_retry") is found wherever that word stands.
# The prefix keeps it apart from words that stand in a traceback anyway.
SECRET = (
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)
    .map("zq9-{}".format)
    .map(lambda s: f"~{s}~")
)
QUOTED: dict[str, Callable[[str], Any]] = {
    "message": lambda s: {"error_code": "BAD_REQUEST", "message": f"token {s} is bad"},
    "OpenAI": lambda s: {"error": {"message": f"{s}", "code": "x"}},
    "nested": lambda s: {"error_code": "BAD_REQUEST", "message": json.dumps({"message": f"<{s}>"})},
    "object": lambda s: {"message": {"headers": [s]}},
    "external": lambda s: {"external_model_error": {"error": {"message": s}}, "external_model_provider": "p"},
    "text": lambda s: f"Bad request: {s}{s}",
    "HTML": lambda s: f"<html><b>Authorization: Bearer {s}</b></html>",
    "far": lambda s: "x" * 1_900 + s + "x" * 5_000,
}


@shared
@given(SECRET, st.sampled_from(list(QUOTED)), st.sampled_from([400, 401, 403, 404, 429, 500, 200]))
def test_no_answer_brings_a_token_back(
    connect: Callable[..., Any], server: FaultServer, secret: str, place: str, status: int
) -> None:
    """P13"""
    server.script("ep", reply(status, QUOTED[place](secret)))
    with pytest.raises(APIError) as caught:
        connect(server.host, secret, max_retries=0).chat("ep", "Hi")
    server.seen.clear()
    assert secret not in f"{caught.value} {caught.value.message} {caught.value.body} {exposed(caught.value)}"
