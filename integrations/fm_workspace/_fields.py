"""The fields of a served entity, by name and kind: what the service does not know, it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._errors import invalid_parameter

Fields = Mapping[str, "Fields | Kind"]
Kind = Callable[[Any], str]
"""Says what a value should have been; an empty text if it is that."""
SHOWN = frozenset({"creation_timestamp", "creator", "foundation_model", "state"})
"""Fields that an answer has beside those of a request: who sends back what was shown need not take them out."""


def _line(value: Any) -> str:
    return "" if isinstance(value, str) and value.isprintable() else "a text of one line"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "a text"


def _whole(value: Any) -> str:
    return "" if isinstance(value, int) and not isinstance(value, bool) else "a whole number"


def _switch(value: Any) -> str:
    # The service's own examples send it as text, too.
    return "" if isinstance(value, bool) or str(value).lower() in ("true", "false") else "true or false"


def _variables(value: Any) -> str:
    texts = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    return "" if texts else "an object of texts"


def _anything(value: Any) -> str:
    return ""


def _plain(*names: str, kind: Kind = _line) -> dict[str, Fields | Kind]:
    return dict.fromkeys(names, kind)


def _with_literals(*names: str, kind: Kind = _line) -> dict[str, Fields | Kind]:
    return _plain(*names, *(f"{name}_plaintext" for name in names), kind=kind)


_EXTERNAL: Fields = {
    **_plain("name", "provider", "task"),
    "ai21labs_config": _with_literals("ai21labs_api_key"),
    "amazon_bedrock_config": {
        **_plain("aws_region", "bedrock_provider", "instance_profile_arn", "uc_service_credential_name"),
        **_with_literals("aws_access_key_id", "aws_secret_access_key"),
    },
    "anthropic_config": _with_literals("anthropic_api_key"),
    "cohere_config": {**_plain("cohere_api_base", kind=_anything), **_with_literals("cohere_api_key")},
    "custom_provider_config": {
        **_plain("custom_provider_url", kind=_anything),
        "api_key_auth": {**_plain("key"), **_with_literals("value")},
        "bearer_token_auth": _with_literals("token"),
    },
    "databricks_model_serving_config": {
        **_plain("databricks_workspace_url", kind=_anything),
        **_with_literals("databricks_api_token"),
    },
    "google_cloud_vertex_ai_config": {**_plain("project_id", "region"), **_with_literals("private_key", kind=_text)},
    "openai_config": {
        **_plain("openai_api_base", kind=_anything),
        **_plain("microsoft_entra_client_id", "microsoft_entra_tenant_id", "openai_api_type"),
        **_plain("openai_api_version", "openai_deployment_name", "openai_organization"),
        **_with_literals("microsoft_entra_client_secret", "openai_api_key"),
    },
    "palm_config": _with_literals("palm_api_key"),
}
ENTITY: Fields = {
    **_plain("name", "entity_name", "model_name", "workload_size", "workload_type", "instance_profile_arn"),
    **_plain("entity_version", "model_version", kind=_anything),  # a number, as text or not
    **_plain("min_provisioned_throughput", "max_provisioned_throughput", "provisioned_model_units", kind=_whole),
    **_plain("min_provisioned_concurrency", "max_provisioned_concurrency", kind=_whole),
    **_plain("burst_scaling_enabled", "scale_to_zero_enabled", kind=_switch),
    **_plain("environment_vars", kind=_variables),
    # Known for a while, and still sent by older clients.
    **_plain("pt_term", "pt_auto_renew", "commitments", kind=_anything),
    "external_model": _EXTERNAL,
}


def check_fields(value: Any, fields: Fields, path: str) -> None:
    """400 for the first field below `value` that is not in `fields`, or not of its kind."""
    if not isinstance(value, dict):
        raise invalid_parameter(f"Could not parse request: {path} must be an object.")
    for name, item in value.items():
        if name not in fields:
            raise invalid_parameter(f"Could not parse request: unknown field '{path}.{name}'.")
        kind = fields[name]
        if item is None:
            continue
        if isinstance(kind, Mapping):
            check_fields(item, kind, f"{path}.{name}")
        elif expected := kind(item):
            raise invalid_parameter(f"Could not parse request: {path}.{name} must be {expected}.")
