"""From results to what people read: the terminal, and the marked parts of the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ._environments import ROOT
from ._results import Results
from ._roster import ROSTER
from ._tables import grids, verdicts

SAVED = ROOT / "benchmarks" / "results"
"""Where the runs lie from which the documentation was made."""
SERVER_LIMIT = 0.7
"""Above this share of its core, the server may have been what was measured."""
BUSY = 1.5
"""Load of the machine before the run, above which it is said beside the figures."""
CROWDED = 0.25
"""Seconds that the client waited for its core, for each second that it had it: above, other programs disturbed it."""


def conditions(results: Results) -> list[str]:
    """Under what the figures were taken, in sentences."""
    data, machine = results.data, results.data["machine"]
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['system']}, Python {machine['python']}"
    pinned = "a core each for client and server" if machine["pinned"] else "client and server NOT on cores of their own"
    took = f"interleaved rounds: {data['rounds']}, in {data['took']:.0f} s"
    lines = [f"{data['date']}, {where}; {pinned}; {took}.", _server(data["server"])]
    if data["crowding"] > CROWDED or machine["load"] > BUSY:
        waited = f"and the client waited up to {data['crowding']:.2f} s for each second of its core"
        harm = "Wall times are too long; CPU and ratios hold better."
        lines.append(f"The machine was NOT idle: load {machine['load']:.1f} before the run, {waited}. {harm}")
    return [*lines, *(f"{name} could not be measured: {error}" for name, error in data["errors"].items())]


def _server(server: dict[str, Any]) -> str:
    judged = "never the bottleneck" if server["busy"] <= SERVER_LIMIT else "which may have limited it"
    return f"The server was busy for {server['busy']:.0%} of the time at most ({server['task']}): {judged}."


def versions(results: Results) -> str:
    """Who was measured, in which version."""
    seen: dict[str, str] = {}
    for entry in ROSTER:
        if found := results.installed(entry.name):
            seen[entry.distribution] = found["version"]
    return ", ".join(f"{name} {version}" for name, version in sorted(seen.items()))


def show(results: Results) -> None:
    """Print everything."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    for each in [*grids(results), verdicts(results)]:
        each.show(console)
        console.print()
    for line in [*conditions(results), versions(results)]:
        console.print(line)


def blocks(results: Results) -> dict[str, str]:
    """The generated parts of docs/performance.md."""
    under = "\n".join(["- " + line for line in conditions(results)] + [f"- {versions(results)}."])
    return {
        "conditions": under,
        "tables": "\n\n".join(each.markdown() for each in grids(results)),
        "budgets": verdicts(results).markdown(),
    }


def fill(path: Path, parts: dict[str, str]) -> str:
    """The text of `path` with its marked parts replaced."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- begin {name}: written by `make bench` -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{path} has no part {name!r}")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def load(name: str) -> Any:
    return json.loads((SAVED / f"{name}.json").read_text(encoding="utf-8"))


def save(name: str, data: Any, folder: Path = SAVED) -> Path:
    """One figure a line would be long, and one line alone no diff: three levels are."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(rounded(data), indent=1) + "\n", encoding="utf-8")
    return path


def rounded(value: Any) -> Any:
    """With as many digits as mean something."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value
