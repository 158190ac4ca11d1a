"""The workspace of the load, a process of its own: prints its address, and at the end of its input what it holds."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path

from fm_workspace import Workspace

PAGE = os.sysconf("SC_PAGE_SIZE")


def census() -> dict[str, int]:
    """What this process holds: memory in kB, open files and threads."""
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE // 1024
    return {
        "memory_kb": resident,
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
    }


def main() -> None:
    """Every line of input is answered with a census; the end of the input ends the process."""
    with Workspace.start() as workspace:  # as it is, for that is what users start
        print(json.dumps({"host": workspace.host, "token": workspace.token}), flush=True)
        for line in sys.stdin:
            if line.strip() == "collect":
                gc.collect()
            print(json.dumps(census()), flush=True)


if __name__ == "__main__":
    main()
