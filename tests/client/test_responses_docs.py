"""What the documents say of the Responses API and of agents runs as it stands."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from fm_client import NotFoundError

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^# (.*)$", re.MULTILINE)


@pytest.mark.parametrize("name", ["routes.md", "workspace.md"])
def test_the_snippets_print_what_the_document_says(name: str) -> None:
    """All blocks run in order, in one namespace; a comment that is a whole line is the output of what stands above it."""
    namespace: dict[str, Any] = {"__name__": "document"}
    for code in BLOCK.findall((DOCS / name).read_text(encoding="utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, name, "exec"), namespace)  # noqa: S102  # running it is the test
        if expected := OUTPUT.findall(code):
            assert expected == printed.getvalue().splitlines()
    client = namespace.get("fm") or namespace["client"]
    for endpoint in ("sums", "my-agent", "slow-llama"):  # the process shares its workspace
        with contextlib.suppress(NotFoundError):
            client.endpoints.delete(endpoint)
    client.close()
