"""The body of an answer while it is read: decompressed, and missing where the status says enough without it."""

from __future__ import annotations

from typing import Any

from ._decode import Decoder
from ._errors import APIConnectionError, ResponseFormatError, ResponseTooLargeError
from ._wire import Reply, Request


class Source:
    """What an open `Reply` holds: its exchange, the decoder of its body, and the request for error texts."""

    __slots__ = ("decoder", "ended", "exchange", "request")

    def __init__(self, exchange: Any, decoder: Decoder, request: Request) -> None:
        self.exchange, self.decoder, self.request, self.ended = exchange, decoder, request, False

    def next(self, until: float | None) -> bytes:
        """The next decoded bytes; b"" at the end."""
        while not self.ended:
            if data := self.decoder.take():
                return data
            raw = self.exchange.read(until)
            self._take(raw)
        return b""

    async def anext(self, until: float | None) -> bytes:
        """`next`, async."""
        while not self.ended:
            if data := self.decoder.take():
                return data
            raw = await self.exchange.read(until)
            self._take(raw)
        return b""

    def _take(self, raw: bytes) -> None:
        if raw:
            self.decoder.feed(raw)
        else:
            self.ended = True
            self.decoder.finish()


def is_stream(status: int, request: Request) -> bool:
    """Whether the answer stays open: a refusal is read whole."""
    return request.stream and 200 <= status < 300


def decoder_of(reply: Reply) -> Decoder | None:
    """What unpacks the body; None if nothing can, and the status says enough without it."""
    try:
        return Decoder(reply.headers.get("content-encoding", ""))
    except ResponseFormatError as error:
        if not is_refusal(reply.status, error):
            raise
        return None


def is_refusal(status: int, error: ResponseFormatError) -> bool:
    """Whether `status` is a refusal, which remains one when its text is damaged: a 503 is still worth a retry."""
    return status >= 300 and not isinstance(error, ResponseTooLargeError)


def digits(text: str | None) -> str:
    """A content-length, or "0" where there is none that can be believed."""
    return text if text and text.isascii() and text.isdigit() else "0"


def open_source(reply: Reply) -> Source:
    """What an open `reply` holds."""
    if isinstance(reply.source, Source):
        return reply.source
    raise APIConnectionError("the stream is closed")
