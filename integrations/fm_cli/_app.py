"""The commands and their options; what they do is imported when they run, so that `fm --help` is quick."""

from __future__ import annotations

import io
import platform
import sys
from pathlib import Path
from typing import Annotated

import typer

from ._output import Output, failures
from ._settings import CHAT_MODEL, EMBEDDING_MODEL, DemoOptions, Engine, Framework, Task, WorkspaceOptions

EXIT_CODES = "Exit codes: 0 all went well, 1 something failed, 2 the command line is wrong, 130 interrupted."

app = typer.Typer(
    name="fm",
    help="Foundation models behind serving endpoints: hosted, provisioned and external.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # its tracebacks show variables, and one of them may be a token
)
workspace_app = typer.Typer(
    help="The embedded workspace: the service's REST API on this machine.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(workspace_app, name="workspace")

OutputOption = Annotated[Output, typer.Option(help="text for people, json for programs.")]


def main() -> None:
    """Run the `fm` command with the arguments of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the encoding lacks is no reason to fail
            stream.reconfigure(errors="replace")
    app()


@app.command(epilog=EXIT_CODES)
def demo(
    live: Annotated[
        bool, typer.Option("--live", help="Use the workspace of DATABRICKS_HOST and DATABRICKS_TOKEN. It may bill.")
    ] = False,
    only: Annotated[Framework | None, typer.Option(help="One framework instead of all.")] = None,
    output: OutputOption = Output.TEXT,
    hosted_model: Annotated[str, typer.Option(help="Hosted endpoint for chat.")] = CHAT_MODEL,
    embedding_model: Annotated[str, typer.Option(help="Hosted endpoint for embeddings.")] = EMBEDDING_MODEL,
    provisioned_endpoint: Annotated[
        str | None, typer.Option(help="With --live: a chat endpoint of yours with provisioned throughput.")
    ] = None,
    external_endpoint: Annotated[
        str | None, typer.Option(help="With --live: a chat endpoint of yours with an external model.")
    ] = None,
) -> None:
    """Run LangChain, LlamaIndex and MLflow over the hosted, the provisioned and the external route.

    Without --live everything runs on this machine, on two embedded workspaces, the second of which plays the external
    provider: no account, no network, and simulated answers.
    """
    if not live and (provisioned_endpoint or external_endpoint):
        raise typer.BadParameter("--provisioned-endpoint and --external-endpoint need --live")
    with failures():
        from ._demo import run

        options = DemoOptions(live, only, hosted_model, embedding_model, provisioned_endpoint, external_endpoint)
        raise typer.Exit(run(options, output))


@workspace_app.command(epilog=EXIT_CODES)
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
) -> None:
    """Serve the embedded workspace until Ctrl-C.

    Prints its address and token, as lines to paste into a shell. The token is made at random unless FM_WORKSPACE_TOKEN
    has one, and with --state it is the same the next time. FM_WORKSPACE_QUERY_TOKEN and FM_WORKSPACE_READ_TOKEN are for
    users who may do less. The key of an upstream server is read from FM_UPSTREAM_API_KEY.
    """
    if (engine is Engine.UPSTREAM) != (upstream_url is not None):
        raise typer.BadParameter("--engine upstream and --upstream-url belong together")
    if upstream_model and not upstream_url:
        raise typer.BadParameter("--upstream-model needs --upstream-url")
    with failures():
        from ._workspace import run

        names, networks = tuple(host_name or ()), tuple(provider_network or ())
        upstream = (upstream_url, upstream_model)
        run(WorkspaceOptions(host, port, state, *upstream, deploy_seconds, allow_remote, names, networks))


@app.command(epilog=EXIT_CODES)
def models(
    task: Annotated[Task | None, typer.Option(help="Only the models of one task.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the hosted models that this package knows, retired ones last. A hint: the service may have others."""
    with failures():
        from ._models import show

        show(task, output)


@app.command(epilog=EXIT_CODES)
def version() -> None:
    """Say which version this is."""
    from fm_client import __version__

    typer.echo(f"fm-integrations {__version__} (Python {platform.python_version()})")
