"""What the options of the commands can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

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


class RouteName(StrEnum):
    """How a request reaches its model."""

    HOSTED = "hosted"
    PROVISIONED = "provisioned"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Options of `fm chat` and `fm complete`. `params` are fields of the request, None where nothing is said."""

    endpoint: str
    prompt: str | None = None
    system: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """Options of `fm embed`."""

    endpoint: str
    files: tuple[Path, ...] = ()
    json_field: str | None = None
    to: Path | None = None
    params: dict[str, Any] = field(default_factory=dict)
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class SizeFlags:
    """Options that give an endpoint its throughput."""

    units: int | None = None
    chunks: int | None = None
    least: int | None = None
    most: int | None = None
    scale_to_zero: bool | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """What was said, in the core's words."""
        given = {
            "provisioned_model_units": self.units,
            "throughput_chunks": self.chunks,
            "min_provisioned_throughput": self.least,
            "max_provisioned_throughput": self.most,
            "scale_to_zero_enabled": self.scale_to_zero,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ExternalFlags:
    """Options that say which model of another provider is served, and with which keys."""

    provider: str | None = None
    model: str | None = None
    task: Task | None = None
    secret_refs: tuple[str, ...] = ()
    key_envs: tuple[str, ...] = ()
    key_stdin: bool = False
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointFlags:
    """Options of `fm endpoints create` and `update`."""

    name: str | None = None
    file: Path | None = None
    model: str | None = None
    version: str | None = None
    size: SizeFlags = SizeFlags()
    external: ExternalFlags = ExternalFlags()
    served_name: str | None = None
    tags: tuple[str, ...] = ()


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
    detached: bool = False
    """Whether this is the process in the background, which keeps the record."""
    provider_networks: tuple[str, ...] = ()
    provider_urls: tuple[str, ...] = ()
    """`NAME=URL`, each."""
