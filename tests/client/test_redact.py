"""No secret comes back in what a service says: not cut off, not in other spellings, not in the middle of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from canaries import PROVIDER_KEY, TOKEN, external, leaks, outcome
from fault_lab import exposed
from fault_server import Answer, FaultServer, chat, chunked, event, reply, words

from fm_client import APIError, BadRequestError, CallObserver, StreamInterruptedError, observe
from fm_client._error_bodies import MAX_MESSAGE_CHARS
from fm_client._redact import LEAST_SECRET, REDACTED, redacted

SAYS = f"the request with Bearer {TOKEN} cannot go on"
BEGUN = {"type": "response.output_text.delta", "item_id": "m1", "delta": "a"}
FAILED = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": SAYS}}}
LATE: dict[str, tuple[Answer, dict[str, Any]]] = {
    "error": (chunked(*words("a", finish=None), event({"error": {"message": SAYS}})), {}),
    "error event": (chunked(*words("a", finish=None), f"event: error\ndata: {SAYS}\n\n".encode()), {}),
    "no JSON": (chunked(*words("a", finish=None), event(SAYS.encode())), {}),
    "response.failed": (chunked(event(BEGUN), event(FAILED)), {"api": "responses"}),
}
PRIVATE_KEY = "-----BEGIN KEY-----\ncanary-line-one-é\ncanary-line-two\n-----END KEY-----"


@pytest.mark.parametrize("kind", LATE)
def test_a_stream_that_breaks_quotes_no_token(connect: Callable[..., Any], server: FaultServer, kind: str) -> None:
    answer, options = LATE[kind]
    server.script("ep", answer)
    with pytest.raises(StreamInterruptedError) as caught:
        list(connect(server.host, TOKEN).stream_chat("ep", "Hi", **options))
    assert [] == leaks(exposed(caught.value)) and "a" == caught.value.partial_text
    assert REDACTED in exposed(caught.value), "the secret was there to be leaked"


@pytest.mark.parametrize("shown", range(LEAST_SECRET, len(TOKEN)))
@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_text_that_is_cut_within_a_secret_shows_no_part_of_it(
    connect: Callable[..., Any], server: FaultServer, status: int, shown: int
) -> None:
    text = "x" * (MAX_MESSAGE_CHARS - shown) + TOKEN
    server.script("ep", reply(status, {"error_code": "BAD_REQUEST", "message": text}))
    with pytest.raises(APIError) as caught:
        connect(server.host, TOKEN, max_retries=0).chat("ep", "Hi")
    assert TOKEN[:LEAST_SECRET] not in exposed(caught.value)


@pytest.mark.parametrize("status", [200, 400])
def test_a_key_of_several_lines_is_known_in_one(connect: Callable[..., Any], server: FaultServer, status: int) -> None:
    settings = {"project_id": "p", "region": "r", "private_key_plaintext": PRIVATE_KEY}
    model = {"provider": "google-cloud-vertex-ai", "name": "text-bison", "task": "llm/v1/completions"}
    server.default = reply(status, {"error_code": "BAD_REQUEST", "message": f"no good: {PRIVATE_KEY}"})
    with pytest.raises(BadRequestError) as caught:
        external = {**model, "google_cloud_vertex_ai_config": settings}
        connect(server.host).call("endpoints.create", "ep", external_model=external)
    assert "canary-line" not in f"{caught.value} {vars(caught.value)}"
    assert "no good" in str(caught.value)


def test_a_code_is_one_short_line_without_a_secret(connect: Callable[..., Any], server: FaultServer) -> None:
    code = f"NO\n2026-01-01 all is well {TOKEN} " + "y" * 100_000
    server.script("ep", reply(400, {"error_code": code, "message": "no"}, x_request_id=f"req-{TOKEN}"))
    shown = outcome(lambda fm: fm.chat("ep", "Hi"), connect(server.host, TOKEN))
    assert [] == leaks(shown) and "\n2026" not in shown
    assert len(shown) < 100_000


def test_who_looks_on_is_told_of_a_retry_without_the_token(connect: Callable[..., Any], server: FaultServer) -> None:
    failures: list[str] = []

    class Ledger(CallObserver):
        def sent(self, endpoint: str, failure: APIError | None) -> None:
            failures.append(f"{failure!r} {failure and vars(failure)}")

    stop = observe(lambda call: Ledger())
    said = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": SAYS}
    server.script("ep", reply(200, said, retry_after="0"), reply(503, said, retry_after="0"), reply(200, chat()))
    connect(server.host, TOKEN).chat("ep", "Hi")
    stop()
    assert 3 == len(failures) and [] == leaks("".join(failures))
    assert 2 == sum(REDACTED in failure for failure in failures)


def test_a_providers_key_that_a_text_is_cut_within(connect: Callable[..., Any], server: FaultServer) -> None:
    server.default = reply(200, {"name": "ep", "state": "x" * 2_000 + PROVIDER_KEY})
    shown = outcome(
        lambda fm: fm.call("endpoints.create", "ep", external_model=external()), connect(server.host, max_retries=0)
    )
    assert PROVIDER_KEY[:LEAST_SECRET] not in shown


def test_a_word_that_is_too_short_for_a_secret_stays() -> None:
    assert "the token is t…" == redacted("the token is t…", ["t", "token-for"])
