"""The load runs, and its judge sees what is wrong: a short one, then the same figures with one thing spoilt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
STREAMS, SECONDS = 100, 3.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's account of memory")


@pytest.fixture(scope="module")
def result() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        from benchmarks.load.__main__ import run

        return run(STREAMS, SECONDS)


def failed(result: Any) -> list[str]:
    return [claim for holds, claim in result.verdicts(STREAMS) if not holds]


def test_a_short_load_leaves_nothing_behind(result: Any) -> None:
    assert failed(result) == []
    assert result.ended >= STREAMS
    assert result.events > 10 * result.ended


def fail(result: Any) -> None:
    result.faults["ValueError: HTTP/1.1 503"] += 1


def idle(result: Any) -> None:
    result.most_at_once = STREAMS - 1


def swell(result: Any) -> None:
    result.samples = [{"memory_kb": 10_000 * number} for number in range(30)]


def keep(result: Any) -> None:
    result.after["files"] = result.before["files"] + 1


@pytest.mark.parametrize("spoil", [fail, idle, swell, keep])
def test_what_is_wrong_is_seen(result: Any, spoil: Callable[[Any], None]) -> None:
    spoilt = copy.deepcopy(result)
    spoil(spoilt)
    assert len(failed(spoilt)) == 1
