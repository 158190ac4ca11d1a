"""`fm workspace start`: the embedded workspace on its own, until Ctrl-C, or in the background."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import typer

from fm_client import is_loopback
from fm_workspace import LOOPBACK_NETWORKS, Upstream, installation_token, serve

from ._background import Record, recorded
from ._output import Output, print_json
from ._settings import WorkspaceOptions

TOKEN_VARIABLE = "FM_WORKSPACE_TOKEN"  # noqa: S105  # a variable's name
QUERY_TOKEN_VARIABLE = "FM_WORKSPACE_QUERY_TOKEN"  # noqa: S105  # likewise
READ_TOKEN_VARIABLE = "FM_WORKSPACE_READ_TOKEN"  # noqa: S105  # likewise
UPSTREAM_KEY_VARIABLE = "FM_UPSTREAM_API_KEY"
TOKEN_BYTES = 32
IN_MEMORY = ":memory:"
"""SQLite's name for a state that no file keeps."""
_EVERYWHERE = {"http://0.0.0.0:": "http://127.0.0.1:", "http://[::]:": "http://[::1]:"}
REMOTE = "fm: warning: {host} can be reached from other machines; whoever has the token can use this workspace."
STARTED = "Embedded workspace at {address} ({engine}; {state}). Ctrl-C stops it.\n"
EXPORTS = """\
export DATABRICKS_HOST={host}
export DATABRICKS_TOKEN={token}
"""


def run(options: WorkspaceOptions, output: Output) -> None:
    """Serve until SIGINT or SIGTERM."""
    token = workspace_token(options)
    if options.allow_remote and not is_loopback(options.host):
        typer.echo(REMOTE.format(host=options.host), err=True)
    with ExitStack() as stack:
        tell = (
            partial(_record, options, token, stack) if options.detached else partial(_announce, options, token, output)
        )
        if options.detached:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what has to be undone is
        try:
            _serve(options, token, tell)
        except KeyboardInterrupt:
            pass  # `serve` returns on Ctrl-C; this one came before it had begun to listen for it
        except ValueError as exc:
            text = str(exc).replace("allow_remote=True", "--allow-remote").replace("provider_urls", "--provider-url")
            raise ValueError(text) from exc


def workspace_token(options: WorkspaceOptions) -> str:
    """The given one; else for a state that lasts one that lasts too. Where others can come in it must be given."""
    if given := _given_token(TOKEN_VARIABLE):
        return given
    if options.allow_remote and not is_loopback(options.host):
        raise ValueError(f"--allow-remote needs a token of your own: set {TOKEN_VARIABLE}")
    return installation_token() if options.state else secrets.token_urlsafe(TOKEN_BYTES)


def exports(host: str, token: str) -> str:
    """Lines for a shell that point any client to a workspace."""
    return EXPORTS.format(host=shlex.quote(host), token=shlex.quote(token))


def _serve(options: WorkspaceOptions, token: str, on_start: Callable[[str], None]) -> None:
    here = LOOPBACK_NETWORKS if is_loopback(options.host) else ()
    serve(
        options.host,
        options.port,
        token=token,
        state=options.state or IN_MEMORY,
        engine=_upstream(options) or "simulated",
        deploy_seconds=options.deploy_seconds,
        allow_remote=options.allow_remote,
        query_token=_given_token(QUERY_TOKEN_VARIABLE),
        read_token=_given_token(READ_TOKEN_VARIABLE),
        provider_networks=(*here, *options.provider_networks),
        provider_urls=_provider_urls(options.provider_urls),
        host_names=options.host_names,
        on_start=on_start,
    )


def _provider_urls(pairs: tuple[str, ...]) -> dict[str, str]:
    """What `--provider-url` says: addresses by provider."""
    urls: dict[str, str] = {}
    for pair in pairs:
        name, equals, url = pair.partition("=")
        if not equals or name in urls:
            raise ValueError(f"--provider-url must be NAME=URL, and once for each name, not {pair!r}")
        urls[name] = url
    return urls


def _given_token(variable: str) -> str | None:
    token = os.environ.get(variable)
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise ValueError(f"{variable} has characters that no client sends in a token (spaces or non-ASCII)")
    return token or None


def _upstream(options: WorkspaceOptions) -> Upstream | None:
    if options.upstream_url is None:
        return None
    models = {"*": options.upstream_model} if options.upstream_model else None
    try:
        return Upstream(options.upstream_url, os.environ.get(UPSTREAM_KEY_VARIABLE), models)
    except ValueError as exc:
        raise ValueError(str(exc).replace("base_url", "--upstream-url")) from exc


def _announce(options: WorkspaceOptions, token: str, output: Output, address: str) -> None:
    host = _reachable(address)
    if output is Output.JSON:
        print_json({"host": host, "token": token, "pid": os.getpid()})
        return
    engine = f"answers by {options.upstream_url}" if options.upstream_url else "simulated answers"
    state = f"state in {options.state}" if options.state else "nothing is kept"
    typer.echo(f"{STARTED.format(address=address, engine=engine, state=state)}\n{exports(host, token)}")


def _record(options: WorkspaceOptions, token: str, stack: ExitStack, address: str) -> None:
    state = str(options.state) if options.state else None
    stack.enter_context(recorded(Record(os.getpid(), _reachable(address), token, time.time(), state)))


def _reachable(address: str) -> str:
    """The address for a client on this machine: one that means "everywhere" is none to connect to."""
    for everywhere, here in _EVERYWHERE.items():
        if address.startswith(everywhere):
            return here + address.removeprefix(everywhere)
    return address
