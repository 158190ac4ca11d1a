"""Plan, client's ledger and server's ledger side by side: what must hold, and whether it does."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ._plan import LANES, RETRY_AFTER, TASKS, THREADS, VERBS, Case, Lane, Script, Verb, case_of

NONE, OK, ERROR, LEFT = range(4)
OUTCOMES = ("none", "ok", "typed error", "cancelled")
CURED = {"throttled": "RateLimitError", "busy": "ServerError", "reset": "APIConnectionError"}
"""Faults that a second attempt cures, and what is raised where there is none."""
FATAL = {"late": "APITimeoutError", "broken": "StreamInterruptedError", "malformed": "ResponseFormatError"}
AWAY = {"APIConnectionError", "ServerError", "StreamInterruptedError"}
"""What may be raised while the service is away."""
BEFORE, AFTER = 0.05, 0.25
"""Seconds by which client and server may see an event apart."""
REFILL = 50
"""Successes after which a spent budget affords retries again: each success gives 1 of 100 tokens, a repeat takes 10."""
BUDGET_REPEATS = 10

MAX_ATTEMPTS, MAX_RATIO = 3, 1.10
MAX_SLOPE, MAX_GROWTH, MAX_RISE, MAX_LINE_GROWTH = 0.1, 5.0, 16.0, 256 * 1024
SLOPE_SECONDS = 300.0
"""Below this a run is too short for a slope: the noise of one sample, some 0.1 MiB, would be taken for one."""
SETTLING, RECOVERY = 2.0, 2.0
OVERHEAD = 0.020
CROWDED = 0.25
"""Seconds that client or server waited for a core per second of work: above it, the machine is measured instead."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One assertion with its figure."""

    claim: str
    holds: bool
    figure: str


@dataclass(frozen=True)
class Evidence:
    """Everything that client and server have to say."""

    script: Script
    client: dict[str, Any]
    server: dict[str, Any]

    @cached_property
    def cases(self) -> list[Case]:
        return [case_of(self.script.seed, i) for i in range(self.script.calls)]

    @cached_property
    def windows(self) -> list[tuple[float, float]]:
        """When the service was away, by the server's own account: a busy machine is late with that."""
        return [(left, back) for left, back in self.server["gone"]]

    def name(self, case: Case) -> str:
        """The class of the error that the call ended with."""
        name: str = self.client["errors"][self.client["error"][case.id]]
        return name

    def is_away(self, case: Case) -> bool:
        """Whether the service was away for some of the call."""
        start, end = self.client["start"][case.id], self.client["end"][case.id]
        return any(start < w1 + AFTER and end > w0 - BEFORE for w0, w1 in self.windows)

    @cached_property
    def recovering(self) -> dict[tuple[Lane, Verb], list[tuple[float, float]]]:
        """From each return of the service until a lane's budget for an endpoint has had `REFILL` successes."""
        ends: dict[tuple[Lane, Verb], list[float]] = defaultdict(list)
        for case in self.cases:
            if self.client["outcome"][case.id] == OK:
                ends[case.lane, case.verb].append(self.client["end"][case.id])
        return {key: [_refill(sorted(found), w1) for _, w1 in self.windows] for key, found in ends.items()}

    def due(self, case: Case) -> float:
        """When the call was to be made."""
        began: float = self.client["began"]
        return began + case.id / self.script.rate

    def is_recovering(self, case: Case) -> bool:
        start, end = self.client["start"][case.id], self.client["end"][case.id]
        return any(start < r1 and end > r0 for r0, r1 in self.recovering.get((case.lane, case.verb), ()))


def _refill(ends: list[float], since: float) -> tuple[float, float]:
    i = bisect_left(ends, since) + REFILL - 1
    return since, ends[i] if i < len(ends) else float("inf")


def judge(evidence: Evidence) -> list[Verdict]:
    """Every assertion of the soak."""
    return [check(evidence) for check in CHECKS]


def once(e: Evidence) -> Verdict:
    counts = Counter(e.client["outcome"])
    summed = " + ".join(f"{counts[i]:,} {OUTCOMES[i]}" for i in (OK, ERROR, LEFT))
    holds = counts[NONE] == 0 and e.client["doubled"] == 0 and sum(counts.values()) == e.script.calls
    return Verdict(
        "1 every call ended once: ok, typed error or cancelled",
        holds,
        f"{summed} = {sum(counts[i] for i in (OK, ERROR, LEFT)):,} of {e.script.calls:,}; {e.client['doubled']} twice",
    )


def own(e: Evidence) -> Verdict:
    got, checked, wrong = Counter(e.client["outcome"])[OK], e.client["checked"], e.client["wrong"]
    figure = "; ".join([f"{checked:,} payloads compared with what was asked, {wrong} wrong", *e.client["details"][:3]])
    return Verdict("2 every payload is that call's own, and whole", wrong == 0 and checked >= got, figure)


def surprise(e: Evidence, case: Case) -> str | None:
    """What is wrong with how a call ended, in view of the plan; None: nothing."""
    outcome, name = e.client["outcome"][case.id], e.name(case)
    wanted = FATAL.get(case.fault, "")
    if case.fault == "malformed" and case.verb == "embed":
        wanted = "EmbeddingContractError"
    if case.leave:
        fits = outcome == LEFT or (outcome == OK and case.leave in ("ticks", "delay"))
    else:
        fits = name == wanted and case.id not in e.client["short"] if wanted else outcome == OK
    if fits or (e.is_away(case) and (outcome == OK or name in AWAY)):
        return None
    if name == CURED.get(case.fault) and e.is_recovering(case):
        return None
    return f"{case} ended with {OUTCOMES[outcome]} {name}"


def predicted(e: Evidence) -> Verdict:
    found = [text for case in e.cases if (text := surprise(e, case))]
    away = sum(map(e.is_away, e.cases))
    poor = sum(e.name(case) == CURED.get(case.fault, "-") and not e.is_away(case) for case in e.cases if not case.leave)
    figure = f"{len(found)} surprises outside the absences; {away:,} calls met one; {poor} not repeated, budget spent"
    return Verdict("3 each outcome is the one predicted", not found, "; ".join([figure, *found[:5]]))


def attempts(e: Evidence) -> Verdict:
    """Those that were refused for their token do not count: a short run rotates tokens very often."""
    here = [case.id for case in e.cases if not e.is_away(case)]
    seen, refused = (sum(e.server[name][i] for i in here) for name in ("attempts", "refused"))
    ratio = (seen - refused) / max(1, len(here))
    figure = f"{seen:,} attempts, {refused:,} with a token refused, for {len(here):,} calls outside the absences: "
    return Verdict("4a few calls are sent twice", ratio <= MAX_RATIO, f"{figure}{ratio:.3f} <= {MAX_RATIO}")


def frugal(e: Evidence) -> Verdict:
    """Each client has a budget per endpoint: ten repeats until a success refills it, and in an outage there is none."""
    sent, calls = e.server["windows"]["outage"]
    limit = len(LANES) * len(VERBS) * BUDGET_REPEATS
    figure = f"{sent:,} attempts for {calls:,} calls: {sent - calls} repeats <= {limit}"
    return Verdict("4b an outage costs no more repeats than the budgets hold", sent - calls <= limit, figure)


def bounded(e: Evidence) -> Verdict:
    """Three, and one more after a refused token, and one more after a connection that had been idle."""
    s = e.server
    extra = [s["refused"][c.id] + (s["cut"][c.id] or e.is_away(c)) for c in e.cases]
    over = sum(s["attempts"][c.id] > MAX_ATTEMPTS + extra[c.id] for c in e.cases)
    most = max(s["attempts"])
    told = max(e.client["attempts"])
    holds = over == 0 and max(s["refused"]) <= 1 and told <= MAX_ATTEMPTS + 2
    return Verdict("4c no call is sent more than 3 times, free repeats aside", holds, f"most {most}; {over} over")


def slim(e: Evidence) -> Verdict:
    """What is in use must stay level. Resident memory may rise a little: the allocator keeps what was given back."""
    samples = [sample for sample in e.client["memory"] if sample[0] >= 0.22 * e.script.seconds]
    times, resident, used = zip(*samples, strict=True)
    slope = statistics.linear_regression(times, used).slope * 60
    (rise, rise_text), (growth, growth_text) = _growth(resident), _growth(used)
    long = e.script.seconds >= SLOPE_SECONDS
    limit = f"<= {MAX_SLOPE}" if long else f"not judged below {SLOPE_SECONDS:g} s"
    figure = (
        f"in use {growth_text} MiB (growth <= {MAX_GROWTH:g}), slope {slope:+.3f} MiB/min ({limit}); "
        f"resident {rise_text} MiB (rise <= {MAX_RISE:g})"
    )
    holds = growth <= MAX_GROWTH and rise <= MAX_RISE and (not long or slope <= MAX_SLOPE)
    return Verdict("5a memory does not grow", holds, figure)


def _growth(samples: Sequence[float]) -> tuple[float, str]:
    """From the first tenth of the samples to the last, and in words."""
    part = max(1, len(samples) // 10)
    first, last = statistics.mean(samples[:part]), statistics.mean(samples[-part:])
    return last - first, f"{first:.1f} -> {last:.1f}"


def tidy_lines(e: Evidence) -> Verdict:
    most, line = e.client["growth"][0]
    calls = e.script.tail - e.script.tail // 2
    figure = f"most {most / 1024:.0f} KiB at {line} (<= {MAX_LINE_GROWTH // 1024}) over {calls:,} further calls"
    return Verdict("5b no line of code holds more than before", most <= MAX_LINE_GROWTH, figure)


def returned(e: Evidence) -> Verdict:
    before, after = e.client["before"], e.client["after"]
    kept = {name: after[name] - before[name] for name in before}
    emptied = e.server["emptied"] - e.client["closed"]
    pools = e.client["pools"]
    holds = max(kept.values()) <= 0 and e.server["open"] == 0 and emptied <= SETTLING and not any(pools.values())
    figure = (
        f"{', '.join(f'{name} {count:+d}' for name, count in kept.items())} after {e.client['settled']:.2f} s; "
        f"pools: {pools['active']} in use, {pools['open']} open; "
        f"server: {e.server['open']} open after {max(0, emptied):.2f} s"
    )
    return Verdict("6a everything is given back within 2 s of close", holds, figure)


def silent(e: Evidence) -> Verdict:
    found = e.client["complaints"]
    text = "; ".join([f"{len(found)} of loop, threads and finalizers", *found[:3]])
    return Verdict("6b no ResourceWarning, no exception that nobody retrieved", not found, text)


def recovered(e: Evidence) -> Verdict:
    ends = sorted(e.client["end"][c.id] for c in e.cases if e.client["outcome"][c.id] == OK)
    waits = [min((end - w1 for end in ends if end > w1), default=float("inf")) for _, w1 in e.windows]
    figure = ", ".join(f"{window.kind} {wait:.3f} s" for window, wait in zip(e.script.windows, waits, strict=True))
    return Verdict("7 the first success comes within 2 s of the service's return", max(waits) <= RECOVERY, figure)


def quick(e: Evidence) -> Verdict:
    """What the client itself costs: its time less the server's, where nothing makes it wait but the machine."""
    costs = sorted(_costs(e))
    p50, p99 = (costs[int(len(costs) * share)] for share in (0.5, 0.99)) if costs else (0.0, 0.0)
    crowding = max(e.client["crowding"], e.server["crowding"])
    limit = f"<= {OVERHEAD * 1e3:.0f}" if crowding <= CROWDED else "not judged: others use the machine"
    waited = f"waited {crowding:.2f} s for a core per second of work"
    figure = f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms ({limit}) of {len(costs):,} calls; {waited}"
    return Verdict("8 the client adds little time", p99 <= OVERHEAD or crowding > CROWDED, figure)


def _costs(e: Evidence) -> Iterator[float]:
    pauses = _pauses(e)
    for case in e.cases[: e.script.total]:
        start, end = e.client["start"][case.id], e.client["end"][case.id]
        plain = not case.leave and case.fault in ("", "slow") and e.server["attempts"][case.id] == 1
        if plain and e.client["outcome"][case.id] == OK and not e.is_away(case):
            found = pauses[case.lane, case.verb]
            i = bisect_left(found, start - 2 * RETRY_AFTER)
            if i == len(found) or found[i] > end:
                yield end - start - e.server["spent"][case.id]


def _pauses(e: Evidence) -> dict[tuple[Lane, Verb], list[float]]:
    """When a lane had to wait: for the `Retry-After` of a 429, which holds for all, or for a token."""
    pauses: dict[tuple[Lane, Verb], list[float]] = {(lane, verb): [] for lane in LANES for verb in VERBS}
    for number, moment in e.server["throttled"]:
        pauses[e.cases[number].lane, e.cases[number].verb].append(moment)
    for lane, moment in e.server["grants"]:
        for verb in VERBS:
            pauses[lane, verb].append(moment)
    return {key: sorted(found) for key, found in pauses.items()}


def single(e: Evidence) -> Verdict:
    """A token that was granted and never used is one whose caller was cancelled while it was being fetched."""
    used, granted = Counter(e.server["used"]), len(e.server["grants"])
    lost = granted - sum(used.values())
    holds = all(used[lane] == e.script.tokens for lane in LANES) and lost <= len(LANES)
    per_lane = ", ".join(f"{used[lane]} by {lane}" for lane in LANES)
    figure = f"{granted} granted, used: {per_lane}; {e.script.tokens} needed by each; {lost} lost to a cancelled caller"
    return Verdict("9 one token per rotation and client, though all callers need it at once", holds, figure)


CHECKS = (
    once,
    own,
    predicted,
    attempts,
    frugal,
    bounded,
    slim,
    tidy_lines,
    returned,
    silent,
    recovered,
    quick,
    single,
)


def table(e: Evidence) -> Iterator[str]:
    """The ledger: plan against outcome."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for case in e.cases:
        outcome = e.client["outcome"][case.id]
        away = " (service away)" if e.is_away(case) else ""
        planned = f"left: {case.leave}" if case.leave else f"fault: {case.fault}" if case.fault else "plain"
        rows[planned + away][e.name(case) if outcome == ERROR else OUTCOMES[outcome]] += 1
    for planned in sorted(rows, key=lambda row: ("away" in row, row)):
        outcomes = ", ".join(f"{count:,} {name}" for name, count in rows[planned].most_common())
        yield f"  {planned:31} {sum(rows[planned].values()):7,}  {outcomes}"


def load(e: Evidence) -> str:
    """How the load itself went."""
    late = sorted(e.client["start"][case.id] - e.due(case) for case in e.cases[: e.script.total] if not e.is_away(case))
    seconds = e.script.seconds
    cpu = ", ".join(
        f"{name} {said['cpu'] / seconds:.0%}" for name, said in (("client", e.client), ("server", e.server))
    )
    return (
        f"{e.script.total:,} calls in {seconds:g} s, then {e.script.tail:,} with memory traced, "
        f"from {TASKS} tasks and {THREADS} threads, seed {e.script.seed}; "
        f"started late by {late[len(late) // 2] * 1e3:.1f} ms (p50), {late[int(len(late) * 0.99)] * 1e3:.1f} ms (p99); "
        f"{e.server['connections']:,} connections; CPU: {cpu}"
    )
