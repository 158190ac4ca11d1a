"""Runs in the environment of a subject: what an import costs, and what had to be installed for it.

Imports are timed in interpreters of their own, started from here one after the other.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from typing import Any

TIMED = """
import sys, time
began = time.perf_counter()
{imports}
wall = time.perf_counter() - began
from pathlib import Path
import json, re
status = Path("/proc/self/status")
held = int(re.search(r"VmRSS:\\s+(\\d+)", status.read_text())[1]) / 1024 if status.exists() else 0.0
print(json.dumps([wall, held, len(sys.modules)]))
"""
BUILD_TOOLS = {"pip", "setuptools", "wheel"}


def timed(imports: str) -> list[float]:
    """Seconds, MB resident, modules."""
    command = [sys.executable, "-c", TIMED.format(imports=imports)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def present() -> dict[str, importlib.metadata.Distribution]:
    found = {normal(each.metadata["Name"]): each for each in importlib.metadata.distributions()}
    return {name: each for name, each in found.items() if name not in BUILD_TOOLS}


def closure(root: str) -> set[str]:
    """`root` and what it needs, without extras, as far as it is installed."""
    known, found, todo = present(), set[str](), [normal(root)]
    while todo:
        name = todo.pop()
        if name in found or name not in known:
            continue
        found.add(name)
        needs = [need for need in known[name].requires or [] if "extra ==" not in need]
        todo += [normal(match[0]) for need in needs if (match := re.match(r"[A-Za-z0-9._-]+", need))]
    return found


def megabytes(names: set[str]) -> float:
    known = present()
    paths = [each.locate_file(file) for name in names for each in [known[name]] for file in each.files or []]
    return sum(path.stat().st_size for path in map(_path, paths) if path.exists()) / 1e6


def _path(path: Any) -> Any:
    from pathlib import Path

    return Path(path)


def installed(root: str, *, only: bool) -> dict[str, Any]:
    """`only`: just what `root` needs; else everything that is in the environment."""
    names = closure(root) if only else set(present())
    known = present()
    version = known[normal(root)].version if normal(root) in known else ""
    return {"distributions": sorted(names), "megabytes": megabytes(names), "version": version}


def main() -> None:
    job = json.loads(sys.argv[1])
    answer: dict[str, Any] = {}
    if job.get("imports"):
        answer["timed"] = timed(job["imports"])
    if job.get("root"):
        answer["installed"] = installed(job["root"], only=job["only"])
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
