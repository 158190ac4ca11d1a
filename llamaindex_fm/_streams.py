"""Streams of the core -> LlamaIndex's: each item is the answer so far, the last one the whole of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, Protocol, TypeVar, cast

from llama_index.core.base.llms import types as llama

from fm_client import ChatChunk, CompletionChunk, FunctionCall, Message, ToolCall, ToolCallDelta, copy_with

from ._answers import PARTIAL, chat_answer, completion_answer, raw
from ._messages import from_wire

S = TypeVar("S")
T = TypeVar("T")
S_co = TypeVar("S_co", covariant=True)


class Growing(Protocol[S_co]):
    """An answer that takes chunks."""

    def add(self, chunk: Any) -> S_co | None:
        """The answer with `chunk`; None if the chunk adds nothing to it."""


def same(item: T) -> T:
    """The item as it is."""
    return item


def grown(chunks: Any, answer: Growing[S], shape: Callable[[S], T]) -> Generator[T, None, None]:
    """The answer after each chunk that adds to it. When iteration is given up, the connection is let go at once."""
    with closing(cast(Generator[Any, None, None], chunks)) as stream:
        for chunk in stream:
            if (item := answer.add(chunk)) is not None:
                yield shape(item)


async def agrown(chunks: Any, answer: Growing[S], shape: Callable[[S], T]) -> AsyncGenerator[T, None]:
    """The same, of an async stream."""
    async with aclosing(cast(AsyncGenerator[Any, None], chunks)) as stream:
        async for chunk in stream:
            if (item := answer.add(chunk)) is not None:
                yield shape(item)


class GrowingChat:
    """A streamed chat answer as it grows: LlamaIndex wants, with each piece, all that has come before."""

    def __init__(self, *, single_call: bool) -> None:
        self._single = single_call
        self._text = ""
        self._thinking = ""
        self._calls: list[ToolCall] = []

    def add(self, chunk: ChatChunk) -> llama.ChatResponse | None:
        """The answer with `chunk`; None if the chunk adds nothing to it."""
        if chunk.response is not None:
            return chat_answer(chunk.response, single_call=self._single, delta="")
        delta = chunk.delta
        text, thinking, pieces = delta.text, delta.reasoning, delta.tool_calls or ()
        if not (text or thinking or pieces):
            return None
        self._text += text
        self._thinking += thinking
        for piece in pieces:
            self._add_piece(piece)
        return self._so_far(chunk, text, thinking)

    def _add_piece(self, piece: ToolCallDelta) -> None:
        if piece.index == len(self._calls):  # the core numbers calls from 0, without a gap
            self._calls.append(ToolCall(id=piece.id or "", function=FunctionCall(name="", arguments="")))
        function = self._calls[piece.index].function
        function.name = piece.name or function.name
        function.arguments += piece.arguments

    def _so_far(self, chunk: ChatChunk, text: str, thinking: str) -> llama.ChatResponse:
        if not self._thinking and not self._calls:
            return _text_so_far(self._text, text, raw(chunk))
        calls = self._calls[: 1 if self._single else None]
        message = from_wire(Message(content=self._text or None, tool_calls=calls or None))
        if self._thinking:
            message.blocks.insert(0, llama.ThinkingBlock(content=self._thinking))
        extra: dict[str, Any] = {PARTIAL: True, **({"thinking_delta": thinking} if thinking else {})}
        return llama.ChatResponse(message=message, delta=text, raw=raw(chunk), additional_kwargs=extra)


_BLOCK = llama.TextBlock(text="")
_MESSAGE = llama.ChatMessage(role=llama.MessageRole.ASSISTANT, blocks=[_BLOCK], additional_kwargs={})
_ANSWER = llama.ChatResponse(message=_MESSAGE, delta="", raw={}, additional_kwargs={PARTIAL: True})


def _text_so_far(text: str, delta: str, raw: Any) -> llama.ChatResponse:
    """An answer of text alone: a copy, because LlamaIndex's constructors take longer than reading what they are of."""
    message = copy_with(_MESSAGE, blocks=[copy_with(_BLOCK, text=text)], additional_kwargs={})
    return copy_with(_ANSWER, message=message, delta=delta, raw=raw, additional_kwargs={PARTIAL: True})


class GrowingCompletion:
    """A streamed completion as it grows."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, chunk: CompletionChunk) -> llama.CompletionResponse | None:
        """The completion with `chunk`; None if the chunk adds nothing to it."""
        if chunk.response is not None:
            return completion_answer(chunk.response, delta="")
        if not chunk.text:
            return None
        self._text += chunk.text
        return llama.CompletionResponse(
            text=self._text, delta=chunk.text, raw=raw(chunk), additional_kwargs={PARTIAL: True}
        )
