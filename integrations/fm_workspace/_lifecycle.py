"""The life of an endpoint: created, deployed, updated, failed. Pure: the time is an argument, and nothing waits.

create -> NOT_READY, IN_PROGRESS -> READY, NOT_UPDATING
                                 -> NOT_READY, UPDATE_FAILED      the failed configuration stays in sight
update -> READY, IN_PROGRESS     -> READY, NOT_UPDATING           with a raised config_version
                                 -> READY, UPDATE_FAILED          the former configuration goes on serving
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ._engine import JSONObject
from ._errors import invalid_parameter, not_ready, update_in_progress
from ._quirks import deploy_seconds

Kind = Literal["hosted", "provisioned", "external"]


@dataclass(frozen=True, slots=True)
class Entity:
    """A served entity: its name, and what was asked to be served."""

    name: str
    spec: JSONObject
    created: float

    @property
    def external(self) -> JSONObject | None:
        """The external model, if it is one."""
        return self.spec.get("external_model")

    @property
    def model(self) -> str:
        """The name of the model itself."""
        return str(self.external["name"] if self.external else self.spec.get("entity_name") or self.name)


@dataclass(frozen=True, slots=True)
class Route:
    """The share of the queries, in percent, that one served entity gets."""

    entity: str
    percentage: int


@dataclass(frozen=True, slots=True)
class Config:
    """What an endpoint serves."""

    kind: Kind
    task: str
    entities: tuple[Entity, ...]
    routes: tuple[Route, ...]
    version: int = 0

    def entity(self, name: str) -> Entity | None:
        """The served entity of that name."""
        return next((entity for entity in self.entities if entity.name == name), None)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A configuration on its way. `failure` is the message it ends with, None if it succeeds. Times: Unix seconds."""

    config: Config
    started: float
    ends: float
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """All that is known of a serving endpoint. Times: Unix seconds."""

    name: str
    id: str
    creator: str
    created: float
    updated: float
    active: Config | None = None
    pending: Deployment | None = None
    failed: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    ai_gateway: JSONObject | None = None
    rate_limits: list[JSONObject] = field(default_factory=list)
    details: JSONObject = field(default_factory=dict)
    permissions: dict[str, str] = field(default_factory=dict)
    """Principal (`user_name:…`, `group_name:…`, `service_principal_name:…`) -> level."""

    @property
    def config(self) -> Config:
        """The configuration that serves, else the one that is to serve."""
        if self.active is not None:
            return self.active
        if self.pending is None:
            raise ValueError("an endpoint has a configuration from its creation on")
        return self.pending.config

    def entity(self, name: str) -> Entity | None:
        """The served entity of that name, whether it serves, is on its way, or failed."""
        pending = self.pending.config.entity(name) if self.pending is not None else None
        return pending or self.config.entity(name)

    @property
    def hosted(self) -> bool:
        """Whether it is one of the service's own pay-per-token endpoints."""
        return self.config.kind == "hosted"

    @property
    def ready(self) -> str:
        """`state.ready`."""
        return "READY" if self.active is not None else "NOT_READY"

    @property
    def config_update(self) -> str:
        """`state.config_update`."""
        if self.pending is None:
            return "NOT_UPDATING"
        return "UPDATE_FAILED" if self.failed else "IN_PROGRESS"


def deploy(endpoint: Endpoint, config: Config, now: float, default_seconds: float) -> Endpoint:
    """The endpoint with `config` on its way; 409 while another one is."""
    settled = settle(endpoint, now)
    if settled.pending is not None and not settled.failed:
        raise update_in_progress(endpoint.name)
    _check_change(settled, config)
    version = 1 + (settled.active.version if settled.active else 0)
    deployment = Deployment(
        replace(config, version=version),
        started=now,
        ends=now + deploy_seconds(endpoint.tags, default_seconds),
        failure=endpoint.tags.get("fm_deploy_fail"),
    )
    return replace(settled, pending=deployment, failed=False, updated=now)


def settle(endpoint: Endpoint, now: float) -> Endpoint:
    """The endpoint as it stands at `now`: a deployment whose time is over has taken effect, or failed."""
    pending = endpoint.pending
    if pending is None or endpoint.failed or now < pending.ends:
        return endpoint
    ended = replace(endpoint, updated=pending.ends)
    if pending.failure is not None:
        return replace(ended, failed=True)
    return replace(ended, active=pending.config, pending=None)


def at_once(endpoint: Endpoint, config: Config, now: float) -> Endpoint:
    """The endpoint with `config` in effect without a deployment, as updates of provisioned units are."""
    return settle(deploy(endpoint, config, now, 0.0), math.inf)


def serving(endpoint: Endpoint) -> Config:
    """The configuration that answers queries; 503 if there is none yet."""
    if endpoint.active is not None:
        return endpoint.active
    if endpoint.failed and endpoint.pending is not None:
        raise not_ready(endpoint.name, f"its deployment failed: {endpoint.pending.failure}")
    raise not_ready(endpoint.name, "it is being deployed. Retry when its state is READY")


def retagged(tags: Mapping[str, str], added: list[Any], deleted: list[str]) -> dict[str, str]:
    """Tags after a change; an added one replaces one of the same key."""
    return {key: value for key, value in tags.items() if key not in deleted} | {tag.key: tag.value for tag in added}


def _check_change(endpoint: Endpoint, config: Config) -> None:
    before = endpoint.active
    if before is not None and before.kind != config.kind:
        raise invalid_parameter("An endpoint with external models cannot become one without, nor the reverse.")
    if before is not None and before.task != config.task:
        raise invalid_parameter(f"The endpoint's task is {before.task} and cannot become {config.task}.")
