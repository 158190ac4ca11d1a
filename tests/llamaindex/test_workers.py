"""Pipelines in several processes, on a machine that reaches nothing but itself: they work, or fail, but never wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fm_workspace import Workspace

BLOCKED = """
import socket
connect = socket.socket.connect

def to_this_machine_only(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"there is no internet: {address}")
    return connect(self, address)

def resolve(host, *args, resolve=socket.getaddrinfo, **kwargs):
    if host not in ("127.0.0.1", "::1", "localhost", None):
        raise socket.gaierror(f"there is no internet: {host}")
    return resolve(host, *args, **kwargs)

socket.socket.connect, socket.getaddrinfo = to_this_machine_only, resolve
"""
"""For `sitecustomize.py`, which the workers read as well."""

PIPELINE = """
import asyncio, os, sys
from llama_index.core import Document
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter, TokenTextSplitter
from llamaindex_fm import FoundationModelEmbedding, offline

TEXT = "The lighthouse was built in 1871. Its keeper was Ada Finch. The tower is forty-one metres tall. " * 12

def main(splitter, way):
    offline()
    embed_model = FoundationModelEmbedding("databricks-gte-large-en")
    splitters = {"sentences": SentenceSplitter, "tokens": TokenTextSplitter}
    pipeline = IngestionPipeline(transformations=[splitters[splitter](chunk_size=64, chunk_overlap=8), embed_model])
    os.environ.update(item.split("=") for item in sys.argv[3:])
    documents = [Document(text=TEXT, id_=str(i)) for i in range(4)]
    if way == "run":
        nodes = pipeline.run(documents=documents, num_workers=2)
    else:
        nodes = asyncio.run(pipeline.arun(documents=documents, num_workers=2))
    print(len(nodes) > 8, {len(node.embedding) for node in nodes})

if __name__ == "__main__":
    main(*sys.argv[1:3])
"""
WAIT = 100.0
"""Seconds after which a pipeline counts as one that waits for ever; it takes some five."""


@pytest.fixture
def run(ws: Workspace, tmp_path: Path) -> Any:
    """`run("sentences", "arun", "NAME=value of the workers", …)` -> the process, when it has ended."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    env = {name: value for name, value in os.environ.items() if name not in ("TIKTOKEN_CACHE_DIR", "NLTK_DATA")}
    env |= {"DATABRICKS_HOST": ws.host, "DATABRICKS_TOKEN": ws.token, "PYTHONPATH": str(tmp_path)}

    def start(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "pipeline.py"), *args]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=WAIT)

    return start


@pytest.mark.parametrize(("splitter", "way"), [("sentences", "run"), ("sentences", "arun"), ("tokens", "run")])
def test_workers_need_no_internet(run: Any, splitter: str, way: str) -> None:
    done = run(splitter, way)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True {1024}"


@pytest.mark.parametrize(
    ("way", "variable", "says"),
    [
        ("run", "TIKTOKEN_CACHE_DIR=/nowhere", "the tokenizer's vocabulary could not be loaded: cl100k_base"),
        ("run", "DATABRICKS_TOKEN=", "no credential for http://127.0.0.1"),
        ("run", "DATABRICKS_TOKEN=wrong", "AuthenticationError"),
        ("arun", "DATABRICKS_TOKEN=wrong", "AuthenticationError"),
    ],
    ids=["no vocabulary", "no token", "wrong token", "wrong token, async"],
)
def test_a_worker_that_cannot_work_says_so(run: Any, way: str, variable: str, says: str) -> None:
    """And does not let the pipeline wait for ever, as an error while a task is read would."""
    done = run("sentences", way, variable)
    assert done.returncode == 1
    assert says in done.stderr
