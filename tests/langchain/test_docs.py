"""What docs/langchain.md says runs as it stands, and its tables name arguments that there are."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fm_client import Client, NotFoundError
from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings
from langchain_fm._arguments import renamed

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "langchain.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^# (.*)$", re.MULTILINE)


@pytest.fixture
def tidy() -> Iterator[None]:
    """The process shares its workspace."""
    yield
    with Client(host="local") as client, contextlib.suppress(NotFoundError):
        client.endpoints.delete("sums")


@pytest.mark.usefixtures("tidy")
def test_the_snippets_print_what_the_document_says() -> None:
    """All blocks run in order, in one namespace; a comment that is a whole line is the output of what stands above it."""
    namespace: dict[str, object] = {"__name__": "document"}
    for code in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "langchain.md", "exec"), namespace)  # noqa: S102  # running it is the test
        assert OUTPUT.findall(code) == printed.getvalue().splitlines()
    for value in namespace.values():
        if isinstance(value, ChatFoundationModel | FoundationModelEmbeddings | Client):
            value.close()


def rows(heading: str) -> list[tuple[str, str]]:
    """The rows of the table below a heading, without its head."""
    section = TEXT.split(f"### {heading}\n")[1].split("\n### ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [(theirs, ours) for theirs, ours, *_ in lines[1:]]


@pytest.mark.parametrize("heading", ["ChatDatabricks, DatabricksEmbeddings", "ChatOpenAI", "OpenAIEmbeddings"])
def test_what_the_tables_point_to_exists(heading: str) -> None:
    known = {
        *ChatFoundationModel.model_fields,
        *FoundationModelEmbeddings.model_fields,
        "endpoint",
        "api_key",
        "profile",
    }
    named = {
        name for _, ours in rows(heading) for name in re.findall(r"^`(\w+)`$|`(\w+)=", ours) for name in name if name
    }
    assert named - known == set()


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("ChatDatabricks, DatabricksEmbeddings", ChatFoundationModel),
        ("ChatOpenAI", ChatFoundationModel),
        ("OpenAIEmbeddings", FoundationModelEmbeddings),
    ],
)
def test_what_is_said_to_be_the_same_is_the_same(heading: str, model: type) -> None:
    for theirs, ours in rows(heading):
        for name in re.findall(r"`(\w+)`", theirs) if ours.startswith("the same") else ():
            if name not in ("custom_inputs", "query_params", "documents_params", "request_timeout"):
                assert renamed(model, {name: None})  # type: ignore[arg-type]  # a pydantic class


def cured() -> Iterator[tuple[type, str, str]]:
    """Class, argument and cure, for the arguments of the tables that are not ours; some are in two of them."""
    tables = (("ChatDatabricks, DatabricksEmbeddings", ChatFoundationModel), ("ChatOpenAI", ChatFoundationModel))
    for heading, model in (*tables, ("OpenAIEmbeddings", FoundationModelEmbeddings)):
        for theirs, ours in rows(heading):
            for name in re.findall(r"`(\w+)`", theirs):
                known = name in model.model_fields or name in ("endpoint", "api_key")
                if not known and not ours.startswith(("the same", "as for")) and "as above" not in ours:
                    yield model, name, ours


@pytest.mark.parametrize(("model", "name", "ours"), sorted(set(cured()), key=str))
def test_the_error_that_an_argument_of_another_package_is_says_what_the_table_says(
    model: type, name: str, ours: str
) -> None:
    with pytest.raises(ValueError, match=f"unknown argument '{name}'") as caught:
        model(model="e", **{name: "x"})
    if ours.startswith("nothing"):
        assert "leave it out" in str(caught.value)
    else:
        assert any(field in str(caught.value) for field in re.findall(r"`(\w+)", ours))
        assert "did you mean" not in str(caught.value)
