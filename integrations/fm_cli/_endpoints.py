"""`fm endpoints list`, `get` and `logs`: endpoints, shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fm_client import Endpoint, EndpointConfig, EndpointState, ServedEntity

from ._connect import Connection, connected
from ._output import Output, plain_table, print_json, print_table, terminal
from ._settings import RouteName, Task

MILLISECONDS = 1000
FACT_WIDTH = 13


def show_all(route: RouteName | None, task: Task | None, connection: Connection, output: Output) -> None:
    """Print all endpoints, or those of a route or a task."""
    with connected(connection) as client:
        found = [endpoint for endpoint in client.endpoints.list() if _is_wanted(endpoint, route, task)]
    if output is Output.JSON:
        print_json({"endpoints": [{**endpoint.to_dict(), "route": endpoint.route} for endpoint in found]})
        return
    console = terminal()
    table = plain_table(console)
    for heading in ("endpoint", "route", "task", "model", "state"):
        table.add_column(heading, overflow="fold")
    for endpoint in found:
        table.add_row(*_cells(endpoint), _styled(endpoint.state))
    print_table(table, console)


def show_one(name: str, connection: Connection, output: Output) -> None:
    """Print one endpoint, in full."""
    with connected(connection) as client:
        show(client.endpoints.get(name), output)


def show_log(name: str, served: str | None, build: bool, connection: Connection, output: Output) -> None:
    """Print a log of a served entity."""
    with connected(connection) as client:
        text = (client.endpoints.build_logs if build else client.endpoints.logs)(name, served)
    if output is Output.JSON:
        print_json({"endpoint": name, "logs": text})
    else:
        typer.echo(text.rstrip("\n"))


def show(endpoint: Endpoint, output: Output) -> None:
    """Print an endpoint, in full."""
    if output is Output.JSON:
        print_json({**endpoint.to_dict(), "route": endpoint.route})
        return
    console = terminal()
    for name, fact in _facts(endpoint):
        line = Text.assemble((f"{name:{FACT_WIDTH}}", "bold"), fact)
        console.print(line)
    console.print()
    print_table(_entities(endpoint, console), console)


def _is_wanted(endpoint: Endpoint, route: RouteName | None, task: Task | None) -> bool:
    return (route is None or endpoint.route.value == route.value) and (task is None or endpoint.task == task.wire_name)


def _cells(endpoint: Endpoint) -> list[str]:
    task = (endpoint.task or "").removeprefix("llm/v1/")
    return [endpoint.name, endpoint.route, task, endpoint.model_name or ""]


def _styled(state: EndpointState | None) -> Text:
    if state is None:
        return Text("")
    style = "red" if state.is_failed else "yellow" if state.is_updating or not state.is_ready else "green"
    return Text(str(state), style)


def _facts(endpoint: Endpoint) -> Iterator[tuple[str, str | Text]]:
    yield "endpoint", endpoint.name
    yield "route", endpoint.route
    yield "task", endpoint.task or "not stated"
    yield "state", _styled(endpoint.state)
    if endpoint.failure:
        yield "failure", Text(endpoint.failure, "red")
    if endpoint.description:
        yield "description", endpoint.description
    if endpoint.creator:
        yield "creator", endpoint.creator
    yield "created", _time(endpoint.creation_timestamp)
    yield "changed", _time(endpoint.last_updated_timestamp)
    if endpoint.tags:
        yield "tags", ", ".join(f"{tag.key}={tag.value}" if tag.value else tag.key for tag in endpoint.tags)
    if endpoint.ai_gateway is not None:
        yield "gateway", ", ".join(sorted(endpoint.ai_gateway.to_dict())) or "nothing"


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "not stated"
    return f"{datetime.fromtimestamp(milliseconds / MILLISECONDS, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _entities(endpoint: Endpoint, console: Console) -> Table:
    table = plain_table(console)
    for heading in ("serves", "model", "version", "size", "traffic", "deployment"):
        table.add_column(heading, overflow="fold")
    for config, note in ((endpoint.config, ""), (endpoint.pending_config, "pending: ")):
        for entity in config.entities if config else ():
            deployment = f"{note}{deployment_of(entity)}"
            cells = (entity.name or "", entity.underlying or "", entity.entity_version or "", _size(entity))
            table.add_row(*cells, _share(config, entity), Text(deployment, "red" if entity.failure else ""))
    return table


def deployment_of(entity: ServedEntity) -> str:
    """How far the deployment of a served entity is, and what it says of itself."""
    if entity.state is None:
        return ""
    word = (entity.state.deployment or "unknown").removeprefix("DEPLOYMENT_").lower()
    return f"{word}: {entity.state.deployment_state_message}" if entity.state.deployment_state_message else word


def _size(entity: ServedEntity) -> str:
    if entity.provisioned_model_units:
        return f"{entity.provisioned_model_units} units"
    if entity.max_provisioned_throughput:
        return f"{entity.min_provisioned_throughput or 0:,} to {entity.max_provisioned_throughput:,} tokens/s"
    return entity.external_model.provider if entity.external_model else ""


def _share(config: EndpointConfig | None, entity: ServedEntity) -> str:
    routes = (config.traffic_config.routes if config and config.traffic_config else None) or []
    named = [route for route in routes if entity.name in (route.served_entity_name, route.served_model_name)]
    return f"{named[0].traffic_percentage} %" if named else ""
