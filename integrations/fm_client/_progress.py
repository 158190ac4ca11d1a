"""A progress bar for long `embed` calls."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from ._errors import ConfigurationError

Progress = Callable[[int, int], None]


def with_progress(params: Mapping[str, Any]) -> dict[str, Any]:
    """`params`, where `show_progress` has become an `on_progress` that draws a bar and then calls the caller's."""
    if not params.get("show_progress"):
        return dict(params)
    return {**params, "on_progress": _drawn(params.get("on_progress"))}


def _drawn(then: Progress | None) -> Progress:
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError as exc:
        raise ConfigurationError("show_progress needs tqdm: pip install tqdm") from exc
    bar = tqdm(unit="text", desc="embed")

    def on_progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()
        if then is not None:
            then(done, total)

    return on_progress
