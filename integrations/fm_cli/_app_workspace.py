"""`fm workspace …`: the embedded workspace, in the foreground and in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._failures import EXIT_CODES, failures
from ._options import OutputOption
from ._output import Output
from ._settings import Engine, WorkspaceOptions

app = typer.Typer(
    help="The embedded workspace: the service's REST API on this machine.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command(epilog=EXIT_CODES)
def start(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 0,
    state: Annotated[
        Path | None, typer.Option(help="File that keeps the endpoints over restarts.", dir_okay=False)
    ] = None,
    engine: Annotated[Engine, typer.Option(help="What answers: rules, or another server's models.")] = Engine.SIMULATED,
    upstream_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server to ask, such as http://localhost:11434/v1.")
    ] = None,
    upstream_model: Annotated[
        str | None, typer.Option(help="The server's model for all endpoints; otherwise of each endpoint's own name.")
    ] = None,
    deploy_seconds: Annotated[float, typer.Option(min=0.0, help="How long a deployment takes.")] = 0.0,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Listen where others can reach it.")] = False,
    host_name: Annotated[list[str] | None, typer.Option(help="A name that others call it by; repeatable.")] = None,
    provider_network: Annotated[
        list[str] | None, typer.Option(help="A network that providers may be in, such as 10.1.0.0/16; repeatable.")
    ] = None,
    provider_url: Annotated[
        list[str] | None,
        typer.Option(help="Another address for a provider, such as anthropic=https://llm.example.com; repeatable."),
    ] = None,
    background: Annotated[bool, typer.Option("--background", help="Go on without this command.")] = False,
    detached: Annotated[bool, typer.Option("--detached", hidden=True)] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve the embedded workspace until Ctrl-C, or in the background until `fm workspace stop`.

    Prints its address and token, as lines to paste into a shell. The token is made at random unless FM_WORKSPACE_TOKEN
    has one, and with --state it is the same the next time. FM_WORKSPACE_QUERY_TOKEN and FM_WORKSPACE_READ_TOKEN are for
    users who may do less. The key of an upstream server is read from FM_UPSTREAM_API_KEY. With --background,
    `--host local` of the other commands leads to it.
    """
    _check(engine, upstream_url, upstream_model)
    names, networks = tuple(host_name or ()), tuple(provider_network or ())
    upstream, urls = (upstream_url, upstream_model), tuple(provider_url or ())
    options = WorkspaceOptions(
        host, port, state, *upstream, deploy_seconds, allow_remote, names, detached, networks, urls
    )
    with failures(output):
        if background:
            from ._workspace_jobs import start

            start(options, output)
        else:
            from ._workspace import run

            run(options, output)


@app.command(epilog=EXIT_CODES)
def status(
    shell: Annotated[bool, typer.Option("--shell", help='Print lines for a shell: eval "$(…)".')] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say whether a workspace runs in the background, and where. Exit code 1: none does; 5: it does not answer."""
    with failures(output):
        from ._workspace_jobs import status

        raise typer.Exit(status(output, shell))


@app.command(epilog=EXIT_CODES)
def stop(output: OutputOption = Output.TEXT) -> None:
    """Stop the workspace in the background. It is no failure if none runs."""
    with failures(output):
        from ._workspace_jobs import stop

        stop(output)


def _check(engine: Engine, upstream_url: str | None, upstream_model: str | None) -> None:
    if (engine is Engine.UPSTREAM) != (upstream_url is not None):
        raise typer.BadParameter("--engine upstream and --upstream-url belong together")
    if upstream_model and not upstream_url:
        raise typer.BadParameter("--upstream-model needs --upstream-url")
