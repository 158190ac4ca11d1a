"""The endpoints of a workspace and every change to them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace

from ._callers import Caller
from ._configs import check_name, read_config
from ._engine import JSONObject
from ._errors import already_exists, invalid_parameter, no_resource, not_permitted
from ._hosted import Hosted, refreshed
from ._lifecycle import Config, Endpoint, at_once, deploy, retagged, settle
from ._models import AIGateway, CoreConfig, CreateEndpoint, PatchTags, UpdateConfig, given_config
from ._quirks import check_tags
from ._store import Store

_DETAILS = ("route_optimized", "budget_policy_id", "description", "email_notifications", "telemetry_config")


class Registry:
    """Reads and changes endpoints; each read shows the endpoint as it stands now."""

    def __init__(self, store: Store, models: Iterable[Hosted], clock: Callable[[], float], seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds
        hosted, gone = refreshed(models, store.all())
        store.delete(*gone)
        store.put(*hosted)

    def all(self) -> list[Endpoint]:
        """All endpoints, by name."""
        now = self._clock()
        return [settle(endpoint, now) for endpoint in self._store.all()]

    def find(self, name: str) -> Endpoint | None:
        """The endpoint of that name, if there is one."""
        stored = self._store.get(name)
        return settle(stored, self._clock()) if stored else None

    def get(self, name: str) -> Endpoint:
        """The endpoint of that name; 404 if there is none."""
        if (found := self.find(name)) is None:
            raise no_resource(name)
        return found

    def with_id(self, identity: str) -> Endpoint | None:
        """The endpoint of that id, if there is one."""
        return next((endpoint for endpoint in self.all() if endpoint.id == identity), None)

    def by_id(self, identity: str) -> Endpoint:
        """The endpoint of that id; 404 if there is none."""
        if (found := self.with_id(identity)) is None:
            raise no_resource(identity)
        return found

    def create(self, request: CreateEndpoint, creator: str) -> Endpoint:
        """A new endpoint, its first deployment under way."""
        check_name(request.name)
        if self.find(request.name) is not None:
            raise already_exists(request.name)
        now, tags = self._clock(), retagged({}, request.tags, [])
        check_tags(tags)
        endpoint = _new(request, creator, tags, now)
        config = read_config(given_config(request.config), tags, now)
        return self._kept(deploy(endpoint, config, now, self._seconds))

    def update(self, name: str, config: UpdateConfig, caller: Caller) -> Endpoint:
        """The endpoint with another configuration under way."""
        endpoint, now = self._own(name), self._clock()
        return self._kept(deploy(endpoint, self._read(endpoint, config, now, caller), now, self._seconds))

    def update_at_once(self, name: str, config: CoreConfig, caller: Caller) -> Endpoint:
        """The endpoint with another configuration in effect."""
        endpoint, now = self._own(name), self._clock()
        return self._kept(at_once(endpoint, self._read(endpoint, config, now, caller), now))

    def delete(self, name: str) -> None:
        """Delete an endpoint."""
        self._store.delete(self._own(name).name)

    def retag(self, name: str, patch: PatchTags) -> Endpoint:
        """The endpoint with other tags."""
        endpoint = self.get(name)
        tags = retagged(endpoint.tags, patch.add_tags, patch.delete_tags)
        check_tags(tags)
        return self._kept(replace(endpoint, tags=tags))

    def set_gateway(self, name: str, gateway: AIGateway) -> Endpoint:
        """The endpoint with another gateway configuration."""
        return self._kept(replace(self.get(name), ai_gateway=gateway.given()))

    def set_rate_limits(self, name: str, limits: list[JSONObject]) -> Endpoint:
        """The endpoint with other rate limits of the older kind."""
        return self._kept(replace(self.get(name), rate_limits=limits))

    def set_permissions(self, identity: str, permissions: dict[str, str]) -> Endpoint:
        """The endpoint of that id with other permissions."""
        return self._kept(replace(self._own(self.by_id(identity).name), permissions=permissions))

    def set_detail(self, name: str, key: str, value: JSONObject | None) -> Endpoint:
        """The endpoint with one of its descriptive fields set, or taken away."""
        endpoint = self._own(name)
        details = {field: given for field, given in endpoint.details.items() if field != key}
        return self._kept(replace(endpoint, details=details | ({key: value} if value is not None else {})))

    def _read(self, endpoint: Endpoint, config: UpdateConfig | CoreConfig, now: float, caller: Caller) -> Config:
        read = read_config(given_config(config), endpoint.tags, now, endpoint.config)
        # Who could change the address of a provider could have any secret sent there.
        if read.kind == "external" and caller.role != "admin":
            raise not_permitted(f"User {caller.user} is no admin: only admins configure external models.")
        return read

    def _own(self, name: str) -> Endpoint:
        endpoint = self.get(name)
        if endpoint.hosted:
            raise not_permitted(f"Endpoint '{name}' is hosted by the service and cannot be changed or deleted.")
        return endpoint

    def _kept(self, endpoint: Endpoint) -> Endpoint:
        self._store.put(endpoint)
        return endpoint


def _new(request: CreateEndpoint, creator: str, tags: dict[str, str], now: float) -> Endpoint:
    if request.config is None:
        raise invalid_parameter("config is required.")
    sent = request.model_dump(mode="json", exclude_none=True)
    return Endpoint(
        name=request.name,
        id=uuid.uuid4().hex,
        creator=creator,
        created=now,
        updated=now,
        tags=tags,
        ai_gateway=request.ai_gateway.given() if request.ai_gateway else None,
        rate_limits=[limit.given() for limit in request.rate_limits],
        details={field: sent[field] for field in _DETAILS if field in sent},
    )
