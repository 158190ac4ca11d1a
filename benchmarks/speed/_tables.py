"""The tables: one description of each, printed by rich and written as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._budgets import OURS, budgets
from ._results import Results
from ._roster import ROSTER, Entry

NOTHING = "-"
LIMIT = "raw"


@dataclass(frozen=True)
class Grid:
    """A table, ready to be shown."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""

    def markdown(self) -> str:
        rules = "|---" + "|---:" * (len(self.header) - 1) + "|"
        lines = ["| " + " | ".join(row) + " |" for row in [self.header, *self.rows]]
        lines.insert(1, rules)
        return "\n".join([f"### {self.title}", "", *([self.note, ""] if self.note else []), *lines])

    def show(self, console: Any) -> None:
        from rich.table import Table

        table = Table(title=self.title, title_justify="left", caption=self.note or None, caption_justify="left")
        for i, name in enumerate(self.header):
            table.add_column(name, justify="right" if i else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


Cell = Callable[[Results, Entry], str]


@dataclass(frozen=True)
class Column:
    header: str
    cell: Cell


def number(value: float | None) -> str:
    """Three digits that matter, and no more."""
    if value is None:
        return NOTHING
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def exact(value: float | None) -> str:
    """With a digit more, so that it is seen on which side of a limit it lies."""
    return NOTHING if value is None else f"{value:,.4g}"


def spread(metric: str, header: str, scale: float = 1.0) -> Column:
    """Median, and least and most of the rounds."""

    def cell(results: Results, entry: Entry) -> str:
        values = [value * scale for value in results.values(entry.name, metric)]
        if not values:
            return NOTHING
        middle = number((results.median(entry.name, metric) or 0.0) * scale)
        return middle if len(values) == 1 else f"{middle} ({number(min(values))}…{number(max(values))})"

    return Column(header, cell)


def ratio(metric: str, base: str, header: str) -> Column:
    def cell(results: Results, entry: Entry) -> str:
        found = results.ratio((entry.name, metric), (base, metric))
        return NOTHING if found is None else f"{number(found)} x"

    return Column(header, cell)


def fact(header: str, pick: Callable[[dict[str, Any]], Any]) -> Column:
    """Something of what is installed."""

    def cell(results: Results, entry: Entry) -> str:
        found = results.installed(entry.name)
        return str(pick(found)) if found else NOTHING

    return Column(header, cell)


def patient(count: int) -> Column:
    """Wall time; who was given up is marked."""

    def cell(results: Results, entry: Entry) -> str:
        wall, patience = results.median(entry.name, f"wall_{count}"), results.data["plan"]["patience"]
        return f"> {patience:.0f}" if wall is not None and wall >= patience else number(wall)

    return Column(f"{count:,}: wall s", cell)


def grid(results: Results, title: str, columns: list[Column], needs: str, note: str = "") -> Grid:
    """With a row for everyone who has `needs`."""
    rows = []
    for entry in ROSTER:
        if results.values(entry.name, needs):
            label = f"**{entry.label}**" if entry.role == "ours" else entry.label
            rows.append((label, *(column.cell(results, entry) for column in columns)))
    return Grid(title, ("", *(column.header for column in columns)), rows, note)


def grids(results: Results) -> list[Grid]:
    plan = results.data["plan"]
    return [
        _imports(results),
        grid(results, "One call after the other: CPU", [
            spread("chat_sync", "sync µs"), ratio("chat_sync", LIMIT, "to limit"),
            spread("chat_async", "async µs"), ratio("chat_async", LIMIT, "to limit"),
        ], "chat_sync", f"{plan['calls']} calls a round, zero latency."),
        _concurrent(results),
        grid(results, "Streams", [
            spread("chunk_sync", "µs of CPU a chunk, sync"), ratio("chunk_sync", LIMIT, "to limit"),
            spread("chunk_async", "async"), ratio("chunk_async", LIMIT, "to limit"),
            spread("first_chunk", "first chunk ms"), ratio("first_chunk", "httpx", "to httpx"),
        ], "chunk_sync", f"{plan['chunks']:,} chunks a stream; the time to the first chunk is the median of"
        f" {plan['first_chunks']} streams."),
        _embeddings(results),
        _memory(results),
        _workspace(results),
        _growth(results),
    ]  # fmt: skip


def _imports(results: Results) -> Grid:
    columns = [
        spread("import_wall", "s"), ratio("import_wall", "httpx", "to httpx"), spread("import_rss", "MB resident"),
        spread("import_modules", "modules"), fact("distributions", lambda found: len(found["distributions"])),
        fact("MB on disk", lambda found: number(found["megabytes"])),
    ]  # fmt: skip
    note = "A fresh interpreter each time, byte-compiled, in memory. A framework's floor: classes that do nothing."
    return grid(results, "Import", columns, "import_wall", note)


def _concurrent(results: Results) -> Grid:
    columns = []
    for count in results.data["plan"]["concurrent"]:
        cpu = f"cpu_{count}"
        columns += [patient(count), spread(f"rate_{count}", "calls/s"), spread(cpu, "µs of CPU a call")]
        columns += [ratio(cpu, LIMIT, "to limit")]
    first = results.data["plan"]["concurrent"][0]
    note = (
        "Async calls at once, 200 ms of latency each, connections open; the ideal is 0.20 s. MLflow has no async calls"
        f" of its own: as many threads. {NOTHING}: not tried, because {first} have shown that it would take too long."
    )
    return grid(results, "Many calls at once", columns, f"wall_{first}", note)


def _embeddings(results: Results) -> Grid:
    columns = []
    first, *more = results.data["plan"]["texts"]
    packed, plain = (f"embed_{first}", "base64 for who asks", LIMIT), (f"plain_{first}", "numbers for all", "httpx")
    for metric, called, base in (packed, plain):
        cpu = metric.replace("_", "_cpu_")
        columns += [spread(metric, f"{first:,}, {called}: s"), spread(cpu, "CPU ms per 1,000")]
        columns += [ratio(cpu, base, "to limit" if base == LIMIT else f"to {base}")]
    columns += [spread(f"embed_{count}", f"{count:,}: s") for count in more]
    note = (
        "Vectors of 1,024 numbers, 50 ms of latency for each request, no settings. The openai SDK and MLflow leave"
        f" splitting to the caller: 2,048 texts a request, one after the other. {NOTHING}: would take too long."
    )
    return grid(results, "Embeddings", columns, f"embed_{first}", note)


def _memory(results: Results) -> Grid:
    size = f"{results.data['plan']['big'] / 1e6:g} MB"
    columns = [
        spread("memory_calls", "calls"), spread("memory_growth", "growth MB"),
        spread("memory_slope", "KB per 1,000 calls", 1000), spread("big", f"{size} answer: memory / size"),
    ]  # fmt: skip
    return grid(results, "Memory", columns, "memory_calls", "Growth after the first quarter of the calls.")


def _workspace(results: Results) -> Grid:
    found = results.data["workspace"]
    names = {
        "import": "import, s", "start": "start, s", "chat_rate": "chat calls/s", "embed_rate": "embedding calls/s"
    }  # fmt: skip
    rows = [(label, *(number(each) for each in _three(found[name]))) for name, label in names.items()]
    return Grid("The embedded workspace", ("", "median", "least", "most"), rows, "One core, 16 connections.")


def _three(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def _growth(results: Results) -> Grid:
    kinds = ("grow_concurrent", "grow_texts", "grow_chunks")
    plan = results.data["plan"]
    header = tuple(f"{plan[kind][0]:,} → {plan[kind][-1]:,} {kind.partition('_')[2]}" for kind in kinds)
    rows = [(f"**{name}**", *(number(results.exponent(name, kind)) for kind in kinds)) for name in OURS]
    note = "CPU = c · size^p: p, fitted over the upper half. 1 is linear."
    return Grid("How cost grows", ("", *header), rows, note)


def verdicts(results: Results) -> Grid:
    """Every budget of the project, met or not."""
    rows = []
    for budget in budgets():
        found, met = budget.verdict(results)
        unit = f" {budget.unit}" if budget.unit else ""
        limit = f"{'≥' if budget.at_least else '≤'} {budget.limit:g}{unit}"
        rows.append((budget.what, limit, exact(found), {True: "met", False: "**not met**", None: NOTHING}[met]))
    met = sum(row[3] == "met" for row in rows)
    return Grid("Budgets", ("", "budget", "found", ""), rows, f"{met} of {len(rows)} met.")
