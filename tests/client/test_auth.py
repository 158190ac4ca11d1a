"""Tokens: given, or asked for."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FaultServer, chat, either, embeddings, reply
from pydantic import SecretStr

from fm_client import AuthenticationError, Client, ConfigurationError

WRONG = "canary-wrong-token-for-tests"


@pytest.mark.parametrize(
    "token", ["secret-1", SecretStr("secret-1"), lambda: "secret-1"], ids=["text", "SecretStr", "function"]
)
def test_the_token_goes_out_as_bearer(connect: Callable[..., Any], server: FaultServer, token: Any) -> None:
    server.script("ep", reply(200, chat()))
    connect(server.host, token).chat("ep", "Hi")
    assert "Bearer secret-1" == server.seen[0].headers["authorization"]


def test_a_function_is_asked_before_every_request_and_again_when_refused(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    tokens = iter(["old", "new", "newer"])
    server.script("ep", reply(401, {"error_code": "UNAUTHENTICATED", "message": "expired"}), reply(200, chat()))
    fm = connect(server.host, lambda: next(tokens))
    assert "hello" == fm.chat("ep", "Hi").text
    fm.chat("ep", "Hi")
    assert ["Bearer old", "Bearer new", "Bearer newer"] == [request.headers["authorization"] for request in server.seen]


def test_a_function_finds_the_user_in_the_callers_context_for_every_batch_too(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    user = contextvars.ContextVar("user", default="nobody")
    server.script("ep", either(lambda seen: reply(200, embeddings([[1.0]] * len(seen.json["input"]))), server))
    fm = connect(server.host, lambda: f"token-of-{user.get()}")
    for name in ("ada", "bob"):
        user.set(name)
        fm.embed("ep", ["a", "b", "c"], batch_size=1)
    assert ["Bearer token-of-ada"] * 3 + ["Bearer token-of-bob"] * 3 == [
        r.headers["authorization"] for r in server.seen
    ]


async def test_an_async_function_needs_the_async_client(server: FaultServer) -> None:
    from fm_client import AsyncClient

    async def token() -> str:
        return "from-a-coroutine"

    server.script("ep", reply(200, chat()))
    async with AsyncClient(server.host, token) as fm:
        await fm.chat("ep", "Hi")
    assert "Bearer from-a-coroutine" == server.seen[0].headers["authorization"]
    with Client(server.host, token) as sync, pytest.raises(ConfigurationError, match="AsyncClient"):
        sync.chat("ep", "Hi")


def test_a_wrong_token_is_one_request_and_an_error_without_it(connect: Callable[..., Any], server: FaultServer) -> None:
    server.script(
        "ep", reply(401, {"error_code": "UNAUTHENTICATED", "message": "Credential was not sent or was invalid"})
    )
    with pytest.raises(AuthenticationError) as caught:
        connect(server.host, WRONG).chat("ep", "Hi")
    assert WRONG not in f"{caught.value!s}{caught.value!r}{vars(caught.value)}"
    assert 1 == server.attempts("ep")


def test_a_function_that_returns_nonsense_is_refused_before_sending(
    connect: Callable[..., Any], server: FaultServer
) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        connect(server.host, lambda: "two words").chat("ep", "Hi")
    assert [] == server.seen
