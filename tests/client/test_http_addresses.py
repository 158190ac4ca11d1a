"""Names that stand for several addresses: one that is silent or refuses leaves time for the others."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fault_server import FaultServer, reply

from fm_client import APIConnectionError, APITimeoutError
from fm_client._wire import Request, Timeout

Make = Callable[..., Any]
NAME = "several.test"
pytestmark = pytest.mark.allow_hosts([f"127.0.0.{n}" for n in range(1, 5)])


@pytest.fixture
def port(server: FaultServer) -> int:
    server.script("/x", reply(200, b"ok"))
    return int(server.host.rpartition(":")[2])


@pytest.fixture
def silent_ones(port: int) -> Iterator[list[str]]:
    """Addresses at which nobody is accepted any more, at the port of the server that answers at another one."""
    addresses = ["127.0.0.2", "127.0.0.3"]
    with ExitStack() as stack:
        for address in addresses:
            listener = stack.enter_context(socket.create_server((address, port), backlog=0))
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
        yield addresses


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, port: int) -> Callable[..., list[str]]:
    """`named(*addresses)`: what `several.test` stands for; returns a list of the names that are then looked up."""
    real, asked = socket.getaddrinfo, list[str]()

    def name(*addresses: str) -> list[str]:
        def answer(host: Any, *rest: Any, **more: Any) -> Any:
            asked.append(host)
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, (each, port)) for each in addresses] if host == NAME else real(host, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        return asked

    return name


def asked(port: int, **limits: float) -> Request:
    return Request("GET", f"http://{NAME}:{port}/x", timeout=Timeout(**limits))


def test_a_silent_one_leaves_time_for_the_next(
    http: Make, port: int, silent_ones: list[str], named: Callable[..., list[str]]
) -> None:
    named(silent_ones[0], "127.0.0.1")
    began = time.monotonic()
    assert http().send(asked(port, connect=1.0)).body == b"ok"
    assert 0.4 < time.monotonic() - began < 5.0


def test_one_that_refuses_costs_no_time(http: Make, port: int, named: Callable[..., list[str]]) -> None:
    looked_up = named("127.0.0.3", "127.0.0.1")
    assert http().send(asked(port, connect=5.0)).body == b"ok"
    assert looked_up.count(NAME) == 1


@pytest.mark.parametrize(("limits", "phase"), [({"connect": 0.4}, "connect"), ({"total": 0.4}, "total")])
def test_silent_ones_take_no_longer_together_than_one(
    http: Make, port: int, silent_ones: list[str], named: Callable[..., list[str]], limits: dict[str, float], phase: str
) -> None:
    named(*silent_ones)
    face = http()
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        face.send(asked(port, **limits))
    assert (caught.value.phase, face.pool.shelf.open) == (phase, 0)
    assert 0.39 <= time.monotonic() - began < 5.0


def test_where_all_refuse_the_last_one_says_why(http: Make, port: int, named: Callable[..., list[str]]) -> None:
    named("127.0.0.3", "127.0.0.4")
    with pytest.raises(APIConnectionError, match="Errno 111"):
        http().send(asked(port))
