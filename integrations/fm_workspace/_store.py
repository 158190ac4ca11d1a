"""Where a workspace keeps its endpoints: SQLite, in memory or in a file that only its owner can read."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

from pydantic import TypeAdapter

from ._lifecycle import Endpoint

IN_MEMORY = ":memory:"
_SCHEMA = "CREATE TABLE IF NOT EXISTS endpoints (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT"
_DOCUMENT = TypeAdapter(Endpoint)


class Store:
    """Endpoints by name. A file survives the process; literal credentials lie in it as they are (mode 0600)."""

    def __init__(self, path: str | os.PathLike[str] = IN_MEMORY) -> None:
        self._lock = threading.Lock()
        self._connection = _opened(os.fspath(path))

    def all(self) -> list[Endpoint]:
        """All endpoints, by name."""
        with self._lock:
            rows = self._connection.execute("SELECT document FROM endpoints ORDER BY name").fetchall()
        return [_DOCUMENT.validate_json(document) for (document,) in rows]

    def get(self, name: str) -> Endpoint | None:
        """The endpoint of that name."""
        with self._lock:
            row = self._connection.execute("SELECT document FROM endpoints WHERE name = ?", (name,)).fetchone()
        return _DOCUMENT.validate_json(row[0]) if row else None

    def put(self, *endpoints: Endpoint) -> None:
        """Keep endpoints, each in place of its former self."""
        rows = [(endpoint.name, _DOCUMENT.dump_json(endpoint).decode()) for endpoint in endpoints]
        with self._lock, self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", rows)

    def delete(self, *names: str) -> None:
        """Forget endpoints."""
        with self._lock, self._connection:
            self._connection.executemany("DELETE FROM endpoints WHERE name = ?", [(name,) for name in names])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _opened(path: str) -> sqlite3.Connection:
    if path != IN_MEMORY:
        Path(path).touch(mode=0o600)
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA secure_delete = ON")  # a deleted endpoint's credentials are overwritten
    connection.execute(_SCHEMA)
    return connection
