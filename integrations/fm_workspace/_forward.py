"""Queries sent on to another server, by the core's HTTP layer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fm_client import APIConnectionError, APIError, APITimeoutError, AsyncHTTP, Reply, Request, Timeout

from ._engine import Answer, Events, JSONObject, Query, Whole, sent
from ._errors import ServiceError, external_error
from ._quirks import RESPONSES, TASKS
from ._rendering import event

OPENAI_PATHS = {
    TASKS["chat"]: "/chat/completions",
    TASKS["completions"]: "/completions",
    TASKS["embeddings"]: "/embeddings",
    RESPONSES: "/responses",
}
_SERVICE_FIELDS = ("client_request_id", "usage_context", "extra_params")
"""Fields that are meant for the service and not for the model."""
_KEPT_HEADERS = ("retry-after",)
_ERROR_TEXT_CHARS = 2_048


@dataclass(frozen=True, slots=True)
class Target:
    """Where a query goes, with which headers and body; `provider` names it in errors."""

    provider: str
    url: str
    body: JSONObject
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Forwarder:
    """Sends queries on and hands the answers back as they come."""

    def __init__(self) -> None:
        self._hosts: dict[str, AsyncHTTP] = {}

    async def forward(self, target: Target, *, stream: bool) -> Answer:
        """The answer of another server; its errors in the service's shape for errors of external models."""
        http = self._http(target.url)
        try:
            reply = await http.send(_request(target, stream))
            if reply.status >= 400 or reply.status < 200:
                raise _refusal(target.provider, reply)
            if stream and reply.source is not None:
                return Events(_chunks(http, reply))
            return Whole(_payload(target.provider, reply))
        except APIError as exc:
            raise _unreachable(target.provider, exc) from exc

    async def aclose(self) -> None:
        """Close all connections."""
        while self._hosts:
            await self._hosts.popitem()[1].aclose()

    def _http(self, url: str) -> AsyncHTTP:
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if host not in self._hosts:
            self._hosts[host] = AsyncHTTP(host)
        return self._hosts[host]


def openai_body(query: Query, model: str) -> JSONObject:
    """The query as OpenAI's own API has it: an instruction stands before the texts, extra parameters in the body."""
    body = sent(query.body, *_SERVICE_FIELDS, "instruction") | (query.body.get("extra_params") or {})
    if instruction := query.body.get("instruction"):
        texts = body["input"]
        body["input"] = (
            f"{instruction} {texts}" if isinstance(texts, str) else [f"{instruction} {one}" for one in texts]
        )
    return {**body, "model": model}


def _request(target: Target, stream: bool) -> Request:
    accept = "text/event-stream" if stream else "application/json"
    headers = {"content-type": "application/json", "accept": accept, **target.headers}
    body = json.dumps(target.body, ensure_ascii=False).encode("utf-8", "replace")
    return Request("POST", target.url, headers, body, stream=stream, timeout=Timeout())


async def _chunks(http: AsyncHTTP, reply: Reply) -> AsyncIterator[bytes]:
    try:
        while chunk := await http.read(reply, Timeout().idle):
            yield chunk
            await asyncio.sleep(0)  # what is buffered comes without a pause; a client that has gone is noticed in one
    except APIError as error:
        # The status line is long gone: what is left is to say it in the stream.
        yield event({"error_code": "EXTERNAL_MODEL_ERROR", "message": f"The provider's stream broke: {error.message}"})
    finally:
        await http.release(reply)


def _payload(provider: str, reply: Reply) -> JSONObject:
    payload = _json(reply.body)
    if not isinstance(payload, dict):
        raise external_error(502, provider, {"message": "The provider's answer is not a JSON object."})
    return payload


def _refusal(provider: str, reply: Reply) -> ServiceError:
    """A provider's error, with its status; a redirect is an error too, for it would carry the credential elsewhere."""
    text = reply.body[: 4 * _ERROR_TEXT_CHARS].decode("utf-8", "replace")[:_ERROR_TEXT_CHARS]
    message = _json(reply.body)
    headers = {name: reply.headers[name] for name in _KEPT_HEADERS if name in reply.headers}
    status = reply.status if reply.status >= 400 else 502
    return external_error(status, provider, message if isinstance(message, dict) else {"message": text}, headers)


def _unreachable(provider: str, error: APIError) -> ServiceError:
    status = 504 if isinstance(error, APITimeoutError) else 502
    reason = "cannot be reached" if isinstance(error, APIConnectionError) else "gave no usable answer"
    return external_error(status, provider, {"message": f"The provider {reason}: {error.message}"})


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
