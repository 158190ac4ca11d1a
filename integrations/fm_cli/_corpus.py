"""The text files that `fm demo` indexes: this project's own documentation."""

from __future__ import annotations

from pathlib import Path

FILES = ("reliability.md", "routes.md", "workspace.md")
"""Of `docs/`; `pyproject.toml` puts them into the wheel, as `fm_cli/corpus/`."""


def corpus() -> list[Path]:
    """The files: beside this module where it was installed, under `docs/` in a checkout."""
    installed, checkout = Path(__file__).with_name("corpus"), Path(__file__).parents[2] / "docs"
    folder = installed if installed.is_dir() else checkout
    return [folder / name for name in FILES]
