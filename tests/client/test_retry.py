"""The retry policy, driven by next/send/throw: no server, no clock."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from flow_play import NOW, Clock, play
from hypothesis import given
from hypothesis import strategies as st

from fm_client import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    RateLimitError,
    ServerError,
    Timeout,
    TLSError,
)
from fm_client._bounded import MOST
from fm_client._context import Context
from fm_client._retry import exchange, retry_after
from fm_client._sources import resolve_settings
from fm_client._wire import Attempt, Reply, Request, step


def context(clock: Clock | None = None, **options: Any) -> Context:
    settings = resolve_settings("https://example.test", "token-for-tests", environ={}, **options)
    return Context(settings, clock=clock or Clock(), now=lambda: NOW, jitter=lambda: 1.0)


def request(method: str = "POST", endpoint: str = "ep", **timeout: Any) -> Request:
    return Request(method, "https://example.test/x", endpoint=endpoint, timeout=Timeout(**timeout))


def drive(
    ctx: Context, asked: Request, *answers: Reply | APIError, tokens: tuple[str, ...] = ("t",)
) -> tuple[Any, list[float]]:
    """`play`, with the tokens that are given out one after the other; the last one repeats."""
    supply = list(tokens)
    return play(ctx, asked, answers, lambda stale: supply.pop(0) if len(supply) > 1 else supply[0])


OK = Reply(200, {}, b"{}")


def status(code: int, **headers: str) -> Reply:
    return Reply(code, {name.replace("_", "-"): value for name, value in headers.items()}, b"slow down")


def test_a_client_keeps_the_budgets_of_so_many_endpoints_and_forgets_the_oldest() -> None:
    """Names may come from its callers' callers."""
    ctx = context()
    names = [f"ep-{number}" for number in range(MOST + 5)]
    for name in names:
        assert drive(ctx, request(endpoint=name), OK)[0] is OK
        assert list(ctx.budgets) == names[: len(ctx.budgets)] or len(ctx.budgets) == MOST
    assert list(ctx.budgets) == names[5:]


def test_three_attempts_with_growing_waits_then_the_error_with_their_count() -> None:
    error, waits = drive(context(), request(), status(503))
    assert isinstance(error, ServerError)
    assert [0.0, 0.5, 1.0] == waits
    assert (3, "ep", 503) == (error.attempts, error.endpoint, error.status_code)


def test_waits_are_jittered_over_the_whole_span_and_capped_at_8_s() -> None:
    ctx = context(max_retries=10)
    ctx.jitter = lambda: 0.5
    assert [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0] == drive(ctx, request(), status(503))[1]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_repeated(code: int) -> None:
    result, waits = drive(context(), request(), status(code), OK)
    assert result is OK and len(waits) == 2 and result.attempts == 2


@pytest.mark.parametrize("code", [301, 400, 403, 404, 409, 413, 422, 501])
def test_what_will_not_pass_is_not_repeated(code: int) -> None:
    assert [0.0] == drive(context(), request(), status(code), OK)[1]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.05"}, 0.05),
        ({"retry-after-ms": "50"}, 0.05),
        ({"retry-after-ms": "50", "retry-after": "7"}, 0.05),
        ({"retry-after": formatdate(NOW + 7, usegmt=True)}, 7.0),
    ],
)
def test_retry_after_is_honoured_in_all_its_forms(headers: dict[str, str], wait: float) -> None:
    """H1"""
    _, waits = drive(context(), request(), Reply(429, headers), OK)
    assert wait <= waits[1] <= wait * 1.1 + 1e-9


def test_a_retry_after_in_the_body_is_honoured_too() -> None:
    body = b'{"error": {"message": "ITPM limit", "type": "rate_limit_exceeded", "code": 429, "retry_after": 15}}'
    assert 15.0 <= drive(context(), request(), Reply(429, {}, body), OK)[1][1] <= 16.5


def test_a_retry_after_over_60_s_is_raised_at_once_and_told() -> None:
    """H3"""
    error, waits = drive(context(), request(), status(429, retry_after="600"))
    assert isinstance(error, RateLimitError) and error.retry_after == 600.0
    assert [0.0] == waits


@given(st.text(max_size=40))
def test_any_retry_after_text_is_a_number_or_none(text: str) -> None:
    """P15"""
    seconds = retry_after({"retry-after": text, "retry-after-ms": text}, NOW)
    assert seconds is None or 0.0 <= seconds < float("inf")


@pytest.mark.parametrize(
    "text", ["-1", "inf", "1e400", "nan", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0000 00:00:00 GMT", "²"]
)
def test_odd_retry_after_texts(text: str) -> None:
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or 0.0 <= seconds < float("inf")


@pytest.mark.parametrize(("text", "attempts"), [("true", 3), ("false", 1)])
def test_the_services_own_word_on_retrying_decides(text: str, attempts: int) -> None:
    """H15"""
    code = 400 if text == "true" else 503
    assert attempts == len(drive(context(), request(), status(code, x_should_retry=text))[1])


def test_nothing_waits_beyond_the_deadline_of_the_call() -> None:
    error, waits = drive(context(), request(total=1.2), status(503))
    assert [0.0, 0.5] == waits and isinstance(error, ServerError)


def test_later_attempts_have_only_the_time_that_is_left() -> None:
    ctx = context()
    flow = exchange(ctx, request(total=10.0))
    step(flow)
    first = step(flow, "t")
    ctx.clock.time = 4.0  # type: ignore[attr-defined]  # the test's own clock
    second = step(flow, status(503))
    assert isinstance(first, Attempt) and isinstance(second, Attempt)
    assert (10.0, 6.0) == (first.request.timeout.total, second.request.timeout.total)


def test_an_outage_costs_at_most_ten_repeats_per_endpoint() -> None:
    """H5: the retry budget."""
    ctx = context()
    attempts = sum(len(drive(ctx, request(), status(503))[1]) for _ in range(20))
    assert attempts <= 20 + 10
    assert 2 == len(drive(ctx, request(endpoint="other"), status(503), OK)[1]), "another endpoint has its own budget"


def test_success_pays_the_budget_back() -> None:
    ctx = context()
    for _ in range(50):
        result, waits = drive(ctx, request(), status(503), OK)
        assert result is OK and len(waits) == 2


def test_one_callers_429_holds_for_the_next_one() -> None:
    ctx = context(max_retries=0)
    drive(ctx, request(), status(429, retry_after="5"))
    assert [5.0] == drive(ctx, request(), OK)[1]


def test_connection_errors_are_repeated_and_certificates_are_not() -> None:
    assert 3 == len(drive(context(), request(), APIConnectionError("reset"))[1])
    assert 1 == len(drive(context(), request(), TLSError("bad certificate"))[1])
    assert 1 == len(drive(context(), request(), APITimeoutError("too long", phase="total"))[1])


def test_a_server_that_took_its_time_had_read_the_request_and_is_not_asked_again_for_nothing() -> None:
    stale = APIConnectionError("closed", stale=True)
    for method, endpoint, seconds in (("POST", "ep", 1.0), ("POST", "", 0.0), ("DELETE", "", 0.0)):
        ctx = context(max_retries=0)
        flow = exchange(ctx, request(method, endpoint=endpoint))
        step(flow)
        step(flow, "t")
        ctx.clock.time += seconds  # type: ignore[attr-defined]  # the test's own clock
        with pytest.raises(APIConnectionError):
            step(flow, failure=stale)


def test_a_call_that_has_no_time_left_is_not_sent() -> None:
    ctx = context()
    ctx.clock.time = 100.0  # type: ignore[attr-defined]  # the test's own clock
    flow = exchange(ctx, request(total=10.0), started=80.0)
    with pytest.raises(APITimeoutError, match="longer than 10 s"):
        step(flow)


def test_a_stale_connection_is_repeated_free_of_charge_once() -> None:
    """T2"""
    stale = APIConnectionError("closed", stale=True)
    ctx = context(max_retries=0)
    result, waits = drive(ctx, request(), stale, OK)
    assert result is OK and [0.0, 0.0] == waits and ctx.budget("ep").tokens == 100.0
    assert isinstance(drive(ctx, request(), stale)[0], APIConnectionError)


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(401, {}, b'{"error_code": "UNAUTHENTICATED", "message": "no"}'),
        Reply(403, {}, b"Invalid access token."),
        Reply(403, {}, b"Token is expiring within 30 seconds"),
    ],
)
def test_an_expired_token_is_refreshed_once(refusal: Reply) -> None:
    """H8"""
    result, waits = drive(context(), request(), refusal, OK, tokens=("old", "new"))
    assert result is OK and [0.0, 0.0] == waits
    error, waits = drive(context(), request(), refusal, tokens=("old", "new"))
    assert 2 == len(waits) and error.status_code == refusal.status


def test_a_provider_that_refuses_its_key_is_not_asked_again_with_another_token_of_ours() -> None:
    body = b'{"error": "x", "external_model_provider": "openai", "external_model_message": {"message": "wrong key"}}'
    error, waits = drive(context(), request(), Reply(401, {}, body), OK, tokens=("old", "new"))
    assert 1 == len(waits) and "openai answered: wrong key" in error.message
    assert "the endpoint's key of the provider" in error.message and "Check the token" not in error.message


def test_a_token_that_was_taken_in_between_may_age_again() -> None:
    refusal, busy = Reply(401, {}, b"{}"), Reply(503, {}, b"busy")
    result, waits = drive(context(), request(), refusal, busy, refusal, OK, tokens=("a", "b", "c"))
    assert result is OK and 4 == len(waits)


def test_a_token_that_cannot_be_refreshed_and_a_missing_permission_are_final() -> None:
    """H9"""
    error, waits = drive(context(), request(), status(401))
    assert isinstance(error, AuthenticationError) and 1 == len(waits)
    assert 1 == len(drive(context(), request(), Reply(403, {}, b"no permission on endpoint"), tokens=("a", "b"))[1])


@pytest.mark.parametrize(
    ("method", "failure", "attempts"),
    [
        ("POST", status(500), 1),
        ("POST", status(503), 3),
        ("POST", status(429), 3),
        ("POST", APIConnectionError("reset"), 1),
        ("POST", APIConnectionError("refused", phase="connect"), 3),
        ("DELETE", status(502), 1),
        ("GET", status(500), 3),
        ("PUT", APIConnectionError("reset"), 1),
    ],
)
def test_changes_of_the_control_plane_are_repeated_only_if_they_cannot_have_happened(
    method: str, failure: Any, attempts: int
) -> None:
    assert attempts == len(drive(context(), request(method, endpoint=""), failure)[1])


def test_an_error_inside_a_200_answer_follows_the_same_policy() -> None:
    """H13"""

    def then(reply: Reply) -> Any:
        raise RateLimitError("limit")
        yield

    flow = exchange(context(), request(), then=then)
    step(flow)
    step(flow, "t")
    assert isinstance(step(flow, OK), Attempt)


def test_typed_errors_come_out_of_the_flow_as_they_are() -> None:
    assert isinstance(drive(context(), request(), status(400))[0], BadRequestError)
    assert isinstance(drive(context(), request(), status(409))[0], ConflictError)


@given(
    st.lists(st.sampled_from([429, 500, 503, 200]), min_size=1, max_size=40), st.integers(0, 5), st.floats(0.1, 100.0)
)
def test_attempts_waits_and_budget_stay_in_their_bounds(codes: list[int], retries: int, total: float) -> None:
    """P14"""
    ctx = context(max_retries=retries)
    for code in codes:
        begun = ctx.clock()
        _, waits = drive(ctx, request(total=total), status(code))
        assert len(waits) <= 1 + retries
        assert ctx.clock() - begun <= total
        assert 0.0 <= ctx.budget("ep").tokens <= 100.0
