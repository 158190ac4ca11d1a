"""The documentation that the demo reads says what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import fm_client
from fm_cli._corpus import corpus
from fm_client import APIError, APIStatusError, FMError, Timeout

TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in corpus()}
ABSTRACT = {FMError, APIError, APIStatusError}
ROOT = Path(__file__).resolve().parents[2]


def rows(text: str) -> set[str]:
    """What stands in backquotes in the first column of the tables."""
    firsts = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {name for first in firsts for name in re.findall(r"`([^`]+)`", first)}


def test_every_error_is_in_the_table() -> None:
    offered = [getattr(fm_client, name) for name in fm_client.__all__]
    errors = {each for each in offered if isinstance(each, type) and issubclass(each, FMError)} - ABSTRACT
    assert {error.__name__ for error in errors} == {
        name for name in rows(TEXTS["reliability"]) if name.endswith("Error")
    }


def test_every_limit_of_time_is_in_the_table_with_its_default() -> None:
    for field in dataclasses.fields(Timeout):
        assert f"| `{field.name}` | {field.default:g} s |" in TEXTS["reliability"]


def test_every_tag_of_the_workspace_is_in_the_table() -> None:
    source = (ROOT / "integrations" / "fm_workspace" / "_quirks.py").read_text(encoding="utf-8")
    assert {name for name in rows(TEXTS["workspace"]) if name.startswith("fm_")} == set(
        re.findall(r"fm_\w+", source)
    ) - {"fm_client"}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_what_the_documents_point_to_exists(name: str) -> None:
    """Options of the `fm` command, and modules of the packages."""
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXTS[name]))
    known = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "integrations" / "fm_cli").glob("*.py"))
    assert [option for option in options if option[2:].replace("-", "_") not in known] == []
