"""External models: another provider's model behind an endpoint, with the provider's settings and credentials.

A credential has two fields: `X` is a reference to a secret of the workspace (`{{secrets/scope/key}}`), `X_plaintext`
the credential itself. One of the two is needed. Plaintext is hidden wherever a model is shown or dumped; `to_wire()`
alone spells it out, for the request that creates the endpoint.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, PlainSerializer, SecretStr, SerializationInfo

from ._base import JSONObject, WireModel

Provider = Literal[
    "ai21labs",
    "amazon-bedrock",
    "anthropic",
    "cohere",
    "custom",
    "databricks-model-serving",
    "google-cloud-vertex-ai",
    "openai",
    "palm",
]
"""The providers of the service's API (databricks-sdk 0.156.0). Answers may name others: those are kept as text."""

_REVEAL = "reveal_secrets"


def _hide(secret: SecretStr | str) -> SecretStr:
    return secret if isinstance(secret, SecretStr) else SecretStr(secret)


def _dump(secret: SecretStr | str, info: SerializationInfo) -> str:
    hidden = _hide(secret)
    return hidden.get_secret_value() if (info.context or {}).get(_REVEAL) else str(hidden)


# Given as text or SecretStr, always kept as the latter.
Secret = Annotated[SecretStr | str, AfterValidator(_hide), PlainSerializer(_dump, return_type=str)]


class SecretModel(WireModel):
    """A wire model that may hold credentials."""

    # What is wrong with a credential must not be told by showing it; one that is assigned later is hidden as well.
    model_config = ConfigDict(hide_input_in_errors=True, validate_assignment=True)

    def to_wire(self) -> JSONObject:
        """The object for a request body, *with* its credentials in plain text. Not for logs."""
        return self.model_dump(mode="json", exclude_unset=True, context={_REVEAL: True})


class OpenAIConfig(SecretModel):
    """OpenAI; with `openai_api_type` "azure" (key) or "azuread" (Entra ID) Azure OpenAI."""

    openai_api_key: str | None = None
    openai_api_key_plaintext: Secret | None = None
    openai_api_base: str | None = None
    openai_api_type: str | None = None
    openai_api_version: str | None = None
    openai_deployment_name: str | None = None
    openai_organization: str | None = None
    microsoft_entra_tenant_id: str | None = None
    microsoft_entra_client_id: str | None = None
    microsoft_entra_client_secret: str | None = None
    microsoft_entra_client_secret_plaintext: Secret | None = None


class AnthropicConfig(SecretModel):
    """Anthropic."""

    anthropic_api_key: str | None = None
    anthropic_api_key_plaintext: Secret | None = None


class CohereConfig(SecretModel):
    """Cohere."""

    cohere_api_key: str | None = None
    cohere_api_key_plaintext: Secret | None = None
    cohere_api_base: str | None = None


class AmazonBedrockConfig(SecretModel):
    """Amazon Bedrock: by access key, instance profile, or service credential of Unity Catalog."""

    aws_region: str | None = None
    bedrock_provider: str | None = None
    """ai21labs, amazon, anthropic or cohere."""
    aws_access_key_id: str | None = None
    aws_access_key_id_plaintext: Secret | None = None
    aws_secret_access_key: str | None = None
    aws_secret_access_key_plaintext: Secret | None = None
    instance_profile_arn: str | None = None
    uc_service_credential_name: str | None = None


class AI21LabsConfig(SecretModel):
    """AI21 Labs."""

    ai21labs_api_key: str | None = None
    ai21labs_api_key_plaintext: Secret | None = None


class GoogleCloudVertexAIConfig(SecretModel):
    """Google Cloud Vertex AI. The private key is a service account's JSON key file, whole."""

    project_id: str | None = None
    region: str | None = None
    private_key: str | None = None
    private_key_plaintext: Secret | None = None


class DatabricksModelServingConfig(SecretModel):
    """A serving endpoint of another workspace."""

    databricks_workspace_url: str | None = None
    databricks_api_token: str | None = None
    databricks_api_token_plaintext: Secret | None = None


class PaLMConfig(SecretModel):
    """Google PaLM (historical)."""

    palm_api_key: str | None = None
    palm_api_key_plaintext: Secret | None = None


class BearerTokenAuth(SecretModel):
    """`Authorization: Bearer …` for a custom provider."""

    token: str | None = None
    token_plaintext: Secret | None = None


class ApiKeyAuth(SecretModel):
    """A header or query key with a value for a custom provider."""

    key: str | None = None
    value: str | None = None
    value_plaintext: Secret | None = None


class CustomProviderConfig(SecretModel):
    """Any server that speaks the OpenAI API; one of the two ways to authenticate."""

    custom_provider_url: str | None = None
    bearer_token_auth: BearerTokenAuth | None = None
    api_key_auth: ApiKeyAuth | None = None


PROVIDER_CONFIGS: dict[str, str] = {
    "ai21labs": "ai21labs_config",
    "amazon-bedrock": "amazon_bedrock_config",
    "anthropic": "anthropic_config",
    "cohere": "cohere_config",
    "custom": "custom_provider_config",
    "databricks-model-serving": "databricks_model_serving_config",
    "google-cloud-vertex-ai": "google_cloud_vertex_ai_config",
    "openai": "openai_config",
    "palm": "palm_config",
}
"""Provider -> the field that holds its settings."""


class ExternalModel(SecretModel):
    """A model of another provider, as an endpoint serves it.

    >>> model = ExternalModel(
    ...     provider="openai",
    ...     name="gpt-4o",
    ...     task="llm/v1/chat",
    ...     openai_config=OpenAIConfig(openai_api_key_plaintext="key-for-docs"),
    ... )
    >>> "key-for-docs" in repr(model)
    False
    """

    provider: Provider | str
    name: str
    """The provider's own name of the model."""
    task: str | None = None
    """llm/v1/chat, llm/v1/completions or llm/v1/embeddings."""
    ai21labs_config: AI21LabsConfig | None = None
    amazon_bedrock_config: AmazonBedrockConfig | None = None
    anthropic_config: AnthropicConfig | None = None
    cohere_config: CohereConfig | None = None
    custom_provider_config: CustomProviderConfig | None = None
    databricks_model_serving_config: DatabricksModelServingConfig | None = None
    google_cloud_vertex_ai_config: GoogleCloudVertexAIConfig | None = None
    openai_config: OpenAIConfig | None = None
    palm_config: PaLMConfig | None = None

    @property
    def vendor(self) -> str:
        """Whose model it is: the provider, or azure for Azure OpenAI, which the service counts to openai."""
        kind = self.openai_config.openai_api_type if self.openai_config else None
        return "azure" if (kind or "").lower().startswith("azure") else self.provider

    @property
    def config(self) -> SecretModel | None:
        """The settings of this model's provider; None if there are none."""
        field = PROVIDER_CONFIGS.get(self.provider)
        return self._settings(field) if field else None

    def _settings(self, field: str) -> SecretModel | None:
        found: Any = getattr(self, field)
        return found if isinstance(found, SecretModel) else None
