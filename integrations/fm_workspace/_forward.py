"""Queries sent on to another server, by the core's HTTP layer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fm_client import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncHTTP,
    InvalidRequestError,
    Reply,
    Request,
    Timeout,
)

from ._engine import Answer, Events, JSONObject, Query, Whole, sent
from ._errors import ServiceError, external_error, invalid_parameter
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
MAX_ERROR_CHARS = 2_048
"""Of a provider's error, if it is text; as JSON it may be longer, by the next."""
MAX_ERROR_BYTES = 16_384
LEAST_SECRET = 8
"""Characters of a credential that is worth hiding in a text; shorter ones are words, of which errors are made."""
HIDDEN = "**********"
MAX_CONNECTIONS = 2_000
"""To one host: as many as a workspace takes itself, so that no stream waits for another one to end."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a query goes, with which headers and body; `provider` names it in errors, which show none of `secrets`."""

    provider: str
    url: str
    body: JSONObject
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str | None, ...] = field(default=(), repr=False)


class Forwarder:
    """Sends queries on and hands the answers back as they come.

    `permit` is asked about each IP address before it is connected to. Without it the environment's proxy is used.
    """

    def __init__(self, permit: Callable[[str], bool] | None = None) -> None:
        self._permit = permit
        self._hosts: dict[str, AsyncHTTP] = {}

    async def forward(self, target: Target, *, stream: bool) -> Answer:
        """The answer of another server; its errors in the service's shape for errors of external models."""
        http = self.http(target.url)
        try:
            reply = await http.send(_request(target, stream))
            if reply.status >= 400 or reply.status < 200:
                raise provider_error(target.provider, reply.status, reply.headers, reply.body, target.secrets)
            if stream and reply.source is not None:
                return Events(_chunks(http, reply))
            return Whole(_payload(target.provider, reply))
        except APIError as exc:
            raise _unreached(target, exc) from exc
        except InvalidRequestError as exc:  # such as a key with a line break, from the end of a file
            raise invalid_parameter(f"{target.provider} cannot be asked: {hidden(str(exc), target.secrets)}") from exc

    async def aclose(self) -> None:
        """Close all connections."""
        while self._hosts:
            await self._hosts.popitem()[1].aclose()

    def http(self, url: str) -> AsyncHTTP:
        """The connections to the host of `url`."""
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if host not in self._hosts:
            self._hosts[host] = AsyncHTTP(host, permit=self._permit, max_connections=MAX_CONNECTIONS)
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
        yield broken(error.message)
    finally:
        await http.release(reply)


def _payload(provider: str, reply: Reply) -> JSONObject:
    payload = _json(reply.body)
    if not isinstance(payload, dict):
        raise external_error(502, provider, {"message": "The provider's answer is not a JSON object."})
    return payload


def provider_error(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str | None] = ()
) -> ServiceError:
    """A provider's error, with its status; a redirect is an error too, for it would carry the credential elsewhere."""
    shown = hidden(body.decode("utf-8", "replace"), secrets)
    message = _json(shown.encode()) if len(body) <= MAX_ERROR_BYTES else None
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    whole = message if isinstance(message, dict) else {"message": shown[:MAX_ERROR_CHARS]}
    return external_error(status if status >= 400 else 502, provider, whole, kept)


def unreachable(provider: str, reason: str, *, timeout: bool) -> ServiceError:
    """The error for a provider that could not be asked, or did not answer in time."""
    return external_error(504 if timeout else 502, provider, {"message": f"The provider cannot be reached: {reason}"})


def broken(reason: str) -> bytes:
    """The event that ends a stream which broke: its status line is long gone."""
    return event({"error_code": "EXTERNAL_MODEL_ERROR", "message": f"The provider's stream broke: {reason}"})


def hidden(text: str, secrets: Sequence[str | None]) -> str:
    """`text` without credentials, in their plain form and as JSON writes them: some providers quote what they refuse.

    >>> hidden("Incorrect API key: key-for-docs", ["key-for-docs"])
    'Incorrect API key: **********'
    """
    worth = [secret for secret in secrets if secret and len(secret) >= LEAST_SECRET]
    for spelling in sorted({*worth, *(json.dumps(secret)[1:-1] for secret in worth)}, key=len, reverse=True):
        text = text.replace(spelling, HIDDEN)
    return text


def _unreached(target: Target, error: APIError) -> ServiceError:
    reason = hidden(error.message, target.secrets)
    if isinstance(error, APIConnectionError):  # a timeout is one
        return unreachable(target.provider, reason, timeout=isinstance(error, APITimeoutError))
    return external_error(502, target.provider, {"message": f"The provider gave no usable answer: {reason}"})


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
