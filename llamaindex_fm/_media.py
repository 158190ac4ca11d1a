"""Blocks with an image, a sound or a document -> parts of a chat message. What cannot be sent is an error."""

from __future__ import annotations

import base64
from typing import Any

import filetype
from llama_index.core.base.llms.types import AudioBlock, DocumentBlock, ImageBlock

from fm_client import InvalidRequestError

SENT_AS_URL = ("http://", "https://", "data:")


def image_part(block: ImageBlock) -> dict[str, Any]:
    """An `image_url` part: an address goes as it is, to be read by the service; bytes and files go inline."""
    image = {"url": _url(block.url) or _inline(_bytes(block.resolve_image), block.image_mimetype, "image_mimetype")}
    if block.detail:
        image["detail"] = block.detail
    return {"type": "image_url", "image_url": image}


def audio_part(block: AudioBlock) -> dict[str, Any]:
    """An `input_audio` part; it has no form for an address."""
    if block.url and not block.audio:
        raise InvalidRequestError("sound cannot be sent as an address: read it, and give its bytes as audio=")
    data = _bytes(block.resolve_audio)
    kind = block.format or filetype.guess_extension(data)
    if not kind:
        raise InvalidRequestError("the kind of the sound is unknown: give format=, for instance 'wav'")
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": kind}}


def document_part(block: DocumentBlock) -> dict[str, Any]:
    """A `file` part with the document inline; it has no form for an address."""
    if block.url and not block.data:
        raise InvalidRequestError("a document cannot be sent as an address: read it, and give its bytes as data=")
    content = _inline(_bytes(block.resolve_document), block.document_mimetype, "document_mimetype")
    return {"type": "file", "file": {"filename": block.title, "file_data": content}}


def _url(url: Any) -> str | None:
    if not url:
        return None
    if not str(url).startswith(SENT_AS_URL):
        raise InvalidRequestError("an image's address must begin with http:, https: or data:; a file is given as path=")
    return str(url)


def _bytes(resolve: Any) -> bytes:
    try:
        data: bytes = resolve().read()
    except ValueError as exc:
        raise InvalidRequestError(f"a block has no data that could be sent: {exc}") from exc
    return data


def _inline(data: bytes, mimetype: str | None, argument: str) -> str:
    kind = mimetype or filetype.guess_mime(data)
    if not kind:
        raise InvalidRequestError(f"the kind of the data is unknown: give {argument}=")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
