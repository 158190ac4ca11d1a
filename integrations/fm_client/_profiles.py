"""What families of models can do and expect, as data: a new family is a new entry.

A profile answers questions of its caller ("should usage be asked for?"); it forbids nothing. A key that is missing is
unknown, and then the caller's wish is sent as it stands: the service decides, and negotiation learns.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypedDict

from . import _catalog as catalog
from ._routes import Route

if TYPE_CHECKING:
    from ._catalog_data import Catalog

SendsUsage = Literal["every_chunk", "on_request"]


class ModelProfile(TypedDict, total=False):
    """Facts and hints on a model. A missing key means "unknown"."""

    family: str
    """Key of `FAMILIES`; "default" for a model of no known family."""
    supports_tools: bool
    """Whether `tools` may be sent."""
    supports_parallel_tools: bool
    """Whether one answer may hold several tool calls. The service's page on function calling says no."""
    supports_strict_tools: bool
    """Whether a tool's `strict` is accepted. databricks-langchain strips it unless "gpt" is in the name."""
    supports_json_object: bool
    """Whether `response_format` {"type": "json_object"} is accepted."""
    supports_json_schema: bool
    """Whether `response_format` {"type": "json_schema"} is accepted."""
    sends_usage: SendsUsage
    """How a stream tells its usage: cumulatively on every chunk unasked, or on request by `stream_options`."""
    supports_images: bool
    """Whether `image_url` parts are accepted."""
    supports_reasoning: bool
    """Whether the model can reason before it answers."""
    reasoning_param: Literal["reasoning_effort", "thinking"]
    """The request field that steers reasoning."""
    max_temperature: float
    """Upper end of `temperature`. Anthropic's own API takes 0 to 1; the service's takes 0 to 2."""
    context_tokens: int
    """Input tokens. A hint: the sources of the catalog disagree."""
    max_output_tokens: int
    """Output tokens. A hint, as above."""
    default_max_tokens: int
    """Where an answer ends if `max_tokens` is not sent, so that callers may want to send it."""
    dimension: int
    """Length of an embedding."""
    dimensions_configurable: bool
    """Whether `dimensions` up to `dimension` may be asked for."""
    normalized: bool
    """Whether embeddings have length 1 as they come."""
    embed_batch_limit: int
    """Most texts of one request that a third party saw accepted on the free edition, where 429 said no to twice as
    many. The service documents no limit, and larger workspaces take more: a hint for the size after a refusal."""
    takes_base64: bool
    """Whether a request for embeddings may ask for base64 (`encoding_format`)."""
    query_instruction: str
    """Text for the field `instruction` when a *query* is embedded for retrieval; documents are embedded without."""


DEFAULT: ModelProfile = {"family": "default", "sends_usage": "on_request"}
"""Of any model: usage is asked for, because without that OpenAI-like routes never tell it in a stream."""

# The service's documentation on function calling, 2026-06: tools yes, several calls at once no. Streams: a recorded
# one of 2024 has usage on every chunk; and routes to models hosted there were seen to answer 400 to stream_options.
_HOSTED_CHAT: ModelProfile = {"supports_tools": True, "supports_strict_tools": False, "sends_usage": "every_chunk"}
_HOSTED_UNKNOWN: ModelProfile = {**DEFAULT, "sends_usage": "every_chunk"}
# The service's page on querying embedding models (2026) uses OpenAI's client, which asks for base64 unasked.
_EMBEDDING: ModelProfile = {
    "supports_tools": False,
    "supports_images": False,
    "supports_reasoning": False,
    "takes_base64": True,
}

FAMILIES: Mapping[str, ModelProfile] = {
    "default": DEFAULT,
    "claude": {
        **DEFAULT,
        **_HOSTED_CHAT,
        "family": "claude",
        "supports_json_object": False,
        "supports_images": True,
        "supports_reasoning": True,
        "reasoning_param": "thinking",
        "max_temperature": 1.0,
    },
    "gpt": {
        **DEFAULT,
        "family": "gpt",
        "supports_tools": True,
        "supports_parallel_tools": True,
        "supports_strict_tools": True,
        "supports_json_object": True,
        "supports_json_schema": True,
        "max_temperature": 2.0,
    },
    "gpt-oss": {
        **DEFAULT,
        **_HOSTED_CHAT,
        "family": "gpt-oss",
        "supports_parallel_tools": False,
        "supports_images": False,
        "supports_reasoning": True,
        "reasoning_param": "reasoning_effort",
    },
    "gemini": {**DEFAULT, **_HOSTED_CHAT, "family": "gemini", "supports_images": True, "max_temperature": 2.0},
    "llama": {
        **DEFAULT,
        **_HOSTED_CHAT,
        "family": "llama",
        "supports_parallel_tools": False,
        "supports_json_object": True,
        "supports_json_schema": True,
        "supports_reasoning": False,
    },
    "gte": {
        **DEFAULT,
        **_EMBEDDING,
        "family": "gte",
        "context_tokens": 8192,
        "dimension": 1024,
        "normalized": False,
        "embed_batch_limit": 8,
    },
    "bge": {
        **DEFAULT,
        **_EMBEDDING,
        "family": "bge",
        "context_tokens": 512,
        "dimension": 1024,
        "normalized": True,
        "embed_batch_limit": 16,
        "query_instruction": "Represent this sentence for searching relevant passages:",
    },
    "qwen-embedding": {
        **DEFAULT,
        **_EMBEDDING,
        "family": "qwen-embedding",
        "dimension": 1024,
        "dimensions_configurable": True,
        "query_instruction": "Given a web search query, retrieve relevant passages that answer the query",
    },
}

# Where an answer ends unasked, documented for one model (limits of the foundation model APIs): 1,000 tokens.
_MODELS: Mapping[str, ModelProfile] = {"databricks-claude-sonnet-4": {"default_max_tokens": 1000}}

# An external model is queried at its provider's own API, which tells usage on request.
_ROUTES: Mapping[Route, ModelProfile] = {Route.EXTERNAL: {"sends_usage": "on_request"}}

# Of a model's own name, after what says where it is kept; the first match counts. Compiled when first used, by `re`.
_NAMES = (
    ("claude", r"claude[-_]"),
    ("gpt-oss", r"gpt[-_]oss"),
    ("gpt", r"(chat)?gpt-|o[134](-|$)"),
    ("gemini", r"gemini[-_]"),
    ("llama", r"(meta[-_])?llama"),
    ("gte", r"gte[-_]"),
    ("bge", r"bge[-_]"),
    ("qwen-embedding", r"qwen\d*[-_]embedding"),
)
_HOSTED_PREFIXES = ("databricks-", "system.ai.")
_KEPT_IN = r"^(?:databricks-|(?:[\w-]+\.){2}|(?:[a-z]{2,6}\.)?(?:anthropic|meta|google)\.|[\w-]+/)+"

_SPELLING = r"[-_.](?:v(?=\d))?"
_DATE = r"-(?:20\d{6}|20\d\d-\d\d-\d\d|latest)$"


def profile_for(model: str, route: Route | None = None) -> ModelProfile:
    """The profile of a model, or of the hosted endpoint that is called `model`.

    Without a route, or with that of hosted models, `model` is the name of an endpoint: only names of the catalog and
    the service's own prefixes say anything. With the route of provisioned or external models it is the model's own
    name (`Endpoint.model_name`), never the customer's name of the endpoint, which may mean anything.

    >>> profile_for("databricks-claude-sonnet-4")["family"], profile_for("o1-rollout-test")["family"]
    ('claude', 'default')
    >>> profile_for("gpt-4o", Route.EXTERNAL)["supports_strict_tools"]
    True
    >>> profile_for("system.ai.meta_llama_v3_3_70b_instruct", Route.PROVISIONED)["context_tokens"]
    128000
    """
    return _profile(catalog.current(), model, route).copy()


@functools.lru_cache(maxsize=256)
def _profile(_: Catalog, model: str, route: Route | None) -> ModelProfile:
    """The profile by the catalog in use, which is given so that another one is not answered from the cache."""
    hosted = route in (None, Route.HOSTED)
    family = family_of(model) if _speaks(model, route) else None
    found = FAMILIES[family or "default"]
    if hosted and family == "default":
        found = _HOSTED_UNKNOWN
    if hosted:
        found = {**found, **_of_catalog(model), **_MODELS.get(model, {})}
    elif route is not Route.CUSTOM:
        found = {**found, **_limits_of_twin(model)}
    return {**found, **(_ROUTES.get(route, {}) if route else {})}


def family_of(model: str) -> str:
    """The family that a model's own name tells; "default" if it tells none."""
    own = re.sub(_KEPT_IN, "", model)
    return next((family for family, pattern in _NAMES if re.match(pattern, own, re.IGNORECASE)), "default")


def _speaks(model: str, route: Route | None) -> bool:
    if route in (None, Route.HOSTED):
        return model.startswith(_HOSTED_PREFIXES) or catalog.get(model) is not None
    return route is not Route.CUSTOM


def _of_catalog(endpoint: str) -> ModelProfile:
    model = catalog.get(endpoint)
    if model is None:
        return {}
    found: ModelProfile = {}
    if model.context_tokens is not None:
        found["context_tokens"] = model.context_tokens
    if model.max_output_tokens is not None:
        found["max_output_tokens"] = model.max_output_tokens
    if model.dimension is not None:
        found["dimension"] = model.dimension
    if model.normalized is not None:
        found["normalized"] = model.normalized
    return {**found, **_abilities(model)}


def _limits_of_twin(model: str) -> ModelProfile:
    """The limits of the hosted model of the same name: elsewhere they are likely the same."""
    name = _bare(model)
    twin = next((hosted.endpoint for hosted in catalog.models() if _bare(hosted.endpoint) == name), None)
    known = _of_catalog(twin) if twin else {}
    return {"context_tokens": known["context_tokens"]} if "context_tokens" in known else {}


def _bare(model: str) -> str:
    """A model's name without place, date and spelling: all of `meta_llama_v3_1_8b`, `Llama-3.1-8B` are one."""
    own = re.sub(_SPELLING, "-", re.sub(_KEPT_IN, "", model).lower())
    return re.sub(_DATE, "", own).removeprefix("meta-")


def _abilities(model: catalog.HostedModel) -> ModelProfile:
    # The catalog's lists are incomplete: what they have is so, what they lack is unknown.
    found: ModelProfile = {}
    if "image" in model.inputs:
        found["supports_images"] = True
    if "tools" in model.capabilities:
        found["supports_tools"] = True
    if model.reasoning is not None:
        found["supports_reasoning"] = True
    if model.reasoning == "effort":
        found["reasoning_param"] = "reasoning_effort"
    if model.reasoning == "thinking":
        found["reasoning_param"] = "thinking"
    return found
