"""Text completions (task `llm/v1/completions`)."""

from __future__ import annotations

from pydantic import Field

from ._base import JSONObject, WireModel
from .usage import Served, Usage


class CompletionChoice(WireModel):
    """One completion, or a piece of one."""

    index: int = 0
    text: str = ""
    finish_reason: str | None = None
    logprobs: JSONObject | None = None


class CompletionResponse(Served):
    """A completion, whole."""

    id: str | None = None
    object: str = "text_completion"
    created: int | None = None
    model: str | None = None
    choices: list[CompletionChoice] = Field(default_factory=list)
    usage: Usage | None = None

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.choices[0].text if self.choices else ""

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None


class CompletionChunk(CompletionResponse):
    """A piece of a streamed completion; the last one has no choices and carries usage and `response`."""

    @property
    def response(self) -> CompletionResponse | None:
        """On the last chunk the whole completion, otherwise None."""
        response: CompletionResponse | None = (self.__pydantic_private__ or {}).get("_response")
        return response
