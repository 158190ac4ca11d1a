"""The catalog of hosted models and their retirements: package data, read when it is first asked for.

All of it is a hint with a source and a date. The service changes its models without asking this package, so nothing is
refused for the catalog's sake, and a name that is not in it may well exist.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

MAX_CLOSE_NAMES = 3
CLOSE_NAME_CUTOFF = 0.6
"""Of difflib's ratio, its own default."""
_COMPARED_CHARS = 128
_COMMON_PREFIX = "databricks-"


@dataclass(frozen=True, slots=True)
class Source:
    """A public document that a fact is from."""

    title: str
    date: str
    """Of the document or its copy: year, year-month or day."""
    kind: str


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A pay-per-token model. None means "not stated"."""

    endpoint: str
    name: str | None
    provider: str | None
    task: str | None
    """llm/v1/chat or llm/v1/embeddings."""
    inputs: tuple[str, ...]
    """text, image, audio, video."""
    context_tokens: int | None
    max_output_tokens: int | None
    apis: tuple[str, ...]
    """Below /serving-endpoints/, besides …/invocations."""
    reasoning: str | None
    """always, effort (takes `reasoning_effort`), thinking (takes `thinking`), or supported (no more is stated)."""
    capabilities: tuple[str, ...]
    """As a third party states them; what is missing is unknown."""
    eras: tuple[str, ...]
    """When a source lists the model, oldest first: 2024-12, 2026-06, 2026-11."""
    sources: tuple[str, ...]
    """Keys of `sources()`."""
    dimension: int | None = None
    """Length of an embedding."""
    normalized: bool | None = None
    """Whether embeddings have length 1 as they come."""
    notes: tuple[str, ...] = ()
    third_party: tuple[str, ...] = ()
    """Fields that no document of the service states; `*` is all of them."""

    @property
    def display_name(self) -> str:
        """The model's name; the endpoint's, where no source has one."""
        return self.name or self.endpoint


@dataclass(frozen=True, slots=True)
class ProvisionedFamily:
    """A family of models that can be served with provisioned throughput."""

    family: str
    tasks: tuple[str, ...]
    """Empty: not stated."""
    note: str | None
    legacy: bool
    eras: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retirement:
    """The end of a model. Fields that `unverified` names come from no document at hand: show them as unsure."""

    model: str
    endpoint: str | None
    """None for provisioned throughput: there the endpoint is the customer's."""
    offering: str
    """pay-per-token or provisioned-throughput."""
    date: dt.date
    replacement: str | None
    """Endpoint that the service names instead; it may be retired itself, see `replacement()`."""
    redirect_until: dt.date | None
    """Until then requests were answered by the replacement."""
    unverified: tuple[str, ...]
    evidence: str
    sources: tuple[str, ...]


def models(task: str | None = None, provider: str | None = None) -> tuple[HostedModel, ...]:
    """The hosted models, newest documentation first; only those of a task or a provider, if one is given.

    >>> [model.endpoint for model in models(task="llm/v1/embeddings", provider="baai")]
    ['databricks-bge-large-en']
    """
    return tuple(
        model
        for model in _models().values()
        if (task is None or model.task == task) and (provider is None or model.provider == provider)
    )


def get(endpoint: str) -> HostedModel | None:
    """The hosted model of an endpoint; None if the catalog has none."""
    return _models().get(endpoint)


def retirement(endpoint: str) -> Retirement | None:
    """When and why a pay-per-token endpoint ended; None if the catalog knows of no end."""
    return _retired().get(endpoint)


def replacement(endpoint: str) -> str | None:
    """The endpoint to use instead of a retired one, over several generations; None if there is none to name.

    >>> replacement("databricks-llama-2-70b-chat")
    'databricks-meta-llama-3-3-70b-instruct'
    """
    seen = {endpoint}
    found = retirement(endpoint)
    while found is not None and found.replacement not in seen:
        if found.replacement is None or found.replacement not in _retired():
            return found.replacement
        seen.add(found.replacement)
        found = retirement(found.replacement)
    return None


def retirement_notice(endpoint: str) -> str | None:
    """A sentence on the end of a retired endpoint, which says what of it is unsure; None if it is not retired.

    >>> retirement_notice("databricks-meta-llama-3-1-70b-instruct")
    "Meta-Llama-3.1-70B-Instruct was retired on 2024-12-11; use 'databricks-meta-llama-3-3-70b-instruct'."
    """
    found = retirement(endpoint)
    if found is None:
        return None
    when = f" (on {found.date}, unverified)" if "date" in found.unverified else f" on {found.date}"
    instead = replacement(endpoint)
    unsure = " (unverified)" if "replacement" in found.unverified else ""
    return f"{found.model} was retired{when}" + (f"; use {instead!r}{unsure}." if instead else ".")


def close_names(name: str, known: Iterable[str] = ()) -> tuple[str, ...]:
    """Up to three names like `name`, the closest first: of `known`, and of the hosted models that are not retired.

    >>> close_names("databricks-gte-large")
    ('databricks-gte-large-en', 'databricks-bge-large-en')
    """
    wanted = name[:_COMPARED_CHARS].removeprefix(_COMMON_PREFIX)  # which would make any two hosted models alike
    candidates: dict[str, str] = {}
    for candidate in (*known, *(endpoint for endpoint in _models() if endpoint not in _retired())):
        if candidate != name:
            candidates.setdefault(candidate.removeprefix(_COMMON_PREFIX), candidate)
    found = difflib.get_close_matches(wanted, candidates, MAX_CLOSE_NAMES, CLOSE_NAME_CUTOFF)
    return tuple(candidates[match] for match in found)


def retirements() -> tuple[Retirement, ...]:
    """All retirements, the oldest first."""
    return _retirements()


def provisioned_families() -> tuple[ProvisionedFamily, ...]:
    """The families for provisioned throughput."""
    return tuple(ProvisionedFamily(**_tuples(entry)) for entry in _read("catalog")["provisioned_families"])


def sources() -> Mapping[str, Source]:
    """The documents behind the catalog, by the keys that its entries use."""
    merged = {**_read("retirements")["sources"], **_read("catalog")["sources"]}
    return {key: Source(**entry) for key, entry in merged.items()}


@cache
def _models() -> Mapping[str, HostedModel]:
    found = (HostedModel(**_tuples(entry)) for entry in _read("catalog")["models"])
    return {model.endpoint: model for model in found}


@cache
def _retirements() -> tuple[Retirement, ...]:
    found = [Retirement(**_dated(_tuples(entry))) for entry in _read("retirements")["retirements"]]
    return tuple(sorted(found, key=lambda entry: entry.date))


@cache
def _retired() -> Mapping[str, Retirement]:
    return {entry.endpoint: entry for entry in _retirements() if entry.endpoint is not None}


@cache
def _read(name: str) -> Mapping[str, Any]:
    data: dict[str, Any] = json.loads(resources.files(__package__).joinpath("data", f"{name}.json").read_bytes())
    return data


def _tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def _dated(entry: Mapping[str, Any]) -> dict[str, Any]:
    days = {key: entry[key] and dt.date.fromisoformat(entry[key]) for key in ("date", "redirect_until")}
    return {**entry, **days}
