"""Fault matrix, rows H1 to H15: what the service may answer instead of an answer."""

from __future__ import annotations

import ssl
import time
from email.utils import formatdate
from itertools import count
from typing import Any

import pytest
import trustme
from fault_lab import CANARY, Lab, laboratory
from fault_server import FaultServer, Seen, either, embeddings, reply
from matrix import ENDPOINT, GOOD, KINDS, VECTOR, Answered, Kind, Outcome, Row, cells, good
from matrix_http import BUSY, EXPIRED, LIMIT, LIMITED, ROWS
from timing import SOON
from tls_servers import TLSServer

from fm_client import (
    AuthenticationError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    RequestTooLargeError,
    ServerError,
)

lab = pytest.fixture(params=["sync", "async"])(laboratory)
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize(("row", "kind"), cells(ROWS))
def test_each_status_has_its_class_and_its_number_of_attempts(lab: Lab, row: Row, kind: Kind) -> None:
    """H2 to H15, as far as one answer says it all."""
    if row.expected.status == 404:
        lab.expect(1, at="/api/2.0/serving-endpoints")  # for the names that are close
    error = lab.play(row, kind)
    assert error is None or len(str(error)) < 2_300, "an error quotes at most 2,048 characters"


@each_kind
@pytest.mark.parametrize("form", ["seconds", "milliseconds", "date"])
def test_retry_after_is_waited_for_and_little_more(lab: Lab, kind: Kind, form: str) -> None:
    """H1"""
    client, now = lab.client(), 1_700_000_000.0
    client._context.now = lambda: now - 0.05
    headers = {
        "seconds": {"retry_after": "0.05"},
        "milliseconds": {"retry_after_ms": "50"},
        "date": {"retry_after": formatdate(now, usegmt=True)},
    }
    begun = time.monotonic()
    lab.play(Row("H1", form, (reply(429, LIMIT, **headers[form]), good), Outcome(2)), kind, client)
    assert 0.05 <= time.monotonic() - begun < SOON


def test_after_a_final_429_later_batches_are_not_sent(lab: Lab) -> None:
    """H2: and nothing is embedded twice."""
    lab.server.script(ENDPOINT, reply(200, embeddings([VECTOR])), LIMITED)
    lab.expect(4)
    client = lab.client(concurrency=1)
    outcome = Outcome(3, RateLimitError, 429, LIMIT["error_code"])
    lab.verify(outcome, client, "embed", inputs=["a", "b", "c", "d"], batch_size=1)
    assert [["a"], ["b"], ["b"], ["b"]] == [request.json["input"] for request in lab.server.seen]


@each_kind
def test_an_outage_costs_twenty_calls_ten_more_attempts_at_most(lab: Lab, kind: Kind) -> None:
    """H5: the retry budget of the endpoint."""
    lab.server.script(ENDPOINT, reply(503, BUSY))
    results = lab.together(20, lab.client(), kind)
    assert [ServerError] * 20 == [type(result) for result in results]
    attempts = lab.server.attempts(ENDPOINT)
    assert 20 < attempts <= 30
    lab.expect(attempts)
    assert attempts == sum(result.attempts for result in results)


@each_kind
@pytest.mark.parametrize("refusal", EXPIRED.values(), ids=EXPIRED.keys())
class TestAnExpiredToken:
    """H8"""

    def test_is_renewed_once(self, lab: Lab, kind: Kind, refusal: Any) -> None:
        numbers = count(1)
        client = lab.client(token=lambda: f"{CANARY}-{next(numbers)}")
        lab.play(Row("H8", "renewed", (refusal, good), Outcome(2)), kind, client)
        assert [f"Bearer {CANARY}-1", f"Bearer {CANARY}-2"] == [
            seen.headers["authorization"] for seen in lab.server.seen
        ]

    def test_is_renewed_no_second_time(self, lab: Lab, kind: Kind, refusal: Any) -> None:
        numbers = count(1)
        client = lab.client(token=lambda: f"{CANARY}-{next(numbers)}")
        lab.server.script(ENDPOINT, refusal)
        lab.expect(2)
        with pytest.raises((AuthenticationError, PermissionDeniedError)) as caught:
            lab.ask(client, kind)
        lab.errors.append(caught.value)
        assert 2 == caught.value.attempts

    def test_that_cannot_be_renewed_is_the_error_of_its_renewal(self, lab: Lab, kind: Kind, refusal: Any) -> None:
        grant = reply(200, {"access_token": f"{CANARY}-1", "expires_in": 3600})
        lab.server.script("/oidc/v1/token", grant, reply(401, {"error": "invalid_client"}))
        lab.server.script(ENDPOINT, refusal)
        with pytest.raises(AuthenticationError, match="no token for these client credentials") as caught:
            lab.ask(lab.client(token=None, client_id="me", client_secret=CANARY), kind)
        lab.errors.append(caught.value)
        assert 401 == caught.value.status_code
        lab.expect(1)
        lab.expect(2, at="/oidc/v1/token")
        lab.expect(2, at="/oidc/.well-known/oauth-authorization-server")

    def test_of_fifty_calls_at_once_is_renewed_once(self, lab: Lab, kind: Kind, refusal: Any) -> None:
        numbers = count(1)
        grant = either(
            lambda _: reply(200, {"access_token": f"{CANARY}-{next(numbers)}", "expires_in": 3600}), lab.server
        )
        lab.server.script("/oidc/v1/token", grant)
        lab.server.script(ENDPOINT, either(lambda seen: refusal if _has(seen, 1) else GOOD[kind], lab.server))
        results = lab.together(50, lab.client(token=None, client_id="me", client_secret=CANARY), kind)
        assert all(isinstance(result, Answered) for result in results)
        seen = [request for request in lab.server.seen if request.endpoint]
        assert (50, 2) == (sum(not _has(request, 1) for request in seen), next(numbers) - 1)
        lab.expect(len(seen))
        lab.expect(2, at="/oidc/v1/token")
        lab.expect(2, at="/oidc/.well-known/oauth-authorization-server")


def _has(seen: Seen, number: int) -> bool:
    """Whether a request came with the token of this number."""
    return seen.headers["authorization"] == f"Bearer {CANARY}-{number}"


def test_413_halves_a_batch_until_it_fits_and_keeps_the_order(lab: Lab) -> None:
    """H10"""
    texts = [str(i) for i in range(1, 9)]

    def fit(seen: Seen) -> Any:
        given = seen.json["input"]
        return reply(413, "too large") if len(given) > 2 else reply(200, embeddings([float(text)] for text in given))

    lab.server.script(ENDPOINT, either(fit, lab.server))
    lab.expect(1 + 3 + 3)  # eight; and twice four, two and two: a size in bytes says nothing about other texts
    answer = lab.ask(lab.client(), "embed", inputs=texts).value
    assert [[float(text)] for text in texts] == answer.vectors


@each_kind
def test_a_request_over_4_mb_is_not_sent(lab: Lab, kind: Kind) -> None:
    """H10: and says so as the service would."""
    assert 4 * 1024 * 1024 == lab.client().settings.max_request_bytes
    huge = "x" * 10_000
    params: dict[str, Any] = {"inputs": [huge]} if kind == "embed" else {"extra_body": {"x": huge}}
    client = lab.client(max_request_bytes=10_000)
    lab.verify(Outcome(0, RequestTooLargeError, 413, request_id=None, says="not sent"), client, kind, **params)


@each_kind
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_to_the_same_host_nor_to_another(lab: Lab, kind: Kind, status: int) -> None:
    """H14"""
    outcome = Outcome(1, RedirectError, status)
    with FaultServer() as other:
        for place in (f"{other.host}/x", f"{lab.server.host}/x", f"/serving-endpoints/{ENDPOINT}/invocations"):
            lab.play(Row("H14", place, (reply(status, location=place),), outcome), kind)
        assert 0 == other.connections


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@each_kind
def test_a_redirect_from_https_to_http_is_not_followed(lab: Lab, kind: Kind, authority: trustme.CA) -> None:
    """H14"""
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trusting)
    with TLSServer(context) as secure:
        secure.script(ENDPOINT, reply(307, location=f"{lab.server.host}/x"))
        lab.verify(Outcome(1, RedirectError, 307), lab.client(secure.host, verify=trusting), kind)
        lab.client()  # the other place is asked nothing: its ledger stays empty
        assert 1 == len(secure.seen)
