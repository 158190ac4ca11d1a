"""What an error carries along: its own causes without their frames, and nothing of the caller's."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FaultServer, hang_up, reply

from fm_client import APIConnectionError, BadRequestError, FMError, TLSError
from fm_client._failures import chain

Connect = Callable[..., Any]


def wrong() -> None:
    raise ValueError("an error of the caller's own")


def wrong_on_the_way() -> None:
    raise ssl.SSLCertVerificationError("an error of the caller's own")


def frames(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("fail", [wrong, wrong_on_the_way])
@pytest.mark.parametrize("answer", [reply(400, {"message": "no"}), hang_up], ids=["refused", "broken off"])
def test_an_error_that_the_caller_is_handling_keeps_its_frames(
    connect: Connect, server: FaultServer, answer: Any, fail: Callable[[], None]
) -> None:
    server.script("ep", answer)
    fm = connect(server.host, max_retries=0)
    with pytest.raises((ValueError, OSError)) as caught:
        try:
            fail()
        except (ValueError, OSError):
            with pytest.raises(FMError):
                fm.chat("ep", "Hi")
            with pytest.raises(FMError):
                list(fm.stream_chat("ep", "Hi"))
            raise
    assert frames(caught.value)[-1] == fail.__name__


def test_an_error_of_a_task_that_awaits_keeps_its_frames(server: FaultServer) -> None:
    import asyncio

    from fm_client import AsyncClient

    server.script("ep", reply(400, {"message": "no"}))

    async def main() -> None:
        async with AsyncClient(server.host, "token-for-tests") as fm:
            try:
                wrong()
            except ValueError:
                with pytest.raises(BadRequestError):
                    await asyncio.gather(fm.chat("ep", "Hi"))
                with pytest.raises(BadRequestError):
                    await fm.chat("ep", "Hi")
                raise

    with pytest.raises(ValueError, match="own") as caught:
        asyncio.run(main())
    assert frames(caught.value)[-1] == "wrong"


def test_a_certificate_that_the_caller_had_trouble_with_is_not_blamed(connect: Connect, server: FaultServer) -> None:
    server.script("ep", hang_up)
    fm = connect(server.host, max_retries=0)
    try:
        wrong_on_the_way()
    except ssl.SSLCertVerificationError:
        with pytest.raises(APIConnectionError) as caught:
            fm.chat("ep", "Hi")
    assert not isinstance(caught.value, TLSError)
    assert "own" not in str(caught.value)


def test_the_causes_of_our_own_errors_have_no_frames(connect: Connect, server: FaultServer) -> None:
    server.script("ep", hang_up)
    with pytest.raises(APIConnectionError) as caught:
        connect(server.host, max_retries=0).chat("ep", "Hi")
    assert caught.value.__cause__ is not None
    assert [link.__traceback__ for link in chain(caught.value.__cause__)] == [None] * len(
        list(chain(caught.value.__cause__))
    )
