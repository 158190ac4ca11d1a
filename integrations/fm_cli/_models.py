"""`fm models`: the catalog of all three routes as a table, or as JSON with its sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fm_client import catalog

from ._output import Output, plain_table, print_json, print_table, terminal
from ._settings import RouteName, Task

FOOTNOTE = "All of this is a hint: the service changes its models on its own."
HEARSAY = f"* stated by a third party only. {FOOTNOTE}"


@dataclass(frozen=True, slots=True)
class Filters:
    """What is to be listed."""

    route: RouteName = RouteName.HOSTED
    task: Task | None = None
    provider: str | None = None
    family: str | None = None
    retired: bool = False

    def takes(self, tasks: Sequence[str | None], provider: str | None, *names: str | None) -> bool:
        """Whether something of these tasks, this provider and these names is wanted."""
        return (
            (self.task is None or self.task.wire_name in tasks)
            and (self.provider is None or _plain(self.provider) == _plain(provider))
            and (self.family is None or any(_plain(self.family) in _plain(name) for name in names))
        )


def show(filters: Filters, output: Output) -> None:
    """Print the models of one route."""
    {RouteName.HOSTED: _hosted, RouteName.PROVISIONED: _provisioned, RouteName.EXTERNAL: _external}[filters.route](
        filters, output
    )


def _plain(text: str | None) -> str:
    """`text` for comparison, whatever its case and its spaces."""
    return (text or "").casefold().replace(" ", "-").replace("_", "-")


def _hosted(filters: Filters, output: Output) -> None:
    found = [
        model for model in catalog.models() if filters.takes([model.task], model.provider, model.endpoint, model.name)
    ]
    found = sorted((model for model in found if filters.retired or not _is_retired(model)), key=_is_retired)
    if output is Output.JSON:
        print_json({"models": [_as_json(model) for model in found], "sources": _sources()})
        return
    rows = [_cells(model) for model in found]
    faded = [_is_retired(model) for model in found]
    _print(("endpoint", "model", "task", "input", "context", ""), rows, faded)
    hidden = "" if filters.retired else " --all lists retired models too."
    terminal().print(f"{HEARSAY}{hidden}")


def _provisioned(filters: Filters, output: Output) -> None:
    found = [each for each in catalog.provisioned_families() if filters.takes(each.tasks, None, each.family)]
    found = [each for each in found if filters.retired or not each.legacy]
    if output is Output.JSON:
        print_json({"families": [asdict(each) for each in found], "sources": _sources()})
        return
    rows = [[each.family, _tasks(each.tasks) or "not stated", each.note or ""] for each in found]
    _print(("family", "tasks", "note"), rows, [each.legacy for each in found])
    terminal().print(f"Families whose models can be served with provisioned throughput. {FOOTNOTE}")


def _external(filters: Filters, output: Output) -> None:
    raise NotImplementedError


def _print(headings: Sequence[str], rows: Iterable[Sequence[str]], faded: Iterable[bool]) -> None:
    console = terminal()
    table = plain_table(console)
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if heading == "context" else "left", no_wrap=at == 0)
    for row, is_faded in zip(rows, faded, strict=True):
        table.add_row(*row, style="dim" if is_faded else None)
    print_table(table, console)


def _sources() -> dict[str, Any]:
    return {key: asdict(source) for key, source in catalog.sources().items()}


def _tasks(tasks: Iterable[str]) -> str:
    return ", ".join(task.removeprefix("llm/v1/") for task in tasks)


def _is_retired(model: catalog.HostedModel) -> bool:
    found = catalog.retirement(model.endpoint)
    return found is not None and found.date <= datetime.now(UTC).date()


def _as_json(model: catalog.HostedModel) -> dict[str, Any]:
    found = catalog.retirement(model.endpoint)
    return {
        **asdict(model),
        "retired": _is_retired(model),
        "retirement_date": found.date.isoformat() if found else None,
        "replacement": catalog.replacement(model.endpoint),
        "notice": catalog.retirement_notice(model.endpoint),
    }


def _cells(model: catalog.HostedModel) -> list[str]:
    hearsay = bool({"context_tokens", "*"} & set(model.third_party))
    context = f"{model.context_tokens:,}{'*' if hearsay else ''}" if model.context_tokens else ""
    task = (model.task or "").removeprefix("llm/v1/")
    return [model.endpoint, model.display_name, task, ", ".join(model.inputs), context, _status(model)]


def _status(model: catalog.HostedModel) -> str:
    """When it ends, and what to use instead."""
    found = catalog.retirement(model.endpoint)
    if found is None:
        return ""
    instead = catalog.replacement(model.endpoint)
    when = f"{'retired' if _is_retired(model) else 'retires'} {found.date}"
    unsure = " (unverified)" if "date" in found.unverified else ""
    return f"{when}{unsure}" + (f"; use {instead}" if instead else "")
