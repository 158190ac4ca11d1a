"""litellm, held to connections of ours: no downloads, no telemetry, no retries, no redirects, no foreign host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fm_client import APIConnectionError, APITimeoutError

from . import _translation as translation
from ._endings import EventEnding, FrameEnding
from ._engine import Answer, Events, JSONObject, Query, Whole
from ._errors import ServiceError, external_error
from ._forward import MAX_ERROR_CHARS, Forwarder, broken, hidden, provider_error, unreachable
from ._logins import Logins
from ._quirks import TASKS
from ._rendering import DONE, event
from ._vendors import Vendor

if TYPE_CHECKING:
    from ._fence import Exchange  # it imports httpx, which a workspace without such providers does not need

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


class LiteLLM:
    """Asks providers through litellm, which is imported when the first of them is asked.

    What it sends goes over the connections of `forwarder`, with tokens of `logins`.
    """

    def __init__(self, forwarder: Forwarder, logins: Logins) -> None:
        self._forwarder = forwarder
        self._logins = logins
        self._handler: Any = None
        self._loading = asyncio.Lock()

    async def answer(self, vendor: Vendor, query: Query) -> Answer:
        """The provider's answer in the service's form; its errors in the service's form for them."""
        litellm = await self._loaded(vendor.provider)
        _fence_stock(vendor)
        arguments = translation.arguments(query, vendor.provider)
        options = {**arguments, **vendor.options, **_QUIET, "client": self._handler}
        call = _Call(litellm, vendor, query, options, self._forwarder, self._logins)
        if query.task == TASKS["embeddings"]:
            return Whole(await call.embedded())
        if query.stream:
            return Events(await call.streamed())
        return Whole(await call.answered())

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
    forwarder: Forwarder
    logins: Logins

    async def answered(self) -> JSONObject:
        return translation.joined([await self._one(query) for query in translation.each_prompt(self.query)])

    async def _one(self, query: Query) -> JSONObject:
        answer = await self._asked("acompletion", self._exchange(), messages=translation.chat_messages(query))
        return translation.chat_answer(query, answer.model_dump())

    async def embedded(self) -> JSONObject:
        texts = translation.texts(self.query, self.vendor.provider)
        answer = await self._asked("aembedding", self._exchange(), input=texts)
        return translation.embedding_answer(self.query, answer.model_dump())

    async def streamed(self) -> AsyncIterator[bytes]:
        translation.one_prompt(self.query)
        options = {"stream": True, "stream_options": {"include_usage": True}}
        exchange = self._exchange(stream=True)
        messages = translation.chat_messages(self.query)
        pieces, first = await self._asked("acompletion", exchange, messages=messages, **options)
        return _events(self.vendor, self.query, exchange, pieces, first)

    def _exchange(self, *, stream: bool = False) -> Exchange:
        from ._fence import Exchange

        ending = FrameEnding() if self.vendor.provider == "amazon-bedrock" else EventEnding()
        base = self.vendor.base
        return Exchange(base, self.forwarder.http(base), stream, ending)

    async def _asked(self, verb: str, exchange: Exchange, **texts: Any) -> Any:
        from ._fence import current

        if self.vendor.login:
            exchange.token = await self.logins.token(self.vendor.login)
        mark = current.set(exchange)
        try:
            answer = await getattr(self.litellm, verb)(model=self.vendor.model, **self.arguments, **texts)
            if exchange.stream:
                answer = answer, await anext(answer, None)  # some vendors are only asked now
        except Exception as exc:  # noqa: BLE001  # litellm lets all kinds through, and not only its own
            raise _refusal(self.vendor, exchange, exc) from None  # it may quote the credential
        finally:
            current.reset(mark)
        if not exchange.sent:
            raise _failure(self.vendor, 502, "this version of litellm does not keep to the connection it is given")
        return answer


async def _events(vendor: Vendor, query: Query, exchange: Exchange, pieces: Any, piece: Any) -> AsyncIterator[bytes]:
    """The service's events for the pieces of a stream, of which `piece` is the first.

    A stream that ends before the vendor has said so is broken, whatever litellm makes up for its end.
    """
    chunks = translation.Chunks(query)
    try:
        while piece is not None:
            told = piece.model_dump()
            if _ended(told) and not exchange.ending.told:
                break
            if chunk := chunks.chunk(told):
                yield event(chunk)
                await asyncio.sleep(0)  # a client that has gone is noticed in a pause
            piece = await anext(pieces, None)
        yield DONE if exchange.ending.told else broken("it ended without a finish reason")
    except Exception as error:  # noqa: BLE001  # likewise
        yield broken(_reason(vendor, exchange, error))
    finally:
        await pieces.aclose()


def _ended(piece: JSONObject) -> bool:
    return any(choice.get("finish_reason") for choice in piece.get("choices") or [])


def imported() -> Any:
    """The module, told to stay off the network."""
    for name, value in OFFLINE.items():
        os.environ.setdefault(name, value)
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True  # it would print advice to the terminal
    return litellm


def _handler() -> Any:
    """The client that litellm is given."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
    from litellm.llms.vertex_ai.vertex_llm_base import VertexBase

    from ._fence import client, own_login

    own_login(VertexBase)
    handler = AsyncHTTPHandler()
    handler.client = client()  # set from outside, it is not closed with the handler
    return handler


def _fence_stock(vendor: Vendor) -> None:
    """Fence in the client of litellm's stock, which Vertex AI's embeddings take instead of the one that is given."""
    if vendor.provider != "google-cloud-vertex-ai":
        return
    from litellm.llms.custom_httpx.http_handler import get_async_httpx_client
    from litellm.types.utils import LlmProviders

    from ._fence import client

    get_async_httpx_client(LlmProviders.VERTEX_AI, params={"timeout": TIMEOUT_SECONDS}).client = client()


def _refusal(vendor: Vendor, exchange: Exchange, error: Exception) -> ServiceError:
    """The provider's own error if it gave one, else what kept it from answering."""
    reply, reason = exchange.reply, _reason(vendor, exchange, error)
    if reply is not None and not 200 <= reply.status < 300:
        return provider_error(vendor.provider, reply.status, reply.headers, reply.body, _secrets(vendor, exchange))
    if isinstance(exchange.failure, APIConnectionError) and reply is None:
        return unreachable(vendor.provider, reason, timeout=isinstance(exchange.failure, APITimeoutError))
    if exchange.sent:
        return _failure(vendor, 502, f"gave no usable answer: {reason}")
    return _failure(vendor, 400 if getattr(error, "status_code", None) in (400, 422) else 502, reason)


def _reason(vendor: Vendor, exchange: Exchange, error: Exception) -> str:
    """What went wrong, in our own words where we know it, without credentials."""
    text = exchange.failure.message if exchange.failure else str(error).partition("\n")[0]
    return hidden(text, _secrets(vendor, exchange))[:MAX_ERROR_CHARS]


def _secrets(vendor: Vendor, exchange: Exchange) -> tuple[str | None, ...]:
    return (*vendor.secrets, exchange.token)


def _failure(vendor: Vendor, status: int, message: str) -> ServiceError:
    return external_error(status, vendor.provider, {"message": message})
