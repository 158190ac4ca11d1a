"""Many calls on one endpoint, in any order of outcomes: budget, gate and credential stay in their bounds."""

from __future__ import annotations

from typing import Any

from flow_play import NOW, Clock, play
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fm_client import APIError
from fm_client._context import Context
from fm_client._sources import resolve_settings
from fm_client._wire import Reply, Request, Timeout

TOTAL = 20.0
RETRIES = 2


class Calls(RuleBasedStateMachine):
    """One client and one endpoint; each rule is a call, or time that passes between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.token = Clock(), 1
        resolved = resolve_settings("https://example.test", "t", environ={}, max_retries=RETRIES)
        self.context = Context(resolved, clock=self.clock, now=lambda: NOW, jitter=lambda: 1.0)

    def call(self, *answers: Reply) -> tuple[Any, list[float], int]:
        """What came of a call, the waits before its attempts, and how many tokens it asked for anew."""
        request = Request("POST", "https://example.test/x", endpoint="ep", timeout=Timeout(total=TOTAL))
        begun, before = self.clock(), self.token
        result, waits = play(self.context, request, answers, self.next_token)
        assert self.clock() - begun <= TOTAL + 1e-6
        assert len(waits) <= 1 + RETRIES + (self.token - before)
        return result, waits, self.token - before

    def next_token(self, stale: str | None) -> str:
        self.token += stale == f"token-{self.token}"
        return f"token-{self.token}"

    @rule()
    def succeeds(self) -> None:
        result, waits, _ = self.call(Reply(200, {}))
        assert isinstance(result, Reply) and len(waits) == 1

    @rule(status=st.sampled_from([500, 503, 429]), failures=st.integers(1, 4))
    def fails_for_a_while(self, status: int, failures: int) -> None:
        result, waits, _ = self.call(*[Reply(status, {})] * failures, Reply(200, {}))
        assert isinstance(result, APIError) or len(waits) == failures + 1

    @rule(seconds=st.integers(0, 90))
    def is_throttled(self, seconds: int) -> None:
        result, waits, _ = self.call(Reply(429, {"retry-after": str(seconds)}))
        assert isinstance(result, APIError)
        if seconds >= TOTAL:
            assert len(waits) == 1, "no wait beyond the limit of the call"

    @rule(refusals=st.integers(1, 3))
    def is_refused(self, refusals: int) -> None:
        result, waits, renewed = self.call(*[Reply(401, {})] * refusals, Reply(200, {}))
        assert renewed == 1, "a refused token is renewed once in a row"
        assert isinstance(result, Reply) == (refusals == 1) and len(waits) == 2

    @rule(seconds=st.floats(0.0, 120.0))
    def time_passes(self, seconds: float) -> None:
        self.clock.time += seconds

    @invariant()
    def budget_and_gate_are_in_bounds(self) -> None:
        budget = self.context.budget("ep")
        assert 0.0 <= budget.tokens <= 100.0
        assert budget.not_before - self.clock() <= 60.0 + 1e-6
        assert budget.prober is None


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
