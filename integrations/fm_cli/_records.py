"""What `fm embed` reads (lines, or JSON lines with a field) and writes (JSON lines, or Parquet)."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from ._output import announce_typing

Row = dict[str, Any]
TEXT, VECTOR = "text", "embedding"
STDIN = Path("-")
PARTIAL = ".partial"


class Writer(Protocol):
    """Takes rows, as they are done."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write some more."""
        ...

    def close(self) -> None:
        """All is written."""
        ...


def read_rows(files: Sequence[Path], field: str | None) -> list[Row]:
    """The rows of all files, or of standard input: `{"text": …}` for a line, the object itself with `field`."""
    return [row for path in files or [STDIN] for row in _rows_of(path, field)]


def _rows_of(path: Path, field: str | None) -> Iterator[Row]:
    name = "standard input" if path == STDIN else str(path)
    for number, line in enumerate(_lines(path, name), 1):
        if line.strip():
            yield {TEXT: line} if field is None else _object(line, field, f"{name}, line {number}")


def _lines(path: Path, name: str) -> list[str]:
    if path == STDIN:
        announce_typing()
    # Not splitlines(): a line may hold characters that are line breaks to Unicode, and to no JSON reader.
    try:
        data = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
        return [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]
    except FileNotFoundError as exc:
        raise FileNotFoundError(f"there is no file {name}; to embed a text, pipe it: echo TEXT | fm embed …") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"{name} is not UTF-8 text (byte {exc.start:,})") from exc


def _object(line: str, field: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as exc:
        raise ValueError(f"{where} is not JSON: {exc}") from exc
    if not isinstance(row, dict):
        raise ValueError(f"{where} is no JSON object")
    if not isinstance(row.get(field), str) or not row[field]:
        raise ValueError(f"{where} has no text in {field!r}; it has: {', '.join(row) or 'nothing'}")
    return row


@contextmanager
def writer_to(path: Path | None) -> Iterator[Writer]:
    """A writer to standard output or to a file, which gets its name when it is whole.

    What was written before a failure stays beside it, as FILE.partial.
    """
    if path is None:
        yield JSONLines(sys.stdout)
        return
    partial = path.with_name(path.name + PARTIAL)
    writer = _file_writer(path, partial)
    try:
        yield writer
    except BaseException:
        with suppress(OSError):
            writer.close()
        raise
    writer.close()
    os.replace(partial, path)  # noqa: PTH105  # as Path.replace, and says what it does


def _file_writer(path: Path, partial: Path) -> Writer:
    if path.suffix == ".parquet":
        return Parquet(partial)
    if path.suffix in (".jsonl", ".ndjson"):
        return JSONLines(partial.open("w", encoding="utf-8"))
    raise ValueError(f"{path}: the name must end with .jsonl or .parquet, which says what is to be written")


class JSONLines:
    """One JSON object to a line."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, rows: Sequence[Row]) -> None:
        """Write some more."""
        self._file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        self._file.flush()

    def close(self) -> None:
        """All is written."""
        self._file.close()


class Parquet:
    """A Parquet file, a row group at a time; vectors are lists of 32-bit floats."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        self._schema: Any = None
        try:
            self._arrow = importlib.import_module("pyarrow")
            self._parquet = importlib.import_module("pyarrow.parquet")
        except ImportError as exc:
            raise ImportError("Parquet files need pyarrow: pip install pyarrow; or name a .jsonl file") from exc

    def write(self, rows: Sequence[Row]) -> None:
        """Write some more. The first rows decide which columns there are."""
        if not rows:
            return
        if self._writer is None:
            self._schema = self._schema_of(rows)
            self._writer = self._parquet.ParquetWriter(self._path, self._schema)
        try:
            self._writer.write_table(self._arrow.Table.from_pylist(list(rows), schema=self._schema))
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError) as exc:
            raise ValueError(f"the objects do not fit into one table: {exc}") from exc

    def _schema_of(self, rows: Sequence[Row]) -> Any:
        arrow = self._arrow
        try:
            plain = arrow.Table.from_pylist([{k: v for k, v in row.items() if k != VECTOR} for row in rows]).schema
        except (arrow.ArrowInvalid, arrow.ArrowTypeError) as exc:
            raise ValueError(f"the objects do not fit into one table: {exc}") from exc
        return plain.append(arrow.field(VECTOR, arrow.list_(arrow.float32())))

    def close(self) -> None:
        """All is written."""
        if self._writer is not None:
            self._writer.close()
