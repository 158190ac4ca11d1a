"""`fm embed`: the vectors of lines of text, with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fm_client import APIError, Client, InvalidRequestError

from ._connect import Connection, connected
from ._output import Output, print_json
from ._records import TEXT, VECTOR, Row, Writer, read_rows, writer_to
from ._settings import EmbedOptions

CHUNK = 2_000
"""Texts that are embedded and written at a time: enough to keep all connections busy, little enough for memory."""


class Tally:
    """What was done."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.vectors = self.dimension = self.tokens = 0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        seconds = round(time.perf_counter() - self.began, 3)
        return {"vectors": self.vectors, "dimension": self.dimension, "tokens": self.tokens, "seconds": seconds}

    def __str__(self) -> str:
        seconds = time.perf_counter() - self.began
        return f"{self.vectors:,} vectors of {self.dimension:,}, {self.tokens:,} tokens, {seconds:.1f} s"


def run(options: EmbedOptions, connection: Connection, output: Output) -> None:
    """Embed all rows, and say what was done where the vectors are not in the way of it."""
    rows = read_rows(options.files, options.json_field)
    if not rows:
        raise InvalidRequestError("there is nothing to embed: the input has no text")
    tally = Tally()
    with connected(connection) as client, writer_to(options.to) as writer, progress(len(rows)) as tell:
        for start in range(0, len(rows), CHUNK):
            _embed(client, options, rows[start : start + CHUNK], writer, tally, tell)
    if options.to is not None and output is Output.JSON:
        print_json({**tally.as_json(), "file": str(options.to)})
    elif options.to is not None:
        typer.echo(f"{tally} -> {options.to}")
    elif options.verbose:
        typer.echo(str(tally), err=True)


def _embed(
    client: Client,
    options: EmbedOptions,
    rows: Sequence[Row],
    writer: Writer,
    tally: Tally,
    tell: Callable[[int], None],
) -> None:
    """Embed some rows and write them; of those that fail, the ones up to the first that has no vector."""
    before = tally.vectors
    texts = [row[options.json_field or TEXT] for row in rows]
    try:
        answer = client.embed(
            options.endpoint, texts, on_progress=lambda done, _: tell(before + done), **options.params
        )
    except APIError as error:
        done = next((i for i in range(len(rows)) if i not in error.completed), len(rows))
        writer.write([{**rows[i], VECTOR: error.completed[i]} for i in range(done)])
        error.add_note(f"{before + done:,} texts were embedded before")
        raise
    writer.write([{**row, VECTOR: vector} for row, vector in zip(rows, answer.vectors, strict=True)])
    tally.vectors += len(answer.vectors)
    tally.dimension = answer.dimension
    tally.tokens += answer.usage.input_tokens


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal; what it is told is how many are done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("embed"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("embed", total=total)
        yield lambda done: bar.update(task, completed=done)
