"""What an address makes of the head of a request, which nobody checks after us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FaultServer, reply

from fm_client import InvalidRequestError
from fm_client._wire import Request

Make = Callable[..., Any]


@pytest.mark.parametrize(("rest", "path"), [("", "/"), ("?q=a@b", "/?q=a@b"), ("#part", "/"), ("/a@b?c#d", "/a@b?c")])
def test_the_host_that_is_named_ends_where_path_or_query_begin(
    http: Make, server: FaultServer, rest: str, path: str
) -> None:
    server.script(path, reply(200))
    http().send(Request("GET", server.host + rest))
    assert [(path, server.host.removeprefix("http://"))] == [(seen.path, seen.headers["host"]) for seen in server.seen]


@pytest.mark.parametrize("rest", ["\n", "\r\nX: y", "/\n", " ", "/a b", "/é", "?q=\t", "@other.test", "\x00", "/\x7f"])
def test_an_address_that_would_break_the_head_is_not_sent(http: Make, server: FaultServer, rest: str) -> None:
    with pytest.raises(InvalidRequestError, match="in ASCII and without a user"):
        http().send(Request("GET", server.host + rest))
    assert server.connections == 0
