"""How an endpoint behaves on the wire: its model family's habits, changed by its tags.

tag                  value                                      effect
fm_deploy_seconds    seconds                                    how long a deployment takes
fm_deploy_fail       a message                                  every deployment of the endpoint fails with it
fm_task              chat, completions, embeddings,             task of a provisioned endpoint
                     chat-agent or responses-agent
fm_usage_style       cumulative, nulls, final or never          usage in a stream
fm_content_style     text, parts or signed                      content as a string, or as a list of typed parts;
                                                                signed: with reasoning that has a signature
fm_null_ids          true or false                              whether answers have null for their id
fm_model_name        a name                                     the model that answers name
fm_reject_fields     names, separated by commas                 request fields that are refused as unknown
fm_cold_start_seconds  seconds                                  scaled to zero: queries are a 503 until it is warm
fm_queries_per_minute  number                                   queries; more is the service's 429 for queries
fm_tokens_per_minute number                                     output tokens; more is the service's 429 for tokens
fm_content_filter    words, separated by commas                 a prompt with one is a 400, an answer ends before it
fm_guardrail         input or output                            every query is the 400 of that guardrail
fm_batch_limit       number                                     texts per embedding request; more is a 429
fm_dimension         number                                     length of a provisioned endpoint's vectors
fm_normalized        true or false                              whether vectors have length 1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ._errors import ServiceError, invalid_parameter

UsageStyle = Literal["cumulative", "nulls", "final", "never"]
ContentStyle = Literal["text", "parts", "signed"]

DEFAULT_DIMENSION = 1024
"""Length of the vectors of all hosted embedding models (GTE, BGE and Qwen3)."""
MAX_DIMENSION = 8192
MAX_DEPLOY_SECONDS = 86_400.0
TASKS = {
    "chat": "llm/v1/chat",
    "completions": "llm/v1/completions",
    "embeddings": "llm/v1/embeddings",
}
AGENT_TASKS = {"chat-agent": "agent/v2/chat", "responses-agent": "agent/v1/responses"}
RESPONSES = "llm/v1/responses"
"""A query by the Responses API to an endpoint for chat: a task of queries, never of endpoints."""
_STYLES: dict[str, tuple[str, ...]] = {
    "fm_usage_style": ("cumulative", "nulls", "final", "never"),
    "fm_content_style": ("text", "parts", "signed"),
    "fm_guardrail": ("input", "output"),
    "fm_null_ids": ("true", "false"),
    "fm_normalized": ("true", "false"),
    "fm_task": (*TASKS, *TASKS.values(), *AGENT_TASKS, *AGENT_TASKS.values()),
}
_NUMBERS: dict[str, float] = {
    "fm_cold_start_seconds": MAX_DEPLOY_SECONDS,
    "fm_deploy_seconds": MAX_DEPLOY_SECONDS,
    "fm_queries_per_minute": 1e9,
    "fm_tokens_per_minute": 1e9,
    "fm_batch_limit": 1e6,
    "fm_dimension": MAX_DIMENSION,
}
# These families' routes answer `stream_options` with 400, seen by several clients.
_NO_STREAM_OPTIONS = ("claude", "gemini", "qwen")


@dataclass(frozen=True, slots=True)
class Quirks:
    """The wire habits of one endpoint."""

    usage_style: UsageStyle = "cumulative"
    content_style: ContentStyle = "text"
    rejected_fields: frozenset[str] = frozenset()
    batch_limit: int | None = None
    dimension: int = DEFAULT_DIMENSION
    normalized: bool = False
    free_dimension: bool = False
    """Whether a request may ask for shorter vectors (`dimensions`)."""
    signed: bool = False
    """Whether reasoning has a signature."""
    null_ids: bool = False
    filtered: tuple[str, ...] = ()
    """Words that the content filter lets neither in nor out."""
    claude: bool = False
    """Whether the model counts cached tokens beside the prompt's, and shows signed reasoning when asked to."""


def quirks_of(model: str, tags: Mapping[str, str]) -> Quirks:
    """The habits of the family that `model` (an endpoint's or a model's name) belongs to, under `tags`."""
    family = model.lower()
    style = tags.get("fm_usage_style") or _usage_style(family)
    parts = tags.get("fm_content_style") or ("parts" if "gpt-oss" in family.replace("_", "-") else "text")
    rejected = {"stream_options"} if any(name in family for name in _NO_STREAM_OPTIONS) else set()
    if "fm_reject_fields" in tags:
        rejected = set(_listed(tags, "fm_reject_fields"))
    return Quirks(
        usage_style=style,  # type: ignore[arg-type]  # check_tags has let only the four through
        content_style=parts,  # type: ignore[arg-type]  # likewise
        signed=parts == "signed" or "claude" in family,
        null_ids=tags.get("fm_null_ids") == "true",
        filtered=_listed(tags, "fm_content_filter"),
        rejected_fields=frozenset(rejected),
        batch_limit=int(float(tags["fm_batch_limit"])) if "fm_batch_limit" in tags else None,
        dimension=int(float(tags.get("fm_dimension", DEFAULT_DIMENSION))),
        normalized=tags.get("fm_normalized", "false" if "gte" in family else "true") == "true",
        free_dimension="qwen3-embedding" in family,
        claude="claude" in family,
    )


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise the service's 400 for a tag of ours with a value that means nothing."""
    for key, value in tags.items():
        if key in _STYLES and value not in _STYLES[key]:
            raise invalid_parameter(f"Tag {key} must be one of {', '.join(_STYLES[key])}, not {value!r}.")
        if key in _NUMBERS:
            _check_number(key, value, _NUMBERS[key])


def service_limits(tags: Mapping[str, str]) -> list[dict[str, float]]:
    """The service's own limits per minute, as far as tags set them."""
    names = {"calls": "fm_queries_per_minute", "tokens": "fm_tokens_per_minute"}
    return [{kind: float(tags[name])} for kind, name in names.items() if name in tags]


def deploy_seconds(tags: Mapping[str, str], default: float) -> float:
    """How long a deployment of an endpoint with `tags` takes."""
    return float(tags.get("fm_deploy_seconds", default))


def task_of(model: str, tags: Mapping[str, str]) -> str:
    """The task of a provisioned model or an agent: its tag `fm_task`, else what its name says, else chat."""
    if tagged := tags.get("fm_task"):
        return (TASKS | AGENT_TASKS).get(tagged, tagged)
    words = set(model.lower().replace("-", "_").replace(".", "_").split("_"))
    if words & {"gte", "bge", "embedding", "embeddings", "embed"}:
        return TASKS["embeddings"]
    if "agent" in words:
        return AGENT_TASKS["responses-agent" if "responses" in words else "chat-agent"]
    return TASKS["completions"] if words & {"base", "completion", "completions"} else TASKS["chat"]


def _listed(tags: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in tags.get(name, "").split(",") if each.strip())


def _usage_style(family: str) -> str:
    if "claude" in family:
        return "nulls"
    return "final" if "gpt-" in family and "gpt-oss" not in family else "cumulative"


def _check_number(key: str, value: str, largest: float) -> None:
    if _number(key, value) > largest or (not key.endswith("_seconds") and float(value) < 1):
        raise invalid_parameter(f"Tag {key} is out of range: {value!r}.")


def _number(key: str, value: str) -> float:
    failure: ServiceError = invalid_parameter(f"Tag {key} must be a number of 0 or more, not {value!r}.")
    try:
        number = float(value)
    except ValueError as exc:
        raise failure from exc
    if not number >= 0:
        raise failure
    return number
