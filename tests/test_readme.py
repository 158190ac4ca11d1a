"""The snippets of README.md run as they stand, and print what it says; each page names what its snippets need."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^# (.*)$", re.MULTILINE)
EMBEDDED = re.compile(r'^```python\n(?:(?!^```$).)*?(?:host="local"|fm://local)', re.MULTILINE | re.DOTALL)
"""A snippet that runs on the embedded workspace."""
EXTRAS = re.compile(r'pip install "fm-integrations\[([\w,]+)\]"')
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_snippets_print_what_the_readme_says() -> None:
    """All blocks run in order, in one namespace; a comment that is a whole line is the output of what stands above it."""
    namespace: dict[str, object] = {"__name__": "readme"}
    for code in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102  # running it is the test
        assert OUTPUT.findall(code) == printed.getvalue().splitlines()
    namespace["fm"].close()  # type: ignore[attr-defined]  # the client of the first snippet


def test_the_first_30_lines_show_the_client_and_all_three_adapters() -> None:
    head = "\n".join(README.splitlines()[:30])
    for part in ("pip install", "fm_client", "langchain_fm", "llamaindex_fm", "mlflow", 'host="local"'):
        assert part in head
    assert "```" == README.splitlines()[28], "the snippets end there"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if EMBEDDED.search(page.read_text("utf-8"))], ids=lambda p: p.stem
)
def test_who_installs_what_a_page_says_first_has_the_workspace_that_its_snippets_use(page: Path) -> None:
    extras = EXTRAS.search(page.read_text(encoding="utf-8"))
    assert extras is not None
    assert {"all", "workspace"} & set(extras[1].split(","))
