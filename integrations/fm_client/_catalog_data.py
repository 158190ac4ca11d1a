"""What a catalog holds: the entries of its sections, and how a section is read into them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSONObject = dict[str, Any]


class Entry:
    """What all entries share: one that is read from a user's file has no fields but those it is known to have."""

    __slots__ = ()
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # pydantic reads it from the class, and changes nothing


@dataclass(frozen=True, slots=True)
class Source(Entry):
    """A public document that a fact is from."""

    title: str
    date: str
    """Of the document or its copy: year, year-month or day."""
    kind: str


@dataclass(frozen=True, slots=True)
class HostedModel(Entry):
    """A pay-per-token model. None means "not stated"."""

    endpoint: str
    name: str | None = None
    provider: str | None = None
    task: str | None = None
    """llm/v1/chat or llm/v1/embeddings."""
    inputs: tuple[str, ...] = ()
    """text, image, audio, video."""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    apis: tuple[str, ...] = ()
    """Below /serving-endpoints/, besides …/invocations."""
    reasoning: str | None = None
    """always, effort (takes `reasoning_effort`), thinking (takes `thinking`), or supported (no more is stated)."""
    capabilities: tuple[str, ...] = ()
    """As a third party states them; what is missing is unknown."""
    eras: tuple[str, ...] = ()
    """When a source lists the model, oldest first: 2024-12, 2026-06, 2026-11."""
    sources: tuple[str, ...] = ()
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
class ProvisionedFamily(Entry):
    """A family of models that can be served with provisioned throughput, fine-tuned ones included."""

    family: str
    tasks: tuple[str, ...] = ()
    """Empty: not stated."""
    note: str | None = None
    legacy: bool = False
    eras: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvisionedModel(Entry):
    """A model of Unity Catalog that a document names for provisioned throughput."""

    model: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retirement(Entry):
    """The end of a model. Fields that `unverified` names come from no document at hand: show them as unsure."""

    model: str
    endpoint: str | None
    """None for provisioned throughput: there the endpoint is the customer's."""
    offering: str
    """pay-per-token or provisioned-throughput."""
    date: dt.date
    replacement: str | None = None
    """Endpoint that the service names instead; it may be retired itself, see `replacement()`."""
    redirect_until: dt.date | None = None
    """Until then requests were answered by the replacement."""
    unverified: tuple[str, ...] = ()
    evidence: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetirementPolicy(Entry):
    """How the service retires models."""

    pay_per_token_notice_months: int
    provisioned_throughput_notice_months: int
    applies_to: str
    partner_models: str
    lifecycle: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExternalProvider(Entry):
    """A provider of external models, or one of several ways to use it.

    A task is in `tasks` if a source states it, in `unsupported` if one rules it out; what is in neither is unknown.
    """

    provider: str
    """As the API calls it."""
    name: str
    config: str
    """The field of `ExternalModel` that holds its settings."""
    variant_field: str | None = None
    """The setting that chooses among the ways: `openai_api_type`, `bedrock_provider`."""
    variant: str | None = None
    """Its value for this one."""
    tasks: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    fine_tuned: tuple[str, ...] = ()
    """Tasks for which models that the provider fine-tuned for you are served, by their name."""
    required: tuple[str, ...] = ()
    """Settings that must be given."""
    auth: tuple[tuple[str, ...], ...] = ()
    """Ways to authenticate, of which one is given whole. A setting in a setting is written `a.b`."""
    note: str | None = None
    eras: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit(Entry):
    """A figure that a source states. A hint: the service changes its limits, and nothing is refused for their sake."""

    name: str
    value: float | None
    """None: none, as far as the source says."""
    unit: str
    applies_to: tuple[str, ...] = ()
    """Hosted endpoints, or `hosted`, `provisioned`, `external`, `custom` for all of a route."""
    note: str | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule(Entry):
    """What a source says of which models, fine-tuned and custom ones among them, a route takes."""

    about: str
    """provisioned or external."""
    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that is known of models, and where it is from."""

    sources: Mapping[str, Source]
    models: Mapping[str, HostedModel]
    retirements: tuple[Retirement, ...]
    """The oldest first."""
    policy: RetirementPolicy
    provisioned_families: tuple[ProvisionedFamily, ...]
    provisioned_models: tuple[ProvisionedModel, ...]
    tasks: tuple[str, ...]
    """The tasks that an external model can have."""
    providers: tuple[ExternalProvider, ...]
    limits: tuple[Limit, ...]
    rules: tuple[Rule, ...]
    retired: Mapping[str, Retirement] = field(init=False, repr=False)
    """By pay-per-token endpoint."""

    def __post_init__(self) -> None:
        by_endpoint = {entry.endpoint: entry for entry in self.retirements if entry.endpoint is not None}
        object.__setattr__(self, "retired", by_endpoint)

    def __hash__(self) -> int:
        return hash(self.tasks)  # mappings have none; what is worked out by a catalog can be kept all the same


_DAYS = ("date", "redirect_until")
SECTIONS: Mapping[str, type] = {
    "models": HostedModel,
    "retirements": Retirement,
    "provisioned_families": ProvisionedFamily,
    "provisioned_models": ProvisionedModel,
    "providers": ExternalProvider,
    "limits": Limit,
    "rules": Rule,
}
"""Sections that are lists -> their entries."""


def built(sections: Mapping[str, Any]) -> Catalog:
    """The catalog of sections that are as they should be: plain JSON data, or entries already."""
    read = {name: tuple(_entry(kind, item) for item in sections[name]) for name, kind in SECTIONS.items()}
    models: tuple[HostedModel, ...] = read["models"]
    return Catalog(
        sources={key: _entry(Source, entry) for key, entry in sections["sources"].items()},
        models={model.endpoint: model for model in models},
        retirements=tuple(sorted(read["retirements"], key=lambda entry: entry.date)),
        policy=_entry(RetirementPolicy, sections["policy"]),
        provisioned_families=read["provisioned_families"],
        provisioned_models=read["provisioned_models"],
        tasks=tuple(sections["tasks"]),
        providers=read["providers"],
        limits=read["limits"],
        rules=read["rules"],
    )


def _entry(kind: type, item: Any) -> Any:
    if isinstance(item, kind):
        return item
    entry = {key: _frozen(value) for key, value in item.items()}
    if kind is Retirement:
        entry |= {key: dt.date.fromisoformat(entry[key]) for key in _DAYS if entry.get(key)}
    if kind is Limit and isinstance(entry["value"], int):
        entry["value"] = float(entry["value"])
    return kind(**entry)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
