"""`fm demo`: every framework over every route, on this machine or live."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib import import_module

from rich.console import Console
from rich.status import Status

from fm_client import __version__

from ._demo_places import Missing, Place, Scene, Step, Steps, embedded, live
from ._demo_report import Ending, Report, Row, excerpt, show
from ._output import Output, one_line, print_json, terminal
from ._settings import DemoOptions, Framework

ADAPTERS = {
    Framework.LANGCHAIN: "langchain_fm",
    Framework.LLAMAINDEX: "llamaindex_fm",
    Framework.MLFLOW: "mlflow_fm",
}
EXTRA_HINT = "fm-integrations["
"""In the text of every ImportError that is cured by an extra."""


def run(options: DemoOptions, output: Output) -> int:
    """Run the demo and print what ran; returns the exit code."""
    console = terminal()
    with Status("", console=Console(stderr=True)) as status:
        report = play(options, status.update if status.console.is_terminal else _silence)
    if output is Output.JSON:
        print_json({**asdict(report), "ok": report.exit_code == 0})
    else:
        show(report, console)
    return report.exit_code


def play(options: DemoOptions, tell: Callable[[str], None]) -> Report:
    """Run every step; one that fails does not keep the others from running."""
    began = time.perf_counter()
    report = Report(__version__, "live" if options.live else "embedded")
    if not options.live:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is to leave this machine
    tell("workspaces and endpoints")
    with (live if options.live else embedded)(options) as scene:
        report.about = scene.about
        report.setup_seconds = _since(began)
        for framework in [options.only] if options.only else Framework:
            tell(f"{framework}: import")
            report.steps += _framework(framework, scene, report, tell)
    report.total_seconds = _since(began)
    return report


def _framework(framework: Framework, scene: Scene, report: Report, tell: Callable[[str], None]) -> Iterator[Row]:
    began = time.perf_counter()
    try:
        import_module(ADAPTERS[framework])  # says which extra is missing, if one is
        steps_at: Callable[[Place], Steps] = import_module(f"{__package__}._demo_{framework}").steps
    except ImportError as error:
        status: Ending = "skipped" if EXTRA_HINT in str(error) else "failed"
        yield Row(framework, "", "", status, text=one_line(error))
        return
    report.import_seconds[framework] = _since(began)
    for place in scene.places:
        if isinstance(place, Missing):
            yield Row(framework, "", place.route, "skipped", text=place.reason)
            continue
        for name, step in steps_at(place).items():
            tell(f"{framework}: {name} over {place.route}")
            yield attempt(Row(framework, name, place.route, "ok", place.chat), step)


def attempt(row: Row, step: Step) -> Row:
    """`row`, with what came of `step`."""
    began = time.perf_counter()
    try:
        done = step()
    except Exception as error:  # noqa: BLE001  # whatever a framework raises is shown; the other steps go on
        text = f"{type(error).__name__}: {one_line(error)}"
        return replace(row, status="failed", seconds=_since(began), text=text)
    return replace(
        row,
        endpoint=done.endpoint,
        tokens_in=done.tokens_in,
        tokens_out=done.tokens_out,
        seconds=_since(began),
        text=excerpt(done.text),
    )


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 4)


def _silence(message: str) -> None:
    """Nobody watches."""
