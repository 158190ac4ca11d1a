"""A stage for flows: it plays answers to them, without a server and with a clock that moves only when they wait."""

from __future__ import annotations

import json
from typing import Any

from fm_client import APIError
from fm_client._context import Context
from fm_client._sources import resolve_settings
from fm_client._wire import Attempt, Flow, Reply, Request, Token

READY = {"ready": "READY", "config_update": "NOT_UPDATING"}
Answer = Reply | APIError


class Stage:
    """Plays the answers to flows, and keeps what was asked and how long was waited."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[Request] = []
        self.waits: list[float] = []
        self.time = 0.0
        settings = resolve_settings("https://example.test", "token-for-tests", environ={})
        self.context = Context(settings, clock=lambda: self.time, now=lambda: 1.7e9, jitter=lambda: 1.0)

    def run(self, flow: Flow[Any]) -> Any:
        command: Any = None
        while True:
            try:
                if command is None:
                    command = next(flow)
                    continue
                if isinstance(command, Token):
                    command = flow.send("token-for-tests")
                    continue
                assert isinstance(command, Attempt)
                answer = self._attempt(command)
                command = flow.throw(answer) if isinstance(answer, APIError) else flow.send(answer)
            except StopIteration as stop:
                return stop.value

    async def arun(self, flow: Flow[Any]) -> Any:
        return self.run(flow)

    def _attempt(self, command: Attempt) -> Answer:
        self.sent.append(command.request)
        self.waits.append(command.after)
        self.time += command.after
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def last(self) -> tuple[str, str, Any]:
        request = self.sent[-1]
        path = request.url.removeprefix("https://example.test")
        return request.method, path, None if request.body is None else json.loads(request.body)


def reply(body: Any, status: int = 200) -> Reply:
    return Reply(status, {"x-request-id": "r-1"}, body if isinstance(body, bytes) else json.dumps(body).encode())


def described(name: str = "e", state: Any = READY, **fields: Any) -> Reply:
    return reply({"name": name, "state": state, **fields})


def finish(coroutine: Any) -> Any:
    """The result of a coroutine that never waits for an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the coroutine waited")
