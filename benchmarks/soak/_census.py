"""What the measured process holds: memory, files, threads, tasks, connections; and what it was warned of."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

STATM = Path("/proc/self/statm")
SCHEDSTAT = Path("/proc/thread-self/schedstat")
MIB = 1024 * 1024


def resident() -> float:
    """MiB of this process that are in memory; 0 where there is no /proc."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB if STATM.exists() else 0.0


class _Mallinfo2(ctypes.Structure):
    """The first of these are arenas and chunks; `hblkhd` is mapped, `uordblks` in use, both in bytes."""

    _fields_ = [(f"count_{i}", ctypes.c_size_t) for i in range(4)] + [
        (name, ctypes.c_size_t) for name in ("hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def in_use() -> float:
    """MiB that the allocator has given out and not got back, whoever asked: Python, C or Rust; 0 without glibc 2.33."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0.0
    mallinfo.restype = _Mallinfo2
    found = mallinfo()
    return float(found.hblkhd + found.uordblks) / MIB


def crowding() -> float:
    """Seconds that this thread has waited for a core, for each second that it ran; infinite where nobody knows."""
    if not SCHEDSTAT.exists():
        return float("inf")
    ran, waited, _ = map(int, SCHEDSTAT.read_text().split())
    return waited / max(1, ran)


def holdings() -> dict[str, int]:
    """Open files, threads and tasks."""
    return {
        "files": len(os.listdir("/dev/fd")),  # noqa: PTH208  # the folder is a link that pathlib may resolve
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
    }


class Complaints:
    """What nobody would see otherwise: errors in callbacks, in threads, in finalizers, warnings included."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(lambda _, context: self.add(f"loop: {context.get('message')}: {_told(context)}"))
        sys.unraisablehook = lambda said: self.add(f"finalizer: {said.exc_value!r} in {said.object!r}")
        threading.excepthook = lambda said: self.add(f"thread: {said.exc_value!r}")

    def add(self, text: str) -> None:
        self.texts.append(text[:500])
        print(text, file=sys.stderr)


def _told(context: dict[str, Any]) -> str:
    return repr(context.get("exception") or context.get("task") or context.get("future"))


class Memory:
    """Samples of the memory of the process: (seconds since the start, MiB resident, MiB in use)."""

    def __init__(self, seconds: float) -> None:
        self._every, self.samples = min(5.0, seconds / 60), list[tuple[float, float, float]]()

    async def watch(self, began: float) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            self.samples.append((time.monotonic() - began, resident(), in_use()))


def lines() -> dict[str, int]:
    """Line of code -> bytes that it has allocated and that are still there. The soak's own files do not count."""
    gc.collect()
    here = tracemalloc.Filter(inclusive=False, filename_pattern=f"{Path(__file__).parent}/*")
    statistics = tracemalloc.take_snapshot().filter_traces([here]).statistics("lineno")
    return {str(each.traceback): each.size for each in statistics}


def growth(before: dict[str, int], after: dict[str, int]) -> list[tuple[int, str]]:
    """The lines that hold most more bytes than before."""
    return sorted(((size - before.get(line, 0), line) for line, size in after.items()), reverse=True)[:5]


async def settled(before: dict[str, int], limit: float) -> float:
    """Seconds until everything is back where it was; `limit` at most."""
    began = time.monotonic()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit):
            while any(count > before[name] for name, count in holdings().items()):
                gc.collect()
                await asyncio.sleep(0.02)
    return time.monotonic() - began
