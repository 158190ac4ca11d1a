"""The commands and their options; what they do is imported when they run, so that `fm --help` is quick."""

from __future__ import annotations

import io
import platform
import sys
import warnings
from typing import Annotated

import typer

from . import _app_endpoints, _app_queries, _app_workspace
from ._failures import EXIT_CODES, Group, failures
from ._options import HostOption, OutputOption, ProfileOption, endpoint_names
from ._output import Output, print_json
from ._settings import CHAT_MODEL, EMBEDDING_MODEL, DemoOptions, Framework, RouteName, Task

app = typer.Typer(
    name="fm",
    cls=Group,
    help="Foundation models behind serving endpoints: hosted, provisioned and external.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # its tracebacks show variables, and one of them may be a token
)
app.add_typer(_app_queries.app)
app.add_typer(_app_endpoints.app, name="endpoints")
app.add_typer(_app_workspace.app, name="workspace")


def _show_version(wanted: bool) -> None:
    if wanted:
        version(Output.TEXT)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the `fm` command with the arguments of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the encoding lacks is no reason to fail
            stream.reconfigure(errors="replace")
    warnings.showwarning = _warn
    app()


def _warn(message: Warning | str, *args: object, **kwargs: object) -> None:
    """A warning for who runs the command, not for who wrote it: without file and line."""
    typer.echo(f"fm: {message}", err=True)


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
    with failures(output):
        from ._demo import run

        options = DemoOptions(live, only, hosted_model, embedding_model, provisioned_endpoint, external_endpoint)
        raise typer.Exit(run(options, output))


@app.command(epilog=EXIT_CODES)
def models(
    route: Annotated[RouteName, typer.Option(help="Hosted models, provisioned families or external providers.")] = (
        RouteName.HOSTED
    ),
    task: Annotated[Task | None, typer.Option(help="Only what can do this.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only of this provider, such as meta.")] = None,
    family: Annotated[str | None, typer.Option(help="Only what has this in its name, such as llama.")] = None,
    retired: Annotated[bool, typer.Option("--all", help="Also what is retired or outdated.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the models that this package knows, with their retirements. A hint: the service may have others."""
    with failures(output):
        from ._models import Filters, show

        show(Filters(route, task, provider, family, retired), output)


@app.command(epilog=EXIT_CODES)
def doctor(
    endpoint: Annotated[
        str | None, typer.Argument(help="Endpoint to look at as well.", autocompletion=endpoint_names)
    ] = None,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check configuration, proxy, connection, certificate, clock, login and an endpoint, and say what to fix."""
    with failures(output):
        from ._connect import Connection
        from ._doctor import run

        raise typer.Exit(run(Connection(host, profile), endpoint, output))


@app.command(epilog=EXIT_CODES)
def version(output: OutputOption = Output.TEXT) -> None:
    """Say which version this is."""
    from fm_client import __version__

    if output is Output.JSON:
        print_json({"version": __version__, "python": platform.python_version()})
    else:
        typer.echo(f"fm-integrations {__version__} (Python {platform.python_version()})")
