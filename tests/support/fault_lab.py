"""A place to try faults in, which checks after every trial that nothing is left behind and nothing leaked.

`lab = pytest.fixture(params=["sync", "async"])(laboratory)` makes the fixture.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import traceback
from base64 import b64encode
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer
from matrix import ENDPOINT, Answered, Kind, Outcome, Row, ask, ask_async, verify
from timing import eventually

from fm_client import APIError, AsyncClient, Client

CANARY = "canary-token-for-tests"
SECRETS = (CANARY, b64encode(f"me:{CANARY}".encode()).decode())
"""The canary, and as it is sent together with a client's id."""
TESTS = str(Path(__file__).resolve().parents[1])


class Lab:
    """A scripted server, clients of one sort (sync or async) that carry the canary, and what was promised of them."""

    def __init__(self, sort: str) -> None:
        self.is_async = sort == "async"
        self.server = FaultServer()
        self.loop = asyncio.new_event_loop() if self.is_async else None
        self.clients: list[Any] = []
        self.errors: list[BaseException] = []
        self.ledger: Counter[str] = Counter()

    def client(self, host: str = "", token: Any = CANARY, **options: Any) -> Any:
        """A client whose back-off takes no time: only what the service asks for is waited."""
        client = (AsyncClient if self.is_async else Client)(host or self.server.host, token, **options)
        client._context.jitter = lambda: 0.0
        self.clients.append(client)
        return client

    def expect(self, attempts: int, at: str = ENDPOINT) -> None:
        """The server will have seen so many requests, at an endpoint or a path."""
        self.ledger[at] += attempts

    def expect_what_came(self) -> int:
        """Where it is a matter of timing how many requests were on their way: as many as had arrived in the end."""
        self.close()
        assert eventually(self.server.has_read_all())
        attempts = self.server.attempts(ENDPOINT)
        self.expect(attempts)
        return attempts

    def play(self, row: Row, kind: Kind, client: Any = None) -> APIError | None:
        """Have the server do what `row` says, and check what comes of it. All attempts reach the server."""
        self.server.script(ENDPOINT, *row.script(kind))
        self.expect(row.outcome(kind).attempts)
        return self.verify(row.outcome(kind), client or self.client(), kind, **row.params)

    def verify(self, outcome: Outcome, client: Any, kind: Kind, got: list[Any] | None = None, **params: Any) -> Any:
        """Ask, and check what comes of it; returns the error, if one was expected."""
        error = verify(outcome, lambda: self.ask(client, kind, got, **params))
        self.errors += [error] if error is not None else []
        return error

    def ask(self, client: Any, kind: Kind, got: list[Any] | None = None, **params: Any) -> Answered:
        """One call, through to its end."""
        if not self.is_async:
            return ask(client, kind, got, **params)
        return self.run(ask_async(client, kind, got, **params))

    def together(self, times: int, client: Any, kind: Kind, **params: Any) -> list[Answered | Exception]:
        """So many calls at once, in threads or tasks; what came of each."""
        if self.is_async:
            return self.run(_gathered([ask_async(client, kind, **params) for _ in range(times)]))

        def one(_: int) -> Answered | Exception:
            try:
                return ask(client, kind, **params)
            except APIError as error:
                return error

        with ThreadPoolExecutor(times) as threads:
            return list(threads.map(one, range(times)))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine comes to, on the lab's loop."""
        assert self.loop is not None
        return self.loop.run_until_complete(coroutine)

    def check(self) -> None:
        """The server saw what was promised, and no connection is in use any more."""
        seen = Counter(request.endpoint or request.path for request in self.server.seen)
        assert +self.ledger == seen
        self.check_pools()
        if self.loop is not None:
            assert not asyncio.all_tasks(self.loop)

    def check_pools(self) -> None:
        """No connection is in use any more, and no slot is lost."""
        for client in self.clients:
            for pool in pools(client):
                assert len(pool.shelf) == pool.shelf.open, "a connection is still in use"
                free = pool._slots.qsize() if hasattr(pool._slots, "qsize") else pool._slots._value
                assert free == client._http._limits[0], "a slot was not given back"

    def close(self) -> None:
        """Close the clients."""
        for client in self.clients:
            if self.loop is None:
                client.close()
            else:
                self.run(client.aclose())

    def leave(self) -> None:
        """Close everything."""
        self.close()
        if self.loop is not None:
            self.run(self.loop.shutdown_asyncgens())
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()


async def _gathered(calls: list[Coroutine[Any, Any, Answered]]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def pools(client: Any) -> list[Any]:
    """The connection pools that a client has opened in this process."""
    found = client._http._pools.get(os.getpid())
    if found is None:
        return []
    return [found] if isinstance(client, Client) else list(found.values())


@dataclass(frozen=True, slots=True)
class Census:
    """What a process holds."""

    files: int
    threads: int

    @classmethod
    def now(cls) -> Census:
        return cls(len(os.listdir("/proc/self/fd")), threading.active_count())  # noqa: PTH208 - a Path opens one more

    def regained(self) -> bool:
        now = self.now()
        return now.files <= self.files and now.threads <= self.threads


def exposed(error: BaseException, seen: set[int] | None = None) -> str:
    """All that a crash reporter could show of `error`, its causes and contexts: the variables of our frames too."""
    seen = {id(error)} if seen is None else seen | {id(error)}
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The tests' own frames hold the canary, of course.
    ours = traceback.StackSummary.from_list([frame for frame in whole.stack if not frame.filename.startswith(TESTS)])
    text = f"{error!s} {error!r} {error.args!r} {vars(error)!r} {''.join(ours.format())}"
    links = [link for link in (error.__cause__, error.__context__) if link is not None and id(link) not in seen]
    return text + "".join(exposed(link, seen) for link in links)


def laboratory(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Lab]:
    """A `Lab`, and after the test the post-conditions of every trial."""
    caplog.set_level(logging.DEBUG)
    before = Census.now()
    lab = Lab(request.param)
    try:
        with lab.server:
            try:
                yield lab
                lab.check()
            finally:
                lab.leave()
    finally:
        settled = eventually(before.regained)
    assert settled, f"before: {before}, after: {Census.now()}, {threading.enumerate()}"
    said = {"log": caplog.text, "output": "".join(capfd.readouterr()), "errors": "".join(map(exposed, lab.errors))}
    assert [where for where, text in said.items() if any(secret in text for secret in SECRETS)] == []
