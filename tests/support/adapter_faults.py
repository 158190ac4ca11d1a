"""The fault matrix through an adapter: its ways to make a call, the rows, and what must come of them there."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from fault_lab import CANARY, Lab
from fault_server import DONE, Answer, chat, chunked, delta, event, reply, reset, words
from matrix import ENDPOINT, FINE, GOOD, Outcome, Row, good
from matrix_http import EXPIRED, HTML, LIMIT, LIMITED
from matrix_streams import BROKEN_STREAMS
from timing import eventually

from fm_client import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BadRequestError,
    Clients,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ResponseFormatError,
    ServerError,
    StreamInterruptedError,
)

Kinds = Mapping[str, Answer]
LISTING = "/api/2.0/serving-endpoints"


def completion(text: str, finish: str | None = "stop") -> dict[str, Any]:
    """A completion, or a chunk of one."""
    return {
        "id": "cmpl-1",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": text, "finish_reason": finish}],
    }


WHOLE: Kinds = {
    **GOOD,
    "complete": reply(200, completion(FINE)),
    "complete-stream": chunked(event(completion(FINE[:2], None)), event(completion(FINE[2:])), DONE),
}
"""The answer without a fault, by kind of call."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make a call: the class, its sync method (the async one is `a…`), and what the result says."""

    kind: str
    make: Callable[..., Any]
    method: str
    question: Any
    says: Callable[[Any], str]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `make`."""


class Rig:
    """An adapter in the lab: makes its models, has them called, and knows what its errors are."""

    def __init__(
        self,
        lab: Lab,
        clients_of: Callable[[Any], Clients],
        family: Callable[[type[APIError]], type[BaseException]],
    ) -> None:
        self.lab, self._clients_of, self._family = lab, clients_of, family

    def model(self, way: Way, **options: Any) -> Any:
        """A model with the canary for a token, whose back-off takes no time."""
        given = {"host": self.lab.server.host, "token": CANARY, **way.options, **options}
        model = way.make(**given)
        clients = self._clients_of(model)
        client = clients.aio if self.lab.is_async else clients.sync
        client._context.jitter = lambda: 0.0
        self.lab.clients.append(client)
        return model

    def call(self, model: Any, way: Way, got: list[Any] | None = None) -> Any:
        """What a call comes to; of a stream all items, in `got`."""
        items = [] if got is None else got
        if self.lab.is_async:
            return self.lab.run(_awaited(_asked(model, f"a{way.method}", way.question), items))
        result = _asked(model, way.method, way.question)
        if not hasattr(result, "__next__"):
            return result
        items.extend(result)
        return items

    def begin(self, model: Any, way: Way) -> Any:
        """The stream after its first item: call the result to leave it."""
        if not self.lab.is_async:
            stream = _asked(model, way.method, way.question)
            next(stream)
            return stream.close
        return self.lab.run(self._begun(model, way))

    async def _begun(self, model: Any, way: Way) -> Any:
        stream = _asked(model, f"a{way.method}", way.question)
        stream = await stream if inspect.isawaitable(stream) else stream
        await anext(stream)
        return lambda: self.lab.run(self._left(stream))

    async def _left(self, stream: Any) -> None:
        await stream.aclose()
        # A framework's own generator lets go of the one within it only when the event loop gets to it.
        assert await asyncio.to_thread(self.lab.server.disconnected.wait, 1.0)

    def play(self, row: Row, way: Way, model: Any = None, got: list[Any] | None = None) -> Any:
        """Have the server do what `row` says, and check what comes of it; returns the error, if one was expected."""
        answers = [WHOLE[way.kind] if answer is good else answer for answer in row.answers]
        self.lab.server.script(ENDPOINT, *answers)
        outcome = row.expected
        self.lab.expect(outcome.attempts)
        model = model or self.model(way)
        if outcome.error is None:
            assert FINE == way.says(self.call(model, way, got))
            return None
        return self.fails(outcome, lambda: self.call(model, way, got))

    def fails(self, outcome: Outcome, call: Callable[[], Any]) -> Any:
        """The error of a call: the core's and the framework's, with all that the core knew, and no secret in it."""
        assert outcome.error is not None
        with pytest.raises(outcome.error) as caught:
            call()
        error: Any = caught.value
        self.lab.errors.append(error)
        assert isinstance(error, self._family(outcome.error))
        assert outcome.error.__name__ == type(error).__name__, "exactly this class, none that derives from it"
        assert (ENDPOINT, outcome.attempts) == (error.endpoint, error.attempts)
        code = vars(error).get("service_error_code", error.error_code)
        assert (outcome.status, outcome.code, outcome.request_id) == (error.status_code, code, error.request_id)
        assert outcome.says in str(error)
        assert CANARY not in f"{error!s} {error!r} {error.args!r}"
        return error


def _asked(model: Any, method: str, question: Any) -> Any:
    """`question`: the one argument, or a dict of arguments by name."""
    call = getattr(model, method)
    return call(**question) if isinstance(question, dict) else call(question)


async def _awaited(result: Any, items: list[Any]) -> Any:
    """A result, or all items of a stream, also where the stream itself has to be awaited."""
    result = await result if inspect.isawaitable(result) else result
    if not hasattr(result, "__anext__"):
        return result
    async for item in result:
        items += [item]  # not at once: what came before a failure is to be seen
    return items


def refusal(id: str, fault: str, answer: Answer, attempts: int, error: type[APIError], *facts: Any) -> Row:
    """A row of one answer, repeated."""
    return Row(id, fault, (answer,), Outcome(attempts, error, *facts))


ROWS = [
    Row("H1", "429 once", (LIMITED, good), Outcome(2)),
    refusal("H11", "503 HTML", reply(503, HTML, content_type="text/html"), 3, ServerError, 503),
    refusal("H8", "401", EXPIRED["401"], 1, AuthenticationError, 401, "UNAUTHENTICATED"),
    refusal("H8", "403 expired", EXPIRED["403 invalid"], 1, PermissionDeniedError, 403),
    refusal("H10", "413", reply(413, HTML, content_type="text/html"), 1, RequestTooLargeError, 413),
    refusal("H12", "200 HTML", reply(200, HTML, content_type="text/html"), 1, ResponseFormatError, 200),
    refusal("H13", "200 with an error", reply(200, {"error": {"message": "no", "code": 400}}), 1, BadRequestError, 400),
    refusal("T1", "reset", reset, 3, APIConnectionError, None, None, None),
    Row("T1", "reset once", (reset, good), Outcome(2)),
]


def limited(retries: int | None) -> Row:
    """429 for ever: as many attempts as `max_retries` allows (None: the default), whoever counts them."""
    attempts = 3 if retries is None else retries + 1
    return refusal("H2", "429", LIMITED, attempts, RateLimitError, 429, LIMIT["error_code"])


RENEWED = Row("H8", "403 expired", (EXPIRED["403 invalid"], good), Outcome(2))
UNKNOWN = refusal(
    "H10",
    "404",
    reply(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "none such"}),
    1,
    NotFoundError,
    404,
    "ENDPOINT_NOT_FOUND",
    "req-1",
    "Endpoints with a close name: epp",
)
LISTED = reply(200, {"endpoints": [{"name": "epp"}, {"name": "another"}]})


def renewing(rig: Rig, way: Way) -> None:
    """H8: a token that has expired is asked for once more, and the new one is sent."""
    numbers = count(1)
    rig.play(RENEWED, way, rig.model(way, token=lambda: f"{CANARY}-{next(numbers)}"))
    sent = [seen.headers["authorization"] for seen in rig.lab.server.seen]
    assert [f"Bearer {CANARY}-1", f"Bearer {CANARY}-2"] == sent


def naming(rig: Rig, way: Way) -> None:
    """H10: the error for an unknown endpoint names those with a name like it."""
    rig.lab.server.script(LISTING, LISTED)
    rig.lab.expect(1, at=LISTING)
    rig.play(UNKNOWN, way)


BROKEN: Kinds = {
    **{fault: answer for fault, (answer, _, _) in BROKEN_STREAMS.items()},
    "T3 cut off": chunked(*words("AAA ", "BBB ", finish=None), end="cut"),
}
"""Streams that break after "AAA BBB "."""
CODES = {fault: code for fault, (_, _, code) in BROKEN_STREAMS.items()}


def breaking(rig: Rig, way: Way, fault: str, got: list[Any]) -> None:
    """S1, S3, S6, H13: what had come is in the error, nothing is sent again, and nothing passes for a whole answer."""
    status = 200 if fault.startswith("S6") else None  # an event that cannot be read came within a good answer
    outcome = Outcome(1, StreamInterruptedError, status, CODES.get(fault))
    error = rig.play(Row("S", fault, (BROKEN[fault],), outcome), way, got=got)
    assert ("AAA BBB ", None) == (error.partial_text, error.partial.finish_reason)


CUT_STREAM = chunked(event(completion("AAA ", None)), end="cut")
"""A stream of a completion that is cut off."""


def leaving(rig: Rig, way: Way) -> None:
    """S10: the server sees that the consumer has left, and the model is as good as before."""
    model = rig.model(way)
    rig.lab.server.script(ENDPOINT, HELD[way.kind])
    rig.lab.expect(1)
    rig.begin(model, way)()
    assert eventually(rig.lab.server.disconnected.is_set)
    rig.lab.check()
    rig.play(Row("S10", "afterwards", (good,), Outcome(1)), way, model)


HELD: Kinds = {
    "stream": chunked(*words("AAA ", finish=None), end="hold"),
    "complete-stream": chunked(event(completion("AAA ", None)), end="hold"),
}

CUT_ARGUMENTS = '{"city": "Par'


def cut_call(index: int | None = None) -> dict[str, Any]:
    """A tool call whose arguments end in the middle."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": CUT_ARGUMENTS}}
    return call if index is None else {**call, "index": index}


def _cut_chat() -> dict[str, Any]:
    answer = chat("", tool_calls=[cut_call()])
    answer["choices"][0]["finish_reason"] = "tool_calls"
    return answer


CUT_CALL: Kinds = {
    "chat": reply(200, _cut_chat()),
    "stream": chunked(event(delta(tool_calls=[cut_call(0)])), event(delta(finish="tool_calls")), DONE),
}
"""P2: an answer that says it ended with a tool call, whose arguments are cut off."""

TEXTS = ["0", "1", "2"]
VECTORS = [[float(text), 1.0] for text in TEXTS]


def positions(*indices: int) -> list[dict[str, Any]]:
    """The vectors of TEXTS at these positions, in this order."""
    return [{"index": i, "embedding": VECTORS[i]} for i in indices]


NAN = b'{"data": [{"index": 0, "embedding": [0.0, NaN]}, {"index": 1, "embedding": [1, 1]}, {"index": 2, "embedding": [2, 1]}]}'
DEFECTS: Kinds = {
    "missing": reply(200, {"data": positions(0, 2)}),
    "doubled": reply(200, {"data": positions(0, 1, 1)}),
    "not a number": reply(200, NAN, content_type="application/json"),
    "null": reply(200, {"data": [*positions(0, 1), {"index": 2, "embedding": None}]}),
    "of another length": reply(200, {"data": [*positions(0, 1), {"index": 2, "embedding": [1.0]}]}),
}
"""E2, E3: answers to TEXTS that are no vectors of them."""
SHUFFLED = reply(200, {"data": positions(2, 0, 1), "usage": {"prompt_tokens": 3, "total_tokens": 3}})
"""E1"""


def halved(given: list[str]) -> Answer:
    """H10: an endpoint that takes one text at a time."""
    if len(given) > 1:
        return reply(413, "too large")
    return reply(200, {"data": [{"index": 0, "embedding": VECTORS[int(given[0])]}]})
