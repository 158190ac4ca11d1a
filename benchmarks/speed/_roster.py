"""Who is measured: one environment each, what it installs, and what stands for what in the tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["ours", "peer", "floor", "limit"]
Needs = tuple[str, ...]
OURS: Needs = ("fm-integrations",)
"""Stands for the wheel of the working tree."""


@dataclass(frozen=True)
class Entry:
    """One row of the tables."""

    name: str
    label: str
    role: Role
    environment: str
    imports: str
    """What a program that uses it imports, as it does so."""
    module: str = ""
    kind: str = ""
    """The class, in `module`, that opens it; "" if only its import is measured."""
    distribution: str = ""
    """What of it is installed by name; the version in the tables is this one's."""


ENVIRONMENTS: dict[str, Needs] = {
    "httpx": ("httpx", "pydantic"),
    "fm-core": OURS,
    "fm-langchain": ("fm-integrations[langchain]",),
    "fm-llamaindex": ("fm-integrations[llamaindex]",),
    "fm-mlflow": ("fm-integrations[mlflow]",),
    "fm-workspace": ("fm-integrations[workspace]",),
    "openai": ("openai",),
    "langchain-openai": ("langchain-openai",),
    "databricks-langchain": ("databricks-langchain", "mcp<2"),  # with mcp 2 it does not import
    "llama-index-databricks": ("llama-index-llms-databricks", "llama-index-embeddings-databricks"),
    "mlflow": ("mlflow",),
    "mlflow-skinny": ("mlflow-skinny",),
}
TOOLS: Needs = ("matplotlib", "uvloop")

# An adapter is a class, and making one of a framework's base class is most of what its import costs.
_LEAST = f"sys.path.append({str(Path(__file__).parent)!r}); import _least_"
_LANGCHAIN, _LLAMAINDEX = f"{_LEAST}langchain", f"{_LEAST}llamaindex"
_DEPLOYMENTS = "from mlflow.deployments import get_deploy_client"

ROSTER = (
    Entry("raw", "raw sockets", "limit", "httpx", "import socket, json", "_plain", "Raw"),
    Entry("httpx", "httpx as shipped", "floor", "httpx", "import httpx, pydantic", "_plain", "Httpx", "httpx"),
    Entry("httpx-lifo", "httpx on a LIFO pool", "floor", "httpx", "", "_plain", "HttpxLifo", "httpx"),
    Entry("langchain", "LangChain, no I/O", "floor", "fm-langchain", _LANGCHAIN, "_subjects", "LangChainFloor",
          "langchain-core"),
    Entry("llamaindex", "LlamaIndex, no I/O", "floor", "fm-llamaindex", _LLAMAINDEX, "_subjects", "LlamaIndexFloor",
          "llama-index-core"),
    Entry("skinny", "MLflow (skinny) deployments", "floor", "fm-mlflow", _DEPLOYMENTS, distribution="mlflow-skinny"),
    Entry("fm_client", "fm_client", "ours", "fm-core", "from fm_client import AsyncClient, Client", "_subjects",
          "OursCore", "fm-integrations"),
    Entry("langchain_fm", "langchain_fm", "ours", "fm-langchain",
          "from langchain_fm import ChatFoundationModel, FoundationModelEmbeddings", "_subjects", "OursLangChain",
          "fm-integrations"),
    Entry("llamaindex_fm", "llamaindex_fm", "ours", "fm-llamaindex",
          "from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM", "_subjects", "OursLlamaIndex",
          "fm-integrations"),
    Entry("mlflow_fm", "mlflow_fm", "ours", "fm-mlflow", f"{_DEPLOYMENTS}; get_deploy_client('fm')", "_subjects",
          "OursMLflow", "fm-integrations"),
    Entry("openai", "openai SDK", "peer", "openai", "from openai import AsyncOpenAI, OpenAI", "_subjects", "OpenAI",
          "openai"),
    Entry("ChatOpenAI", "ChatOpenAI", "peer", "langchain-openai",
          "from langchain_openai import ChatOpenAI, OpenAIEmbeddings", "_subjects", "ChatOpenAI", "langchain-openai"),
    Entry("ChatDatabricks", "ChatDatabricks", "peer", "databricks-langchain",
          "from databricks_langchain import ChatDatabricks, DatabricksEmbeddings", "_subjects", "ChatDatabricks",
          "databricks-langchain"),
    Entry("LlamaIndexDatabricks", "LlamaIndex Databricks", "peer", "llama-index-databricks",
          "from llama_index.embeddings.databricks import DatabricksEmbedding;"
          " from llama_index.llms.databricks import Databricks", "_subjects", "LlamaIndexDatabricks",
          "llama-index-llms-databricks"),
    Entry("mlflow", "MLflow databricks", "peer", "mlflow", f"{_DEPLOYMENTS}; get_deploy_client('databricks')",
          "_subjects", "Deployments", "mlflow"),
    Entry("mlflow-skinny", "MLflow (skinny) databricks", "peer", "mlflow-skinny",
          f"{_DEPLOYMENTS}; get_deploy_client('databricks')", distribution="mlflow-skinny"),
)  # fmt: skip
BY_NAME = {entry.name: entry for entry in ROSTER}


@dataclass(frozen=True)
class Plan:
    """How much is done."""

    seconds: float = 600.0
    """Once so much time is over, or a further round would take longer, no further round is begun."""
    rounds: int = 3
    import_rounds: int = 4
    """The first one is not counted."""
    calls: int = 300
    """One after the other, for the CPU of a call."""
    concurrent: tuple[int, ...] = (200, 1000)
    latency: float = 0.2
    """Seconds that each of them takes the server."""
    chunks: int = 2000
    streams: int = 4
    first_chunks: int = 40
    """Streams whose first chunk is timed."""
    texts: tuple[int, ...] = (2048, 20000)
    memory_calls: int = 20000
    peer_memory_calls: int = 2000
    big: int = 60_000_000
    """Bytes of one large answer."""
    patience: float = 6.0
    """Seconds after which a batch of calls is given up, and above which a larger one is not tried."""
    grow_concurrent: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)
    grow_texts: tuple[int, ...] = (10, 100, 1000, 10_000, 100_000)
    grow_chunks: tuple[int, ...] = (100, 1000, 10_000, 100_000)
    workspace_seconds: float = 2.0


PLANS = {
    "quick": Plan(),
    "full": Plan(
        seconds=7200.0,
        rounds=7,
        import_rounds=10,
        calls=2000,
        streams=10,
        first_chunks=100,
        peer_memory_calls=20000,
        patience=120.0,
    ),
    "smoke": Plan(
        rounds=1,
        import_rounds=1,
        calls=3,
        concurrent=(4,),
        latency=0.02,
        chunks=20,
        streams=1,
        first_chunks=2,
        texts=(64,),
        memory_calls=40,
        peer_memory_calls=40,
        big=1_000_000,
        grow_concurrent=(1, 4, 8),
        grow_texts=(10, 100, 200),
        grow_chunks=(10, 100, 200),
        workspace_seconds=0.1,
    ),
}
