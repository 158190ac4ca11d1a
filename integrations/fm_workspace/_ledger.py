"""From a query and its answer to rows of the service's tables of usage and inference."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from ._callers import Asked
from ._engine import JSONObject
from ._hosted import identity
from ._lifecycle import Endpoint
from ._records import INFERENCE, USAGE, Records
from ._texts import answered_characters, characters

MAX_LOGGED_BYTES = 1024 * 1024
"""Of a request or an answer in an inference table; what is larger is left out, and said to be."""
TAIL_BYTES = 64 * 1024
"""The end of a stream, in which its usage stands."""
TOO_LARGE = ("MAX_REQUEST_SIZE_EXCEEDED", "MAX_RESPONSE_SIZE_EXCEEDED")


@dataclass(slots=True)
class Entry:
    """One query, as it comes to be known."""

    endpoint: Endpoint
    asked: Asked
    request: bytes
    body: JSONObject = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    served: str | None = None
    """The served entity that answered."""

    @property
    def wanted(self) -> bool:
        """Whether anything is to be kept of it."""
        return self.tracks_usage or self.logs

    @property
    def tracks_usage(self) -> bool:
        """Whether the gateway keeps count of usage."""
        return _enabled(self.endpoint, "usage_tracking_config")

    @property
    def logs(self) -> bool:
        """Whether the gateway has an inference table."""
        return _enabled(self.endpoint, "inference_table_config")


class Ledger:
    """Writes the rows of queries that have ended."""

    def __init__(self, records: Records, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock

    def close(self, entry: Entry, status: int, answer: bytes, usage: JSONObject) -> None:
        """Write what the endpoint's gateway wants to be kept of a query."""
        if not entry.wanted:
            return
        common = self._common(entry, status)
        if entry.tracks_usage:
            counts = _counts(entry, answer if status < 400 else b"", usage)
            self._records.add(USAGE, entry.endpoint.name, {**common, **counts})
        if entry.logs:
            row = {**common, "request_date": common["request_time"][:10], **_texts(entry, answer)}
            self._records.add(INFERENCE, entry.endpoint.name, row)

    def _common(self, entry: Entry, status: int) -> JSONObject:
        now = dt.datetime.fromtimestamp(self._clock(), dt.UTC)
        served = identity(f"{entry.endpoint.id}/{entry.served}") if entry.served else None
        return {
            "databricks_request_id": entry.asked.request_id,
            "client_request_id": entry.body.get("client_request_id"),
            "request_time": now.isoformat(),
            "status_code": status,
            "served_entity_id": served,
            "requester": entry.asked.caller.user,
            "execution_duration_ms": round((time.monotonic() - entry.began) * 1000),
        }


def _counts(entry: Entry, answer: bytes, usage: JSONObject) -> JSONObject:
    """The columns of `system.serving.endpoint_usage`."""
    return {
        "endpoint_name": entry.endpoint.name,
        "input_token_count": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output_token_count": usage.get("completion_tokens", usage.get("output_tokens")),
        "input_character_count": characters(entry.body, "input"),
        "output_character_count": answered_characters(answer) if len(answer) <= MAX_LOGGED_BYTES else None,
        "usage_context": entry.body.get("usage_context") or {},
        "request_streaming": bool(entry.body.get("stream")),
    }


def _texts(entry: Entry, answer: bytes) -> JSONObject:
    """The columns of an inference table."""
    parts = (entry.request, answer)
    codes = [code for part, code in zip(parts, TOO_LARGE, strict=True) if len(part) > MAX_LOGGED_BYTES]
    request, response = (None if len(part) > MAX_LOGGED_BYTES else part.decode("utf-8", "replace") for part in parts)
    return {
        "request": request,
        "response": response,
        "sampling_fraction": 1.0,
        "logging_error_codes": codes,
    }


def usage_of(payload: Any) -> JSONObject:
    """The usage in a whole answer, or in one event of a stream."""
    found = payload.get("usage") if isinstance(payload, dict) else None
    if found is None and isinstance(payload, dict) and isinstance(payload.get("response"), dict):
        found = payload["response"].get("usage")  # the last event of the Responses API
    return found if isinstance(found, dict) else {}


async def watched(source: AsyncIterator[bytes], ended: Callable[[bytes, JSONObject], None]) -> AsyncIterator[bytes]:
    """`source` as it is; `ended` is told its bytes (as many as may be logged) and its usage, however it ends."""
    kept, tail = bytearray(), bytearray()
    try:
        async for chunk in source:
            if len(kept) <= MAX_LOGGED_BYTES:
                kept += chunk
            tail += chunk
            if len(tail) > 2 * TAIL_BYTES:
                del tail[:-TAIL_BYTES]
            yield chunk
    finally:
        ended(bytes(kept), _last_usage(bytes(tail)))


def _last_usage(tail: bytes) -> JSONObject:
    """The last usage that a stream told."""
    for text in reversed(tail.decode("utf-8", "replace").splitlines()):
        try:
            usage = usage_of(json.loads(text.removeprefix("data: ")))
        except (ValueError, RecursionError):
            continue
        if any(count is not None for key, count in usage.items() if key in ("completion_tokens", "output_tokens")):
            return usage
    return {}


def _enabled(endpoint: Endpoint, key: str) -> bool:
    return bool(((endpoint.ai_gateway or {}).get(key) or {}).get("enabled"))
