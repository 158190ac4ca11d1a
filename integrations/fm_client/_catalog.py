"""The catalog of models, providers, retirements and limits: package data, or a newer file that a user brings.

All of it is a hint with a source and a date. The service changes its models without asking this package, so a name that
is not in it may well exist. The one thing that is refused for its sake, before it is sent, is a task that a source
rules out for an external provider; a newer catalog lifts that, too.

FM_CATALOG=path in the environment, or `load(path)`, brings a file; `python -m fm_client.refresh_catalog` writes one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt

    from ._catalog_data import (
        Catalog,
        ExternalProvider,
        HostedModel,
        Limit,
        ProvisionedFamily,
        ProvisionedModel,
        Retirement,
        RetirementPolicy,
        Rule,
        Source,
    )

__all__ = [
    "ExternalProvider",
    "HostedModel",
    "Limit",
    "ProvisionedFamily",
    "ProvisionedModel",
    "Retirement",
    "RetirementPolicy",
    "Rule",
    "Source",
    "close_names",
    "external_providers",
    "get",
    "limits",
    "load",
    "models",
    "policy",
    "provisioned_families",
    "provisioned_models",
    "replacement",
    "retirement",
    "retirement_notice",
    "retirements",
    "rules",
    "sources",
    "tasks",
]

PATH_VARIABLE = "FM_CATALOG"
"""Environment variable: a catalog file to use instead of what came with the package."""
MAX_CLOSE_NAMES = 3
CLOSE_NAME_CUTOFF = 0.6
"""Of difflib's ratio, its own default."""
_COMPARED_CHARS = 128
_COMMON_PREFIX = "databricks-"


class _State:
    """The catalog in use; None until somebody asks."""

    catalog: Catalog | None = None


def load(path: str | os.PathLike[str] | None = None) -> None:
    """Use the catalog in a file from now on, in this process; without a path, what FM_CATALOG or the package has.

    A section that the file has (`models`, `retirements`, `providers`, `limits`, …) takes the place of the package's.
    ConfigurationError, with the file and the place in it, for what is no catalog: what was in use then stays.
    """
    from ._catalog_file import read_catalog

    _State.catalog = read_catalog(path) if path is not None else _first()


def current() -> Catalog:
    """The catalog in use."""
    if _State.catalog is None:
        _State.catalog = _first()
    return _State.catalog


def _first() -> Catalog:
    from ._catalog_file import packaged, read_catalog

    path = os.environ.get(PATH_VARIABLE)
    return read_catalog(path) if path else packaged()


def models(task: str | None = None, provider: str | None = None) -> tuple[HostedModel, ...]:
    """The hosted models, newest documentation first; only those of a task or a provider, if one is given.

    >>> [model.endpoint for model in models(task="llm/v1/embeddings", provider="baai")]
    ['databricks-bge-large-en']
    """
    return tuple(
        model
        for model in current().models.values()
        if (task is None or model.task == task) and (provider is None or model.provider == provider)
    )


def get(endpoint: str) -> HostedModel | None:
    """The hosted model of an endpoint; None if the catalog has none."""
    return current().models.get(endpoint)


def retirement(endpoint: str) -> Retirement | None:
    """When and why a pay-per-token endpoint ended; None if the catalog knows of no end."""
    return current().retired.get(endpoint)


def replacement(endpoint: str) -> str | None:
    """The endpoint to use instead of a retired one, over several generations; None if there is none to name.

    >>> replacement("databricks-llama-2-70b-chat")
    'databricks-meta-llama-3-3-70b-instruct'
    """
    last = _generations(endpoint)[-1:]
    return last[0].replacement if last else None


def retirement_notice(endpoint: str, today: dt.date | None = None) -> str | None:
    """A sentence on the end of an endpoint, which says what of it is unsure; None if the catalog knows of no end.

    With `today` it tells an end to come from one that is past.

    >>> retirement_notice("databricks-meta-llama-3-1-70b-instruct")
    "Meta-Llama-3.1-70B-Instruct was retired on 2024-12-11; use 'databricks-meta-llama-3-3-70b-instruct'."
    """
    found = retirement(endpoint)
    if found is None:
        return None
    ends = "will be retired" if today is not None and found.date > today else "was retired"
    when = f" (on {found.date}, unverified)" if "date" in found.unverified else f" on {found.date}"
    instead = replacement(endpoint)
    unsure = " (unverified)" if any("replacement" in entry.unverified for entry in _generations(endpoint)) else ""
    return f"{found.model} {ends}{when}" + (f"; use {instead!r}{unsure}." if instead else ".")


def _generations(endpoint: str) -> list[Retirement]:
    """The retirements that lead from an endpoint to the one that replaces it now."""
    found: list[Retirement] = []
    names = {endpoint}
    entry = retirement(endpoint)
    while entry is not None:
        if entry.replacement in names:
            return []  # in a circle: there is none to name
        found.append(entry)
        names.add(entry.replacement or "")
        entry = retirement(entry.replacement) if entry.replacement else None
    return found


def close_names(name: str, known: Iterable[str] = ()) -> tuple[str, ...]:
    """Up to three names like `name`, the closest first: of `known`, and of the hosted models that are not retired.

    >>> close_names("databricks-gte-large")
    ('databricks-gte-large-en', 'databricks-bge-large-en')
    """
    wanted = name[:_COMPARED_CHARS].removeprefix(_COMMON_PREFIX)  # which would make any two hosted models alike
    candidates: dict[str, str] = {}
    for candidate in (*known, *(endpoint for endpoint in current().models if endpoint not in current().retired)):
        if candidate != name:
            candidates.setdefault(candidate.removeprefix(_COMMON_PREFIX), candidate)
    import difflib

    found = difflib.get_close_matches(wanted, candidates, MAX_CLOSE_NAMES, CLOSE_NAME_CUTOFF)
    return tuple(candidates[match] for match in found)


def retirements() -> tuple[Retirement, ...]:
    """All retirements, the oldest first."""
    return current().retirements


def policy() -> RetirementPolicy:
    """How the service retires models: months of notice, and what happens then."""
    return current().policy


def provisioned_families() -> tuple[ProvisionedFamily, ...]:
    """The families for provisioned throughput."""
    return current().provisioned_families


def provisioned_models() -> tuple[ProvisionedModel, ...]:
    """Models of Unity Catalog that the documents name for provisioned throughput; there are more."""
    return current().provisioned_models


def external_providers(provider: str | None = None, task: str | None = None) -> tuple[ExternalProvider, ...]:
    """The providers of external models: only one, or those that a source states for a task, if that is given.

    >>> [entry.name for entry in external_providers("amazon-bedrock", task="llm/v1/embeddings")]
    ['Amazon Bedrock: Cohere', 'Amazon Bedrock: Amazon']
    """
    return tuple(
        entry
        for entry in current().providers
        if (provider is None or entry.provider == provider) and (task is None or task in entry.tasks)
    )


def tasks() -> tuple[str, ...]:
    """The tasks that an external model can have."""
    return current().tasks


def limits(applies_to: str | None = None) -> tuple[Limit, ...]:
    """The service's limits, as far as a source states them; only those of an endpoint or a route, if one is given.

    >>> [(limit.name, limit.value) for limit in limits("databricks-bge-large-en")]
    [('queries_per_second', 600.0)]
    """
    return tuple(limit for limit in current().limits if applies_to is None or applies_to in limit.applies_to)


def rules(about: str | None = None) -> tuple[Rule, ...]:
    """What the sources say of which models a route takes, fine-tuned and custom ones among them.

    >>> len(rules("provisioned")) + len(rules("external")) == len(rules())
    True
    """
    return tuple(rule for rule in current().rules if about is None or rule.about == about)


def sources() -> Mapping[str, Source]:
    """The documents behind the catalog, by the keys that its entries use."""
    return current().sources


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Import the classes of the entries when they are asked for: who only queries needs their objects alone."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _catalog_data

        return getattr(_catalog_data, name)
