"""How tests look at time so that a machine that is busy, or stands still for a second, is no finding.

Where something must not take long, what it would wrongly wait for takes `HELD`, and the test asks for `SOON`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

HELD = 60.0
"""Seconds for which a server holds on to what it has; it notices when the client leaves."""
SOON = 20.0
"""Seconds that count as at once."""
WATCHED = 0.05
"""Seconds without a step after which a program counts as one that waits."""


def eventually(fact: Callable[[], bool], within: float = SOON) -> bool:
    """Whether `fact` comes true in time."""
    end = time.monotonic() + within
    while not fact() and time.monotonic() < end:
        time.sleep(0.002)
    return fact()


def cpu_of(work: Callable[[], object]) -> float:
    """CPU seconds of `work`, the least of three. Without garbage collections: they look at what all other tests left."""
    seconds = []
    for _ in range(3):
        gc.collect()
        gc.disable()
        try:
            begun = time.process_time()
            work()
            seconds.append(time.process_time() - begun)
        finally:
            gc.enable()
    return min(seconds)


def wait_until_it_waits(pid: int) -> None:
    """Until a program's main thread sleeps in the kernel: Python notices no signal that comes just before that.

    Where the kernel tells nothing of that, half a second has to do.
    """
    if Path("/proc/self/status").exists():
        assert eventually(lambda: _sleeps_on(pid))
    else:
        time.sleep(0.5)


def _sleeps_on(pid: int) -> bool:
    """Sleeps, and has not been woken for a while: who waits for its turn to run Python is woken all the time."""
    before = _steps(pid)
    time.sleep(WATCHED)
    return before == _steps(pid) != ""


def _steps(pid: int) -> str:
    """The account of how often the main thread gave up the processor; nothing while it runs, or could."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return text[text.index("voluntary_ctxt_switches") :] if "\nState:\tS" in text else ""
