"""The fields of a served entity, by name: what the service does not know, it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._errors import invalid_parameter

Fields = Mapping[str, "Fields | None"]
SHOWN = frozenset({"creation_timestamp", "creator", "foundation_model", "state"})
"""Fields that an answer has beside those of a request: who sends back what was shown need not take them out."""


def _plain(*names: str) -> dict[str, Fields | None]:
    return dict.fromkeys(names)


def _with_literals(*names: str) -> dict[str, Fields | None]:
    return _plain(*names, *(f"{name}_plaintext" for name in names))


_EXTERNAL: Fields = {
    **_plain("name", "provider", "task"),
    "ai21labs_config": _with_literals("ai21labs_api_key"),
    "amazon_bedrock_config": {
        **_plain("aws_region", "bedrock_provider", "instance_profile_arn", "uc_service_credential_name"),
        **_with_literals("aws_access_key_id", "aws_secret_access_key"),
    },
    "anthropic_config": _with_literals("anthropic_api_key"),
    "cohere_config": {**_plain("cohere_api_base"), **_with_literals("cohere_api_key")},
    "custom_provider_config": {
        "custom_provider_url": None,
        "api_key_auth": {"key": None, **_with_literals("value")},
        "bearer_token_auth": _with_literals("token"),
    },
    "databricks_model_serving_config": {
        "databricks_workspace_url": None,
        **_with_literals("databricks_api_token"),
    },
    "google_cloud_vertex_ai_config": {**_plain("project_id", "region"), **_with_literals("private_key")},
    "openai_config": {
        **_plain("microsoft_entra_client_id", "microsoft_entra_tenant_id", "openai_api_base", "openai_api_type"),
        **_plain("openai_api_version", "openai_deployment_name", "openai_organization"),
        **_with_literals("microsoft_entra_client_secret", "openai_api_key"),
    },
    "palm_config": _with_literals("palm_api_key"),
}
ENTITY: Fields = {
    **_plain("name", "entity_name", "entity_version", "model_name", "model_version"),
    **_plain("min_provisioned_throughput", "max_provisioned_throughput", "provisioned_model_units"),
    **_plain("min_provisioned_concurrency", "max_provisioned_concurrency", "burst_scaling_enabled"),
    **_plain("workload_size", "workload_type", "scale_to_zero_enabled", "environment_vars", "instance_profile_arn"),
    **_plain("pt_term", "pt_auto_renew", "commitments"),  # known for a while, and still sent by older clients
    "external_model": _EXTERNAL,
}


def check_fields(value: Any, fields: Fields, path: str) -> None:
    """400 for the first field below `value` that is not in `fields`."""
    for name, item in value.items() if isinstance(value, dict) else ():
        if name not in fields:
            raise invalid_parameter(f"Could not parse request: unknown field '{path}.{name}'.")
        if inner := fields[name]:
            check_fields(item, inner, f"{path}.{name}")
