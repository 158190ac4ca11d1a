"""`fm models`: the catalog of all three routes as a table, or as JSON with its sources."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
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
    found = [each for each in catalog.models() if filters.takes([each.task], each.provider, each.endpoint, each.name)]
    found = sorted((model for model in found if filters.retired or not _is_retired(model)), key=_is_retired)
    ended = _ended(filters, {model.endpoint for model in found}, "pay-per-token")
    if output is Output.JSON:
        report = {"models": [_as_json(model) for model in found], "retirements": [_dated(entry) for entry in ended]}
        print_json({**report, "sources": _sources()})
        return
    rows = [_cells(model) for model in found]
    rows += [[entry.endpoint or "", entry.model, "", "", "", _end_of(entry)] for entry in ended]
    faded = [*(_is_retired(model) for model in found), *(True for _ in ended)]
    _print(("endpoint", "model", "task", "input", "context", ""), rows, faded)
    terminal().print(f"{HEARSAY}{'' if filters.retired else ' --all lists retired models too.'}")


def _provisioned(filters: Filters, output: Output) -> None:
    found = [each for each in catalog.provisioned_families() if filters.takes(each.tasks, None, each.family)]
    found = [each for each in found if filters.retired or not each.legacy]
    models = [each for each in catalog.provisioned_models() if filters.takes([], None, each.model)]
    ended = _ended(filters, set(), "provisioned-throughput")
    if output is Output.JSON:
        report = {"families": [asdict(each) for each in found], "models": [asdict(each) for each in models]}
        print_json({**report, "retirements": [_dated(entry) for entry in ended], "sources": _sources()})
        return
    rows = [[each.family, _tasks(each.tasks) or "not stated", each.note or ""] for each in found]
    rows += [[entry.model, "", _end_of(entry)] for entry in ended]
    _print(("family", "tasks", "note"), rows, [*(each.legacy for each in found), *(True for _ in ended)])
    named = f" For instance {', '.join(each.model for each in models)}." if models else ""
    terminal().print(f"Families whose models can be served with provisioned throughput.{named} {FOOTNOTE}")


def _external(filters: Filters, output: Output) -> None:
    found = [each for each in catalog.external_providers() if filters.takes(each.tasks, each.provider, each.name)]
    if output is Output.JSON:
        print_json({"providers": [asdict(each) for each in found], "sources": _sources()})
        return
    rows = [[each.provider, each.name, _tasks(each.tasks) or "not stated", _needs(each)] for each in found]
    _print(("provider", "used as", "tasks", "settings"), rows, [False] * len(rows))
    terminal().print(f"Keys are references to secrets, or FIELD_plaintext. {FOOTNOTE}")


def _needs(provider: catalog.ExternalProvider) -> str:
    """The settings that must be given: `a, b, then c or d + e`."""
    variant = f"{provider.variant_field}={provider.variant}"
    shown = [variant if field == provider.variant_field else field for field in provider.required]
    if provider.variant_field and provider.variant_field not in provider.required:
        shown.append(variant)
    keys = " or ".join(" + ".join(fields) for fields in provider.auth)
    return ", ".join(filter(None, (*shown, keys)))


def _print(headings: Sequence[str], rows: Iterable[Sequence[str]], faded: Iterable[bool]) -> None:
    console = terminal()
    table = plain_table(console)
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "context" else "left", overflow="fold")
    for row, is_faded in zip(rows, faded, strict=True):
        table.add_row(*row, style="dim" if is_faded else None)
    if table.row_count:
        print_table(table, console)
    else:
        console.print("None that this package knows is of that kind.")


def _sources() -> dict[str, Any]:
    return {key: asdict(source) for key, source in catalog.sources().items()}


def _tasks(tasks: Iterable[str]) -> str:
    return ", ".join(task.removeprefix("llm/v1/") for task in tasks)


def _is_retired(model: catalog.HostedModel) -> bool:
    found = catalog.retirement(model.endpoint)
    return found is not None and found.date <= _today()


def _as_json(model: catalog.HostedModel) -> dict[str, Any]:
    found = catalog.retirement(model.endpoint)
    return {
        **asdict(model),
        "retired": _is_retired(model),
        "retirement_date": found.date.isoformat() if found else None,
        "replacement": catalog.replacement(model.endpoint),
        "notice": catalog.retirement_notice(model.endpoint, _today()),
    }


def _cells(model: catalog.HostedModel) -> list[str]:
    hearsay = bool({"context_tokens", "*"} & set(model.third_party))
    context = f"{model.context_tokens:,}{'*' if hearsay else ''}" if model.context_tokens else ""
    task = (model.task or "").removeprefix("llm/v1/")
    found = catalog.retirement(model.endpoint)
    end = _end_of(found) if found else ""
    return [model.endpoint, model.display_name, task, ", ".join(model.inputs), context, end]


def _ended(filters: Filters, shown: Collection[str | None], offering: str) -> list[catalog.Retirement]:
    """With `--all`, what ended and is not in sight anyway: of it neither task nor provider are known any more."""
    if not filters.retired:
        return []
    found = [entry for entry in catalog.retirements() if entry.offering == offering and entry.endpoint not in shown]
    return [entry for entry in found if filters.takes([], None, entry.endpoint, entry.model)]


def _end_of(entry: catalog.Retirement) -> str:
    """When a model ends, and what to use instead."""
    when = f"{'retired' if entry.date <= _today() else 'retires'} {entry.date}"
    unsure = " (unverified)" if "date" in entry.unverified else ""
    instead = catalog.replacement(entry.endpoint) if entry.endpoint else entry.replacement
    return f"{when}{unsure}" + (f"; use {instead}" if instead else "")


def _dated(entry: catalog.Retirement) -> dict[str, Any]:
    until = entry.redirect_until and entry.redirect_until.isoformat()
    return {**asdict(entry), "date": entry.date.isoformat(), "redirect_until": until}


def _today() -> date:
    return datetime.now(UTC).date()
