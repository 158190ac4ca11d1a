"""What a request of the Responses API may hold, and the same request as a chat."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from ._engine import JSONObject
from ._errors import bad_request
from ._messages import MAX_TOOLS, TOOL_NAME, InputAudio, StrictModel

REFUSED = ("background", "store", "conversation", "previous_response_id", "service_tier")
"""Fields of OpenAI's API that the service answers with 400 (its documentation)."""
TOOL_TYPES = ("function", "custom", "apply_patch", "shell", "image_generation", "mcp", "web_search")
"""Types of tools that the service takes (its documentation)."""
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class InputText(StrictModel):
    """Text that the user or a tool gives."""

    type: Literal["input_text"]
    text: str


class InputImage(StrictModel):
    """An image."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] = "auto"


class InputFile(StrictModel):
    """A file."""

    type: Literal["input_file"]
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None


class InputSound(StrictModel):
    """Sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class OutputText(StrictModel):
    """Text of an earlier answer."""

    type: Literal["output_text"]
    text: str
    annotations: list[JSONObject] = Field(default_factory=list)
    logprobs: list[JSONObject] = Field(default_factory=list)


class Refusal(StrictModel):
    """What an earlier answer said instead of answering."""

    type: Literal["refusal"]
    refusal: str


InputPart = Annotated[InputText | InputImage | InputFile | InputSound, Field(discriminator="type")]


class InputMessage(StrictModel):
    """What the user says, or an instruction."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer"]
    content: str | list[InputPart]


class OutputMessage(StrictModel):
    """A message of an earlier answer. Its `status` is none of a request's business, and refused."""

    type: Literal["message"] = "message"
    role: Literal["assistant"]
    content: str | list[Annotated[OutputText | Refusal, Field(discriminator="type")]]
    id: Id = "-"
    phase: Literal["commentary", "final_answer"] = "final_answer"


class FunctionCall(StrictModel):
    """A call of an earlier answer."""

    type: Literal["function_call"]
    call_id: Id
    name: Annotated[str, StringConstraints(pattern=TOOL_NAME)]
    arguments: str
    id: Id = "-"


class FunctionCallOutput(StrictModel):
    """The result of a call."""

    type: Literal["function_call_output"]
    call_id: Id
    output: str | list[InputPart]
    id: Id = "-"


class Summary(StrictModel):
    """A piece of a reasoning's summary."""

    type: Literal["summary_text"]
    text: str


class Reasoning(StrictModel):
    """The reasoning of an earlier answer, as it was given."""

    type: Literal["reasoning"]
    id: Id
    summary: list[Summary]
    encrypted_content: str = ""
    content: list[JSONObject] = Field(default_factory=list)


_ITEMS: dict[str, type[StrictModel]] = {
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "reasoning": Reasoning,
}
_OTHER_TOOLS = ("apply_patch", "code_interpreter", "custom_tool", "file_search", "image_generation", "mcp", "shell")
_OTHER_ITEMS = frozenset(
    [f"{tool}_call{end}" for tool in (*_OTHER_TOOLS, "web_search") for end in ("", "_output")]
    + ["item_reference", "mcp_approval_request", "mcp_approval_response", "mcp_list_tools"]
)
"""Items of tools that this workspace does not have: taken back, and read over."""


class PlainFormat(StrictModel):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]


class SchemaFormat(StrictModel):
    """JSON that follows a schema."""

    type: Literal["json_schema"]
    name: Annotated[str, StringConstraints(pattern=TOOL_NAME)]
    schema_: JSONObject = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


TextFormat = Annotated[PlainFormat | SchemaFormat, Field(discriminator="type")]


class TextConfig(StrictModel):
    """The form of the answer's text."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningConfig(StrictModel):
    """How much to reason, and whether to show a summary of it."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesRequest(StrictModel):
    """A query of the Responses API."""

    model: str | None = None
    input: str | Annotated[list[JSONObject], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    tools: Annotated[list[JSONObject], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | JSONObject | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: JSONObject | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    client_request_id: str | None = None
    usage_context: dict[str, str] | None = None


class ResponsesAgentRequest(ResponsesRequest):
    """A query of an agent (task `agent/v1/responses`)."""

    custom_inputs: JSONObject | None = None
    context: JSONObject | None = None
    databricks_options: JSONObject | None = None


def check_refused(body: Mapping[str, Any]) -> None:
    """Raise the service's 400 for a field that asks for what it does not have."""
    for name in REFUSED:
        if name in body:
            raise bad_request(f"'{name}' is not supported by the Responses API of this service")


def check_items(body: Mapping[str, Any]) -> None:
    """Raise 400 for items and tools that make no sense."""
    items = [] if isinstance(body["input"], str) else body["input"]
    called: set[str] = set()
    for position, item in enumerate(items):
        _check_item(item, position)
        if item.get("type") == "function_call":
            called.add(item["call_id"])
        if item.get("type") == "function_call_output" and item["call_id"] not in called:
            raise bad_request(f"No tool call found for function call output with call_id {item['call_id']}.")
        if item.get("type") == "reasoning":
            _check_reasoning(item, items[position + 1 :])
    _check_tools(body.get("tools") or [], body.get("tool_choice"))


def seal(ident: str, summary: Sequence[Mapping[str, Any]]) -> str:
    """The `encrypted_content` of a reasoning: a seal, broken by any change to it."""
    text = "\0".join([ident, *(str(piece.get("text")) for piece in summary)])
    return hashlib.blake2b(text.encode(), digest_size=24).hexdigest()


def as_chat(body: Mapping[str, Any]) -> JSONObject:
    """The request as a chat, which the engine answers."""
    messages: list[JSONObject] = []
    if instructions := body.get("instructions"):
        messages.append({"role": "system", "content": instructions})
    items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    for item in items:
        _add_message(messages, item)
    tools = [
        {"type": "function", "function": _function(tool)} for tool in body.get("tools") or () if _is_function(tool)
    ]
    choice, form = body.get("tool_choice"), (body.get("text") or {}).get("format") or {}
    if isinstance(choice, dict):
        choice = {"type": "function", "function": {"name": choice["name"]}} if choice.get("name") else "required"
    chat = {
        "messages": messages,
        "tools": tools,
        "tool_choice": choice,
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "max_tokens": body.get("max_output_tokens"),
        "response_format": {"type": form["type"], "json_schema": form} if form else None,
    }
    return {key: value for key, value in chat.items() if value not in (None, [])}


def _check_item(item: Mapping[str, Any], position: int) -> None:
    kind = item.get("type", "message" if "role" in item else None)
    if kind in _OTHER_ITEMS:
        return
    model = OutputMessage if item.get("role") == "assistant" else InputMessage
    if kind != "message" and kind not in _ITEMS:
        raise bad_request(f"Invalid value: '{kind}' at 'input[{position}].type'")
    try:
        (model if kind == "message" else _ITEMS[kind]).model_validate(item)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        what = "Unknown parameter" if first["type"] == "extra_forbidden" else first["msg"]
        raise bad_request(f"{what}: 'input[{position}].{path}'") from exc


def _check_reasoning(item: Mapping[str, Any], after: Sequence[Any]) -> None:
    if not after:
        raise bad_request(f"Item '{item['id']}' of type 'reasoning' was provided without its required following item.")
    sealed = item.get("encrypted_content")
    if sealed and sealed != seal(item["id"], item["summary"]):
        raise bad_request(f"The encrypted content of item '{item['id']}' could not be verified.")


def _check_tools(tools: Sequence[Mapping[str, Any]], choice: Any) -> None:
    for position, tool in enumerate(tools):
        if tool.get("type") not in TOOL_TYPES:
            raise bad_request(f"Invalid value: '{tool.get('type')}' at 'tools[{position}].type'")
        if tool["type"] == "function" and not isinstance(tool.get("name"), str):
            raise bad_request(f"Missing required parameter: 'tools[{position}].name'")
        if tool["type"] == "function" and not isinstance(tool.get("parameters"), dict):
            raise bad_request(f"Missing required parameter: 'tools[{position}].parameters'")
    if choice not in (None, "none", "auto") and not tools:
        raise bad_request("tool_choice is only allowed when tools are given")
    names = [tool.get("name") for tool in tools]
    if isinstance(choice, dict) and choice.get("type") == "function" and choice.get("name") not in names:
        raise bad_request(f"Tool choice '{choice.get('name')}' not found in 'tools'")


def _is_function(tool: Mapping[str, Any]) -> bool:
    return tool.get("type") == "function"


def _function(tool: Mapping[str, Any]) -> JSONObject:
    return {key: value for key, value in tool.items() if key != "type" and value is not None}


def _add_message(messages: list[JSONObject], item: Mapping[str, Any]) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = "system" if item["role"] == "developer" else item["role"]
        messages.append({"role": role, "content": _content(item["content"])})
    elif kind == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"id": item["call_id"], "type": "function", "function": function}
        if not (messages and messages[-1]["role"] == "assistant"):
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": _content(item["output"])})


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> JSONObject:
    if part["type"] in ("input_text", "output_text", "refusal"):
        return {"type": "text", "text": part.get("text") or part.get("refusal") or ""}
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return dict(part)
