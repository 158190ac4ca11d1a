"""One SQLite database, in memory or in a file that only its owner can read, for any number of threads."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IN_MEMORY = ":memory:"
_HEADER = b"SQLite format 3\0"
BUSY_SECONDS = 5.0
"""How long a file that another workspace has open is waited for: one that is being stopped lets go of it."""
_PRAGMAS = (
    "locking_mode = EXCLUSIVE",  # each workspace has its endpoints in memory: two on one file would undo each other
    "secure_delete = ON",  # what is deleted is overwritten
    "journal_mode = WAL",  # a commit is in the file, whole, even if the process is killed the moment after
    "synchronous = NORMAL",
    "foreign_keys = ON",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoints (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS scopes (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS secrets (
    scope TEXT NOT NULL REFERENCES scopes ON DELETE CASCADE,
    key TEXT NOT NULL, value TEXT NOT NULL, updated INTEGER NOT NULL, PRIMARY KEY (scope, key)
) STRICT;
CREATE TABLE IF NOT EXISTS acls (
    scope TEXT NOT NULL REFERENCES scopes ON DELETE CASCADE,
    principal TEXT NOT NULL, permission TEXT NOT NULL, PRIMARY KEY (scope, principal)
) STRICT;
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, endpoint TEXT NOT NULL, document TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS records_of ON records (kind, endpoint);
"""


class Database:
    """Runs statements, each in a transaction of its own. A file, and what SQLite puts beside it, has mode 0600."""

    def __init__(self, path: str | os.PathLike[str] = IN_MEMORY) -> None:
        self._lock = threading.Lock()
        self.in_memory = os.fspath(path) == IN_MEMORY
        self._connection = _opened(os.fspath(path))

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def run(self, statement: str, *rows: Sequence[Any]) -> int:
        """Run a statement once for each row of values, all in one transaction; how many rows it changed."""
        with self._lock, self._connection:
            return self._connection.executemany(statement, rows).rowcount

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._connection.close()


def _make_private(path: Path) -> None:
    """Make the file its owner's alone; ValueError if it is another kind of file, which stays as it is."""
    path.touch(mode=0o600)
    with path.open("rb") as file:
        if file.read(len(_HEADER)) not in (b"", _HEADER):
            raise ValueError(f"{path} is no state file of a workspace")
    path.chmod(0o600)  # one that was there already; SQLite gives its `-wal` the same mode


def _opened(path: str) -> sqlite3.Connection:
    if path != IN_MEMORY:
        _make_private(Path(path))
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_SCHEMA)
    except sqlite3.DatabaseError as exc:
        connection.close()
        if isinstance(exc, sqlite3.OperationalError) and "locked" in str(exc):
            raise ValueError(f"the state file {path} is in use by another workspace") from exc
        raise
    return connection
