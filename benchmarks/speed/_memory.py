"""What a process holds: growth over many calls, and the peak of one."""

from __future__ import annotations

import gc
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
SAMPLES = 20


def resident(field: str = "VmRSS") -> int:
    """Bytes; 0 where the system does not tell."""
    if not STATUS.exists():
        return 0
    found = re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text(encoding="ascii", errors="replace"))
    return int(found[1]) * 1024 if found else 0


def growth(call: Callable[[], Any], calls: int) -> dict[str, float]:
    """How memory moves over `calls`: MB between the first quarter's end and the end, and the slope in between."""
    marks: list[tuple[int, float]] = []
    for i in range(calls):
        call()
        if (i + 1) % (calls // SAMPLES) == 0:
            gc.collect()
            marks.append((i + 1, resident() / 1e6))
    settled = marks[len(marks) // 4 :]
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope
    return {"memory_calls": calls, "memory_growth": settled[-1][1] - settled[0][1], "memory_slope": slope * 1000}


def peak(call: Callable[[], Any]) -> float | None:
    """Bytes that `call` needs at its highest, above what was held before; None where the system does not tell."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    before = resident()
    call()
    return float(resident("VmHWM") - before)
