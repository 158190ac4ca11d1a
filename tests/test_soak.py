"""The soak runs, and its judge sees what is wrong: a short storm, then the same ledger with one thing spoilt."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS, RATE = 5.0, 100.0


@pytest.fixture(scope="module")
def evidence() -> Any:
    """What a short storm left behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        from benchmarks.soak.__main__ import run
        from benchmarks.soak._plan import Script

        return run(Script(SECONDS, RATE, seed=1))


def failed(evidence: Any) -> list[str]:
    """The numbers of the assertions that do not hold, with their figures."""
    judge = sys.modules["benchmarks.soak._judge"].judge
    return [f"{verdict.claim}: {verdict.figure}" for verdict in judge(evidence) if not verdict.holds]


def test_a_short_storm_adds_up(evidence: Any) -> None:
    # How quick the client is, is no matter of a test: `make soak` measures it.
    assert [text for text in failed(evidence) if not text.startswith("8")] == []


def first_plain(evidence: Any) -> int:
    """A call that nothing was planned for, and that met no absence."""
    return next(c.id for c in evidence.cases if not c.fault and not c.leave and not evidence.is_away(c))


def lose(evidence: Any) -> None:
    evidence.client["outcome"][first_plain(evidence)] = 0


def mix_up(evidence: Any) -> None:
    evidence.client["wrong"] = 1


def fail(evidence: Any) -> None:
    number = first_plain(evidence)
    evidence.client["outcome"][number], evidence.client["error"][number] = 2, len(evidence.client["errors"])
    evidence.client["errors"].append("ServerError")


def send_often(evidence: Any) -> None:
    evidence.server["attempts"][first_plain(evidence)] = 4


def storm(evidence: Any) -> None:
    evidence.server["windows"]["outage"][0] += 100


def swell(evidence: Any) -> None:
    evidence.client["memory"] = [[t, resident, used + 2 * t] for t, resident, used in evidence.client["memory"]]


def keep(evidence: Any) -> None:
    evidence.client["after"]["files"] += 1


def complain(evidence: Any) -> None:
    evidence.client["complaints"].append("loop: Task exception was never retrieved")


def stay_away(evidence: Any) -> None:
    """Nothing succeeds after the outage."""
    outcome, (_, back) = evidence.client["outcome"], evidence.windows[1]
    for number, end in enumerate(evidence.client["end"]):
        outcome[number] = 2 if end > back and outcome[number] == 1 else outcome[number]


def dawdle(evidence: Any) -> None:
    evidence.client["end"] = [end + 10 for end in evidence.client["end"]]
    evidence.client["began"] -= 1_000  # no absence in sight
    evidence.client["crowding"] = evidence.server["crowding"] = 0.0


def ask_twice(evidence: Any) -> None:
    evidence.server["used"].append("async")


@pytest.mark.parametrize(
    ("spoil", "number"),
    [
        (lose, "1"),
        (mix_up, "2"),
        (fail, "3"),
        (send_often, "4c"),
        (storm, "4b"),
        (swell, "5a"),
        (keep, "6a"),
        (complain, "6b"),
        (stay_away, "7"),
        (dawdle, "8"),
        (ask_twice, "9"),
    ],
)
def test_the_judge_sees(evidence: Any, spoil: Callable[[Any], None], number: str) -> None:
    spoil(spoilt := copied(evidence))
    assert number in [text.split()[0] for text in failed(copied(spoilt))]


def copied(evidence: Any) -> Any:
    """The same facts; what was worked out from them is worked out anew."""
    facts = copy.deepcopy((evidence.client, evidence.server))
    return type(evidence)(evidence.script, *facts)
