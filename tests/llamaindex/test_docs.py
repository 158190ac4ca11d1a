"""The page on LlamaIndex says what is so: its snippets run, and its tables are whole."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from llama_index.core import Settings

from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM
from llamaindex_fm._connection import ANSWERED, ELSEWHERE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "llamaindex.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^# (.*)$", re.MULTILINE)
OFFICIAL = """
additional_kwargs api_base api_key api_version async_http_client async_openai_client audio_config callback_manager
completion_to_prompt context_window default_headers embed_batch_size embeddings_cache endpoint http_client is_chat_model
is_function_calling_model logprobs max_retries max_tokens messages_to_prompt modalities model model_name num_workers
openai_client output_parser pydantic_program_mode query_wrapper_prompt rate_limiter reasoning_effort reuse_client
should_use_structured_outputs strict system_prompt temperature timeout tokenizer top_logprobs
"""
"""All arguments of Databricks, OpenAILike and DatabricksEmbedding, as of the versions that the page names."""


@pytest.mark.filterwarnings("ignore:The `json` method")  # LlamaIndex's own use of pydantic
def test_the_snippets_print_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks run in order, in one namespace; a comment that is a whole line is the output of what stands above it."""
    monkeypatch.setattr(Settings, "_llm", None)
    monkeypatch.setattr(Settings, "_embed_model", None)
    namespace: dict[str, object] = {"__name__": "page"}
    for code in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "llamaindex.md", "exec"), namespace)  # noqa: S102  # running it is the test
        assert OUTPUT.findall(code) == printed.getvalue().splitlines()
    for name in ("llm", "embed_model"):
        namespace[name].close()  # type: ignore[attr-defined]  # of the first snippet


def mapped() -> set[str]:
    """What stands in backquotes in the first column of the table of arguments."""
    table = PAGE[PAGE.index("| there | here |") : PAGE.index("Deliberate differences")]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for first in firsts for name in re.findall(r"`(\w+)`", first)}


def test_every_argument_of_the_official_classes_is_mapped() -> None:
    assert set(OFFICIAL.split()) - mapped() == set()


def test_every_argument_that_an_error_translates_is_mapped() -> None:
    assert (ELSEWHERE | ANSWERED).keys() - {"base_url", "dimension"} - mapped() == set()


def test_every_argument_of_the_official_classes_is_one_here_or_its_error_says_what_takes_its_place() -> None:
    ours = {*FoundationModelLLM.model_fields, *FoundationModelEmbedding.model_fields, "endpoint"}
    assert set(OFFICIAL.split()) - ours - ELSEWHERE.keys() - ANSWERED.keys() == set()


def test_what_is_said_to_be_the_same_is_so() -> None:
    same = [line.split("|")[1] for line in PAGE.splitlines() if re.match(r"\| `.*\| the same\b", line)]
    names = {name for first in same for name in re.findall(r"`(\w+)`", first)}
    assert len(names) > 15
    fields = FoundationModelLLM.model_fields.keys() | FoundationModelEmbedding.model_fields.keys()
    assert names - fields == set()


def test_the_result_of_the_conformance_kit_is_there() -> None:
    result = PAGE[PAGE.index("<!-- conformance: begin -->") : PAGE.index("<!-- conformance: end -->")]
    assert re.search(r"Tried on \d\d \w+ \d{4}, .*llama-index-llms-databricks \d", result)
    ours = re.findall(r"^\| (?:LLM|Embedding) \| .* \| (\d+) of (\d+) \| ", result, re.MULTILINE)
    assert len(ours) > 60
    assert all(passed == tried for passed, tried in ours)
