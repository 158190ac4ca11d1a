"""What stands before a body: the address and the headers, checked before anything is sent."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpcore

from ._decode import ACCEPTED
from ._errors import InvalidRequestError
from ._wire import Request

RawHeaders = list[tuple[bytes, bytes]]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"(?:[!-~\xa0-\xff](?:[ -~\t\xa0-\xff]*[!-~\xa0-\xff])?)?")
_URL = re.compile(r"https?://([!\"$-.0->A-~]*)(?:[/?#][!-~]*)?")
"""Its group goes into the Host header: what stands before any of / ? #, without an @."""
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "accept-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed address; parsing costs as much as sending."""

    url: httpcore.URL
    origin: httpcore.Origin
    netloc: bytes
    key: str
    """Scheme, host and port, as text."""


@functools.lru_cache(maxsize=512)
def target_of(address: str) -> Target:
    """`address` parsed, or an InvalidRequestError."""
    if (parts := _URL.fullmatch(address)) is None:
        raise InvalidRequestError("the address must be http(s)://host/path, in ASCII and without a user")
    try:
        url = httpcore.URL(address)
        origin = url.origin
    except ValueError as exc:
        raise InvalidRequestError(f"the address is malformed: {exc}") from exc
    if not origin.host:
        raise InvalidRequestError("the address names no host")
    if not all(0 < len(label) < 64 for label in origin.host.removesuffix(b".").split(b".")):
        raise InvalidRequestError("the address is malformed: a part of the host's name is empty or too long")
    key = f"{origin.scheme.decode()}://{origin.host.decode()}:{origin.port}"
    return Target(url, origin, parts[1].encode(), key)


def wrong_in(headers: Mapping[str, str]) -> str | None:
    """What is wrong with `headers`, without any value: a bad one quoted by h11's own error would show the token."""
    for name in headers:
        if not _can_be_set(name):
            return f"the header name {name[:60]!r} cannot be set"
    return wrong_value_in(headers)


@functools.lru_cache(maxsize=256)
def _can_be_set(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and name.lower() not in _OWN_HEADERS


def wrong_value_in(headers: Mapping[str, str]) -> str | None:
    """What is wrong with the values of `headers`."""
    for name, text in headers.items():
        if not _VALUE.fullmatch(text):
            return f"the value of header {name!r} holds line breaks, control or non-latin characters, or outer spaces"
    return None


def encoded(request: Request, netloc: bytes) -> RawHeaders:
    """The headers as they are sent. Streams are asked for uncompressed, because compressors hold events back."""
    raw = [(b"Host", netloc), (b"Accept-Encoding", b"identity" if request.stream else ACCEPTED.encode())]
    raw += [(name.encode("latin-1"), text.encode("latin-1")) for name, text in request.headers.items()]
    if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
        raw.append((b"Content-Length", b"%d" % len(request.body or b"")))
    return raw


def decoded(raw: RawHeaders) -> dict[str, str]:
    """Headers as they were received: names in lower case, repeated ones joined by a comma."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
