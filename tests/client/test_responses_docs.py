"""What docs/workspace.md says runs as it stands; test_routes_page.py has docs/routes.md."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from fm_client import NotFoundError

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^# (.*)$", re.MULTILINE)


def test_the_snippets_print_what_the_document_says() -> None:
    """All blocks run in order, in one namespace; a comment that is a whole line is the output of what stands above it."""
    namespace: dict[str, Any] = {"__name__": "document"}
    for code in BLOCK.findall((DOCS / "workspace.md").read_text(encoding="utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "workspace.md", "exec"), namespace)  # noqa: S102  # running it is the test
        if expected := OUTPUT.findall(code):
            assert expected == printed.getvalue().splitlines()
    client = namespace["client"]
    for endpoint in ("busy", "my-agent", "slow-llama"):  # the process shares its workspace
        with contextlib.suppress(NotFoundError):
            client.endpoints.delete(endpoint)
    client.close()
