"""Plays answers to a flow: no server, and a clock that moves when the flow waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fm_client import APIError
from fm_client._context import Context
from fm_client._retry import exchange
from fm_client._wire import Attempt, Done, Reply, Request, Token, step

NOW = 1_700_000_000.0
"""What the clock on the wall says, in seconds since 1970."""


class Clock:
    """A clock that moves when the driver waits."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def play(
    ctx: Context, asked: Request, answers: Sequence[Reply | APIError], token: Callable[[str | None], str]
) -> tuple[Any, list[float]]:
    """The result of the flow (or its error), and the waits before each attempt. The last answer repeats."""
    waits: list[float] = []
    script = list(answers)
    flow = exchange(ctx, asked)
    command = step(flow)
    try:
        while not isinstance(command, Done):
            if isinstance(command, Token):
                command = step(flow, token(command.stale))
                continue
            assert isinstance(command, Attempt)
            waits.append(command.after)
            ctx.clock.time += command.after  # type: ignore[attr-defined]  # our clock
            answer = script.pop(0) if len(script) > 1 else script[0]
            command = step(flow, failure=answer) if isinstance(answer, APIError) else step(flow, answer)
    except APIError as error:
        return error, waits
    return command.value, waits
