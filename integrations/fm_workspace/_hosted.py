"""The endpoints that exist from the start: the models of the catalog that are hosted pay-per-token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ._engine import JSONObject
from ._lifecycle import Config, Endpoint, Entity, Route

CREATOR = "System-User"
_SYSTEM = "system.ai."  # the catalog of Unity Catalog that holds the service's own models
CREATED = 1_733_011_200.0
"""2024-12-01, the date of the service's page that this package was first made from."""
SNAPSHOT = "120124"
"""Date suffix of the model names in answers (month, day, year), as the service appends one."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """A hosted model, as far as the workspace cares."""

    endpoint: str
    display_name: str
    task: str
    description: str = ""


def hosted_endpoint(model: Hosted) -> Endpoint:
    """The serving endpoint of a hosted model."""
    spec: JSONObject = {
        "entity_name": f"{_SYSTEM}{model.endpoint.removeprefix(_SYSTEM)}",
        "entity_version": "1",
        "foundation_model": {
            "name": model.endpoint,
            "display_name": model.display_name,
            "description": model.description or f"{model.display_name}, hosted pay-per-token",
            "docs": "https://docs.databricks.com/machine-learning/foundation-model-apis/supported-models.html",
        },
    }
    config = Config("hosted", model.task, (Entity(model.endpoint, spec, CREATED),), (Route(model.endpoint, 100),), 1)
    return Endpoint(model.endpoint, identity(model.endpoint), CREATOR, CREATED, CREATED, active=config)


def refreshed(models: Iterable[Hosted], stored: Iterable[Endpoint]) -> tuple[list[Endpoint], list[str]]:
    """The hosted endpoints of today, with what was set on them before, and the names of those that have gone."""
    before = {endpoint.name: endpoint for endpoint in stored if endpoint.hosted}
    today = [_kept_settings(hosted_endpoint(model), before.get(model.endpoint)) for model in models]
    return today, sorted(before.keys() - {endpoint.name for endpoint in today})


def response_model(name: str) -> str:
    """The model name that answers give: the endpoint's (or model's) own, with a date.

    >>> response_model("databricks-meta-llama-3-3-70b-instruct")
    'meta-llama-3-3-70b-instruct-120124'
    """
    bare = name.rpartition(".")[2].removeprefix("databricks-").replace("_", "-")
    return f"{bare}-{SNAPSHOT}"


def identity(text: str) -> str:
    """A stable id of 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _kept_settings(fresh: Endpoint, before: Endpoint | None) -> Endpoint:
    if before is None:
        return fresh
    return replace(fresh, tags=before.tags, ai_gateway=before.ai_gateway, rate_limits=before.rate_limits)
