"""Answers of chat agents (task `agent/v2/chat`), which are several messages -> one chat answer, and its chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from ._items_read import CALL, RESULT, text_at
from ._merge import ContentMerger, UsageMerger
from ._tool_calls import ToolCallMerger, new_call_id
from .types import ChatChunk, ChatResponse, Choice, ChunkChoice, Delta, Message, ToolCallDelta
from .types._base import JSONObject

_BESIDE = ("finish_reason", "usage")


def is_agent_chunk(chunk: Any) -> bool:
    """Whether a chunk is a chat agent's: a delta without choices."""
    return (
        isinstance(chunk, ChatChunk) and not chunk.choices and isinstance((chunk.model_extra or {}).get("delta"), dict)
    )


def agent_response(response: ChatResponse) -> ChatResponse:
    """`response`, whose messages an agent has sent, with the last thing that it said as its one choice."""
    for call in (call for message in response.messages for call in message.tool_calls or ()):
        call.id = call.id or new_call_id()
    finish = (response.model_extra or {}).pop("finish_reason", None)
    response.choices = [Choice(message=_last_said(response.messages), finish_reason=finish)]
    return response


def _last_said(messages: Sequence[Message]) -> Message:
    """The last message in which the assistant says something, with those of its calls that have no result yet."""
    said_by = [message for message in messages if message.role == "assistant"]
    said = next((message for message in reversed(said_by) if message.content or message.tool_calls), Message())
    answered = [(message.model_extra or {}).get("tool_call_id") for message in messages if message.role == "tool"]
    calls = [call for call in said.tool_calls or () if call.id not in answered]
    return said.model_copy(update={"tool_calls": calls or None})


def _given(call: Any) -> Any:
    """A call without nulls, which mean that something is absent."""
    return {key: value for key, value in call.items() if value is not None} if isinstance(call, dict) else call


class _Piecemeal:
    """A message that comes in pieces."""

    def __init__(self, fields: JSONObject) -> None:
        self.fields, self.content, self.calls = fields, ContentMerger(), ToolCallMerger()

    def add(self, sent: Message) -> None:
        """Take a piece in, but for its calls."""
        self.content.add(sent.content)
        self.fields |= sent.model_dump(exclude_unset=True, exclude={"content", "tool_calls"})

    def result(self) -> JSONObject:
        """All that has come of it."""
        return {**self.fields, "content": self.content.result(), "tool_calls": self.calls.result()}


@dataclass(slots=True)
class _Held:
    """A call of which nobody knows yet whose it is; put together when it is known, and not with each piece."""

    calls: ToolCallMerger
    slot: int

    @property
    def id(self) -> str:
        return self.calls.id_of(self.slot)


class AgentMerger:
    """Chunks of a chat agent's stream: those of one id make one message."""

    def __init__(self) -> None:
        self._head: JSONObject = {}
        self._messages: list[_Piecemeal] = []
        self._held: list[_Held] = []
        self._given = 0
        self._usage = UsageMerger()

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return bool(self._messages)

    @property
    def complete(self) -> bool:
        """Whether the agent has said why it ended."""
        return bool(self._head.get("finish_reason"))

    def add(self, chunk: ChatChunk) -> list[ChatChunk]:
        """The chunks for a chunk: text as it comes, calls as soon as it is known whose they are."""
        sent = dict(chunk.model_extra or {})
        delta = sent.pop("delta", None)
        if not isinstance(sent.get("finish_reason"), (str, NoneType)):
            raise ValueError("finish_reason is no text")  # an answer that is not as promised
        self._head |= {key: value for key, value in sent.items() if value is not None}
        self._usage.add(chunk.usage)
        return [self._chunk(said, delta.get("id")) for said in self._said(delta)] if isinstance(delta, dict) else []

    def rest(self) -> list[ChatChunk]:
        """The calls that are left to the caller, and why the agent ended."""
        chunks = [self._chunk(said, None) for said in self._released()]
        if finish := self._head.get("finish_reason"):
            chunks.append(ChatChunk(choices=[ChunkChoice(delta=Delta(role="assistant"), finish_reason=finish)]))
        return chunks

    def response(self) -> ChatResponse:
        """All that has arrived so far, as one response."""
        messages = [message.result() for message in self._messages]
        told = {**self._head, "messages": messages, "usage": self._usage.result()}
        return agent_response(ChatResponse.model_validate(told))

    def last(self) -> ChatChunk:
        """The closing chunk: usage, once, and the whole response."""
        response = self.response()
        extra = {key: value for key, value in self._head.items() if key not in _BESIDE}
        chunk = ChatChunk(**extra, choices=[], usage=response.usage)
        return chunk._keep("_response", response)

    def _chunk(self, said: JSONObject, ident: Any) -> ChatChunk:
        delta = Delta.model_validate({"role": "assistant", **said})
        return ChatChunk(id=ident if isinstance(ident, str) else None, choices=[ChunkChoice(delta=delta)])

    def _said(self, delta: JSONObject) -> Iterator[JSONObject]:
        # What makes no sense fails here, before anything of it is kept.
        calls = [ToolCallDelta.model_validate(_given(call)) for call in delta.get("tool_calls") or ()]
        sent = Message.model_validate(
            {key: value for key, value in delta.items() if key != "tool_calls" and value is not None}
        )
        message = self._place(delta)
        message.add(sent)
        if message.fields["role"] == "tool":
            yield from self._result(message.fields.get("tool_call_id"), text_at(delta, "content"))
            return
        for call in calls:
            self._take(message.calls, call)
        if sent.content and message.fields["role"] == "assistant":
            yield from self._released(but=message.calls)
            yield {"content": sent.content}

    def _take(self, calls: ToolCallMerger, call: ToolCallDelta) -> None:
        piece = calls.add(call)
        if piece.id and piece.id not in [held.id for held in self._held]:  # its first piece
            self._held.append(_Held(calls, piece.index))

    def _result(self, call_id: Any, piece: str) -> Iterator[JSONObject]:
        """A tool's result, behind the call that it is of: the agent's own business, which is shown as such."""
        for held in [held for held in self._held if held.id == call_id]:
            self._held.remove(held)
            call = held.calls.call(held.slot)
            function = {"name": call.name, "arguments": call.function.arguments}
            yield {"content": [{"type": CALL, "call_id": call_id, **function}]}
        yield {"content": [{"type": RESULT, "call_id": call_id, "output": piece}]}

    def _released(self, but: ToolCallMerger | None = None) -> Iterator[JSONObject]:
        """The calls that were held back and no result came for, but for those of a message that still goes on."""
        released = [held for held in self._held if held.calls is not but]
        self._held = [held for held in self._held if held.calls is but]
        for held in released:
            yield {"tool_calls": [{**held.calls.call(held.slot).model_dump(), "index": self._given}]}
            self._given += 1

    def _place(self, delta: JSONObject) -> _Piecemeal:
        """The message that a delta is of: the one of that id, or without an id the last one of that role."""
        ident, role = delta.get("id"), delta.get("role")
        if ident is not None:
            found = [message for message in self._messages if message.fields.get("id") == ident]
        else:
            found = [message for message in self._messages[-1:] if role in (None, message.fields["role"])]
        if not found:
            found = [_Piecemeal({"role": "assistant"})]
            self._messages += found
        return found[-1]
