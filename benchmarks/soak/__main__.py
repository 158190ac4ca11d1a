"""`python -m benchmarks.soak --seconds 60`: start server and load, each in its own process, and judge what they saw."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ._judge import Evidence, judge, load, table
from ._plan import Script

ROOT = Path(__file__).resolve().parents[2]
STRICT = ("-X", "dev", "-W", "error::ResourceWarning")
GRACE = 120.0
"""Seconds beyond its time after which a run is given up."""


@contextlib.contextmanager
def started(module: str, *arguments: str, flags: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """A process of the soak, which does not outlive the block."""
    command = [sys.executable, *flags, "-m", f"benchmarks.soak.{module}", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABRICKS_")}
    environment["MALLOC_ARENA_MAX"] = "1"  # with one heap per thread, memory that is free in one looks lost to the rest
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_from(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended before it had begun")
    return line.strip()


def run(script: Script) -> Evidence:
    """The whole storm, and what all processes have to say about it."""
    with tempfile.TemporaryDirectory() as folder, started("_server", *script.arguments()) as server:
        result = Path(folder) / "ledger.json"
        arguments = (line_from(server), str(result), *script.arguments())
        with started("_load", *arguments, flags=STRICT) as client:
            line_from(client)
            _begin(server, client)
            if client.wait(script.seconds + GRACE):
                raise RuntimeError("the load has failed")
        seen, _ = server.communicate("", timeout=GRACE)
        return Evidence(script, json.loads(result.read_text()), json.loads(seen.splitlines()[-1]))


def _begin(*processes: subprocess.Popen[str]) -> None:
    """All clocks are the system's monotonic one."""
    began = time.monotonic() + 0.5
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{began}\n")
        process.stdin.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=150.0, help="calls per second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    evidence = run(Script(options.seconds, options.rate, options.seed))
    print(load(evidence), "", *table(evidence), "", sep="\n")
    verdicts = judge(evidence)
    for verdict in verdicts:
        print(f"{'ok  ' if verdict.holds else 'FAIL'} {verdict.claim}\n       {verdict.figure}")
    failed = sum(not verdict.holds for verdict in verdicts)
    print(f"\n{len(verdicts) - failed} of {len(verdicts)} assertions hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
