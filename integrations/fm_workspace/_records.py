"""What is kept of requests: rows of usage, of inference tables and of the audit, the newest of each kind."""

from __future__ import annotations

import json

from ._database import Database
from ._engine import JSONObject

MAX_ROWS = 10_000
"""Rows of each kind; the oldest give way."""
SPARE_ROWS = 250
"""How many more there may be for a while: rows are taken away by the batch."""
MAX_CHARS = 64 * 1024 * 1024
"""Of the rows of one kind together; a row of an inference table may have two million."""
SPARE_CHARS = 16 * 1024 * 1024
USAGE, INFERENCE, AUDIT = "usage", "inference", "audit"
_DELETE_OLDEST = """
DELETE FROM records WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER newest AS place, sum(length(document)) OVER newest AS chars
        FROM records WHERE kind = ? WINDOW newest AS (ORDER BY id DESC)
    ) WHERE place > ? OR chars > ?
)
"""


class Records:
    """Rows of all kinds, by endpoint, in the order in which they came."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._added = dict.fromkeys((USAGE, INFERENCE, AUDIT), SPARE_ROWS)  # a file may hold too many from before
        self._chars = dict.fromkeys(self._added, 0)

    def add(self, kind: str, endpoint: str, row: JSONObject) -> None:
        """Keep one row."""
        values = (kind, endpoint, json.dumps(row))
        self._database.run("INSERT INTO records (kind, endpoint, document) VALUES (?, ?, ?)", values)
        self._added[kind] += 1
        self._chars[kind] += len(values[-1])
        if self._added[kind] > SPARE_ROWS or self._chars[kind] > SPARE_CHARS:
            self._added[kind] = self._chars[kind] = 0
            self._trim(kind)

    def rows(self, kind: str, endpoint: str | None = None) -> list[JSONObject]:
        """The rows of one kind, of one endpoint or of all."""
        if endpoint is None:
            found = self._database.rows("SELECT document FROM records WHERE kind = ? ORDER BY id", kind)
        else:
            query = "SELECT document FROM records WHERE kind = ? AND endpoint = ? ORDER BY id"
            found = self._database.rows(query, kind, endpoint)
        return [json.loads(document) for (document,) in found]

    def _trim(self, kind: str) -> None:
        self._database.run(_DELETE_OLDEST, (kind, MAX_ROWS, MAX_CHARS))
