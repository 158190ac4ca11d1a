"""What stands before every route: host, origin, token, role, content type and size of a request, and the load."""

from __future__ import annotations

import asyncio
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._audit import ERRORS, line
from ._bounds import Limits, Load, Slot, is_deeper
from ._callers import Asked, Caller, Callers, check_role
from ._errors import ServiceError, internal_error, unreadable

MAX_DRAINED_BYTES = 32 * 1024 * 1024
"""How much of a body that is too large is still read, so that the client gets to see the 413."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
CONTROL = "/api/"
_WRITES = frozenset({"POST", "PUT", "PATCH"})
_WITH_BODY = _WRITES | {"DELETE"}
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)
_CLOSE = {"Connection": "close"}
Audit = Callable[[Asked, str, str, int], None]


@dataclass(frozen=True, slots=True)
class Rules:
    """Whom the server answers, by which names it may be called, and how much it takes."""

    callers: Callers
    host_names: frozenset[str] = LOOPBACK_NAMES
    limits: Limits = field(default_factory=Limits)


class Guard:
    """ASGI middleware: refuses before routing, gives every answer a request id, and tells `audit` of each write."""

    def __init__(self, app: ASGIApp, rules: Rules, audit: Audit) -> None:
        self._app = app
        self._rules = rules
        self._audit = audit
        self._load = Load(rules.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request, then hand it on with its body read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = _Reply(send, self._rules.limits.write_seconds)
        try:
            asked = Asked(reply.request_id, self._caller(scope))
        except ServiceError as error:
            error.headers |= _CLOSE  # connections are for users
            await error.response()(scope, receive, reply)
            return
        scope["fm_workspace"] = asked
        if scope["path"].startswith(CONTROL) and scope["method"] in _WITH_BODY:
            reply.on_status = partial(self._audit, asked, scope["method"], scope["path"])
        await self._admitted(asked.caller, scope, receive, reply)

    def _caller(self, scope: Scope) -> Caller:
        """Who asks; refused before anything else of the request is looked at."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        _check_size(headers, self._rules.limits.header_bytes)
        _check_host(_values(headers, b"host"), self._rules.host_names)
        _check_origin(_values(headers, b"origin"), self._rules.host_names)
        return _check_token(_values(headers, b"authorization"), self._rules.callers)

    async def _admitted(self, caller: Caller, scope: Scope, receive: Receive, reply: _Reply) -> None:
        try:
            self._check(caller, scope)
            with self._load.request() as slot:
                body = await self._body(slot, scope, receive)
                await self._app(scope, _replayed(body, receive), reply)
        except ServiceError as error:
            await error.response()(scope, receive, reply)
        except Exception as error:  # noqa: BLE001  # the last resort: it is logged, and answered with a 500
            ERRORS.error(line("failed", request_id=reply.request_id, error=type(error).__name__, at=_places(error)))
            if not reply.status:
                await internal_error().response()(scope, receive, reply)

    def _check(self, caller: Caller, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        check_role(caller, scope["method"], scope["path"])
        if scope["method"] in _WRITES:
            _check_content(_values(headers, b"content-type"), _values(headers, b"content-encoding"))
        if scope["path"].startswith(CONTROL):
            self._load.spend(caller.user)

    async def _body(self, slot: Slot, scope: Scope, receive: Receive) -> bytes:
        """The whole body: within time and size, and not nested too deeply."""
        if scope["method"] not in _WITH_BODY:
            return b""
        limits = self._rules.limits
        most = limits.control_body_bytes if scope["path"].startswith(CONTROL) else limits.body_bytes
        try:
            async with asyncio.timeout(limits.read_seconds):
                body = await _read(slot, receive, most)
        except TimeoutError:
            message = f"The request body did not arrive within {limits.read_seconds:g} seconds."
            raise ServiceError(408, "BAD_REQUEST", message, headers=_CLOSE) from None
        if is_deeper(body, limits.json_depth):
            raise _too_deep(scope["path"], limits.json_depth)
        return body


def _too_deep(path: str, most: int) -> ServiceError:
    message = f"nested more than {most} levels deep"
    if not path.startswith(CONTROL):
        return unreadable(message)
    return ServiceError(400, "MALFORMED_REQUEST", f"Could not parse the request: {message}.")


async def _read(slot: Slot, receive: Receive, most: int) -> bytes:
    body, size, more = bytearray(), 0, True
    while more and size <= MAX_DRAINED_BYTES:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= most:
            slot.hold(len(chunk))
            body += chunk
        more = message["type"] == "http.request" and message.get("more_body", False)
    if size > most:
        headers = _CLOSE if more else {}
        raise ServiceError(
            413, "REQUEST_TOO_LARGE", f"Request body exceeds the limit of {most} bytes.", headers=headers
        )
    return bytes(body)


def _places(error: Exception) -> list[str]:
    """Where an error comes from. Its text may quote the request, and stays out of the log."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


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


def _check_size(headers: list[tuple[bytes, bytes]], most: int) -> None:
    # The parser bounds only heads that come in several pieces.
    if sum(len(name) + len(value) + 4 for name, value in headers) > most:
        raise ServiceError(431, "BAD_REQUEST", f"The headers exceed the limit of {most} bytes.")


def _check_host(hosts: list[str], allowed: frozenset[str]) -> None:
    # A page of another site can reach this port under a name of its own (DNS rebinding), never under these.
    if len(hosts) != 1 or _without_port(hosts[0]) not in allowed:
        raise ServiceError(421, "PERMISSION_DENIED", "This server does not answer to that Host header.")


def _check_origin(origins: list[str], allowed: frozenset[str]) -> None:
    for origin in origins:
        scheme, separator, authority = origin.partition("://")
        if not separator or scheme not in ("http", "https") or _without_port(authority) not in allowed:
            raise ServiceError(403, "PERMISSION_DENIED", "Requests of other origins are refused.")


def _check_token(values: list[str], callers: Callers) -> Caller:
    scheme, _, token = (values[0] if len(values) == 1 else "").partition(" ")
    caller = callers.of(token.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        message = "Credential was not sent, is invalid, or was of an unsupported type for this API."
        raise ServiceError(401, "UNAUTHENTICATED", message, headers={"WWW-Authenticate": "Bearer"})
    return caller


def _check_content(types: list[str], encodings: list[str]) -> None:
    # A form or text body needs no preflight in a browser: JSON does.
    if len(types) != 1 or types[0].partition(";")[0].strip().lower() != "application/json":
        raise ServiceError(415, "BAD_REQUEST", "Content-Type must be application/json.")
    if any(encoding.strip().lower() != "identity" for encoding in encodings):
        raise ServiceError(415, "BAD_REQUEST", "Content-Encoding is not supported.")


class _Reply:
    """Sends an answer, with a request id and our headers; a client that takes nothing for too long is left."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self.request_id = str(uuid.uuid4())
        self.status = 0
        self.on_status: Callable[[int], None] = lambda status: None
        """Told the status before the client is."""

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.on_status(self.status)
            own = (b"x-request-id", self.request_id.encode())
            message["headers"] = [*message["headers"], own, *_SAFE_HEADERS]
        async with asyncio.timeout(self._seconds):
            await self._send(message)


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed
