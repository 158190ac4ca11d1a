"""Bodies of the management API. A field that is not known is refused, at every depth."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ._engine import JSONObject


class Body(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Part(Body):
    """An object inside a body."""

    def given(self) -> JSONObject:
        """What was sent, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


class Tag(Body):
    """A tag of an endpoint."""

    key: Annotated[str, Field(min_length=1, max_length=256)]
    value: Annotated[str, Field(max_length=1024)] = ""


class Route(Part):
    """The share of one served entity, in percent."""

    served_entity_name: str | None = None
    served_model_name: str | None = None
    traffic_percentage: Any = None


class TrafficConfig(Part):
    """How queries are shared out."""

    routes: list[Route] | None = None


class TableConfig(Part):
    """A table that requests and answers are written to."""

    catalog_name: str | None = None
    schema_name: str | None = None
    table_name_prefix: str | None = None
    enabled: bool | None = None


class CoreConfig(Part):
    """What an endpoint is to serve."""

    name: str | None = None
    served_entities: list[JSONObject] | None = None
    served_models: list[JSONObject] | None = None
    traffic_config: TrafficConfig | None = None
    auto_capture_config: TableConfig | None = None


class RateLimit(Part):
    """A limit per minute, in calls or tokens."""

    renewal_period: Literal["minute"]
    calls: Annotated[int, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    key: Literal["user", "endpoint", "user_group", "service_principal"] | None = None
    principal: str | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """A limit that would limit nothing is a mistake."""
        if self.calls is None and self.tokens is None:
            raise ValueError("a rate limit needs calls or tokens")
        if self.key in ("user_group", "service_principal") and not self.principal:
            raise ValueError(f"a rate limit for key {self.key} needs a principal")
        if self.key in (None, "endpoint") and self.principal:
            raise ValueError("a rate limit of the endpoint takes no principal")
        return self


class Enabled(Part):
    """Something that can be on or off."""

    enabled: bool


class PII(Part):
    """What is to happen to personal data."""

    behavior: Literal["NONE", "BLOCK", "MASK"] | None = None


class GuardrailSide(Part):
    """What is looked for in the texts of one direction."""

    invalid_keywords: list[str] | None = None
    valid_topics: list[str] | None = None
    safety: bool | None = None
    pii: PII | None = None


class Guardrails(Part):
    """Guards of the texts in both directions."""

    input: GuardrailSide | None = None
    output: GuardrailSide | None = None


class AIGateway(Part):
    """Limits, fallback and guardrails of an endpoint."""

    fallback_config: Enabled | None = None
    guardrails: Guardrails | None = None
    inference_table_config: TableConfig | None = None
    rate_limits: list[RateLimit] | None = None
    usage_tracking_config: Enabled | None = None


class CreateEndpoint(Body):
    """POST /api/2.0/serving-endpoints."""

    name: str
    config: CoreConfig | None = None
    ai_gateway: AIGateway | None = None
    tags: list[Tag] = Field(default_factory=list)
    rate_limits: list[RateLimit] = Field(default_factory=list)
    route_optimized: bool | None = None
    budget_policy_id: str | None = None
    description: str | None = None
    email_notifications: JSONObject | None = None
    telemetry_config: JSONObject | None = None


class UpdateConfig(Body):
    """PUT /api/2.0/serving-endpoints/{name}/config."""

    name: str | None = None
    served_entities: list[JSONObject] | None = None
    served_models: list[JSONObject] | None = None
    traffic_config: TrafficConfig | None = None
    auto_capture_config: TableConfig | None = None


class UpdateProvisioned(Body):
    """PUT /api/2.0/serving-endpoints/pt/{name}/config."""

    config: CoreConfig


class PatchTags(Body):
    """PATCH /api/2.0/serving-endpoints/{name}/tags."""

    add_tags: list[Tag] = Field(default_factory=list)
    delete_tags: list[str] = Field(default_factory=list)


class PutRateLimits(Body):
    """PUT /api/2.0/serving-endpoints/{name}/rate-limits."""

    rate_limits: list[RateLimit] = Field(default_factory=list)


class PatchNotifications(Body):
    """PATCH /api/2.0/serving-endpoints/{name}/notifications."""

    email_notifications: JSONObject | None = None


class PatchTelemetry(Body):
    """PATCH /api/2.0/serving-endpoints/{name}/telemetry-config."""

    telemetry_config: JSONObject | None = None


def given_config(config: CoreConfig | UpdateConfig | None) -> dict[str, Any]:
    """A configuration as it was sent."""
    return config.model_dump(mode="json", exclude_unset=True, exclude_none=True) if config is not None else {}
