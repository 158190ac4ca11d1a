"""One client for foundation-model serving endpoints: hosted, provisioned and external, by one API.

>>> from fm_client import Client
>>> with Client(host="local") as fm:
...     answer = fm.chat("databricks-meta-llama-3-3-70b-instruct", "Say hello")
>>> answer.endpoint
'databricks-meta-llama-3-3-70b-instruct'
"""

from typing import TYPE_CHECKING, Any

from . import _catalog as catalog
from ._client import AsyncClient, Client
from ._config import Settings
from ._copies import copy_with
from ._errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ContentFilteredError,
    ContextLengthError,
    EmbeddingContractError,
    EndpointFailedError,
    EndpointNotReadyError,
    FMError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ProxyError,
    RateLimitError,
    RedirectError,
    RequestTooLargeError,
    ResponseFormatError,
    ResponseTooLargeError,
    ServerError,
    StreamInterruptedError,
    TLSError,
    ToolArgumentsError,
    UnprocessableEntityError,
)
from ._hosts import is_loopback
from ._negotiate import DroppedParameterWarning
from ._observe import CallObserver, ObservedCall, observe
from ._pair import Clients
from ._profiles import ModelProfile, profile_for
from ._redact import without_logins
from ._requests import ChatParams, CompletionParams, EmbedParams, thinks
from ._retiring import RetiringModelWarning
from ._routes import Route, route_of
from ._tool_media import show_tool_media
from ._vectors import ZeroVectorWarning
from ._version import __version__
from ._wire import Reply, Request, Timeout
from .types import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    CompletionChoice,
    CompletionChunk,
    CompletionResponse,
    Delta,
    EmbeddingResponse,
    FunctionCall,
    Message,
    ToolCall,
    ToolCallDelta,
    Usage,
)

if TYPE_CHECKING:
    from ._http import HTTP, AsyncHTTP
    from ._metrics import MetricSample, parse_metrics
    from ._network import environment_proxy
    from .types import (
        AccessControl,
        AI21LabsConfig,
        AiGatewayConfig,
        AmazonBedrockConfig,
        AnthropicConfig,
        ApiKeyAuth,
        BearerTokenAuth,
        CohereConfig,
        CustomProviderConfig,
        DatabricksModelServingConfig,
        EmailNotifications,
        Endpoint,
        EndpointConfig,
        EndpointState,
        ExternalModel,
        FoundationModel,
        GoogleCloudVertexAIConfig,
        Grant,
        GuardrailParameters,
        Guardrails,
        InferenceTableConfig,
        OpenAIConfig,
        OptimizationInfo,
        PaLMConfig,
        Permission,
        PermissionLevel,
        Permissions,
        PiiGuardrail,
        RateLimit,
        ServedEntity,
        ServedEntityState,
        Switch,
        Tag,
        TrafficConfig,
        TrafficRoute,
    )

__all__ = [
    "HTTP",
    "AI21LabsConfig",
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AccessControl",
    "AiGatewayConfig",
    "AmazonBedrockConfig",
    "AnthropicConfig",
    "ApiKeyAuth",
    "AsyncClient",
    "AsyncHTTP",
    "AuthenticationError",
    "BadRequestError",
    "BearerTokenAuth",
    "CallObserver",
    "ChatChunk",
    "ChatParams",
    "ChatResponse",
    "Choice",
    "ChunkChoice",
    "Client",
    "Clients",
    "CohereConfig",
    "CompletionChoice",
    "CompletionChunk",
    "CompletionParams",
    "CompletionResponse",
    "ConfigurationError",
    "ConflictError",
    "ContentFilteredError",
    "ContextLengthError",
    "CustomProviderConfig",
    "DatabricksModelServingConfig",
    "Delta",
    "DroppedParameterWarning",
    "EmailNotifications",
    "EmbedParams",
    "EmbeddingContractError",
    "EmbeddingResponse",
    "Endpoint",
    "EndpointConfig",
    "EndpointFailedError",
    "EndpointNotReadyError",
    "EndpointState",
    "ExternalModel",
    "FMError",
    "FoundationModel",
    "FunctionCall",
    "GoogleCloudVertexAIConfig",
    "Grant",
    "GuardrailParameters",
    "Guardrails",
    "InferenceTableConfig",
    "InvalidRequestError",
    "Message",
    "MetricSample",
    "ModelProfile",
    "NotFoundError",
    "ObservedCall",
    "OpenAIConfig",
    "OptimizationInfo",
    "PaLMConfig",
    "Permission",
    "PermissionDeniedError",
    "PermissionLevel",
    "Permissions",
    "PiiGuardrail",
    "ProxyError",
    "RateLimit",
    "RateLimitError",
    "RedirectError",
    "Reply",
    "Request",
    "RequestTooLargeError",
    "ResponseFormatError",
    "ResponseTooLargeError",
    "RetiringModelWarning",
    "Route",
    "ServedEntity",
    "ServedEntityState",
    "ServerError",
    "Settings",
    "StreamInterruptedError",
    "Switch",
    "TLSError",
    "Tag",
    "Timeout",
    "ToolArgumentsError",
    "ToolCall",
    "ToolCallDelta",
    "TrafficConfig",
    "TrafficRoute",
    "UnprocessableEntityError",
    "Usage",
    "ZeroVectorWarning",
    "__version__",
    "catalog",
    "copy_with",
    "environment_proxy",
    "is_loopback",
    "observe",
    "parse_metrics",
    "profile_for",
    "route_of",
    "show_tool_media",
    "thinks",
    "without_logins",
]

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Import what most programs never name when it is asked for; the core's own use of it is as late."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        from ._late import PLACES

        value = globals()[name] = getattr(import_module(PLACES.get(name, ".types"), __name__), name)
        return value


def __dir__() -> list[str]:
    """All names, those that are not imported yet too."""
    return sorted({*globals(), *__all__})
