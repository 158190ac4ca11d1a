"""The routes to a model, as data, and the paths of the REST API that lead to an endpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._errors import InvalidRequestError

if TYPE_CHECKING:
    from .types._base import WireModel

ENDPOINTS_PATH = "/api/2.0/serving-endpoints"
PT_PATH = f"{ENDPOINTS_PATH}/pt"
PERMISSIONS_PATH = "/api/2.0/permissions/serving-endpoints"
MAX_NAME_CHARS = 63
SHOWN_NAME_CHARS = 80
"""How much of a refused name an error message repeats."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SERVED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,254}")
"""One segment of a path: served entities are named after models, whose names are longer than those of endpoints."""
_MODEL = re.compile(r"[^./\s\x00-\x1f\x7f]{1,255}(?:\.[^./\s\x00-\x1f\x7f]{1,255}){2}")
_MIB = 1024 * 1024
_PT_FIELDS = ("provisioned_model_units", "min_provisioned_throughput", "max_provisioned_throughput")
_LIMITS_SOURCE = "Databricks documentation, Model Serving limits and regions, late 2024"


class Route(StrEnum):
    """How a request reaches its model."""

    HOSTED = "hosted"
    """Pay-per-token: an endpoint that every workspace has, such as `databricks-gte-large-en`."""
    PROVISIONED = "provisioned"
    """Provisioned throughput: an endpoint of the customer for a model of Unity Catalog."""
    EXTERNAL = "external"
    """A model of another provider, governed by an endpoint of the customer."""
    CUSTOM = "custom"
    """Anything else that is served: agents, and models that are no foundation models."""


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """What is known of a route."""

    recognised_by: str
    create_path: str | None
    """Where such an endpoint is created; None: it exists already."""
    query_paths: tuple[str, ...]
    """Under the workspace's address; `{name}` is the endpoint's."""
    payload_limit_bytes: int
    """Largest request body. A documented figure of its time: a hint, not enforced by this table."""
    notes: str
    source: str


_INVOCATIONS = "/serving-endpoints/{name}/invocations"
_ONE_ENTITY = "/serving-endpoints/{name}/served-models/{served}/invocations"
_OPENAI = (
    "/serving-endpoints/chat/completions",
    "/serving-endpoints/completions",
    "/serving-endpoints/embeddings",
)
RESPONSES_PATH = "/serving-endpoints/responses"
_ANTHROPIC = "/serving-endpoints/anthropic/v1/messages"

ROUTES: Mapping[Route, RouteFacts] = {
    Route.HOSTED: RouteFacts(
        recognised_by="a served entity has foundation_model",
        create_path=None,
        query_paths=(_INVOCATIONS, *_OPENAI, RESPONSES_PATH, _ANTHROPIC),
        payload_limit_bytes=4 * _MIB,
        notes="responses: OpenAI models only; anthropic/v1/messages: Claude only",
        source=_LIMITS_SOURCE,
    ),
    Route.PROVISIONED: RouteFacts(
        recognised_by="a served entity has provisioned model units or a provisioned throughput above 0; "
        "or an entity_name, on an endpoint whose task is llm/…",
        create_path=PT_PATH,
        query_paths=(_INVOCATIONS, _ONE_ENTITY, *_OPENAI),
        payload_limit_bytes=4 * _MIB,
        notes="create_path takes model units; a throughput in tokens/s goes to the path of the other routes",
        source=_LIMITS_SOURCE,
    ),
    Route.EXTERNAL: RouteFacts(
        recognised_by="a served entity has external_model",
        create_path=ENDPOINTS_PATH,
        query_paths=(_INVOCATIONS, _ONE_ENTITY, *_OPENAI, RESPONSES_PATH, _ANTHROPIC),
        payload_limit_bytes=4 * _MIB,
        notes="responses: OpenAI and Azure OpenAI only; anthropic/v1/messages: Anthropic and Claude on Bedrock only; "
        "an external endpoint cannot become another kind, nor the reverse",
        source=_LIMITS_SOURCE,
    ),
    Route.CUSTOM: RouteFacts(
        recognised_by="none of the others",
        create_path=ENDPOINTS_PATH,
        query_paths=(_INVOCATIONS, _ONE_ENTITY, RESPONSES_PATH),
        payload_limit_bytes=16 * _MIB,
        notes="what a request looks like is up to the model; agents take messages, or Responses requests",
        source=_LIMITS_SOURCE,
    ),
}


def route_of(endpoint: Mapping[str, Any] | WireModel) -> Route:
    """The route of an endpoint as the service describes it (in a list or alone, deployed or still pending).

    >>> route_of({"config": {"served_entities": [{"external_model": {"provider": "openai"}}]}}).value
    'external'
    """
    data = endpoint if isinstance(endpoint, Mapping) else endpoint.to_dict()
    entities = list(_entities(data))
    if any(entity.get("external_model") for entity in entities):
        return Route.EXTERNAL
    # A throughput of 0 to 0 is how an endpoint without any is described, so a number above 0 is asked for.
    if any(entity.get(field) for entity in entities for field in _PT_FIELDS):
        return Route.PROVISIONED
    if any(entity.get("foundation_model") for entity in entities):
        return Route.HOSTED
    names_model = any(entity.get("entity_name") or entity.get("model_name") for entity in entities)
    return Route.PROVISIONED if names_model and _is_llm(data.get("task")) else Route.CUSTOM


def _entities(endpoint: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for config in (endpoint.get("config"), endpoint.get("pending_config")):
        for key in ("served_entities", "served_models"):
            yield from (config or {}).get(key) or ()


def _is_llm(task: Any) -> bool:
    return isinstance(task, str) and task.startswith("llm/")


def check_endpoint_name(name: str) -> str:
    """`name`, if it can be an endpoint's: so it is one segment of a path, whatever a caller makes up.

    >>> check_endpoint_name("databricks-gte-large-en")
    'databricks-gte-large-en'
    """
    return _checked(name, "an endpoint name")


def endpoint_path(name: str, *rest: str) -> str:
    """The control-plane path of an endpoint, or of what it has below.

    >>> endpoint_path("my-endpoint", "config")
    '/api/2.0/serving-endpoints/my-endpoint/config'
    """
    return "/".join([ENDPOINTS_PATH, check_endpoint_name(name), *(_checked(part, "a path segment") for part in rest)])


def pt_config_path(name: str) -> str:
    """The path to update an endpoint that has model units."""
    return f"{PT_PATH}/{check_endpoint_name(name)}/config"


def served_path(name: str, served: str, kind: str) -> str:
    """The path of a served entity's `logs` or `build-logs`.

    >>> served_path("my-endpoint", "llama-1", "logs")
    '/api/2.0/serving-endpoints/my-endpoint/served-models/llama-1/logs'
    """
    if not isinstance(served, str) or not _SERVED.fullmatch(served):
        raise InvalidRequestError(f"{_shown(served)} is not the name of a served entity")
    return f"{endpoint_path(name)}/served-models/{served}/{kind}"


def optimization_path(model: str, version: str | int) -> str:
    """The path that tells what throughput a model of Unity Catalog can be provisioned with.

    >>> optimization_path("system.ai.meta_llama_v3_1_8b_instruct", 2)
    '/api/2.0/serving-endpoints/get-model-optimization-info/system.ai.meta_llama_v3_1_8b_instruct/2'
    """
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise InvalidRequestError(f"{_shown(model)} is no model of Unity Catalog: its name is catalog.schema.model")
    if isinstance(version, bool) or not re.fullmatch(r"[0-9]{1,18}", str(version)):
        raise InvalidRequestError(f"the version of {_shown(model)} must be a whole number, not {_shown(version)}")
    return f"{ENDPOINTS_PATH}/get-model-optimization-info/{quote(model, safe='')}/{version}"


def permissions_path(endpoint_id: str, *rest: str) -> str:
    """The path of an endpoint's permissions, which are found by its id."""
    return "/".join([PERMISSIONS_PATH, _checked(endpoint_id, "the id of an endpoint"), *rest])


def invocations_path(name: str) -> str:
    """The path that queries an endpoint, on every route.

    >>> invocations_path("my-endpoint")
    '/serving-endpoints/my-endpoint/invocations'
    """
    return _INVOCATIONS.format(name=check_endpoint_name(name))


def _checked(text: str, what: str) -> str:
    if isinstance(text, str) and _NAME.fullmatch(text):
        return text
    raise InvalidRequestError(
        f"{_shown(text)} is not {what}: 1 to {MAX_NAME_CHARS} letters, digits, '-', '_' and '.' of ASCII are allowed, "
        "the first a letter or a digit"
    )


def _shown(text: Any) -> str:
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    # ascii() escapes what could forge a log line or hide in a terminal.
    clipped = ascii(text[: SHOWN_NAME_CHARS // 2])
    return clipped if len(text) <= SHOWN_NAME_CHARS // 2 else f"{clipped}… ({len(text):,} characters)"
