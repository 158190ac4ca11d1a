"""Runs in the environment of the tools: draws the charts of a run. `python -m … RESULTS FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ._results import Results
from ._roster import ROSTER, Entry

COLOURS = {"ours": "#1f7a4d", "peer": "#b9bec5", "floor": "#dfe3e8", "limit": "#dfe3e8"}
LINES = ("#1f7a4d", "#2f6fb0", "#c2741f", "#8a4fa3")
PANELS = (
    ("import_wall", "import, seconds"),
    ("chat_sync", "CPU of one call, µs"),
    ("rate_200", "200 calls at once, 200 ms each: calls/s"),
    ("chunk_sync", "CPU of one streamed chunk, µs"),
    ("first_chunk", "time to the first chunk, ms"),
    ("embed_2048", "2,048 embeddings at 50 ms, seconds"),
)
GROWTH = {
    "grow_concurrent": ("calls at once", "how cost grows: calls at once"),
    "grow_texts": ("texts to embed", "how cost grows: texts"),
    "grow_chunks": ("chunks of a stream", "how cost grows: chunks"),
}
HIDDEN = {"httpx-lifo", "mlflow-skinny", "skinny"}
"""In the tables only."""


def panels(results: Results, plt: Any, path: Path) -> None:
    """Who takes how much, side by side."""
    figure, axes = plt.subplots(3, 2, figsize=(10, 9.5))
    for axis, (metric, title) in zip(axes.flat, PANELS, strict=True):
        shown = [each for each in ROSTER if results.values(each.name, metric) and each.name not in HIDDEN]
        bars(results, axis, metric, shown)
        axis.set_title(title, fontsize=10, loc="left")
    save(figure, plt, path)


def bars(results: Results, axis: Any, metric: str, shown: list[Entry]) -> None:
    values = [results.median(each.name, metric) or 0.0 for each in shown]
    labels = [each.label for each in shown]
    drawn = axis.barh(labels, values, color=[COLOURS[each.role] for each in shown])
    axis.bar_label(
        drawn, labels=[f" {value:,.3g}" if value < 1000 else f" {value:,.0f}" for value in values], fontsize=8
    )
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_visible(False)
    axis.spines[["top", "right", "bottom"]].set_visible(False)


def growth(results: Results, plt: Any, metric: str, path: Path) -> None:
    """CPU by size, on two logarithmic axes; the dotted line is linear."""
    figure, axis = plt.subplots(figsize=(5, 3.6))
    ours = [entry for entry in ROSTER if results.growth(entry.name, metric)]
    for entry, colour in zip(ours, LINES, strict=False):
        points = results.growth(entry.name, metric)
        label = f"{entry.label}: p = {results.exponent(entry.name, metric):.2f}"
        axis.loglog(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=label)
    size, spent = max((results.growth(entry.name, metric)[-1] for entry in ours), key=lambda point: point[1])
    start = results.growth(ours[0].name, metric)[0][0]
    axis.loglog([start, size], [spent * start / size, spent], ":", color="#888888", linewidth=1, label="linear")
    axis.set_xlabel(GROWTH[metric][0], fontsize=8)
    axis.set_ylabel("CPU, seconds", fontsize=8)
    axis.set_title(GROWTH[metric][1], fontsize=10, loc="left")
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, plt, path)


def save(figure: Any, plt: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(figure)
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def main() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "fm", "font.family": "sans-serif", "path.simplify": True}
    import matplotlib.pyplot as plt

    source, folder = json.loads(sys.argv[1])
    results, target = Results(json.loads(Path(source).read_text(encoding="utf-8"))), Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    panels(results, plt, target / "performance.svg")
    for metric in GROWTH:
        growth(results, plt, metric, target / f"{metric.replace('grow_', 'growth-')}.svg")
    print(json.dumps({"drawn": len(GROWTH) + 1}))


if __name__ == "__main__":
    main()
