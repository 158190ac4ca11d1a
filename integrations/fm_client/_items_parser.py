"""Answers of the Responses API, whole and streamed -> the chat types, or typed errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._error_bodies import json_of, status_error, text_of
from ._errors import APIError, ResponseFormatError
from ._items_read import CALL, response_of, text_at
from ._items_stream import FAILS, ItemMerger
from ._merge import WholeMerger
from ._responses import MISSHAPEN, Chunk, StreamParser, facts, json_reply, raise_error_in, reason, serving
from ._sse import Event
from ._tool_calls import new_call_id
from ._wire import Reply
from .types import ChatResponse
from .types._base import JSONObject

_ENDED = (None, "completed", "incomplete")
"""What an answer's status may be."""


def items_response(reply: Reply, endpoint: str) -> ChatResponse:
    """A whole answer of the Responses API."""
    value = json_reply(reply, endpoint)
    output = value.get("output") if isinstance(value, Mapping) else None
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise ResponseFormatError("the answer has no list of output items", **facts(reply, endpoint))
    if value.get("status") not in _ENDED:
        raise ResponseFormatError(f"the answer has the status {value['status']!r:.40}", **facts(reply, endpoint))
    for item in output:
        if item.get("type") == CALL and not text_at(item, "call_id"):
            item["call_id"] = text_at(item, "id") or new_call_id()
    try:
        response = response_of(value, output)
    except MISSHAPEN as exc:
        text = f"the answer is not what the API promises: {reason(exc)}"
        raise ResponseFormatError(text, **facts(reply, endpoint)) from exc
    return response.served_by(serving(reply, endpoint))


class ItemStreamParser(StreamParser):
    """Bytes of a Responses stream -> normalised chat chunks. Its last event ends it, whether [DONE] comes or not."""

    _unended = "it ended without response.completed and without [DONE]"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._merger = ItemMerger()

    def _read(self, event: Event) -> list[Chunk]:
        value = json_of(event.data)
        if not isinstance(value, dict):
            raise self._malformed(ValueError("it is no JSON object"), event.data)
        kind = text_at(value, "type") or event.kind.decode("ascii", "replace")
        if kind in FAILS:
            raise self._failed(value, event.data)
        if not kind.startswith("response."):
            raise_error_in(value, self._reply, self._endpoint)
            return []
        chunks = self._merged({**value, "type": kind})
        self.events += 1
        return chunks + self._finish() if self._merger.closed else chunks

    def end(self) -> list[Chunk]:
        """What is left, if the stream breaks when all has been said."""
        return self._finish() if self._merger.complete else []

    def _finish(self, *, marked: bool = False) -> list[Chunk]:
        return super()._finish(marked=marked or self._merger.complete)

    def _failed(self, value: JSONObject, data: bytes) -> APIError:
        """The error that an event tells of, in itself or in the response that failed."""
        answer = value.get("response")
        error = answer.get("error") if isinstance(answer, Mapping) else None
        if not isinstance(error, Mapping):
            return self._error_event(data)
        known = {"endpoint": self._endpoint, "request_id": self._reply.request_id, "body": text_of(data)}
        message = text_at(error, "message") or "the answer failed"
        return status_error(text_at(error, "code") or None, message, status_code=None, **known)

    def _whole_chunk(self) -> Any:
        self._merger = WholeMerger(items_response(self._reply, self._endpoint))
        return self._merger.chunk
