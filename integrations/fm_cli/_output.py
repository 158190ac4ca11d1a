"""What the commands share: where and how they print."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 1_000
"""Columns for a program or a file that reads along: it has no width, and nothing should be folded for it."""

WORDS = {
    "endpoints.list()": "`fm endpoints list`",
    'host="local"': "--host local",
    "pass host= and token=": "pass --host, and set DATABRICKS_TOKEN",
    "pass token=, or client_id= and client_secret=; ": "",
    "pass profile=": "pass --profile",
    "need auth_type= and": "need DATABRICKS_AUTH_TYPE and",
}


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


def announce_typing() -> None:
    """Say, where standard input is a terminal, that somebody is to type."""
    if sys.stdin.isatty():
        typer.echo("fm: reading from the terminal; Ctrl-D ends the text", err=True)


def harmless(text: str) -> str:
    r"""`text` without what a terminal would obey: a model may have been told to send escape sequences.

    >>> harmless("a\x1b[2Jb\n")
    'a[2Jb\n'
    """
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def in_words(text: str) -> str:
    """What the client says of its own parameters, in the words of the command.

    >>> in_words("endpoints.list() shows those that there are.")
    '`fm endpoints list` shows those that there are.'
    """
    for python, command in WORDS.items():
        text = text.replace(python, command)
    return text


def one_line(error: BaseException) -> str:
    """What an error says, and what was noted on it, on one line."""
    texts = [harmless(" ".join(in_words(text).split())) for text in (str(error), *notes_of(error))]
    return "; ".join(text for text in texts if text) or type(error).__name__


def notes_of(error: BaseException) -> list[str]:
    """What was noted on an error on its way."""
    found: list[str] = getattr(error, "__notes__", [])
    return found
