"""What the commands share: where they print, and how they fail."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fm_client import FMError

PIPE_WIDTH = 200
"""Columns for a program or a file that reads along: it has no width, and nothing should be folded for it."""


class Output(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


def terminal() -> Console:
    """Standard output: styled in a terminal (unless NO_COLOR is set), plain text anywhere else."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def plain_table(console: Console) -> Table:
    """An empty table: with lines in a terminal, in bare columns anywhere else."""
    return Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")


def print_table(table: Table, console: Console) -> None:
    """Print `table`; for a program, without the blanks that fill up its last column."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    typer.echo(json.dumps(value, indent=2))


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def failures() -> Iterator[None]:
    """What can go wrong in daily use becomes one line on standard error and exit code 1; a fault of ours stays one."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read along has left: nobody is there to be told
    except (FMError, ImportError, OSError, ValueError, sqlite3.Error) as error:
        typer.echo(f"fm: {one_line(error)}", err=True)
        raise typer.Exit(1) from error
