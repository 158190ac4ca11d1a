"""Chat: messages, responses and the chunks of a stream (task `llm/v1/chat`)."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, field_validator

from .._errors import ToolArgumentsError
from ._base import JSONObject, WireModel
from .usage import Served, Usage


class FunctionCall(WireModel):
    """Name and arguments (JSON text, as the model wrote it) of a called function."""

    name: str = ""
    arguments: str = ""

    @field_validator("arguments", mode="before")
    @classmethod
    def _as_text(cls, arguments: Any) -> Any:
        return json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, (dict, list)) else arguments


class ToolCall(WireModel):
    """A model's call of a tool.

    >>> ToolCall(id="call_1", function={"name": "add", "arguments": '{"a": 1}'}).args
    {'a': 1}
    """

    id: str = ""
    type: str = "function"
    function: FunctionCall = Field(default_factory=FunctionCall)

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.function.name

    @property
    def args(self) -> JSONObject:
        """The arguments as an object (`{}` if the text is empty).

        A `ToolArgumentsError` (a ValueError) if the model's text is no JSON object. Line breaks inside its texts, which
        JSON wants escaped and models forget to, are taken as they are.
        """
        text = self.function.arguments
        try:
            value = json.loads(text or "{}", strict=False)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ToolArgumentsError(f"the model's arguments for tool {self.name!r} are no JSON object: {text!r:.200}")
        return value

    @property
    def is_valid(self) -> bool:
        """Whether `args` can be read. A call cut off in mid-text is never valid."""
        try:
            return bool(self.name) and self.args is not None
        except ValueError:
            return False


class ToolCallDelta(WireModel):
    """A piece of a tool call. `index` tells pieces of parallel calls apart; the first piece has id and name."""

    index: int = 0
    id: str | None = None
    type: str | None = None
    function: JSONObject = Field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """The tool's name, on the first piece."""
        return _text_at(self.function, "name") or None

    @property
    def arguments(self) -> str:
        """This piece's part of the arguments' JSON text (some routes send the object itself, whole)."""
        found = self.function.get("arguments") or ""
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


class Message(WireModel):
    """One message. `content` is text or a list of parts, exactly as received, so that it can be sent back unchanged."""

    role: str = "assistant"
    content: str | list[JSONObject] | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text(self) -> str:
        """All text of the message; reasoning is not part of it."""
        return text_of(self.content)

    @property
    def reasoning(self) -> str:
        """The model's reasoning, as far as the service shows it."""
        return reasoning_of(self.content) or _loose_reasoning(self.model_extra or {})


class Choice(WireModel):
    """One of the `n` answers."""

    index: int = 0
    message: Message = Field(default_factory=Message)
    finish_reason: str | None = None
    logprobs: JSONObject | None = None


class ChatResponse(Served):
    """A chat answer, whole."""

    id: str | None = None
    object: str = "chat.completion"
    created: int | None = None
    model: str | None = None
    choices: list[Choice] = Field(default_factory=list)
    usage: Usage | None = None
    messages: list[Message] = Field(default_factory=list)
    """All messages of a chat agent, those on its way and its tools' results included; a model gives none here."""

    @property
    def message(self) -> Message:
        """The first choice's message; an empty one, where a stream broke before any came."""
        return self.choices[0].message if self.choices else Message()

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.message.text

    @property
    def reasoning(self) -> str:
        """The first choice's reasoning."""
        return self.message.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The first choice's tool calls that can be executed."""
        return [call for call in self._calls if call.is_valid]

    @property
    def invalid_tool_calls(self) -> list[ToolCall]:
        """The first choice's tool calls whose arguments cannot be read: never execute one."""
        return [call for call in self._calls if not call.is_valid]

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended: stop, length, tool_calls, content_filter or another word of the provider."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def _calls(self) -> list[ToolCall]:
        return self.message.tool_calls or []


class Delta(WireModel):
    """What a chunk adds to one choice's message."""

    role: str | None = None
    content: str | list[JSONObject] | None = None
    tool_calls: list[ToolCallDelta] | None = None

    @property
    def text(self) -> str:
        """The text that this chunk adds."""
        return text_of(self.content)

    @property
    def reasoning(self) -> str:
        """The reasoning that this chunk adds."""
        return reasoning_of(self.content) or _loose_reasoning(self.model_extra or {})


class ChunkChoice(WireModel):
    """A chunk's part of one choice."""

    index: int = 0
    delta: Delta = Field(default_factory=Delta)
    finish_reason: str | None = None
    logprobs: JSONObject | None = None


class ChatChunk(Served):
    """A piece of a streamed chat answer.

    The last chunk of a stream has no choices: it carries the usage, once, whatever the route's own habit is, and
    `response`, the whole answer put together.
    """

    id: str | None = None
    object: str = "chat.completion.chunk"
    created: int | None = None
    model: str | None = None
    choices: list[ChunkChoice] = Field(default_factory=list)
    usage: Usage | None = None

    @property
    def response(self) -> ChatResponse | None:
        """On the last chunk the whole answer, otherwise None."""
        response: ChatResponse | None = (self.__pydantic_private__ or {}).get("_response")
        return response

    @property
    def delta(self) -> Delta:
        """What is added to the first choice (an empty one if this chunk has none)."""
        choice = self._first
        return choice.delta if choice else Delta()

    @property
    def text(self) -> str:
        """The text added to the first choice."""
        return self.delta.text

    @property
    def reasoning(self) -> str:
        """The reasoning added to the first choice."""
        return self.delta.reasoning

    @property
    def tool_calls(self) -> list[ToolCallDelta]:
        """The pieces of tool calls added to the first choice."""
        return self.delta.tool_calls or []

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, on the chunk that ends it."""
        choice = self._first
        return choice.finish_reason if choice else None

    @property
    def _first(self) -> ChunkChoice | None:
        for choice in self.choices:
            if choice.index == 0:
                return choice
        return None


def text_of(content: str | list[JSONObject] | None) -> str:
    """The text of a message content of either form."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_text_at(part, "text") for part in content if part.get("type") in ("text", "output_text"))


def reasoning_of(content: str | list[JSONObject] | None) -> str:
    """The reasoning in a message content; text content has none."""
    if content is None or isinstance(content, str):
        return ""
    pieces = [piece for part in content if part.get("type") == "reasoning" for piece in _thoughts(part)]
    thinking = [_text_at(part, "thinking") for part in content if part.get("type") == "thinking"]
    return "".join([_text_at(piece, "text") for piece in pieces] + thinking)


def _thoughts(part: JSONObject) -> list[Any]:
    """The summary of a reasoning; where there is none, the reasoning itself."""
    found = part.get("summary") or part.get("content")
    return found if isinstance(found, list) else []


def _text_at(piece: Any, key: str) -> str:
    # Parts are kept as received: where text should be, a route may have put anything.
    text = piece.get(key) if isinstance(piece, dict) else None
    return text if isinstance(text, str) else ""


def _loose_reasoning(extra: dict[str, Any]) -> str:
    # Some models put it beside the content instead of into it.
    found = extra.get("reasoning_content") or extra.get("reasoning")
    return found if isinstance(found, str) else ""
