"""docs/routes.md: its snippets run and print what it says, and its tables are those of the catalog."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fm_client import Client, catalog, refresh_catalog

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "routes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^# (.*)$", re.MULTILINE)
TASKS = ("llm/v1/completions", "llm/v1/chat", "llm/v1/embeddings")


def test_the_snippets_print_what_the_page_says() -> None:
    """All blocks run in order, in one namespace; a comment that is a whole line is the output of what stands above it."""
    with Client(host="local") as client:
        there = {endpoint.name for endpoint in client.endpoints.list()}
        try:
            run_all()
        finally:
            for name in {endpoint.name for endpoint in client.endpoints.list()} - there:
                client.endpoints.delete(name)


def run_all() -> None:
    space: dict[str, Any] = {"__name__": "routes"}
    for code in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "routes.md", "exec"), space)  # noqa: S102  # running it is the test
        assert OUTPUT.findall(code) == printed.getvalue().splitlines()
    for opened in {id(value): value for value in space.values() if isinstance(value, Client)}.values():
        opened.close()


def test_the_table_of_providers_is_the_catalogs() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")]
    shown = {row[0]: row for row in rows if len(row) == 6 and row[0] != "provider"}

    assert shown.keys() == {entry.name for entry in catalog.external_providers()}
    for entry in catalog.external_providers():
        _, provider, *cells, settings = shown[entry.name]
        assert provider == f"`{entry.provider}`"
        assert cells == ["yes" if task in entry.tasks else "no" if task in entry.unsupported else "" for task in TASKS]
        assert settings == "the same" or all(f"`{field}`" in settings for field in entry.required)


@pytest.mark.parametrize(
    ("says", "limit", "value"),
    [
        ("4 MB [3] | 4 MB [3] | 4 MB [3]", ("hosted", "payload"), 4),
        ("120 s [3] | 120 s [3] | 120 s [3]", ("external", "execution"), 120),
        ("200 queries/s for a workspace", ("provisioned", "queries_per_second"), 200),
        ("no limit of tokens per minute", ("provisioned", "tokens_per_minute"), None),
        ("GTE 150, BGE 600", ("databricks-bge-large-en", "queries_per_second"), 600),
        ("1,200 queries per hour", ("databricks-meta-llama-3-3-70b-instruct", "queries_per_hour"), 1200),
    ],
)
def test_the_figures_are_the_catalogs(says: str, limit: tuple[str, str], value: float | None) -> None:
    assert says in PAGE
    assert [found.value for found in catalog.limits(limit[0]) if found.name == limit[1]] == [value]


def test_the_page_promises_the_notice_of_the_policy() -> None:
    assert f"{catalog.policy().pay_per_token_notice_months} months' notice of an end" in PAGE
    assert f"{catalog.policy().provisioned_throughput_notice_months} months' notice [5]" in PAGE


def test_the_document_of_the_page_makes_a_catalog(tmp_path: Path) -> None:
    (document,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "news.json").write_text(document)
    output = tmp_path / "catalog.json"

    assert refresh_catalog.main([str(tmp_path / "news.json"), "--output", str(output)]) == 0
    catalog.load(output)
    try:
        assert catalog.replacement("databricks-llama-4-maverick") == "databricks-new-model"
    finally:
        catalog.load()
    assert json.loads(output.read_text())["sources"]["page"]["date"] == "2027-01-15"
