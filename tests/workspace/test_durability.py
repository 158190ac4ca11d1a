"""What was acknowledged is there after the process was killed amid writing."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from workspace_api import CONTROL, provisioned

from fm_workspace import Workspace, _database

TOKEN = "token-for-tests"
SERVE = """
import sys
from fm_workspace import serve
serve(token="token-for-tests", state=sys.argv[1], on_start=lambda host: print(host, flush=True))
"""
WRITERS = 3
LEAST_WRITES = 30


@contextmanager
def served(state: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    command = [sys.executable, "-c", SERVE, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host = process.stdout.readline().strip()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=host, headers=headers, trust_env=False, timeout=30) as http:
            yield process, http
        process.kill()


class Writer(threading.Thread):
    """Writes until the server is gone, and remembers what was acknowledged."""

    def __init__(self, http: httpx.Client, number: int) -> None:
        super().__init__()
        self.http, self.number = http, number
        self.acknowledged: list[str] = []

    def run(self) -> None:
        for count in range(10_000):
            name = f"w{self.number}-{count}"
            try:
                body = {"name": name, "config": {"served_entities": [provisioned()]}}
                if self.http.post(CONTROL, json=body).status_code == 200:
                    self.acknowledged.append(name)
                secret = {"scope": "kept", "key": name, "string_value": name}
                if self.http.post("/api/2.0/secrets/put", json=secret).status_code == 200:
                    self.acknowledged.append(f"secret {name}")
            except httpx.HTTPError:
                return


@pytest.mark.timeout(240)
def test_every_acknowledged_write_survives_kill_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_WORKSPACE_HOME", str(tmp_path / "home"))
    state, acknowledged = tmp_path / "state.db", []
    for round_number in range(2):
        with served(state) as (process, http):
            http.post("/api/2.0/secrets/scopes/create", json={"scope": "kept"})
            writers = [Writer(http, 10 * round_number + number) for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            while sum(len(writer.acknowledged) for writer in writers) < LEAST_WRITES:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            for writer in writers:
                writer.join()
            acknowledged += [name for writer in writers for name in writer.acknowledged]
    with sqlite3.connect(state) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with served(state) as (_, http):
        names = {endpoint["name"] for endpoint in http.get(CONTROL).json()["endpoints"]}
        secrets = http.get("/api/2.0/secrets/list", params={"scope": "kept"}).json()["secrets"]
        found = names | {f"secret {secret['key']}" for secret in secrets}
        assert len(acknowledged) >= 2 * LEAST_WRITES
        assert set(acknowledged) - found == set()
        value = http.get("/api/2.0/secrets/get", params={"scope": "kept", "key": secrets[0]["key"]})
        assert value.status_code == 200


def test_a_state_file_has_one_workspace_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would undo each other's changes, since each has the endpoints in memory."""
    monkeypatch.setenv("FM_WORKSPACE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(_database, "BUSY_SECONDS", 0.1)
    state = tmp_path / "state.db"
    with served(state), pytest.raises(ValueError, match=r"state\.db is in use by another workspace"):
        Workspace.start(state=state)
    with Workspace.start(state=state), pytest.raises(ValueError, match="in use by another workspace"):
        Workspace.start(state=state)
    Workspace.start(state=state).stop()


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a state file")
    other.chmod(0o644)
    with pytest.raises(ValueError, match=r"notes\.txt is no state file"):
        Workspace.start(state=other)
    assert (other.read_text(), other.stat().st_mode & 0o777) == ("not a state file", 0o644)
