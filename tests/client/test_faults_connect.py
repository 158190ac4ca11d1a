"""Fault matrix, rows C1 to C5 and T1 to T6: the way there and back breaks, or takes too long."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme
from fault_lab import CANARY, Lab, laboratory
from fault_server import DONE, chunked, drip, hang_up, head, raw, reply, reset, silence, words
from matrix import ENDPOINT, FINE, GOOD, KINDS, Answered, Kind, Outcome, Row, cells, good
from timing import HELD, SOON, eventually
from tls_servers import ConnectProxy, TLSServer

from fm_client import (
    APIConnectionError,
    APITimeoutError,
    ProxyError,
    ServerError,
    StreamInterruptedError,
    Timeout,
    TLSError,
)

lab = pytest.fixture(params=["sync", "async"])(laboratory)
each_kind = pytest.mark.parametrize("kind", KINDS)
NOWHERE = Outcome(3, APIConnectionError, request_id=None, facts={"phase": "connect"})


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@each_kind
def test_c1_a_refused_connection_is_tried_three_times(lab: Lab, kind: Kind, closed_port: int) -> None:
    lab.verify(NOWHERE, lab.client(f"http://127.0.0.1:{closed_port}"), kind)


@each_kind
def test_c1_so_is_a_name_that_is_not_found(lab: Lab, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def unknown(name: Any, *rest: Any, **more: Any) -> Any:
        asked.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = lab.verify(NOWHERE, lab.client("https://nowhere.invalid"), kind)
    assert 3 == len(asked) and "Name or service not known" in str(error)


@pytest.fixture
def full() -> Iterator[str]:
    """The address of a server that accepts nobody any more: its backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@each_kind
def test_c2_a_connection_that_takes_too_long_is_tried_three_times(full: str, lab: Lab, kind: Kind) -> None:
    outcome = Outcome(3, APITimeoutError, request_id=None, says="within 0.05 s", facts={"phase": "connect"})
    lab.verify(outcome, lab.client(full), kind, timeout=Timeout(connect=0.05))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


CERTIFICATES: dict[str, tuple[str, datetime | None, str]] = {
    "unknown authority": ("127.0.0.1", None, "SSL_CERT_FILE"),
    "other host": ("models.test", None, "127.0.0.1"),
    "expired": ("127.0.0.1", datetime(2020, 1, 1, tzinfo=UTC), "expired"),
}


@each_kind
@pytest.mark.parametrize("fault", CERTIFICATES)
def test_c3_a_certificate_that_is_not_accepted_is_final(
    lab: Lab, kind: Kind, fault: str, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    name, until, says = CERTIFICATES[fault]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    begin = None if until is None else datetime(2019, 1, 1, tzinfo=UTC)
    authority.issue_cert(name, not_before=begin, not_after=until).configure_cert(context)
    with TLSServer(context) as secure:
        client = lab.client(secure.host, verify=True if fault == "unknown authority" else trusting)
        error = lab.verify(Outcome(1, TLSError, request_id=None, says=says), client, kind)
        assert (1, []) == (secure.connections, secure.seen)
        assert "verify=" in str(error), "it says what to do"


@each_kind
@pytest.mark.parametrize(("refusal", "attempts"), [("407 Proxy Authentication Required", 1), ("502 Down", 3)])
def test_c4_a_proxy_that_refuses_is_named(
    lab: Lab, kind: Kind, refusal: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy(0, refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{CANARY}@{proxy.address}")
        outcome = Outcome(attempts, ProxyError, int(refusal[:3]), request_id=None, says="proxy")
        lab.verify(outcome, lab.client("https://models.test"), kind)
        assert attempts == len(proxy.asked)


@each_kind
def test_c4_so_is_one_that_is_not_there(
    lab: Lab, kind: Kind, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{CANARY}@127.0.0.1:{closed_port}")
    outcome = Outcome(3, ProxyError, request_id=None, says="the proxy could not be reached")
    lab.verify(outcome, lab.client("https://models.test"), kind)


def narrow(lab: Lab, **options: Any) -> Any:
    """A client that has two connections and no more."""
    client = lab.client(**options)
    client._http._limits = (2, *client._http._limits[1:])
    return client


@each_kind
class TestC5APoolOfTwo:
    def test_serves_ten_callers_in_turn(self, lab: Lab, kind: Kind) -> None:
        client = narrow(lab)
        lab.server.script(ENDPOINT, lambda connection: not time.sleep(0.02) and GOOD[kind](connection))
        lab.expect(10)
        assert [FINE] * 10 == [result.text for result in lab.together(10, client, kind)]
        assert lab.server.connections <= 2

    def test_tells_who_waited_too_long_and_goes_on(self, lab: Lab, kind: Kind) -> None:
        client = narrow(lab)
        lab.server.script(ENDPOINT, lambda connection: not time.sleep(1.0) and GOOD[kind](connection))
        results = lab.together(6, client, kind, timeout=Timeout(pool=0.2))
        late = [result for result in results if not isinstance(result, Answered)]
        assert [(APITimeoutError, "pool", 1, ENDPOINT)] * 4 == [
            (type(e), e.phase, e.attempts, e.endpoint) for e in late
        ]
        lab.errors += late
        lab.server.script(ENDPOINT, GOOD[kind])
        assert FINE == lab.ask(client, kind).text
        lab.expect(3)


def short(status: str = "200 OK") -> Any:
    """An answer that has fewer bytes than it says."""
    return raw(f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{".encode())


SLOW_HEAD = raw(*drip(head(200, {"content-length": "0"}), 0.05), end="hold")
BROKEN = Outcome(3, APIConnectionError, request_id=None, facts={"phase": "exchange"})
LATE = Outcome(3, APITimeoutError, request_id=None, facts={"phase": "read"})
OVER = Outcome(1, APITimeoutError, request_id=None, facts={"phase": "total"})
CUT, STUCK, DRAGGED = (replace(outcome, request_id="req-1") for outcome in (BROKEN, LATE, OVER))
"""The same, once the head of an answer had come: it says which one."""
WAITED = replace(STUCK, attempts=1)
"""And with signs of life: who is at work is not asked again."""
FEW = {"timeout": Timeout(read=0.06)}
BRIEF = {"timeout": Timeout(total=0.4)}

ROWS = [
    Row("T1", "reset before the head", (reset,), BROKEN),
    Row("T1", "reset once", (reset, good), Outcome(2)),
    Row("T1", "reset inside the head", (raw(b"HTTP/1.1 200 OK\r\ncontent-", end="reset"),), BROKEN),
    Row("T1", "no HTTP", (raw(b"SSH-2.0-OpenSSH_9.2\r\n"),), BROKEN),
    Row("T2", "hang-up on a new connection", (hang_up,), BROKEN),
    Row("T2", "hang-up once", (hang_up, good), Outcome(2)),
    Row("T3", "content-length short", (short(),), BROKEN, kinds=("chat", "embed")),
    Row("T3", "content-length short once", (short(), good), Outcome(2), kinds=("chat", "embed")),
    Row("T3", "error body short", (short("503 X"),), BROKEN),
    Row("T3", "chunks cut", (chunked(b'{"choices"', end="cut", content_type="application/json"),), CUT, kinds=("chat", "embed")),
    Row("T3", "chunks cut at once", (chunked(end="cut"),), CUT),
    Row("T3", "chunks cut once", (chunked(end="cut"), good), Outcome(2)),
    Row("T3", "reset at once", (chunked(0.02, end="reset"),), CUT),
    Row("T3", "chunk without a size", (raw(head(200, {"transfer-encoding": "chunked"}) + b"zz\r\n"),), BROKEN),
    Row("T4", "no head", (silence(HELD),), LATE, params=FEW),
    Row("T4", "no head once", (silence(HELD), good), Outcome(2), params={"timeout": Timeout(read=0.5)}),
    Row("T4", "no body", (chunked(end="hold"),), STUCK, params={"timeout": Timeout(read=0.25)}),
    Row("T6", "slow head", (SLOW_HEAD,), OVER, params=BRIEF),
    Row("T6", "slow body", (chunked(*drip(b'data: {"choices": []}', 0.05), end="hold"),), DRAGGED, params=BRIEF),
    Row("T6", "slow error body", (raw(head(503, {"content-length": "99"}), *drip(b"x" * 99, 0.05)),), OVER, params=BRIEF),
    Row("T5", "pings only", (chunked(*drip(b": ping\n\n" * 99, 0.02, size=8), end="hold"),), DRAGGED, params=BRIEF, kinds=("stream",)),
    Row("T5", "pings only, for longer than a read", (chunked(*drip(b": ping\n\n" * 99, 0.02, size=8), end="hold"),), WAITED, params=FEW, kinds=("stream",)),
    Row("T6", "half an event, for longer than a read", (chunked(*drip(b"data: " + b"x" * 99, 0.02), end="hold"),), WAITED, params=FEW, kinds=("stream",)),
]  # fmt: skip


@pytest.mark.parametrize(("row", "kind"), cells(ROWS))
def test_a_broken_or_slow_answer(lab: Lab, row: Row, kind: Kind) -> None:
    """T1 to T6, before anything was handed over."""
    begun = time.monotonic()
    lab.play(row, kind)
    assert time.monotonic() - begun < SOON


@each_kind
@pytest.mark.parametrize("end", [hang_up, reset], ids=["hang-up", "reset"])
def test_t2_a_stale_connection_costs_neither_a_retry_nor_budget(lab: Lab, kind: Kind, end: Any) -> None:
    client = lab.client(max_retries=0)
    lab.play(Row("T2", "fresh", (good,), Outcome(1)), kind, client)
    lab.play(Row("T2", "stale", (end, good), Outcome(2)), kind, client)
    assert (100.0, 2) == (client._context.budget(ENDPOINT).tokens, lab.server.connections)


@each_kind
def test_t2_one_that_was_closed_while_idle_is_noticed_before_it_is_used(lab: Lab, kind: Kind) -> None:
    client = lab.client(max_retries=0)
    for _ in range(3):
        lab.server.script(ENDPOINT, lambda connection: GOOD[kind](connection) and False)
        lab.expect(1)
        assert FINE == lab.ask(client, kind).text
        assert eventually(lambda: not lab.server._open)
    assert 3 == lab.server.connections


BEGUN = words("AAA ", "BBB ", finish=None)
INTERRUPTED = Outcome(1, StreamInterruptedError)
AFTER = {
    "T3 chunks cut": (chunked(*BEGUN, end="cut"), APIConnectionError, "exchange", {}),
    "T3 reset": (chunked(*BEGUN, 0.15, end="reset"), APIConnectionError, "exchange", {}),
    "T4 silence": (chunked(*BEGUN, end="hold"), APITimeoutError, "idle", {"timeout": Timeout(idle=0.2)}),
    "T5 pings": (chunked(*BEGUN, *drip(b": ping\n\n" * 3_000, 0.02, size=8)), APITimeoutError, "idle", {"timeout": Timeout(idle=0.2)}),
    "T6 drip without an end": (chunked(*BEGUN, *drip(b"data: " + b"x" * 3_000, 0.02)), APITimeoutError, "idle", {"timeout": Timeout(idle=0.2)}),
}  # fmt: skip


@pytest.mark.parametrize("fault", AFTER)
def test_a_stream_that_had_begun_is_interrupted_and_keeps_what_came(lab: Lab, fault: str) -> None:
    """T3 to T6, after the first event."""
    answer, cause, phase, params = AFTER[fault]
    lab.server.script(ENDPOINT, answer)
    lab.expect(1)
    got: list[Any] = []
    begun = time.monotonic()
    error = lab.verify(INTERRUPTED, lab.client(), "stream", got, **params)
    assert "AAA BBB " == error.partial_text == "".join(chunk.text for chunk in got)
    assert (cause, phase) == (type(error.__cause__), error.__cause__.phase)
    if params:
        assert 0.19 <= time.monotonic() - begun < SOON, "pings do not count, nor does half an event"


def test_t6_events_that_come_slowly_but_in_time_are_no_fault(lab: Lab) -> None:
    """Neither the idle limit nor that of the whole call ends a stream that goes on."""
    pieces = drip(b"".join([*words(*"abcdefgh"), DONE]), 0.02, size=50)
    lab.server.script(ENDPOINT, chunked(*pieces))
    lab.expect(1)
    assert "abcdefgh" == lab.ask(lab.client(), "stream", timeout=Timeout(idle=SOON, total=0.6)).text


@each_kind
def test_the_deadline_ends_a_call_that_is_repeated(lab: Lab, kind: Kind) -> None:
    """T4: no attempt and no wait goes beyond it."""
    lab.server.script(ENDPOINT, reply(503, "busy", retry_after="0.8"))
    lab.expect(2)
    begun = time.monotonic()
    lab.verify(Outcome(2, ServerError, 503, facts={"retry_after": 0.8}), lab.client(), kind, timeout=1.55)
    assert time.monotonic() - begun < 1.55
