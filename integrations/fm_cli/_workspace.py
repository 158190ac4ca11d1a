"""`fm workspace start`: the embedded workspace on its own, until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import shlex
from functools import partial

import typer

from fm_workspace import Upstream, serve

from ._settings import WorkspaceOptions

TOKEN_VARIABLE = "FM_WORKSPACE_TOKEN"  # noqa: S105  # a variable's name
UPSTREAM_KEY_VARIABLE = "FM_UPSTREAM_API_KEY"
TOKEN_BYTES = 32
IN_MEMORY = ":memory:"
"""SQLite's name for a state that no file keeps."""
_EVERYWHERE = {"http://0.0.0.0:": "http://127.0.0.1:", "http://[::]:": "http://[::1]:"}
STARTED = """\
Embedded workspace at {address} ({engine}; {state}). Ctrl-C stops it.

export DATABRICKS_HOST={host}
export DATABRICKS_TOKEN={token}
"""


def run(options: WorkspaceOptions) -> None:
    """Serve until SIGINT or SIGTERM."""
    token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(TOKEN_BYTES)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{TOKEN_VARIABLE} has characters that no client sends in a token (spaces or non-ASCII)")
    try:
        serve(
            options.host,
            options.port,
            token=token,
            state=options.state or IN_MEMORY,
            engine=_upstream(options) or "simulated",
            deploy_seconds=options.deploy_seconds,
            allow_remote=options.allow_remote,
            host_names=options.host_names,
            on_start=partial(_announce, options, token),
        )
    except KeyboardInterrupt:
        pass  # `serve` returns on Ctrl-C; this one came before it had begun to listen for it
    except ValueError as exc:
        raise ValueError(str(exc).replace("allow_remote=True", "--allow-remote")) from exc


def _upstream(options: WorkspaceOptions) -> Upstream | None:
    if options.upstream_url is None:
        return None
    models = {"*": options.upstream_model} if options.upstream_model else None
    try:
        return Upstream(options.upstream_url, os.environ.get(UPSTREAM_KEY_VARIABLE), models)
    except ValueError as exc:
        raise ValueError(str(exc).replace("base_url", "--upstream-url")) from exc


def _announce(options: WorkspaceOptions, token: str, address: str) -> None:
    engine = f"answers by {options.upstream_url}" if options.upstream_url else "simulated answers"
    state = f"state in {options.state}" if options.state else "nothing is kept"
    host = _reachable(address)
    typer.echo(
        STARTED.format(address=address, engine=engine, state=state, host=shlex.quote(host), token=shlex.quote(token))
    )


def _reachable(address: str) -> str:
    """The address for a client on this machine: one that means "everywhere" is none to connect to."""
    for everywhere, here in _EVERYWHERE.items():
        if address.startswith(everywhere):
            return here + address.removeprefix(everywhere)
    return address
