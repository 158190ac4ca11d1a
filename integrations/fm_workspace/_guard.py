"""What stands before every route: host, origin, token, content type and size of a request."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._errors import ServiceError

MAX_BODY_BYTES = 4 * 1024 * 1024
"""The service's own limit for foundation and external models (its published limits of late 2024)."""
MAX_DRAINED_BYTES = 32 * 1024 * 1024
"""How much of a body that is too large is still read, so that the client gets to see the 413."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_WRITES = frozenset({"POST", "PUT", "PATCH"})
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)


def digest_of(token: str) -> bytes:
    """All that the server keeps of its token."""
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class Rules:
    """Whom the server answers: the token's SHA-256, and the names it may be called by."""

    token_digest: bytes
    host_names: frozenset[str] = LOOPBACK_NAMES
    max_body_bytes: int = MAX_BODY_BYTES


class Guard:
    """ASGI middleware: refuses before routing, and gives every answer a request id."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request, then hand it on with its body read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = _stamped(send)
        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except ServiceError as error:
            await error.response()(scope, receive, reply)
            return
        await self._app(scope, _replayed(body, receive), reply)

    def _check(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        _check_host(_values(headers, b"host"), self._rules.host_names)
        _check_origin(_values(headers, b"origin"), self._rules.host_names)
        _check_token(_values(headers, b"authorization"), self._rules.token_digest)
        if scope["method"] in _WRITES:
            _check_content(_values(headers, b"content-type"), _values(headers, b"content-encoding"))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limit, body, size, more = self._rules.max_body_bytes, bytearray(), 0, scope["method"] in {*_WRITES, "DELETE"}
        while more and size <= MAX_DRAINED_BYTES:
            message = await receive()
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= limit:
                body += chunk
            more = message["type"] == "http.request" and message.get("more_body", False)
        if size > limit:
            raise ServiceError(413, "REQUEST_TOO_LARGE", f"Request body exceeds the limit of {limit} bytes.")
        return bytes(body)


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        address, bracket, port = authority.partition("]")
        return f"{address}]".lower() if bracket and _is_port(port) else ""
    name, colon, port = authority.partition(":")
    return name.lower() if _is_port(colon + port) else ""


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit())


def _check_host(hosts: list[str], allowed: frozenset[str]) -> None:
    # A page of another site can reach this port under a name of its own (DNS rebinding), never under these.
    if len(hosts) != 1 or _without_port(hosts[0]) not in allowed:
        raise ServiceError(421, "PERMISSION_DENIED", "This server does not answer to that Host header.")


def _check_origin(origins: list[str], allowed: frozenset[str]) -> None:
    for origin in origins:
        scheme, separator, authority = origin.partition("://")
        if not separator or scheme not in ("http", "https") or _without_port(authority) not in allowed:
            raise ServiceError(403, "PERMISSION_DENIED", "Requests of other origins are refused.")


def _check_token(values: list[str], digest: bytes) -> None:
    scheme, _, token = (values[0] if len(values) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(digest_of(token.strip()), digest):
        message = "Credential was not sent, is invalid, or was of an unsupported type for this API."
        raise ServiceError(401, "UNAUTHENTICATED", message, headers={"WWW-Authenticate": "Bearer"})


def _check_content(types: list[str], encodings: list[str]) -> None:
    # A form or text body needs no preflight in a browser: JSON does.
    if len(types) != 1 or types[0].partition(";")[0].strip().lower() != "application/json":
        raise ServiceError(415, "BAD_REQUEST", "Content-Type must be application/json.")
    if any(encoding.strip().lower() != "identity" for encoding in encodings):
        raise ServiceError(415, "BAD_REQUEST", "Content-Encoding is not supported.")


def _stamped(send: Send) -> Send:
    request_id = str(uuid.uuid4()).encode()

    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-request-id", request_id), *_SAFE_HEADERS]
        await send(message)

    return stamped


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed
