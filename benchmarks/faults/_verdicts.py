"""What a client should have made of an answer, and how far it is from that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RIGHT, RAW, WRONG, OPEN = "✓", "~", "✗", "·"
"""As it should be; an error, but a raw one, or for a good answer; wrong, in silence or in fact; left to the caller."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case: what was seen, the error if there was one, and what it took."""

    seen: dict[str, Any]
    error: dict[str, Any] | None
    slept: float
    took: float
    sent: int
    stolen: int
    """Requests that reached the server which only a redirect points to."""

    @property
    def kind(self) -> str:
        return self.error["name"] if self.error else ""

    @property
    def delivered(self) -> str:
        return repr(self.seen.get("text", self.seen.get("vectors")))[:40]


Verdict = tuple[str, str]
"""The mark, and a few words."""
Judge = Callable[[Outcome], Verdict]


def fails(outcome: Outcome) -> Verdict:
    """There must be an error, of the client's own kind."""
    if outcome.error is None:
        return WRONG, outcome.delivered
    if outcome.kind == "AsItCameError":
        return OPEN, "as it came"
    return (RIGHT, outcome.kind) if outcome.error["typed"] else (RAW, outcome.kind)


def gives(text: str, finish: str | None = None) -> Judge:
    def judge(outcome: Outcome) -> Verdict:
        if outcome.error is not None:
            return RAW, outcome.kind
        if outcome.seen["text"] != text:
            return WRONG, outcome.delivered
        if finish is not None and outcome.seen["finish"] != finish:
            return WRONG, f"finish reason {outcome.seen['finish']}"
        return RIGHT, ""

    return judge


def gives_or_fails(text: str) -> Judge:
    def judge(outcome: Outcome) -> Verdict:
        return fails(outcome) if outcome.error else gives(text)(outcome)

    return judge


def no_call(outcome: Outcome) -> Verdict:
    """What cannot be read must not come out as a call that can be made."""
    if outcome.error is not None:
        return fails(outcome)
    calls = outcome.seen["calls"]
    if calls is None:
        return OPEN, "the text as it came"
    return (WRONG, f"calls with {calls[0]}") if calls and isinstance(calls[0], dict) else (RIGHT, "")


def in_time(outcome: Outcome) -> Verdict:
    if outcome.took > 2.5:
        return WRONG, f"after {outcome.took:.0f} s: {outcome.kind or outcome.delivered}"
    return fails(outcome)


def sends(most: int, slept: float) -> Judge:
    """So many requests and seconds of waiting, and an error in the end."""

    def judge(outcome: Outcome) -> Verdict:
        took = f"{outcome.sent} sent" + (f", {outcome.slept:.0f} s" if outcome.slept >= 0.5 else "")
        if outcome.error is None or outcome.sent > most or outcome.slept > slept:
            return WRONG, took
        return (RIGHT, took) if outcome.error["typed"] else (RAW, f"{took}, {outcome.kind}")

    return judge


def says(status: int, most: int) -> Judge:
    """The error must not say another status than the server did."""

    def judge(outcome: Outcome) -> Verdict:
        mark, words = sends(most, 0)(outcome)
        if outcome.error is not None and re.search(r"\b500\b", outcome.error["text"]):  # and not a port: 45003
            return WRONG, f"reported as 500 instead of {status}"
        return mark, words

    return judge


def stays(outcome: Outcome) -> Verdict:
    if outcome.stolen:
        return WRONG, f"prompt sent there, {outcome.stolen} x"
    return fails(outcome)


def vectors(wanted: list[list[float]]) -> Judge:
    def judge(outcome: Outcome) -> Verdict:
        if outcome.error is not None:
            return fails(outcome)
        return (RIGHT, "") if outcome.seen["vectors"] == wanted else (WRONG, "texts get others' vectors")

    return judge


def counts(*wanted: int) -> Judge:
    def judge(outcome: Outcome) -> Verdict:
        if outcome.error is not None:
            return RAW, outcome.kind
        found = outcome.seen["usage"]
        if found is None:  # who hands on chunks as they come hands on options of the request likewise
            return (OPEN if outcome.seen["calls"] is None else WRONG), "none"
        if found != list(wanted):
            return WRONG, "/".join(map(str, found))
        return (OPEN, f"on {outcome.seen['times']} chunks") if "times" in outcome.seen else (RIGHT, "")

    return judge


def hides(outcome: Outcome) -> Verdict:
    if outcome.error is not None:
        return RAW, outcome.kind
    return (WRONG, ", ".join(outcome.seen["shown"])) if outcome.seen["shown"] else (RIGHT, "")


def pickles(outcome: Outcome) -> Verdict:
    if outcome.error is not None:
        return WRONG, outcome.kind
    return (WRONG, "holds the token") if outcome.seen["held"] else (RIGHT, "")
