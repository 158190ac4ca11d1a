"""Starting and stopping: two at once, one per process, none left behind."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from timing import SOON
from workspace_api import CHAT, CONTROL, Api

import fm_workspace
from fm_workspace import Workspace

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_two_workspaces_are_strangers(start: Callable[..., Api]) -> None:
    one, two = start(), start()
    assert one.workspace.host != two.workspace.host
    one.created("pt")
    assert two.http.get(f"{CONTROL}/pt").status_code == 404
    foreign = {"Authorization": f"Bearer {one.workspace.token}"}
    assert two.http.get(CONTROL, headers=foreign).status_code == 401


def test_a_given_token_and_port_are_used() -> None:
    with Workspace.start(token="token-for-tests") as first:
        port = urlsplit(first.host).port or 0
        assert first.token == "token-for-tests"
        with pytest.raises(OSError, match="in use"):
            Workspace.start(port=port)
    with Workspace.start(port=port) as second:
        assert urlsplit(second.host).port == port
        assert len(second.token) >= 43


def test_stop_frees_port_and_thread_and_may_be_called_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    before = threading.active_count()
    workspace = Workspace.start()
    with httpx.Client(base_url=workspace.host, trust_env=False) as client:
        client.get("/")  # the connection stays open
        workspace.stop()
        workspace.stop()
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"), warnings.catch_warnings():
        socket.create_connection(("127.0.0.1", urlsplit(workspace.host).port or 0), 1)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_it_starts_quickly() -> None:
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        with Workspace.start():
            seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1.5


def test_many_threads_ask_at_once(api: Api) -> None:
    def ask(number: int) -> Any:
        return api.text(CHAT, f"Number {number}")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(64)))
    assert [f"Number {number}" in answer for number, answer in enumerate(answers)] == [True] * 64


@pytest.mark.parametrize("engine", ["", "upstream", "gpt"])
def test_an_unknown_engine_is_refused(engine: str) -> None:
    with pytest.raises(ValueError, match="engine is"):
        Workspace.start(engine=engine)


def test_the_local_workspace_is_one_for_all_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {id(workspace) for workspace in pool.map(lambda _: fm_workspace.local(), range(32))}
    assert len(found) == 1


def test_the_local_workspace_ends_with_the_process_without_a_word() -> None:
    done = run("import fm_workspace; print(fm_workspace.local().host)")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("http://127.0.0.1:")


def test_an_embedded_workspace_that_nobody_stops_does_not_hold_the_process() -> None:
    done = run("from fm_workspace import Workspace; Workspace.start()")
    assert done.returncode == 0


def test_a_forked_child_starts_its_own_and_leaves_its_parents_alone() -> None:
    done = run(
        """
        import os, urllib.error, urllib.request, warnings
        import fm_workspace
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: fork in a process with threads

        def status(workspace):
            request = urllib.request.Request(workspace.host + "/api/2.0/serving-endpoints",
                                             headers={"Authorization": "Bearer " + workspace.token})
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status

        mine = fm_workspace.local()
        if (child := os.fork()) == 0:
            other = fm_workspace.local()
            mine.stop()
            assert other.host != mine.host and status(other) == 200
            other.stop()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(status(mine))
        """
    )
    assert done.stdout.strip() == "200", done.stderr


def test_what_is_missing_is_said() -> None:
    done = run(
        """
        import sys
        sys.modules["fastapi"] = None
        try:
            from fm_workspace import Workspace
        except ImportError as error:
            print(error)
        """
    )
    assert 'pip install "fm-integrations[workspace]"' in done.stdout, done.stderr


SERVE = """
import sys
from fm_workspace import serve
serve(token="token-for-tests", state=sys.argv[1], on_start=lambda host: print(host, flush=True))
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serve_stands_alone_until_a_signal_and_keeps_its_state(tmp_path: Any, ending: signal.Signals) -> None:
    headers = {"Authorization": "Bearer token-for-tests"}
    for expected in (404, 200):
        with _served(str(tmp_path / "state.db")) as process:
            assert process.stdout is not None
            host = process.stdout.readline().strip()
            assert _when_up(f"{host}{CONTROL}/pt", headers) == expected
            body = {"name": "pt", "config": {"served_entities": [{"entity_name": "a.b.c", "entity_version": "1"}]}}
            httpx.post(f"{host}{CONTROL}", json=body, headers=headers, trust_env=False)
            process.send_signal(ending)
            process.wait(SOON)
            assert process.stderr is not None
            assert process.stderr.read() == ""


def _served(state: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SERVE, state]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _when_up(url: str, headers: dict[str, str]) -> int:
    for _ in range(400):
        try:
            return httpx.get(url, headers=headers, trust_env=False).status_code
        except httpx.ConnectError:
            time.sleep(0.05)
    raise AssertionError("the server did not come up")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104  # refused, not bound
def test_an_address_that_others_can_reach_must_be_meant(host: str) -> None:
    with pytest.raises(ValueError, match="allow_remote=True"):
        fm_workspace.serve(host, token="token-for-tests")
