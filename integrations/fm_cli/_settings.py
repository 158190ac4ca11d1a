"""What the options of the commands can be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CHAT_MODEL = "databricks-meta-llama-3-3-70b-instruct"
EMBEDDING_MODEL = "databricks-gte-large-en"


class Framework(StrEnum):
    """A framework that has an adapter."""

    LANGCHAIN = "langchain"
    LLAMAINDEX = "llamaindex"
    MLFLOW = "mlflow"


class Task(StrEnum):
    """What a model does."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"

    @property
    def wire_name(self) -> str:
        """The service's name for the task."""
        return f"llm/v1/{self.value}"


class Engine(StrEnum):
    """What answers in an embedded workspace."""

    SIMULATED = "simulated"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of `fm demo`."""

    live: bool = False
    only: Framework | None = None
    hosted_model: str = CHAT_MODEL
    embedding_model: str = EMBEDDING_MODEL
    provisioned_endpoint: str | None = None
    external_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceOptions:
    """Options of `fm workspace start`. Without `upstream_url` answers are simulated."""

    host: str
    port: int
    state: Path | None = None
    upstream_url: str | None = None
    upstream_model: str | None = None
    deploy_seconds: float = 0.0
    allow_remote: bool = False
    host_names: tuple[str, ...] = ()
    provider_networks: tuple[str, ...] = ()
