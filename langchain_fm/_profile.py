"""What is known of a model, in LangChain's words: from the catalog, and from the endpoint if it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models.model_profile import ModelProfile

from fm_client import Route, catalog, profile_for

if TYPE_CHECKING:
    from fm_client import Endpoint  # not at run time: it brings the models of the control plane along


def profile_of_name(endpoint: str) -> ModelProfile | None:
    """What the catalog knows of an endpoint; None if it has none of that name."""
    hosted = catalog.get(endpoint)
    facts = _facts(profile_for(endpoint))
    if hosted is not None:
        facts["name"] = hosted.name
        facts |= {f"{kind}_inputs": True for kind in hosted.inputs}  # the list is incomplete: what it lacks is unknown
        facts["tool_choice"] = True if "tool_choice" in hosted.capabilities else None
    return _profile(facts)


def profile_of_endpoint(endpoint: Endpoint) -> ModelProfile | None:
    """What an endpoint says of itself, and what follows from the model it serves."""
    if endpoint.route is Route.HOSTED:
        facts: dict[str, Any] = dict(profile_of_name(endpoint.name) or {})
    else:
        facts = {"name": endpoint.model_name, **_facts(profile_for(endpoint.model_name or "", endpoint.route))}
    told = (endpoint.model_extra or {}).get("capabilities")
    if isinstance(told, dict) and isinstance(told.get("function_calling"), bool):
        facts["tool_calling"] = told["function_calling"]
    return _profile(facts)


def _facts(known: Any) -> dict[str, Any]:
    return {
        "max_input_tokens": known.get("context_tokens"),
        "max_output_tokens": known.get("max_output_tokens"),
        "image_inputs": known.get("supports_images"),
        "tool_calling": known.get("supports_tools"),
        "structured_output": known.get("supports_json_schema"),
        "reasoning_output": known.get("supports_reasoning"),
    }


def _profile(facts: dict[str, Any]) -> ModelProfile | None:
    found = {key: value for key, value in facts.items() if value is not None}
    return ModelProfile(**found) if found else None  # type: ignore[typeddict-item]  # the keys are its own
