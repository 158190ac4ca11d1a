"""Serving endpoints: what the control plane says of them, in a list (short) or alone (in full)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ConfigDict, Field, SecretStr, model_validator

from .._routes import Route, route_of
from ._base import JSONObject, WireModel
from .external import ExternalModel, SecretModel
from .gateway import AiGatewayConfig

READY = "READY"
IN_PROGRESS = "IN_PROGRESS"
FAILED_UPDATES = frozenset({"UPDATE_FAILED", "UPDATE_CANCELED"})
FAILED_DEPLOYMENTS = frozenset({"DEPLOYMENT_FAILED", "DEPLOYMENT_ABORTED"})


class EndpointState(WireModel):
    """Whether an endpoint can answer, and what its last change came to."""

    ready: str | None = None
    """READY or NOT_READY: it speaks of the active configuration, also while the next one is deployed."""
    config_update: str | None = None
    """NOT_UPDATING, IN_PROGRESS, UPDATE_FAILED or UPDATE_CANCELED."""

    @property
    def is_ready(self) -> bool:
        """Whether the active configuration answers."""
        return self.ready == READY

    @property
    def is_updating(self) -> bool:
        """Whether a change is being deployed."""
        return self.config_update == IN_PROGRESS

    @property
    def is_failed(self) -> bool:
        """Whether the last change failed or was cancelled; the configuration before it may serve on."""
        return self.config_update in FAILED_UPDATES

    def __str__(self) -> str:
        return f"{self.ready or 'unknown'}, {self.config_update or 'unknown'}"


class ServedEntityState(WireModel):
    """How far the deployment of one served entity is."""

    deployment: str | None = None
    """DEPLOYMENT_CREATING, _RECOVERING, _READY, _FAILED or _ABORTED."""
    deployment_state_message: str | None = None

    @property
    def is_failed(self) -> bool:
        """Whether the deployment ended without success."""
        return self.deployment in FAILED_DEPLOYMENTS


class FoundationModel(WireModel):
    """A hosted model, as its endpoint describes it."""

    name: str | None = None
    display_name: str | None = None
    docs: str | None = None
    description: str | None = None


class ServedEntity(SecretModel):
    """One model behind an endpoint (also in the older form, `served_models`)."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # a version is a text, and often looks like a number

    name: str | None = None
    entity_name: str | None = None
    entity_version: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    external_model: ExternalModel | None = None
    foundation_model: FoundationModel | None = None
    state: ServedEntityState | None = None
    workload_size: str | None = None
    workload_type: str | None = None
    scale_to_zero_enabled: bool | None = None
    burst_scaling_enabled: bool | None = None
    provisioned_model_units: int | None = None
    min_provisioned_throughput: int | None = None
    """Tokens per second."""
    max_provisioned_throughput: int | None = None
    min_provisioned_concurrency: int | None = None
    max_provisioned_concurrency: int | None = None
    environment_vars: dict[str, str] | None = Field(default=None, repr=False)  # a common place for credentials
    instance_profile_arn: str | None = None
    creator: str | None = None
    creation_timestamp: int | None = None

    @property
    def underlying(self) -> str | None:
        """The model's own name: the provider's, the hosted model's, or that in Unity Catalog."""
        if self.external_model:
            return self.external_model.name
        hosted = self.foundation_model.name if self.foundation_model else None
        return self.entity_name or hosted or self.model_name

    @property
    def failure(self) -> str | None:
        """Why its deployment failed; None if it did not."""
        if self.state is None or not self.state.is_failed:
            return None
        reason = self.state.deployment_state_message or str(self.state.deployment)
        return f"{self.name}: {reason}" if self.name else reason


class TrafficRoute(WireModel):
    """A share of the requests for one served entity."""

    traffic_percentage: int
    """0 to 100; a number as text is taken too, for the service's own examples have it."""
    served_entity_name: str | None = None
    served_model_name: str | None = None


class TrafficConfig(WireModel):
    """How requests are spread over the served entities."""

    routes: list[TrafficRoute] | None = None


class EndpointConfig(SecretModel):
    """A configuration: the active one, or the one being deployed."""

    served_entities: list[ServedEntity] | None = None
    served_models: list[ServedEntity] | None = None
    traffic_config: TrafficConfig | None = None
    config_version: int | None = None
    start_time: int | None = None
    auto_capture_config: JSONObject | None = None

    @property
    def entities(self) -> list[ServedEntity]:
        """The served entities in either form; an answer that has both says the same twice."""
        return self.served_entities or self.served_models or []


class Tag(WireModel):
    """A label of an endpoint."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    key: str
    value: str | None = None


class Endpoint(SecretModel):
    """A serving endpoint.

    >>> endpoint = Endpoint.model_validate({"name": "e", "state": {"ready": "READY", "config_update": "IN_PROGRESS"}})
    >>> endpoint.is_ready, endpoint.is_updating
    (True, True)
    """

    name: str
    id: str | None = None
    creator: str | None = None
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    state: EndpointState | None = None
    config: EndpointConfig | None = None
    pending_config: EndpointConfig | None = None
    task: str | None = None
    """llm/v1/chat, llm/v1/completions, llm/v1/embeddings, or another; an external model's, if the endpoint has none."""
    tags: list[Tag] | None = None
    ai_gateway: AiGatewayConfig | None = None
    permission_level: str | None = None
    description: str | None = None
    route_optimized: bool | None = None
    endpoint_url: str | None = None
    data_plane_info: JSONObject | None = None
    budget_policy_id: str | None = None
    email_notifications: JSONObject | None = None
    telemetry_config: JSONObject | None = None

    @model_validator(mode="after")
    def _take_task(self) -> Endpoint:
        models = (entity.external_model for entity in self.served_entities)
        if not self.task and (task := next((model.task for model in models if model and model.task), None)):
            self.__dict__["task"] = task  # not an assignment: `to_dict` stays what was received
        return self

    @property
    def served_entities(self) -> list[ServedEntity]:
        """What is served; before the first deployment what will be."""
        return next((config.entities for config in self._configs if config.entities), [])

    @property
    def route(self) -> Route:
        """The route that its requests take."""
        return route_of(self)

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.state is not None and self.state.is_ready

    @property
    def is_updating(self) -> bool:
        """Whether a change is being deployed."""
        return self.state is not None and self.state.is_updating

    @property
    def model_name(self) -> str | None:
        """The first served entity's own name, for instance `gpt-4o` or `system.ai.meta_llama_v3_1_8b_instruct`."""
        return self.served_entities[0].underlying if self.served_entities else None

    @property
    def vendors(self) -> dict[str, str]:
        """Served entity -> whose model it is (openai, azure, anthropic, …); of external models only."""
        models = ((entity.name or "", entity.external_model) for entity in self.served_entities)
        return {name: model.vendor for name, model in models if model}

    @property
    def served_names(self) -> list[str]:
        """The names of the served entities, those on their way first."""
        return list(dict.fromkeys(entity.name for entity in self._newest_first if entity.name))

    @property
    def failed_entities(self) -> list[ServedEntity]:
        """The served entities whose deployment failed, those of the last change first."""
        return [entity for entity in self._newest_first if entity.failure]

    @property
    def failure(self) -> str | None:
        """What failed deployments say of themselves; None if none failed."""
        messages = dict.fromkeys(entity.failure for entity in self.failed_entities if entity.failure)
        return "; ".join(messages) or None

    @property
    def _newest_first(self) -> Iterator[ServedEntity]:
        return (entity for config in (self.pending_config, self.config) if config for entity in config.entities)

    @property
    def _configs(self) -> Iterator[EndpointConfig]:
        return (config for config in (self.config, self.pending_config) if config)


class EmailNotifications(WireModel):
    """Whom the service writes to when an update of an endpoint has ended."""

    on_update_success: list[str] | None = None
    """Addresses of e-mail."""
    on_update_failure: list[str] | None = None


class OptimizationInfo(WireModel):
    """Whether, and in which steps, throughput can be provisioned for a model of Unity Catalog.

    >>> OptimizationInfo(optimizable=True, model_type="llama", throughput_chunk_size=980).tokens_per_second(2)
    1960
    """

    optimizable: bool = False
    model_type: str | None = None
    throughput_chunk_size: int | None = None
    """Tokens per second. Provisioned throughput is a multiple of it."""

    def tokens_per_second(self, chunks: int) -> int:
        """The throughput of so many chunks; 0 where the model has none."""
        return chunks * (self.throughput_chunk_size or 0)


def plain(value: Any) -> Any:
    """`value` with every wire model in it turned into plain data for a request body, credentials included."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, SecretModel):
        return value.to_wire()
    if isinstance(value, WireModel):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
