"""What it takes before it refuses: slow heads and bodies, large ones, deep ones, and too many at once."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from timing import HELD, SOON
from workspace_api import CHAT, CONTROL, Api

from fm_workspace import Limits
from fm_workspace._bounds import Load, is_deeper
from fm_workspace._errors import ServiceError

Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
QUERY = f"/serving-endpoints/{CHAT}/invocations"
JSON = {"Content-Type": "application/json"}


def port_of(api: Api) -> int:
    return urlsplit(api.workspace.host).port or 0


@contextmanager
def connections(api: Api, number: int, first: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent `first`, and no more."""
    opened = [socket.create_connection(("127.0.0.1", port_of(api)), 10) for _ in range(number)]
    for each in opened:
        each.sendall(first)
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


def ended(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    connection.settimeout(SOON)
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


@pytest.mark.parametrize("first", [b"", b"POST ", b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "], ids=len)
def test_slow_heads_are_cut_off_and_hold_up_nobody(start: Start, first: bytes) -> None:
    patient, api = start(limits=Limits(read_seconds=HELD)), start(limits=Limits(read_seconds=1))
    with connections(patient, 100, first):
        assert patient.text(CHAT, "Hello"), "the others are not waited for"
    with connections(api, 100, first) as slow:
        assert {ended(each) for each in slow} == {b""}


def test_a_dribble_is_cut_off_as_silence_is(start: Start) -> None:
    api = start(limits=Limits(read_seconds=1))
    with connections(api, 1, b"GET / HTTP/1.1\r\n") as (slow,), pytest.raises(OSError, match="."):
        for number in range(100):  # for five seconds
            slow.sendall(b"X-%d: y\r\n" % number)
            time.sleep(0.05)


def test_the_second_request_of_a_connection_must_arrive_in_time_too(start: Start) -> None:
    api = start(limits=Limits(read_seconds=1))
    head = f"GET {CONTROL} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.workspace.token}\r\n\r\n"
    with connections(api, 1, head.encode()) as (slow,):
        while b'"endpoints"' not in slow.recv(1_000_000):
            pass
        time.sleep(1.2)
        slow.sendall(head.encode())  # idle connections are kept for longer
        time.sleep(0.3)
        slow.sendall(b"GET / HT")
        assert b"200 OK" in ended(slow)


def test_a_slow_body_is_a_408(start: Start) -> None:
    api = start(limits=Limits(read_seconds=0.5))
    head = f"POST {QUERY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.workspace.token}\r\n"
    rest = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with connections(api, 20, (head + rest).encode()) as slow:
        assert api.text(CHAT, "Hello")
        for each in slow:
            assert b"HTTP/1.1 408" in ended(each)


def test_a_head_over_32_kib_is_refused(start: Start) -> None:
    api = start()
    fits = api.http.get(CONTROL, headers={"X-Large": "x" * 30_000})
    assert fits.status_code == 200
    assert api.http.get(CONTROL, headers={"X-Large": "x" * 33_000}).status_code == 431


@pytest.mark.parametrize(("path", "most"), [(QUERY, 4 * 1024 * 1024), (CONTROL, 1024 * 1024)], ids=["query", "control"])
def test_a_body_over_the_limit_is_a_413(start: Start, path: str, most: int) -> None:
    api = start()
    answer = api.http.post(path, content=b" " * (most + 1), headers=JSON)
    assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_TOO_LARGE")
    assert api.http.post(path, content=b"{}".ljust(most), headers=JSON).status_code == 400


def nested(depth: int) -> bytes:
    return b'{"messages": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize("path", [QUERY, CONTROL, f"{CONTROL}/x/tags"])
@pytest.mark.parametrize("depth", [101, 5_000, 400_000])
def test_deep_json_is_refused_before_it_is_parsed(api: Api, path: str, depth: int) -> None:
    method = "PATCH" if path.endswith("tags") else "POST"
    began = time.monotonic()
    answer = api.http.request(method, path, content=nested(depth), headers=JSON)
    assert answer.status_code == 400
    assert "levels deep" in answer.text
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("body", "deeper"),
    [
        (nested(100), False),
        (nested(101), True),
        (b"[" * 101, True),
        (b'{"a": "' + b"[" * 500 + b'"}', False),
        (b'{"a": "\\"' + b"[" * 500 + b'"}', False),
        (b"[" + b"[[]]," * 5_000 + b"[]]", False),
        (b'{"a":' * 101 + b"1" + b"}" * 101, True),
        (b"[]" * 500_000, False),
        (b"", False),
    ],
)
def test_depth_is_counted_without_what_stands_in_texts(body: bytes, deeper: bool) -> None:
    assert is_deeper(body, 100) is deeper


def test_more_requests_than_it_takes_are_a_503_with_retry_after(start: Start) -> None:
    """Requests whose body has not come are in flight, and so are streams that nobody reads on."""
    api = start(limits=Limits(requests=5, read_seconds=20))
    head = f"POST {QUERY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.workspace.token}\r\n"
    rest = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with connections(api, 5, (head + rest).encode()):
        answer = when(lambda: api.query(CHAT, HELLO), lambda answer: answer.status_code == 503)
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    when(lambda: api.query(CHAT, HELLO), lambda answer: answer.status_code == 200)


def test_more_bytes_than_it_holds_are_a_503(start: Start) -> None:
    api = start(limits=Limits(buffered_bytes=1_000_000))
    large = json.dumps({"messages": [{"role": "user", "content": "x" * 1_100_000}]}).encode()
    for _ in range(3):
        assert api.http.post(QUERY, content=large, headers=JSON).status_code == 503
    assert api.text(CHAT, "Hello"), "what was held has been given back"


def test_more_connections_than_it_takes_are_told_to_come_back(start: Start) -> None:
    api = start(limits=Limits(connections=4))
    assert api.text(CHAT, "Hello")  # which keeps one connection
    with connections(api, 3, b"GET "), socket.create_connection(("127.0.0.1", port_of(api)), 10) as fifth:
        answer = ended(fifth)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 1\r\n" in answer


def when(ask: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    """The first answer that fits."""
    until = time.monotonic() + SOON
    while not fits(answer := ask()):
        assert time.monotonic() < until, answer
        time.sleep(0.02)
    return answer


def test_the_management_api_holds_each_user_to_a_rate(start: Start) -> None:
    api = start(limits=Limits(control_rate=2))
    answers = [api.http.get(CONTROL) for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 5
    assert refused[0].json()["error_code"] == "RESOURCE_EXHAUSTED"
    assert refused[0].headers["retry-after"] == "1"
    other = {"Authorization": f"Bearer {api.workspace.issue_token('ada', 'read')}"}
    assert httpx.get(api.workspace.host + CONTROL, headers=other, trust_env=False).status_code == 200
    assert api.text(CHAT, "Hello"), "queries have limits of their own"


def test_a_bucket_fills_up_again() -> None:
    now = [0.0]
    load = Load(Limits(control_rate=1), clock=lambda: now[0])
    for _ in range(10):
        load.spend("ada")
    with pytest.raises(ServiceError):
        load.spend("ada")
    now[0] += 1
    load.spend("ada")
    with pytest.raises(ServiceError):
        load.spend("ada")


def resident() -> int:
    """Bytes of this process in memory, the workspace's among them."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's account of memory")
def test_bombs_leave_memory_as_it_was(start: Start) -> None:
    api = start()
    bombs = [b"[" * 4_000_000, b" " * (5 * 1024 * 1024), nested(1_000_000), b'{"a":' * 700_000]
    for bomb in bombs:
        api.http.post(QUERY, content=bomb, headers=JSON)
    before = resident()
    for bomb in bombs * 5:
        assert api.http.post(QUERY, content=bomb, headers=JSON).status_code in (400, 413)
    assert resident() - before < 32 * 1024 * 1024


def test_a_client_that_takes_no_answer_is_left(start: Start) -> None:
    """Its request no longer counts as one in flight; the others never waited for it."""
    api = start(limits=Limits(requests=1, write_seconds=0.5))
    schema = {"type": "object", "properties": {f"field_{at}": {"type": "string"} for at in range(2_000)}}
    form = {"type": "json_schema", "json_schema": {"name": "wide", "schema": schema}}
    body = json.dumps({**HELLO, "response_format": form, "stream": True, "n": 5}).encode()
    head = f"POST {QUERY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.workspace.token}\r\n"
    rest = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port_of(api)))
        deaf.sendall((head + rest).encode() + body)
        assert api.query(CHAT, HELLO).status_code in (200, 503)
        when(lambda: api.query(CHAT, HELLO), lambda answer: answer.status_code == 200)


async def streamed(host: str, token: str, number: int) -> list[int]:
    """Pieces in each of `number` streams that run at one time."""
    pieces: list[int] = []
    everyone = asyncio.Barrier(number)

    async def one(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", f"{host}{QUERY}", json={**HELLO, "stream": True}) as answer:
            assert answer.status_code == 200
            await everyone.wait()
            lines = [line async for line in answer.aiter_lines() if line]
            assert lines[-1] == "data: [DONE]"
            pieces.append(len(lines))

    limits = httpx.Limits(max_connections=number)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, limits=limits, trust_env=False, timeout=60) as client:
        await asyncio.gather(*(one(client) for _ in range(number)))
    return pieces


def test_two_hundred_streams_at_once_are_all_whole_and_leave_nothing_behind(start: Start) -> None:
    api = start()
    before = threading.active_count()
    pieces = asyncio.run(streamed(api.workspace.host, api.workspace.token, 200))
    assert len(pieces) == 200
    assert len(set(pieces)) == 1
    assert threading.active_count() == before
