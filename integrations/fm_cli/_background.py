"""The workspace in the background: its record, and the lock by which a live one is told from what a dead one left.

The server holds a lock on its record for as long as it lives. The system lets go of it however the server ends, so
that a record without a lock is stale, whatever its process id is used for by now.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

DIRECTORY_VARIABLE = "FM_STATE_DIR"
PRIVATE_FILE, PRIVATE_DIRECTORY = 0o600, 0o700
LOCK_SECONDS = 1.0
"""Whoever looks whether a workspace lives holds its lock for a moment."""
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Record:
    """A workspace that runs in the background."""

    pid: int
    host: str
    token: str = field(repr=False)
    started: float
    """Unix seconds."""
    state: str | None = None
    """The file that keeps its endpoints."""


def state_directory() -> Path:
    """Where the command keeps what has to last: readable by its user alone."""
    base = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    default = Path(base) if base else Path.home() / ".local" / "state"
    path = Path(os.environ.get(DIRECTORY_VARIABLE) or default / "fm")
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    return path


def record_path() -> Path:
    """The record of the workspace in the background."""
    return state_directory() / "workspace.json"


def log_path() -> Path:
    """What it has to say for itself."""
    return state_directory() / "workspace.log"


def private_file(path: Path, mode: str) -> IO[str]:
    """Open a file that nobody else can read, also if it was there before."""
    file = open(path, mode, encoding="utf-8", opener=_private)  # noqa: SIM115  # the caller closes it
    os.chmod(path, PRIVATE_FILE)  # noqa: PTH101  # by the path: Windows has no fchmod
    return file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)


def check_supported() -> None:
    """Refuse where no lock can tell whether a workspace lives."""
    if fcntl is None:
        raise OSError("--background needs a POSIX system: run `fm workspace start` in a window of its own")


@contextmanager
def recorded(record: Record) -> Iterator[None]:
    """Keep `record` for as long as this process serves; a ValueError if another one does."""
    with private_file(record_path(), "a+") as file:
        if not _lock(file, LOCK_SECONDS):
            raise ValueError("a workspace runs in the background already: `fm workspace status` shows it")
        file.truncate(0)
        json.dump(asdict(record), file)
        file.flush()
        try:
            yield
        finally:
            # The file itself stays: who has it open by now would wait for the lock of one that no longer has a name.
            file.truncate(0)


def running() -> Record | None:
    """The workspace in the background; None if there is none, or only what a dead one left."""
    record = last_record()
    return record if record is not None and is_locked() else None


def last_record() -> Record | None:
    """The last record, be its workspace alive or dead; None if it ended in order, or there never was one."""
    try:
        return Record(**json.loads(record_path().read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # none, or one that is just being written
        return None


def is_locked() -> bool:
    """Whether the process that wrote the record lives."""
    try:
        with record_path().open("r+", encoding="utf-8") as file:
            return fcntl is not None and not _lock(file)
    except FileNotFoundError:
        return False


def _lock(file: IO[str], seconds: float = 0.0) -> bool:
    """Lock `file` until it is closed; False if another process keeps it locked for so long."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def end(record: Record, seconds: float = STOP_SECONDS) -> None:
    """Stop a workspace, and wait until it has stopped."""
    with suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    until = time.monotonic() + seconds
    while is_locked():
        if time.monotonic() > until:
            raise TimeoutError(f"the workspace (process {record.pid}) did not stop in {seconds:g} s: kill -9 it")
        time.sleep(POLL_SECONDS)


def forget() -> None:
    """Empty the record that a dead workspace left; one of a live workspace stays."""
    with private_file(record_path(), "a+") as file:
        if fcntl is not None and _lock(file):
            file.truncate(0)
