"""`fm workspace start --background`, `status` and `stop`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import typer

from fm_client import APIError, Client

from . import _background as background
from ._failures import OUTPUT_VARIABLE, ExitCode
from ._output import Output, print_json
from ._settings import WorkspaceOptions
from ._workspace import exports

START_SECONDS = 30.0
PROBE_SECONDS = 5.0
PROGRAM = "from fm_cli import main; main()"
LOG_LINES = 3
"""How much of its log is told of a workspace that could not start."""


def start(options: WorkspaceOptions, output: Output) -> None:
    """Start a workspace that goes on without this command; its token is printed, and kept for `--host local`."""
    background.check_supported()
    if (there := background.running()) is not None:
        raise ValueError(f"a workspace runs in the background already, at {there.host} (process {there.pid})")
    kept = options.state.resolve() if options.state else None
    with background.private_file(background.log_path(), "w") as log:
        process = subprocess.Popen(  # noqa: S603  # this very program
            [sys.executable, "-P", "-c", PROGRAM, *_arguments(replace(options, state=kept))],
            cwd=background.state_directory(),
            env={name: value for name, value in os.environ.items() if name != OUTPUT_VARIABLE},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    record = _started(process)
    if output is Output.JSON:
        print_json(_as_json(record, token=record.token))
    else:
        typer.echo(f"Embedded workspace at {record.host} (process {record.pid}). `fm workspace stop` stops it.\n")
        typer.echo(exports(record.host, record.token), nl=False)


def status(output: Output, shell: bool) -> int:
    """Show the workspace in the background; returns the exit code."""
    record = background.running()
    if record is None:
        return _absent(output)
    endpoints = _endpoints(record)
    if shell:
        typer.echo(exports(record.host, record.token), nl=False)
    elif output is Output.JSON:
        print_json({"running": True, "answers": endpoints is not None, "endpoints": endpoints, **_as_json(record)})
    else:
        typer.echo("\n".join(_lines(record, endpoints)))
    return ExitCode.OK if endpoints is not None else ExitCode.CONNECTION


def stop(output: Output) -> None:
    """Stop the workspace in the background; one that is dead already is forgotten."""
    record, stale = background.running(), background.last_record()
    if record is not None:
        background.end(record)
        done = f"Stopped the workspace at {record.host} (process {record.pid})."
    else:
        background.forget()
        dead = f"No workspace runs; the one of process {stale.pid} had ended by itself." if stale else None
        done = dead or "No workspace runs in the background."
    if output is Output.JSON:
        print_json({"stopped": record is not None, "pid": record.pid if record else None})
    else:
        typer.echo(done)


def _arguments(options: WorkspaceOptions) -> list[str]:
    """The command line of the process in the background. What is secret comes by the environment."""
    named = {
        "--host": options.host,
        "--port": options.port,
        "--state": options.state,
        "--upstream-url": options.upstream_url,
        "--upstream-model": options.upstream_model,
        "--deploy-seconds": options.deploy_seconds,
    }
    pairs = [part for name, value in named.items() if value is not None for part in (name, str(value))]
    engine = ["--engine", "upstream"] if options.upstream_url else []
    names = [part for name in options.host_names for part in ("--host-name", name)]
    networks = [part for network in options.provider_networks for part in ("--provider-network", network)]
    urls = [part for pair in options.provider_urls for part in ("--provider-url", pair)]
    remote = ["--allow-remote"] if options.allow_remote else []
    return ["workspace", "start", "--detached", *pairs, *engine, *names, *networks, *urls, *remote]


def _started(process: subprocess.Popen[bytes]) -> background.Record:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        record = background.running()
        if record is not None and record.pid == process.pid:
            return record
        if process.poll() is not None:
            raise ValueError(f"the workspace did not start: {_last_words()}")
        time.sleep(background.POLL_SECONDS)
    process.terminate()
    raise TimeoutError(f"the workspace did not start in {START_SECONDS:g} s: {background.log_path()} may say why")


def _last_words() -> str:
    lines = background.log_path().read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " ".join(lines[-LOG_LINES:]).removeprefix("fm: ") or "it said nothing"


def _endpoints(record: background.Record) -> int | None:
    """How many endpoints it has; None if it does not answer."""
    try:
        with Client(record.host, record.token, timeout=PROBE_SECONDS, max_retries=0) as client:
            return len(client.endpoints.list())
    except APIError:
        return None


def _absent(output: Output) -> int:
    stale = background.last_record()
    if output is Output.JSON:
        print_json({"running": False, "stale_pid": stale.pid if stale else None})
    else:
        ended = f" The last one (process {stale.pid}) ended by itself; see {background.log_path()}." if stale else ""
        typer.echo(f"No workspace runs in the background.{ended}")
    return ExitCode.FAILED


def _lines(record: background.Record, endpoints: int | None) -> Iterator[str]:
    age = _duration(time.time() - record.started)
    yield f"Embedded workspace at {record.host} (process {record.pid}), up for {age}."
    yield f"State in {record.state}." if record.state else "Nothing is kept when it stops."
    yield f"{endpoints} endpoints." if endpoints is not None else "It does NOT answer."
    yield "`fm … --host local` talks to it; `fm workspace status --shell` prints what points other clients at it."


def _as_json(record: background.Record, **more: Any) -> dict[str, Any]:
    seconds = round(time.time() - record.started, 1)
    return {"host": record.host, "pid": record.pid, "state": record.state, "up_seconds": seconds, **more}


def _duration(seconds: float) -> str:
    """A length of time for people.

    >>> _duration(3725)
    '1:02:05'
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
