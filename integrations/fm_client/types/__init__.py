"""The wire models: what goes to the service and what comes back."""

from typing import TYPE_CHECKING, Any

from .chat import ChatChunk, ChatResponse, Choice, ChunkChoice, Delta, FunctionCall, Message, ToolCall, ToolCallDelta
from .completions import CompletionChoice, CompletionChunk, CompletionResponse
from .embeddings import EmbeddingResponse
from .usage import Served, Usage

if TYPE_CHECKING:
    from .endpoints import (
        EmailNotifications,
        Endpoint,
        EndpointConfig,
        EndpointState,
        FoundationModel,
        OptimizationInfo,
        ServedEntity,
        ServedEntityState,
        Tag,
        TrafficConfig,
        TrafficRoute,
    )
    from .external import (
        AI21LabsConfig,
        AmazonBedrockConfig,
        AnthropicConfig,
        ApiKeyAuth,
        BearerTokenAuth,
        CohereConfig,
        CustomProviderConfig,
        DatabricksModelServingConfig,
        ExternalModel,
        GoogleCloudVertexAIConfig,
        OpenAIConfig,
        PaLMConfig,
    )
    from .gateway import (
        AiGatewayConfig,
        GuardrailParameters,
        Guardrails,
        InferenceTableConfig,
        PiiGuardrail,
        RateLimit,
        Switch,
    )
    from .permissions import AccessControl, Grant, Permission, PermissionLevel, Permissions

__all__ = [
    "AI21LabsConfig",
    "AccessControl",
    "AiGatewayConfig",
    "AmazonBedrockConfig",
    "AnthropicConfig",
    "ApiKeyAuth",
    "BearerTokenAuth",
    "ChatChunk",
    "ChatResponse",
    "Choice",
    "ChunkChoice",
    "CohereConfig",
    "CompletionChoice",
    "CompletionChunk",
    "CompletionResponse",
    "CustomProviderConfig",
    "DatabricksModelServingConfig",
    "Delta",
    "EmailNotifications",
    "EmbeddingResponse",
    "Endpoint",
    "EndpointConfig",
    "EndpointState",
    "ExternalModel",
    "FoundationModel",
    "FunctionCall",
    "GoogleCloudVertexAIConfig",
    "Grant",
    "GuardrailParameters",
    "Guardrails",
    "InferenceTableConfig",
    "Message",
    "OpenAIConfig",
    "OptimizationInfo",
    "PaLMConfig",
    "Permission",
    "PermissionLevel",
    "Permissions",
    "PiiGuardrail",
    "RateLimit",
    "Served",
    "ServedEntity",
    "ServedEntityState",
    "Switch",
    "Tag",
    "ToolCall",
    "ToolCallDelta",
    "TrafficConfig",
    "TrafficRoute",
    "Usage",
]

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Import the models of the control plane with the first that is asked for: queries do without them."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import endpoints, external, gateway, permissions

        for module in (endpoints, external, gateway, permissions):
            globals().update({key: value for key, value in vars(module).items() if key in __all__})
        return globals()[name]


def __dir__() -> list[str]:
    """All names, those that are not imported yet too."""
    return sorted({*globals(), *__all__})
