"""What MLflow's tracing and its saved settings make of the classes. In a process of its own: autolog patches LlamaIndex."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fm_workspace import Workspace

pytest.importorskip("mlflow.llama_index")

TRACING = """
import asyncio, json, sys
import mlflow
mlflow.llama_index.autolog()
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM, offline

offline()
llm = FoundationModelLLM("databricks-meta-llama-3-3-70b-instruct")
embed_model = FoundationModelEmbedding("databricks-gte-large-en")
found = {}

def note(name, answer):
    trace = mlflow.get_trace(mlflow.get_last_active_trace_id(), flush=True)
    usage = (getattr(answer, "raw", None) or {}).get("usage")
    spans = [(span.name, span.attributes.get("mlflow.llm.model")) for span in trace.data.spans]
    found[name] = [trace.info.token_usage, usage, str(trace.info.state), spans]

hello = [ChatMessage(role="user", content="Say hello.")]
note("chat", llm.chat(hello))
note("complete", llm.complete("Say hello."))
note("stream_chat", list(llm.stream_chat(hello))[-1])
note("stream_complete", list(llm.stream_complete("Say hello."))[-1])
note("achat", asyncio.run(llm.achat(hello)))
note("get_query_embedding", embed_model.get_query_embedding("hello"))
index = VectorStoreIndex.from_documents([Document(text="The sky is blue.")], embed_model=embed_model)
note("query", index.as_query_engine(llm=llm).query("What is blue?"))
print(json.dumps(found))
"""

SETTINGS = """
import sys
from llama_index.core import Settings
from mlflow.llama_index.serialize_objects import deserialize_settings, serialize_settings
from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

Settings.llm = FoundationModelLLM("databricks-meta-llama-3-3-70b-instruct", token="secret-of-tests", max_tokens=9)
Settings.embed_model = FoundationModelEmbedding("databricks-gte-large-en", token="secret-of-tests", normalize=True)
serialize_settings(sys.argv[1])
Settings._llm = Settings._embed_model = None
deserialize_settings(sys.argv[1])
print(Settings.llm.complete("Say hello.").additional_kwargs["completion_tokens"] <= 9, Settings.embed_model.normalize)
"""


@pytest.fixture
def run(ws: Workspace, tmp_path: Path) -> Any:
    """`run(code, …)` -> what a new interpreter prints last."""
    there = {
        "DATABRICKS_HOST": ws.host,
        "DATABRICKS_TOKEN": ws.token,
        "MLFLOW_TRACKING_URI": (tmp_path / "runs").as_uri(),
    }
    env = {**os.environ, **there, "MLFLOW_ALLOW_FILE_STORE": "true"}

    def script(code: str, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, *args], check=False, capture_output=True, text=True, env=env
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    return script


def test_traces_have_the_usage_once_and_one_span_for_a_call(run: Any) -> None:
    found = json.loads(run(TRACING))
    for name in ("chat", "complete", "stream_chat", "stream_complete", "achat"):
        traced, usage, state, spans = found[name]
        assert state.endswith("OK")
        assert (traced["input_tokens"], traced["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
        assert spans == [[f"FoundationModelLLM.{name}", "databricks-meta-llama-3-3-70b-instruct"]]
    names = [name for name, _ in found["query"][3]]
    assert names.count("FoundationModelLLM.chat") == 1
    assert found["query"][0]["total_tokens"] > 0
    queried = [name for name, _ in found["get_query_embedding"][3]]
    assert queried.count("FoundationModelEmbedding.get_query_embedding") == 1


def test_saved_settings_can_be_loaded_and_hold_no_secret(run: Any, tmp_path: Path) -> None:
    saved = tmp_path / "settings.json"
    assert run(SETTINGS, str(saved)) == "True True"
    text = saved.read_text()
    assert "secret-of-tests" not in text
    assert '"llamaindex_fm.FoundationModelLLM"' in text, "the public place of the class"
