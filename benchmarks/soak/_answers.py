"""The bytes that the soak's server sends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ._plan import BREAKS, EVENTS, TEXTS, Case

Answer = AsyncIterator[bytes | None]
"""What to write, piece by piece; None is an RST."""
JSON = "application/json"
CHUNKED_END = b"0\r\n\r\n"
CUT_JSON = b'{"id": "soak", "choices": [{"index": 0, "mess'


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode()


def reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(status, {"content-type": JSON, "content-length": str(len(data)), **(headers or {})}) + data


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def discovery(host: str) -> dict[str, Any]:
    """Where tokens are to be had."""
    return {"token_endpoint": f"http://{host}/oidc/v1/token"}


def _answer(case: Case, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    # Few different ids, for the reason given at `Case.words`.
    return {
        "id": f"soak-{case.id % 500}",
        "object": kind,
        "created": 1,
        "model": "soak",
        "choices": [{"index": 0, **choice}],
    }


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}


def completion(case: Case) -> dict[str, Any]:
    """A chat answer."""
    message = {"role": "assistant", "content": "".join(case.words)}
    answer = _answer(case, "chat.completion", {"message": message, "finish_reason": "stop"})
    return {**answer, "usage": _usage(EVENTS)}


def embeddings(case: Case) -> dict[str, Any]:
    """Vectors, in any order but their own."""
    vectors = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(case.vectors)]
    turn = case.how % TEXTS
    return {"object": "list", "model": "soak", "data": vectors[turn:] + vectors[:turn], "usage": _usage(0)}


def sse(case: Case, i: int) -> bytes:
    """Event `i` of a chat stream."""
    choice = {
        "delta": {"role": "assistant", "content": case.words[i]},
        "finish_reason": "stop" if i == EVENTS - 1 else None,
    }
    event = {**_answer(case, "chat.completion.chunk", choice), "usage": _usage(i + 1)}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def broken(case: Case) -> bytes:
    """How a stream ends that breaks."""
    how = BREAKS[case.how % len(BREAKS)]
    if how == "torn":
        return chunk(b"data: " + CUT_JSON)
    if how == "error":
        return chunk(b'event: error\ndata: {"error": {"message": "the model has failed", "type": "server_error"}}\n\n')
    if how == "code":
        return chunk(b'data: {"error_code": "INTERNAL_ERROR", "message": "the model has failed"}\n\n')
    return b""


def malformed(case: Case) -> bytes:
    """A 200 answer that is not what the API promises."""
    if case.verb == "embed":
        answer = embeddings(case)
        return reply(200, {**answer, "data": answer["data"][1:]})
    if case.verb == "chat":
        return reply(200, CUT_JSON)
    return reply(200, b"data: " + CUT_JSON + b"\n\n", {"content-type": "text/event-stream"})
