"""litellm, held to one connection of ours: no downloads, no telemetry, no retries, no redirects, no foreign host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from . import _translation as translation
from ._engine import Answer, Events, JSONObject, Query, Whole
from ._errors import ServiceError, external_error
from ._forward import MAX_ERROR_CHARS, broken, hidden, provider_error, unreachable
from ._quirks import TASKS
from ._rendering import DONE, event
from ._vendors import Vendor

TIMEOUT_SECONDS = 300.0
OFFLINE = {
    "LITELLM_MODE": "PRODUCTION",  # else it reads a `.env` file that lies about into this process
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
}
"""What keeps litellm from downloading tables when it is imported and later."""
MISSING = 'calling provider {provider} needs litellm: pip install "fm-integrations[providers]"'
_QUIET = {"num_retries": 0, "max_retries": 0, "drop_params": False, "timeout": TIMEOUT_SECONDS}


class StrayedError(Exception):
    """litellm was about to send to another host than the provider's."""


@dataclass(slots=True)
class _Exchange:
    """What one call may send to, and what came back."""

    origin: tuple[str, str]
    sent: int = 0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


_current: ContextVar[_Exchange | None] = ContextVar("_current", default=None)


class LiteLLM:
    """Asks providers through litellm, which is imported when the first of them is asked."""

    def __init__(self) -> None:
        self._handler: Any = None
        self._stock: Any = None
        self._loading = asyncio.Lock()

    async def answer(self, vendor: Vendor, query: Query) -> Answer:
        """The provider's answer in the service's form; its errors in the service's form for them."""
        litellm = await self._loaded(vendor.provider)
        self._stock = _stock(vendor) or self._stock
        arguments = translation.arguments(query, vendor.provider)
        call = _Call(litellm, vendor, query, {**arguments, **vendor.options, **_QUIET, "client": self._handler})
        if query.task == TASKS["embeddings"]:
            return Whole(await call.embedded())
        if query.stream:
            return Events(await call.streamed())
        return Whole(await call.answered())

    async def aclose(self) -> None:
        """Close all connections."""
        for handler in (self._handler, self._stock):
            if handler is not None:
                await handler.close()

    async def _loaded(self, provider: str) -> Any:
        """The module. It takes seconds to import, so a thread does, and the others wait."""
        async with self._loading:
            if self._handler is None:
                try:
                    litellm = await asyncio.to_thread(imported)
                except ModuleNotFoundError as exc:
                    message = MISSING.format(provider=provider)
                    raise external_error(400, provider, {"error_code": "BAD_REQUEST", "message": message}) from exc
                self._handler = _handler()
                return litellm
        return imported()


@dataclass(frozen=True, slots=True)
class _Call:
    """One query on its way through litellm."""

    litellm: Any
    vendor: Vendor
    query: Query
    arguments: JSONObject

    async def answered(self) -> JSONObject:
        return translation.joined([await self._one(query) for query in translation.each_prompt(self.query)])

    async def _one(self, query: Query) -> JSONObject:
        answer = await self._asked("acompletion", messages=translation.chat_messages(query))
        return translation.chat_answer(query, answer.model_dump())

    async def embedded(self) -> JSONObject:
        texts = translation.texts(self.query, self.vendor.provider)
        answer = await self._asked("aembedding", input=texts)
        return translation.embedding_answer(self.query, answer.model_dump())

    async def streamed(self) -> AsyncIterator[bytes]:
        translation.one_prompt(self.query)
        options = {"stream": True, "stream_options": {"include_usage": True}}
        pieces = await self._asked("acompletion", messages=translation.chat_messages(self.query), **options)
        return _events(self.vendor, self.query, *pieces)

    async def _asked(self, verb: str, **texts: Any) -> Any:
        exchange = _Exchange(_origin(self.vendor.base))
        token = _current.set(exchange)
        try:
            answer = await getattr(self.litellm, verb)(model=self.vendor.model, **self.arguments, **texts)
            if "stream" in texts:
                answer = answer, await anext(answer, None)  # some vendors are only asked now
        except Exception as exc:  # noqa: BLE001  # litellm lets all kinds through, and not only its own
            raise _refusal(self.litellm, self.vendor, exchange, exc) from None  # it may quote the credential
        finally:
            _current.reset(token)
        if not exchange.sent:
            raise _failure(self.vendor, 502, "this version of litellm does not keep to the connection it is given")
        return answer


async def _events(vendor: Vendor, query: Query, pieces: Any, piece: Any) -> AsyncIterator[bytes]:
    """The service's events for the pieces of a stream, of which `piece` is the first."""
    chunks = translation.Chunks(query)
    try:
        while piece is not None:
            told = piece.model_dump()
            if _ended(told) and not _was_told(pieces):
                raise EOFError("it ended without a finish reason")
            if chunk := chunks.chunk(told):
                yield event(chunk)
                await asyncio.sleep(0)  # a client that has gone is noticed in a pause
            piece = await anext(pieces, None)
        yield DONE
    except Exception as error:  # noqa: BLE001  # likewise
        yield broken(hidden(str(error)[:MAX_ERROR_CHARS], vendor.secrets))
    finally:
        await pieces.aclose()


def _ended(piece: JSONObject) -> bool:
    return any(choice.get("finish_reason") for choice in piece.get("choices") or [])


def _was_told(pieces: Any) -> bool:
    """Whether the vendor gave a finish reason; if not, litellm makes one up."""
    return any(getattr(pieces, f"{when}_finish_reason", None) for when in ("received", "intermittent"))


def imported() -> Any:
    """The module, told to stay off the network."""
    for name, value in OFFLINE.items():
        os.environ.setdefault(name, value)
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True  # it would print advice to the terminal
    return litellm


def _handler() -> Any:
    """The connection that litellm is given."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    handler = AsyncHTTPHandler(timeout=TIMEOUT_SECONDS)
    _keep(handler)
    return handler


def _stock(vendor: Vendor) -> Any:
    """The connection of litellm's stock that Vertex AI's embeddings take instead of the one that they are given."""
    if vendor.provider != "google-cloud-vertex-ai":
        return None
    from litellm.llms.custom_httpx.http_handler import get_async_httpx_client
    from litellm.types.utils import LlmProviders

    handler = get_async_httpx_client(LlmProviders.VERTEX_AI, params={"timeout": TIMEOUT_SECONDS})
    _keep(handler)
    return handler


def _keep(handler: Any) -> None:
    """Let `handler` follow no redirect, and show us what it sends and gets."""
    client = handler.client
    client.follow_redirects = False
    client.event_hooks = {"request": [_before], "response": [_after]}


async def _before(request: Any) -> None:
    exchange = _current.get()
    if exchange is not None:
        if (request.url.scheme, request.url.netloc.decode()) != exchange.origin:
            raise StrayedError("litellm was about to send to another host than the provider's")
        exchange.sent += 1


async def _after(response: Any) -> None:
    exchange = _current.get()
    if exchange is not None:
        exchange.status, exchange.headers = response.status_code, response.headers
        if not 200 <= response.status_code < 300:
            exchange.body = await response.aread()


def _origin(base: str) -> tuple[str, str]:
    parts = urlsplit(base)
    return parts.scheme, parts.netloc


def _refusal(litellm: Any, vendor: Vendor, exchange: _Exchange, error: Exception) -> ServiceError:
    """The provider's own error if it gave one, else what kept it from answering."""
    if exchange.status and not 200 <= exchange.status < 300:
        return provider_error(vendor.provider, exchange.status, exchange.headers, exchange.body, vendor.secrets)
    text = hidden(str(error).partition("\n")[0][:MAX_ERROR_CHARS], vendor.secrets)
    if exchange.status:
        return _failure(vendor, 502, f"gave no usable answer: {text}")
    if not exchange.sent:
        status = 400 if getattr(error, "status_code", None) in (400, 422) else 502
        return _failure(vendor, status, text)
    return unreachable(vendor.provider, text, timeout=isinstance(error, litellm.Timeout))


def _failure(vendor: Vendor, status: int, message: str) -> ServiceError:
    return external_error(status, vendor.provider, {"message": message})
