"""Log lines as JSON, in which no text can begin a line of its own; and one for each write to the management API."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable
from typing import Any

from ._callers import Asked
from ._records import AUDIT as AUDIT_ROWS
from ._records import Records

AUDIT = logging.getLogger("fm_workspace.audit")
ERRORS = logging.getLogger("fm_workspace.errors")
MAX_PATH_CHARS = 512


def line(event: str, **facts: Any) -> str:
    """One log line. All but ASCII is escaped: line breaks of any alphabet, and what moves a terminal's cursor."""
    return json.dumps({"event": event, **facts}, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


class Auditor:
    """Logs and keeps who wrote what, when, and how it ended; a path names things, and holds no value."""

    def __init__(self, records: Records, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock

    def __call__(self, asked: Asked, method: str, path: str, status: int) -> None:
        """Note one request."""
        entry = {
            "event_time": dt.datetime.fromtimestamp(self._clock(), dt.UTC).isoformat(),
            "user": asked.caller.user,
            "role": asked.caller.role,
            "method": method,
            "path": path[:MAX_PATH_CHARS],
            "status_code": status,
            "request_id": asked.request_id,
        }
        AUDIT.info(line("audit", **entry))
        self._records.add(AUDIT_ROWS, "", entry)
