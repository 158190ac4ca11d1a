"""Cures for what LlamaIndex would fetch from the internet, and that importing this package costs nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llamaindex_fm import _offline, offline


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": os.environ["HOME"]})


def linked(tmp_path: Path) -> Path:
    """A copy of the sentence data with hard links in it, as uv installs it."""
    data = tmp_path / "bundled" / "tokenizers" / "punkt_tab"
    data.mkdir(parents=True)
    (tmp_path / "stored.txt").write_text("data")
    (data / "abbrev.txt").hardlink_to(tmp_path / "stored.txt")
    return tmp_path / "bundled"


def test_the_bundled_vocabulary_is_used() -> None:
    assert offline()["TIKTOKEN_CACHE_DIR"] == os.environ["TIKTOKEN_CACHE_DIR"]
    vocabulary = Path(os.environ["TIKTOKEN_CACHE_DIR"]) / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"  # cl100k_base
    assert vocabulary.is_file()


def test_what_is_set_already_stays() -> None:
    os.environ.update(TIKTOKEN_CACHE_DIR="/mine", NLTK_DATA="/mine too")
    assert offline() == {}
    assert os.environ["TIKTOKEN_CACHE_DIR"] == "/mine"


def test_plain_files_are_used_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("data")
    monkeypatch.setattr(_offline, "SENTENCES", tmp_path / "data")
    assert "NLTK_DATA" not in offline(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_hard_links_are_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_offline, "SENTENCES", linked(tmp_path))
    copied = Path(offline(tmp_path / "cache")["NLTK_DATA"])
    [file] = [path for path in copied.rglob("*") if path.is_file()]
    assert (file.read_text(), file.stat().st_nlink) == ("data", 1)
    file.write_text("changed")
    del os.environ["NLTK_DATA"]
    assert Path(offline(tmp_path / "cache")["NLTK_DATA"]) == copied
    assert file.read_text() == "changed"
    assert list((tmp_path / "cache" / "fm-integrations").iterdir()) == [copied]


def test_without_a_directory_the_users_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_offline, "SENTENCES", linked(tmp_path))
    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "xdg")
    assert offline()["NLTK_DATA"].startswith(str(tmp_path / "xdg" / "fm-integrations"))


def run(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    return done.stdout.strip()


def test_nothing_is_imported_besides_llama_index_and_the_core() -> None:
    code = """
import sys
import llama_index.core.llms.loading, llama_index.core.embeddings.loading, llama_index.core.program.function_program, fm_client
before = set(sys.modules)
import llamaindex_fm
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    assert run(code) == "['llamaindex_fm']"


def test_the_import_is_little_more_than_that_of_llama_index() -> None:
    """Budget: 1.15 of what any adapter costs. In modules, which are the same on every machine."""
    code = """
import sys
from llama_index.core.llms import LLM
from llama_index.core.base.embeddings.base import BaseEmbedding
floor = len(sys.modules)
import llamaindex_fm
print(len(sys.modules) / floor)
"""
    assert float(run(code)) <= 1.15


def test_a_missing_framework_is_said_with_its_cure() -> None:
    code = """
import sys
sys.modules["llama_index.core"] = None
try:
    import llamaindex_fm
except ImportError as error:
    print(error)
"""
    assert run(code) == 'llamaindex_fm needs llama-index-core: pip install "fm-integrations[llamaindex]"'


def test_registering_twice_changes_nothing() -> None:
    code = """
import importlib, llamaindex_fm
from llama_index.core.llms.loading import RECOGNIZED_LLMS
before = len(RECOGNIZED_LLMS)
importlib.reload(llamaindex_fm._llm)
print(len(RECOGNIZED_LLMS) - before, "FoundationModelLLM" in RECOGNIZED_LLMS)
"""
    assert run(code) == "0 True"
