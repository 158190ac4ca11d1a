"""`fm endpoints …`: the control plane."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from ._failures import EXIT_CODES, ExitCode, failures
from ._options import HostOption, NameArgument, OutputOption, ProfileOption, TimeoutOption
from ._output import Output
from ._settings import EndpointFlags, ExternalFlags, RouteName, SizeFlags, Task

DEFAULT_WAIT = 1200.0
"""Seconds to wait for an endpoint, as the core does."""

app = typer.Typer(
    help="Serving endpoints: see, create, change, delete and wait for them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

PROVISIONED, EXTERNAL = "A model of Unity Catalog", "A model of another provider"
OptionalName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Name of the endpoint; a file may have it instead.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="A YAML or JSON file that says what is served; - is standard input.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="catalog.schema.model", rich_help_panel=PROVISIONED)]
VersionOption = Annotated[str | None, typer.Option("--version", help="Its version.", rich_help_panel=PROVISIONED)]
UnitsOption = Annotated[int | None, typer.Option("--units", min=1, help="Model units.", rich_help_panel=PROVISIONED)]
ChunksOption = Annotated[
    int | None,
    typer.Option("--chunks", min=1, help="Largest throughput, in the model's own steps.", rich_help_panel=PROVISIONED),
]
LeastOption = Annotated[
    int | None,
    typer.Option("--min-throughput", min=0, help="Least throughput, tokens per second.", rich_help_panel=PROVISIONED),
]
MostOption = Annotated[
    int | None,
    typer.Option("--max-throughput", min=1, help="Largest throughput, tokens per second.", rich_help_panel=PROVISIONED),
]
ZeroOption = Annotated[
    bool | None,
    typer.Option(
        "--scale-to-zero/--no-scale-to-zero",
        help="Keep nothing running while nobody asks.",
        rich_help_panel=PROVISIONED,
    ),
]
ProviderOption = Annotated[
    str | None,
    typer.Option(
        "--provider", help="Such as openai; `fm models --route external` lists them.", rich_help_panel=EXTERNAL
    ),
]
ExternalModelOption = Annotated[
    str | None, typer.Option("--external-model", help="The provider's name of it.", rich_help_panel=EXTERNAL)
]
TaskOption = Annotated[Task | None, typer.Option("--task", help="What it does.", rich_help_panel=EXTERNAL)]
SecretRefOption = Annotated[
    list[str] | None,
    typer.Option(
        "--secret-ref",
        metavar="[FIELD=]SCOPE/KEY",
        help="The secret of the workspace that holds the provider's key; FIELD where it takes several.",
        rich_help_panel=EXTERNAL,
    ),
]
KeyEnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key-env",
        metavar="[FIELD=]VARIABLE",
        help="The environment variable that holds the provider's key.",
        rich_help_panel=EXTERNAL,
    ),
]
KeyStdinOption = Annotated[
    bool, typer.Option("--key-stdin", help="Read the provider's key from standard input.", rich_help_panel=EXTERNAL)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="A further field of the provider's settings.", rich_help_panel=EXTERNAL
    ),
]
ServedNameOption = Annotated[str | None, typer.Option("--served-name", help="Name of the served entity.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag; repeatable.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until it is ready.")]


@app.command("list", epilog=EXIT_CODES)
def list_endpoints(
    route: Annotated[RouteName | None, typer.Option(help="Only those of one route.")] = None,
    task: Annotated[Task | None, typer.Option(help="Only those of one task.")] = None,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the endpoints that you may see."""
    with failures(output):
        from ._connect import Connection
        from ._endpoints import show_all

        show_all(route, task, Connection(host, profile), output)


@app.command(epilog=EXIT_CODES)
def get(
    name: NameArgument,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show one endpoint: its state, what it serves, its tags and its gateway."""
    with failures(output):
        from ._connect import Connection
        from ._endpoints import show_one

        show_one(name, Connection(host, profile), output)


CREATE = """Create an endpoint, from options or from a file.

A provider's key is never an argument, which every process on a machine can see: it is a reference to a secret, or
comes from an environment variable or standard input.
"""
UPDATE = """Replace what an endpoint serves, or scale it: without a model, sizes are those of the one it has.

Tags are added to those there are. Of a file, `tags` and `ai_gateway` are brought in as well.
"""


def _changing(verb: Literal["create", "update"]) -> Callable[..., None]:
    """The command `verb`: both take the same options."""

    def change(
        name: OptionalName = None,
        file: FileOption = None,
        model: ModelOption = None,
        version: VersionOption = None,
        units: UnitsOption = None,
        chunks: ChunksOption = None,
        min_throughput: LeastOption = None,
        max_throughput: MostOption = None,
        scale_to_zero: ZeroOption = None,
        provider: ProviderOption = None,
        external_model: ExternalModelOption = None,
        task: TaskOption = None,
        secret_ref: SecretRefOption = None,
        key_env: KeyEnvOption = None,
        key_stdin: KeyStdinOption = False,
        settings: SetOption = None,
        served_name: ServedNameOption = None,
        tag: TagOption = None,
        wait: WaitOption = False,
        timeout: TimeoutOption = DEFAULT_WAIT,
        host: HostOption = None,
        profile: ProfileOption = None,
        output: OutputOption = Output.TEXT,
    ) -> None:
        size = SizeFlags(units, chunks, min_throughput, max_throughput, scale_to_zero)
        keys = (tuple(secret_ref or ()), tuple(key_env or ()), key_stdin)
        external = ExternalFlags(provider, external_model, task, *keys, tuple(settings or ()))
        flags = EndpointFlags(name, file, model, version, size, external, served_name, tuple(tag or ()))
        with failures(output):
            from . import _endpoint_changes as changes
            from ._connect import Connection

            made = changes.create if verb == "create" else changes.update
            made(flags, timeout if wait else None, Connection(host, profile), output)

    return change


app.command("create", help=CREATE, epilog=EXIT_CODES)(_changing("create"))
app.command("update", help=UPDATE, epilog=EXIT_CODES)(_changing("update"))


@app.command(epilog=EXIT_CODES)
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Delete an endpoint. Asks first; where nobody can be asked, it needs --yes."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is nobody to ask: say --yes")
    if not yes and not _confirmed(f"Delete the endpoint {name}?"):
        typer.echo("Nothing was deleted.", err=True)
        raise typer.Exit(ExitCode.FAILED)
    with failures(output):
        from ._connect import Connection
        from ._endpoint_changes import delete

        delete(name, Connection(host, profile), output)


@app.command(epilog=EXIT_CODES)
def wait(
    name: NameArgument,
    timeout: TimeoutOption = DEFAULT_WAIT,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Wait until an endpoint is ready and no change of it is under way."""
    with failures(output):
        from ._connect import Connection
        from ._endpoint_changes import wait

        wait(name, timeout, Connection(host, profile), output)


@app.command(epilog=EXIT_CODES)
def logs(
    name: NameArgument,
    served: Annotated[str | None, typer.Option("--served", help="Served entity, where there are several.")] = None,
    build: Annotated[bool, typer.Option("--build", help="The log of its build instead of its server.")] = False,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the log of a served entity."""
    with failures(output):
        from ._connect import Connection
        from ._endpoints import show_log

        show_log(name, served, build, Connection(host, profile), output)


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C, or the end of input
        raise typer.Exit(ExitCode.INTERRUPTED) from None
