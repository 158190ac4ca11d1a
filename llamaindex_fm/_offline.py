"""Working without internet: LlamaIndex's two data sets, which it otherwise fetches, or refuses to read."""

from __future__ import annotations

import copyreg
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import llama_index.core

_STATIC = Path(llama_index.core.__file__).parent / "_static"
TOKENIZERS = _STATIC / "tiktoken_cache"
"""Bundled with llama-index-core: the vocabularies that its splitters count tokens with."""
SENTENCES = _STATIC / "nltk_cache"
"""Bundled with llama-index-core: the data that its sentence splitter needs."""


def offline(cache_dir: str | Path | None = None) -> dict[str, str]:
    """Make LlamaIndex's splitters use what is bundled with it; call it once, before a pipeline is run.

    * Worker processes (`IngestionPipeline.run(num_workers=2)`) look for the tokenizer's vocabulary on the internet,
      and where there is none, the pipeline waits for ever. `TIKTOKEN_CACHE_DIR` is pointed at the bundled copy; and a
      vocabulary that a worker cannot load is an error when it is used.
    * Recent versions of nltk refuse data files that are hard links, which is how uv installs them. Such files are
      copied, once, to `cache_dir` (default: `$XDG_CACHE_HOME` or `~/.cache`), and `NLTK_DATA` is pointed there.

    A variable that is set already stays as it is. Returns the variables that were set.
    """
    wanted = {"TIKTOKEN_CACHE_DIR": str(TOKENIZERS)}
    if "NLTK_DATA" not in os.environ and _has_hard_links(SENTENCES):
        wanted["NLTK_DATA"] = str(_copied(SENTENCES, _cache_dir(cache_dir)))
    variables = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(variables)
    _pickle_vocabularies_by_name()
    return variables


def _pickle_vocabularies_by_name() -> None:
    import tiktoken  # as late as LlamaIndex does

    copyreg.pickle(tiktoken.Encoding, lambda encoding: (load_vocabulary, (encoding.name,)))


def load_vocabulary(name: str) -> Any:
    """A vocabulary in another process. Nothing may be raised here: a pool that cannot read a task waits for ever."""
    import tiktoken

    try:
        return tiktoken.get_encoding(name)
    except (OSError, ValueError) as error:
        return MissingVocabulary(f"{name}: {error}")


class MissingVocabulary:
    """In the place of a vocabulary that could not be loaded."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def encode(self, text: str, **options: Any) -> list[int]:
        """Say what is missing."""
        raise RuntimeError(
            f"the tokenizer's vocabulary could not be loaded: {self.reason}. Leave TIKTOKEN_CACHE_DIR unset, and call "
            "llamaindex_fm.offline() before the pipeline is run"
        )


def _has_hard_links(directory: Path) -> bool:
    return any(path.stat().st_nlink > 1 for path in directory.rglob("*") if path.is_file())


def _cache_dir(given: str | Path | None) -> Path:
    base = given or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fm-integrations"


def _copied(source: Path, directory: Path) -> Path:
    """A copy of `source`, named after the version that it belongs to; made elsewhere and moved, so never half."""
    target = directory / f"nltk-{metadata.version('llama-index-core')}"
    if target.is_dir():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as half:
        whole = shutil.copytree(source, Path(half) / "data")
        try:
            whole.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was quicker
                raise
    return target
