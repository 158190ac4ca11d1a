"""What a chat request may hold: messages, content parts and tools, checked as strictly as the service does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_TOOLS = 32
"""Published limit of function calling."""
TOOL_NAME = r"^[a-zA-Z0-9_-]{1,64}$"


class StrictModel(BaseModel):
    """A JSON object without unknown fields and without coercion."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class CacheControl(StrictModel):
    """A mark where the provider may cache the prompt."""

    type: Literal["ephemeral"]
    ttl: str | None = None


class TextPart(StrictModel):
    """Text; an empty one is refused."""

    type: Literal["text"]
    text: Annotated[str, StringConstraints(min_length=1)]
    citations: list[Any] | None = None
    cache_control: CacheControl | None = None


class ImageURL(StrictModel):
    """An image, in the request itself or at an address."""

    url: Annotated[str, StringConstraints(pattern=r"^(?:data:image/[\w.+-]+;base64,|https?://)\S+$")]
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(StrictModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageURL
    cache_control: CacheControl | None = None


class InputAudio(StrictModel):
    """Sound, base64."""

    data: str
    format: str


class AudioPart(StrictModel):
    """Sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class FileData(StrictModel):
    """A file, as data URL, or the id of one."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(StrictModel):
    """A file."""

    type: Literal["file"]
    file: FileData


class SummaryText(StrictModel):
    """A piece of reasoning, with the provider's signature that lets it be sent back."""

    type: Literal["summary_text"]
    text: str
    signature: str | None = None


class ReasoningPart(StrictModel):
    """Reasoning of an earlier answer, sent back unchanged."""

    type: Literal["reasoning"]
    summary: list[SummaryText]


Part = Annotated[TextPart | ImagePart | AudioPart | FilePart | ReasoningPart, Field(discriminator="type")]
TextParts = Annotated[list[TextPart], Field(min_length=1)]
Parts = Annotated[list[Part], Field(min_length=1)]


class CalledFunction(StrictModel):
    """Name and arguments (JSON text) of a call."""

    name: str
    arguments: str
    thought_signature: str | None = None


class CalledTool(StrictModel):
    """A tool call of an earlier answer."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class SystemMessage(StrictModel):
    """Instructions."""

    role: Literal["system", "developer"]
    content: str | TextParts
    name: str | None = None


class UserMessage(StrictModel):
    """What the user says and shows."""

    role: Literal["user"]
    content: str | Parts
    name: str | None = None


class AssistantMessage(StrictModel):
    """An earlier answer."""

    role: Literal["assistant"]
    content: str | Parts | None = None
    tool_calls: list[CalledTool] | None = None
    name: str | None = None
    refusal: str | None = None


class ToolMessage(StrictModel):
    """The result of a tool call."""

    role: Literal["tool"]
    content: str | TextParts
    tool_call_id: str
    name: str | None = None


ChatMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(StrictModel):
    """A function that may be called. `parameters` is required even for one without arguments."""

    name: Annotated[str, StringConstraints(pattern=TOOL_NAME)]
    parameters: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class Tool(StrictModel):
    """A tool that may be called."""

    type: Literal["function"]
    function: Function


class NamedFunction(StrictModel):
    """The name of a function."""

    name: str


class NamedTool(StrictModel):
    """The one tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class JSONSchema(StrictModel):
    """The schema that an answer has to follow."""

    name: Annotated[str, StringConstraints(pattern=TOOL_NAME)]
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class AnyFormat(StrictModel):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]


class SchemaFormat(StrictModel):
    """JSON that follows a schema."""

    type: Literal["json_schema"]
    json_schema: JSONSchema


ResponseFormat = Annotated[AnyFormat | SchemaFormat, Field(discriminator="type")]
