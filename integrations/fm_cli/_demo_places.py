"""Where the examples of `fm demo` run: two embedded workspaces, or the workspace of the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from fm_client import Client
from fm_workspace import Workspace, local

from ._settings import DemoOptions

LOCAL = "local"
PROVISIONED_CHAT = "system.ai.meta_llama_v3_1_8b_instruct"
PROVISIONED_EMBEDDING = "system.ai.gte_large_en_v1_5"
THROUGHPUT = 980
"""Tokens per second, one step of the service's own example (`throughput_chunk_size`)."""
DEPLOY_SECONDS = 0.3
"""Of the provisioned endpoints, so that there is something to wait for."""
FIRST_POLL = 0.4
WAIT_SECONDS = 30.0

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A route, and the endpoints that stand for it. `host` None means: as the environment says.

    `more` is what creates one more endpoint like `chat`, None where that is impossible or would cost money.
    """

    route: str
    host: str | None
    chat: str
    embedding: str
    more: Spec | None = field(default=None, repr=False)  # it may hold a provider's key

    @property
    def target(self) -> str:
        """The place as a target of MLflow's deployments client."""
        return "fm://local" if self.host == LOCAL else "fm"


@dataclass(frozen=True, slots=True)
class Missing:
    """A route that cannot be shown, and why."""

    route: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step has to show: which endpoint answered, what it said, and the tokens that the service counted."""

    endpoint: str
    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None


Step = Callable[[], Outcome]
Steps = Mapping[str, Step]


@dataclass(frozen=True, slots=True)
class Scene:
    """All places, and a sentence about them."""

    about: str
    places: tuple[Place | Missing, ...]


@contextmanager
def embedded(options: DemoOptions) -> Iterator[Scene]:
    """Three routes on this machine. The external one leads to a second workspace, which plays the provider."""
    with Workspace.start() as provider, Client(host=LOCAL) as fm, ExitStack() as undo:
        specs = {
            "demo-provisioned": _provisioned(PROVISIONED_CHAT),
            "demo-provisioned-embedding": _provisioned(PROVISIONED_EMBEDDING),
            "demo-external": _external(provider, options.hosted_model, "llm/v1/chat"),
            "demo-external-embedding": _external(provider, options.embedding_model, "llm/v1/embeddings"),
        }
        for name, spec in specs.items():
            fm.endpoints.create(name, **spec, tags={"fm_deploy_seconds": str(DEPLOY_SECONDS)})
            undo.callback(fm.endpoints.delete, name)
        for name in specs:
            fm.endpoints.wait(name, first_poll=FIRST_POLL, timeout=WAIT_SECONDS)
        yield Scene(
            f"On this machine: embedded workspace {local().host}, external provider {provider.host}. "
            "Answers are simulated: they come from rules, not from a language model.",
            (
                Place("hosted", LOCAL, options.hosted_model, options.embedding_model),
                _own("provisioned", specs),
                _own("external", specs),
            ),
        )


@contextmanager
def live(options: DemoOptions) -> Iterator[Scene]:
    """The workspace of the environment. Routes whose endpoint is not named are left out."""
    with Client() as fm:
        host = fm.settings.host
    hosted = Place("hosted", None, options.hosted_model, options.embedding_model)
    provisioned = _named("provisioned", options.provisioned_endpoint, options)
    yield Scene(
        f"On the workspace {host}.", (hosted, provisioned, _named("external", options.external_endpoint, options))
    )


def _own(route: str, specs: Mapping[str, Spec]) -> Place:
    name = f"demo-{route}"
    return Place(route, LOCAL, name, f"{name}-embedding", specs[name])


def _named(route: str, endpoint: str | None, options: DemoOptions) -> Place | Missing:
    if endpoint is None:
        return Missing(route, f"name an endpoint: --{route}-endpoint")
    return Place(route, None, endpoint, options.embedding_model)


def _provisioned(model: str) -> Spec:
    return {"entity_name": model, "entity_version": "1", "max_provisioned_throughput": THROUGHPUT}


def _external(provider: Workspace, model: str, task: str) -> Spec:
    config = {
        "openai_api_base": f"{provider.host}/serving-endpoints",
        "openai_api_key_plaintext": provider.token,
    }
    return {"external_model": {"provider": "openai", "name": model, "task": task, "openai_config": config}}
