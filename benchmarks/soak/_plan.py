"""What happens to which request and when: computed from seed and id, alike in all processes, stored in none."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Lane = Literal["async", "sync"]
Verb = Literal["chat", "stream", "embed"]

LANES: tuple[Lane, ...] = ("async", "sync")
VERBS: tuple[Verb, ...] = ("chat", "stream", "embed")
VERB_SHARES = (0.4, 0.4, 0.2)
TASKS, THREADS = 24, 8
EVENTS, TEXTS, DIMENSIONS = 50, 16, 8
BURST = 10
"""Events that a stream sends at once, before it rests."""

LEFT = 0.05
"""Share of the calls that their caller gives up."""
FAULTS = {
    "throttled": 0.01,
    "busy": 0.01,
    "reset": 0.01,
    "broken": 0.01,
    "slow": 0.0025,
    "late": 0.0025,
    "malformed": 0.005,
}
"""Share of each fault in all calls. `slow` is answered all the same; `late` outlasts the caller's own limit."""
BREAKS = ("cut", "torn", "error", "code")
"""How a stream breaks: between two events, within one, by an error event of one shape or the other."""
RETRY_AFTER = 0.05
SLOW = (0.4, 0.9)
LATE_LIMIT, LATE = 0.3, 0.8

LONG_LIFE = 3600.0
ROTATIONS = 9
LEAST_APART = 2.5
"""Seconds between two rotations, however short the run."""
FIRST_ROTATION, ROTATION_PERIOD, RENEWAL = 0.05, 0.10, 0.03
"""In parts of the run. At each rotation the tokens of before are refused; what replaces them soon ages by itself."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call: who makes it, what the server does to it, and whether the caller stays."""

    id: int
    lane: Lane
    verb: Verb
    fault: str = ""
    leave: str = ""
    """ticks, delay: the task is cancelled; close, drop: the stream is left early, closed by the caller or not."""
    after: int = 0
    """Ticks, milliseconds or events until the caller leaves; events before a stream breaks."""
    think: float = 0.0
    how: int = 0
    """Which variant of the fault."""

    @property
    def prompt(self) -> str:
        return f"soak-{self.id:07d} " + "what say you? " * (1 + self.id % 40)

    @property
    def texts(self) -> list[str]:
        return [f"soak-{self.id:07d} text {i}" for i in range(TEXTS)]

    @property
    def words(self) -> list[str]:
        """The answer: the id and a hash of the question, then words of a small vocabulary, in an order of its own.

        Small, because pydantic keeps the last 16,384 short strings it has read, which would look like a leak.
        """
        digest = hashlib.sha256(self.prompt.encode()).hexdigest()
        return [f"{self.id}:{digest} ", *(f"w{(self.id * 31 + i * 7) % 509} " for i in range(EVENTS - 1))]

    @property
    def vectors(self) -> list[list[float]]:
        digests = (hashlib.sha256(text.encode()).digest() for text in self.texts)
        return [[self.id + byte / 256 for byte in digest[:DIMENSIONS]] for digest in digests]


def case_of(seed: int, number: int) -> Case:
    """Call `number` of the run with this seed."""
    draw = random.Random(seed * 1_000_003 + number)  # noqa: S311  # to be repeated, not to be kept secret
    lane = LANES[draw.random() < THREADS / (TASKS + THREADS)]
    verb = draw.choices(VERBS, VERB_SHARES)[0]
    think, how = draw.uniform(0.005, 0.06), draw.randrange(1_000)
    leave = _leave(draw, lane, verb)
    fault = "" if leave else _fault(draw, verb)
    return Case(number, lane, verb, fault, leave, _after(draw, leave), think, how)


def _leave(draw: random.Random, lane: Lane, verb: Verb) -> str:
    """A thread cannot be cancelled, only leave a stream; so it does that more often."""
    if lane == "sync":
        return draw.choice(("close", "drop")) if verb == "stream" and draw.random() < LEFT / VERB_SHARES[1] else ""
    kinds = ("ticks", "delay", "close", "drop") if verb == "stream" else ("ticks", "delay")
    return draw.choice(kinds) if draw.random() < LEFT else ""


def _after(draw: random.Random, leave: str) -> int:
    limit = {"ticks": 30, "delay": 80}.get(leave, EVENTS - 1)
    return draw.randrange(0 if leave in ("ticks", "delay") else 1, limit)


def _fault(draw: random.Random, verb: Verb) -> str:
    """Only streams break half-way; so they do that more often."""
    shares = {**FAULTS, "broken": FAULTS["broken"] / VERB_SHARES[1] if verb == "stream" else 0.0}
    value = draw.random() * (1 - LEFT)
    for name, share in shares.items():
        value -= share
        if value < 0:
            return name
    return ""


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds since the start in which the service is away."""

    kind: Literal["restart", "outage"]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Script:
    """The run as a whole."""

    seconds: float
    rate: float
    seed: int

    @property
    def total(self) -> int:
        return int(self.seconds * self.rate)

    @property
    def tail(self) -> int:
        """Calls after the timed ones, with memory traced: that triples their cost, too much for the load itself."""
        return min(2_000, self.total // 10)

    @property
    def calls(self) -> int:
        return self.total + self.tail

    @property
    def windows(self) -> list[Window]:
        """30 s of outage in 600 s; restarts take 2 s, unless that were more than 3.5 % of a short run."""
        gap, length = min(2.0, 0.035 * self.seconds), 0.05 * self.seconds
        first, outage, second = (share * self.seconds for share in (0.3, 0.5, 0.7))
        return [
            Window("restart", first, first + gap),
            Window("outage", outage, outage + length),
            Window("restart", second, second + gap),
        ]

    @property
    def rotations(self) -> list[float]:
        # A call that meets two of them is refused for good, as it should be: keep them apart in a short run.
        step = math.ceil(LEAST_APART / (ROTATION_PERIOD * self.seconds))
        return [self.seconds * (FIRST_ROTATION + ROTATION_PERIOD * i) for i in range(0, ROTATIONS, step)]

    @property
    def tokens(self) -> int:
        """How many tokens each client needs: the first, and two per rotation (refused, then aged)."""
        return 1 + len(self.rotations) * (2 if self.ages else 1)

    @property
    def ages(self) -> bool:
        """Whether tokens age at all: no client believes in a life under 1 s."""
        return RENEWAL * self.seconds >= 0.5

    def generation(self, moment: float) -> int:
        """How many rotations have been."""
        return sum(moment >= rotation for rotation in self.rotations)

    def life(self, moment: float) -> float:
        """`expires_in` of a token granted at `moment`: the client renews it after half of that."""
        renewal = RENEWAL * self.seconds
        soon = any(0 <= moment - rotation < renewal for rotation in self.rotations)
        return 2 * renewal if soon and self.ages else LONG_LIFE

    def arguments(self) -> list[str]:
        return [str(self.seconds), str(self.rate), str(self.seed)]


def read_script(arguments: list[str]) -> Script:
    seconds, rate, seed = arguments
    return Script(float(seconds), float(rate), int(seed))


def pieces(text: bytes, how: int) -> list[bytes]:
    """`text` in three pieces, cut where it hurts: anywhere."""
    cuts = sorted({0, how * 7919 % len(text), how * 104729 % len(text), len(text)})
    return [text[a:b] for a, b in pairwise(cuts)]
