"""`fm models`: the catalog of hosted models as a table, or as JSON with its sources."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fm_client import catalog

from ._output import Output, plain_table, print_json, print_table, terminal
from ._settings import Task

FOOTNOTE = "* stated by a third party only. All of this is a hint: the service changes its models on its own."


def show(task: Task | None, output: Output) -> None:
    """Print the hosted models, of one task or all, the retired ones last."""
    found = sorted(catalog.models(task.wire_name if task else None), key=_is_retired)
    if output is Output.JSON:
        sources = {key: asdict(source) for key, source in catalog.sources().items()}
        print_json({"models": [_as_json(model) for model in found], "sources": sources})
        return
    console = terminal()
    table = plain_table(console)
    for heading in ("endpoint", "model", "task", "input", "context", ""):
        table.add_column(heading, justify="right" if heading == "context" else "left", no_wrap=heading == "endpoint")
    for model in found:
        table.add_row(*_cells(model), style="dim" if _is_retired(model) else None)
    print_table(table, console)
    console.print(FOOTNOTE)


def _is_retired(model: catalog.HostedModel) -> bool:
    return catalog.retirement(model.endpoint) is not None


def _as_json(model: catalog.HostedModel) -> dict[str, Any]:
    return {
        **asdict(model),
        "retired": _is_retired(model),
        "replacement": catalog.replacement(model.endpoint),
        "notice": catalog.retirement_notice(model.endpoint),
    }


def _cells(model: catalog.HostedModel) -> list[str]:
    hearsay = bool({"context_tokens", "*"} & set(model.third_party))
    context = f"{model.context_tokens:,}{'*' if hearsay else ''}" if model.context_tokens else ""
    task = (model.task or "").removeprefix("llm/v1/")
    return [model.endpoint, model.display_name, task, ", ".join(model.inputs), context, _status(model)]


def _status(model: catalog.HostedModel) -> str:
    found = catalog.retirement(model.endpoint)
    if found is None:
        return ""
    return f"retired {found.date}" + (" (unverified)" if "date" in found.unverified else "")
