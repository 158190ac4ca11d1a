"""What ran in `fm demo`, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ._output import plain_table, print_table

EXCERPT_CHARS = 80
WIDE = 170
"""Columns from which everything stands on one line; below, route and answer stand under step and endpoint."""
STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}

Ending = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Row:
    """One step, as it ended. `text` is the answer, or why there is none. `seconds` is without imports."""

    framework: str
    step: str
    route: str
    status: Ending
    endpoint: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float = 0.0
    text: str = ""

    @property
    def tokens(self) -> str:
        """In and out."""
        return "" if self.tokens_in is None else f"{self.tokens_in:,} / {self.tokens_out or 0:,}"

    @property
    def time(self) -> str:
        """In milliseconds; a step that was skipped took none."""
        return "" if self.status == "skipped" else f"{self.seconds * 1000:,.0f} ms"


@dataclass(slots=True)
class Report:
    """All that ran. Times are in seconds."""

    version: str
    mode: Literal["embedded", "live"]
    about: str = ""
    steps: list[Row] = field(default_factory=list)
    setup_seconds: float = 0.0
    import_seconds: dict[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """1 if a step failed, or none ran."""
        return int(not self.count("ok") or self.count("failed") > 0)

    def count(self, status: Ending) -> int:
        """How many steps ended so."""
        return sum(row.status == status for row in self.steps)


def show(report: Report, console: Console) -> None:
    """Print a report for people."""
    wide = not console.is_terminal or console.width >= WIDE
    console.print(report.about)
    print_table((_wide if wide else _narrow)(report, console), console)
    console.print(_summary(report))


def excerpt(text: str) -> str:
    """The beginning of an answer, on one line."""
    plain = " ".join(text.split())
    return plain if len(plain) <= EXCERPT_CHARS else f"{plain[: EXCERPT_CHARS - 1]}…"


def _wide(report: Report, console: Console) -> Table:
    table = plain_table(console)
    for heading in ("framework", "step", "route", "status", "endpoint", "tokens in / out", "time", "answer"):
        table.add_column(
            heading, justify="right" if heading in ("tokens in / out", "time") else "left", overflow="fold"
        )
    for row in report.steps:
        cells = [row.framework, row.step, row.route, row.status, row.endpoint, row.tokens, row.time, row.text]
        styled = [Text(cell) for cell in cells]
        styled[3].stylize(STYLES[row.status])
        table.add_row(*styled, end_section=_is_last(row, report))
    return table


def _narrow(report: Report, console: Console) -> Table:
    table = plain_table(console)
    table.add_column("step\nroute", no_wrap=True)
    table.add_column("endpoint\nanswer", overflow="fold")
    table.add_column("tokens\nin / out", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    framework = ""
    for row in report.steps:
        if row.framework != framework:
            framework = row.framework
            table.add_row(Text(framework, "bold"))
        first = Group(Text(row.step or "all", STYLES[row.status]), Text(row.route, "dim"))
        table.add_row(first, _answer(row), row.tokens, row.time, end_section=_is_last(row, report))
    return table


def _answer(row: Row) -> Group:
    """Endpoint and answer. An answer is cut off at the end of its line; a reason for there being none is not."""
    if row.status == "ok":
        return Group(Text(row.endpoint), Text(row.text, "dim", no_wrap=True, overflow="ellipsis"))
    return Group(Text(row.endpoint), Text(f"{row.status}: {row.text}", STYLES[row.status]))


def _is_last(row: Row, report: Report) -> bool:
    return [each for each in report.steps if each.framework == row.framework][-1] is row


def _summary(report: Report) -> str:
    imports = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.import_seconds.items()) or "none"
    steps = sum(row.seconds for row in report.steps)
    return (
        f"{report.count('ok')} steps ran, {report.count('failed')} failed, {report.count('skipped')} skipped, "
        f"in {report.total_seconds:.1f} s.\nThereof imports: {imports}; "
        f"workspaces and endpoints {report.setup_seconds:.1f} s; the steps themselves {steps:.1f} s."
    )
