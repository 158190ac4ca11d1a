"""The AI gateway: limits, guardrails, fallback and tables of an endpoint."""

from __future__ import annotations

from ._base import WireModel


class RateLimit(WireModel):
    """A limit of the gateway: so many calls or tokens per minute for whom `key` names."""

    renewal_period: str = "minute"
    calls: int | None = None
    tokens: int | None = None
    key: str | None = None
    """endpoint (the service's default), user, user_group or service_principal."""
    principal: str | None = None


class PiiGuardrail(WireModel):
    """What happens to personal data: NONE, BLOCK or MASK."""

    behavior: str | None = None


class GuardrailParameters(WireModel):
    """Guardrails of one direction."""

    invalid_keywords: list[str] | None = None
    pii: PiiGuardrail | None = None
    safety: bool | None = None
    valid_topics: list[str] | None = None


class Guardrails(WireModel):
    """Guardrails of both directions."""

    input: GuardrailParameters | None = None
    output: GuardrailParameters | None = None


class InferenceTableConfig(WireModel):
    """The table of Unity Catalog that requests and answers are written to."""

    catalog_name: str | None = None
    schema_name: str | None = None
    table_name_prefix: str | None = None
    enabled: bool | None = None


class Switch(WireModel):
    """Something that is on or off."""

    enabled: bool | None = None


class AiGatewayConfig(WireModel):
    """What the gateway does for an endpoint. An update replaces it whole."""

    fallback_config: Switch | None = None
    guardrails: Guardrails | None = None
    inference_table_config: InferenceTableConfig | None = None
    rate_limits: list[RateLimit] | None = None
    usage_tracking_config: Switch | None = None
