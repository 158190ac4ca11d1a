"""`python -m benchmarks.correctness`: the same faults for ours and for every peer, and what each made of them."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import sys
from collections import Counter
from typing import Any

from benchmarks.faults._cases import Case, cases
from benchmarks.faults._server import PeerServer
from benchmarks.faults._verdicts import OPEN, RAW, RIGHT, WRONG, Outcome
from benchmarks.speed._environments import CACHE, ROOT, Environments
from benchmarks.speed._report import SAVED, fill, save
from benchmarks.speed._roster import BY_NAME, ENVIRONMENTS

SUBJECTS = (
    "fm_client", "langchain_fm", "llamaindex_fm", "mlflow_fm",
    "openai", "ChatOpenAI", "ChatDatabricks", "LlamaIndexDatabricks", "mlflow",
)  # fmt: skip
OWN_ERRORS = {
    "openai": ("openai",),
    "ChatOpenAI": ("openai", "langchain_openai", "langchain_core"),
    "ChatDatabricks": ("openai", "databricks_langchain", "langchain_core", "databricks", "mlflow"),
    "LlamaIndexDatabricks": ("openai", "llama_index"),
    "mlflow": ("mlflow", "databricks"),
}
"""Whose exceptions a user of each would expect to catch; of ours, the core's."""
PAGE = ROOT / "docs" / "comparison.md"


def probe(name: str, environments: Environments, only: set[str] | None = None) -> list[dict[str, Any]]:
    """What one subject makes of every case."""
    entry = BY_NAME[name]
    with PeerServer() as server, PeerServer() as elsewhere:
        numbered = {case.name(i): case for i, case in enumerate(cases(elsewhere.host)) if _wanted(case, only)}
        for key, case in numbered.items():
            if case.answers:
                server.script(key, *case.answers)
        asked = [{"name": key, "verb": case.verb, "timeout": case.timeout} for key, case in numbered.items()]
        typed = OWN_ERRORS.get(name, ("fm_client",))
        job = {"class": entry.kind, "host": server.host, "typed": typed, "cases": asked}
        found = environments.ask(entry.environment, "faults._probe", job)
        stolen = len(elsewhere.seen)
        return [judged(case, found[key], server.attempts(key), stolen) for key, case in numbered.items()]


def _wanted(case: Case, only: set[str] | None) -> bool:
    return only is None or case.group in only


def judged(case: Case, found: dict[str, Any], sent: int, stolen: int) -> dict[str, Any]:
    outcome = Outcome(**found, sent=sent, stolen=stolen)
    mark, words = case.judge(outcome)
    return {"group": case.group, "title": case.title, "mark": mark, "words": words}


def versions(name: str, environments: Environments) -> str:
    entry = BY_NAME[name]
    job = {"root": entry.distribution, "only": True}
    return environments.ask(entry.environment, "speed._imports", job)["installed"]["version"]


def compare(environments: Environments, names: tuple[str, ...] = SUBJECTS) -> dict[str, Any]:
    """Everyone, one after the other."""
    found = {}
    for name in names:
        print(f"… {name}", file=sys.stderr, flush=True)
        found[name] = probe(name, environments)
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {name: f"{BY_NAME[name].distribution} {versions(name, environments)}" for name in names},
        "rows": found,
    }


def tally(data: dict[str, Any]) -> dict[str, Counter[str]]:
    return {name: Counter(row["mark"] for row in rows) for name, rows in data["rows"].items()}


def cell(row: dict[str, Any]) -> str:
    """The name of a right error says nothing more; what else is right may have figures."""
    words = "" if row["mark"] == RIGHT and "sent" not in row["words"] else row["words"]
    return f"{row['mark']} {escaped(words)}".strip()


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\u2028", "\\u2028").replace("\x85", "\\x85")


def markdown(data: dict[str, Any]) -> str:
    names = list(data["rows"])
    header = "| " + " | ".join(["", *(BY_NAME[name].label for name in names)]) + " |"
    rule = "|---" * (len(names) + 1) + "|"
    lines: list[str] = []
    group = ""
    for rows in zip(*data["rows"].values(), strict=True):
        if rows[0]["group"] != group:
            group = rows[0]["group"]
            lines += ["", f"### {group}", "", header, rule]
        lines.append("| " + " | ".join([rows[0]["title"], *map(cell, rows)]) + " |")
    return "\n".join([summary(data), *lines])


def summary(data: dict[str, Any]) -> str:
    counted = tally(data)
    header = f"| | {RIGHT} | {RAW} | {WRONG} | {OPEN} | version |\n|---|---:|---:|---:|---:|---|"
    rows = [
        f"| {BY_NAME[name].label} | {' | '.join(str(count[mark]) for mark in (RIGHT, RAW, WRONG, OPEN))}"
        f" | {data['versions'][name]} |"
        for name, count in counted.items()
    ]
    return "\n".join([f"Run on {data['date']} with Python {data['python']}.", "", header, *rows])


def show(data: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 240
    table = Table("", *(BY_NAME[name].label for name in data["rows"]), title="The same faults for everyone")
    for rows in zip(*data["rows"].values(), strict=True):
        table.add_row(rows[0]["title"], *map(cell, rows))
    console.print(table)
    for name, count in tally(data).items():
        console.print(
            f"{BY_NAME[name].label}: " + ", ".join(f"{count[mark]} {mark}" for mark in (RIGHT, RAW, WRONG, OPEN))
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="correctness", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="also write the table into docs/")
    parser.add_argument("--only", nargs="*", choices=SUBJECTS, default=SUBJECTS)
    options = parser.parse_args()
    environments = Environments(say=lambda text: print(f"… {text}", file=sys.stderr))
    environments.build({BY_NAME[name].environment for name in options.only} & ENVIRONMENTS.keys())
    path = save("correctness", compare(environments, tuple(options.only)), SAVED if options.docs else CACHE)
    data = json.loads(path.read_text(encoding="utf-8"))
    show(data)
    if options.docs:
        PAGE.write_text(fill(PAGE, {"table": markdown(data)}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
