"""`fm endpoints create`, `update`, `delete` and `wait`: endpoints, changed, with a look at them while one waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fm_client import Client, Endpoint, InvalidRequestError

from ._connect import Connection, connected
from ._endpoint_specs import SIDE_FIELDS, name_of, spec_of, tags_of
from ._endpoints import deployment_of, show
from ._output import Output, print_json
from ._settings import EndpointFlags

FIRST_POLL = 0.5
FLEETING = (
    "fm: note: `--host local` without a workspace in the background is one of this command's own, and ends with it; "
    "`fm workspace start --background` starts one that stays"
)


def create(flags: EndpointFlags, wait: float | None, connection: Connection, output: Output) -> None:
    """Create an endpoint; `wait` is for how many seconds, None for not at all."""
    spec = spec_of(flags)
    name = name_of(flags, spec)
    if not spec.keys() - set(SIDE_FIELDS) and not flags.file:
        raise InvalidRequestError(
            "nothing is to be served: give --model and --version, or --provider, --external-model and --task, or --file"
        )
    _warn(connection)
    with connected(connection) as client:
        client.endpoints.create(name, **spec)
        show(_settled(client, name, wait, output), output)


def update(flags: EndpointFlags, wait: float | None, connection: Connection, output: Output) -> None:
    """Change an endpoint: what it serves or its size, then tags and gateway, as far as they are given."""
    spec = spec_of(flags)
    name = name_of(flags, spec)
    aside = {field: spec.pop(field) for field in SIDE_FIELDS if field in spec}
    if not spec and not flags.size.spec and not aside:
        raise InvalidRequestError("nothing is to be changed: say what, by options or --file")
    _warn(connection)
    with connected(connection) as client:
        if spec:
            client.endpoints.update(name, **spec)
        elif flags.size.spec:
            client.endpoints.scale(name, served=flags.served_name, **flags.size.spec)
        _change_aside(client, name, aside)
        show(_settled(client, name, wait, output), output)


def delete(name: str, connection: Connection, output: Output) -> None:
    """Delete an endpoint."""
    _warn(connection)
    with connected(connection) as client:
        client.endpoints.delete(name)
    if output is Output.JSON:
        print_json({"deleted": name})
    else:
        typer.echo(f"Deleted {name}.")


def wait(name: str, timeout: float, connection: Connection, output: Output) -> None:
    """Wait for an endpoint."""
    with connected(connection) as client:
        show(_settled(client, name, timeout, output), output)


@contextmanager
def watching(name: str, output: Output) -> Iterator[Callable[[Endpoint], object]]:
    """Shows the endpoint that is waited for: beside a spinner in a terminal, else a line for each change of it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield (lambda endpoint: typer.echo(progress_of(endpoint), err=True)) if output is Output.TEXT else bool
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda endpoint: bar.update(task, description=progress_of(endpoint))


def progress_of(endpoint: Endpoint) -> str:
    """State of an endpoint and of the deployments that are under way, on one line."""
    config = endpoint.pending_config or endpoint.config
    entities = config.entities if config else []
    parts = [f"{entity.name} {deployment_of(entity)}" for entity in entities if entity.state]
    return f"{endpoint.name}: {'; '.join([str(endpoint.state), *parts])}"


def _settled(client: Client, name: str, seconds: float | None, output: Output) -> Endpoint:
    if seconds is None:
        return client.endpoints.get(name)
    with watching(name, output) as tell:
        return client.endpoints.wait(name, timeout=seconds, on_state=tell, first_poll=FIRST_POLL)


def _change_aside(client: Client, name: str, aside: dict[str, Any]) -> None:
    if aside.get("tags"):
        client.endpoints.update_tags(name, tags_of(aside["tags"]))
    if aside.get("ai_gateway"):
        client.endpoints.update_ai_gateway(name, aside["ai_gateway"])


def _warn(connection: Connection) -> None:
    if connection.is_fleeting:
        typer.echo(FLEETING, err=True)
