"""What the HTTP libraries raise, in terms of our own errors: one table, keyed by the names of exception classes.

By name, so that it holds for httpx, its successors with the same names, and httpcore alike, and imports none of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ._errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    FMError,
    InvalidRequestError,
    ProxyError,
    RedirectError,
    ResponseFormatError,
    TLSError,
)
from ._wire import Reply, Request

E = TypeVar("E", bound=BaseException)

BROKEN = "the connection broke"
MISUSED = "the answer was used out of turn, by a hook of http_client or by closing it"

FAILURES: dict[str, tuple[type[FMError], str]] = {
    # in time
    "ConnectTimeout": (APITimeoutError, "connect"),
    "WriteTimeout": (APITimeoutError, "write"),
    "ReadTimeout": (APITimeoutError, "read"),
    "PoolTimeout": (APITimeoutError, "pool"),
    "TimeoutException": (APITimeoutError, "read"),
    "TimeoutError": (APITimeoutError, "read"),
    # on the way
    "ConnectError": (APIConnectionError, "the connection could not be made"),
    "ReadError": (APIConnectionError, BROKEN),
    "WriteError": (APIConnectionError, BROKEN),
    "CloseError": (APIConnectionError, BROKEN),
    "NetworkError": (APIConnectionError, BROKEN),
    "ConnectionNotAvailable": (APIConnectionError, BROKEN),
    "OSError": (APIConnectionError, BROKEN),
    "ProxyError": (ProxyError, "the proxy refused"),
    "SSLCertVerificationError": (TLSError, "the server's certificate was not accepted"),
    # in what was said
    "RemoteProtocolError": (APIConnectionError, "the server broke off, or did not speak HTTP"),
    "ProtocolError": (APIConnectionError, "the server did not speak HTTP"),
    "TransportError": (APIConnectionError, BROKEN),
    "RequestError": (APIConnectionError, BROKEN),
    "HTTPError": (APIConnectionError, BROKEN),
    "DecodingError": (ResponseFormatError, "the answer could not be decompressed"),
    "TooManyRedirects": (RedirectError, "http_client followed redirects without an end"),
    "HTTPStatusError": (APIStatusError, "a hook of http_client refused the answer"),
    # before anything was sent
    "LocalProtocolError": (InvalidRequestError, "the request cannot be sent: a header or the address is malformed"),
    "UnicodeEncodeError": (InvalidRequestError, "the request cannot be sent: a header is not latin-1"),
    "UnsupportedProtocol": (InvalidRequestError, "the address must begin with https:// or http://"),
    "InvalidURL": (InvalidRequestError, "the address is malformed"),
    "CookieConflict": (ConfigurationError, "http_client holds two cookies of one name"),
    "StreamError": (APIConnectionError, MISUSED),
    "StreamConsumed": (APIConnectionError, MISUSED),
    "StreamClosed": (APIConnectionError, MISUSED),
    "ResponseNotRead": (APIConnectionError, MISUSED),
    "RequestNotRead": (APIConnectionError, MISUSED),
}
# Their texts quote what was to be sent, the token included; so neither text nor cause goes on.
TELL_TALE = frozenset({"LocalProtocolError", "UnicodeEncodeError"})
CONNECT_HINT = "; check the host's name and port, and whether a server runs there"
TLS_HINT = "; for a private certificate authority name its file with verify= or SSL_CERT_FILE"
MAX_DETAIL_CHARS = 300
OURS = f"{__name__.partition('.')[0]}."


def failure(
    exc: BaseException, request: Request, *, stale: bool = False, proxied: bool = False, late: bool = False
) -> BaseException:
    """The error of ours for `exc`; `exc` itself if it is ours already, or nothing that HTTP libraries raise.

    `late`: the limit for the whole call is over, whatever was being waited for.
    """
    name = name_of(exc)
    if isinstance(exc, FMError) or name is None:
        return exc
    if any(type(link).__name__ == "SSLCertVerificationError" for link in chain(exc)):
        name = "SSLCertVerificationError"
    cls, what = FAILURES[name]
    if cls is APITimeoutError:
        return _timeout("total" if late else what, request)
    if name == "ConnectError" and proxied:
        cls, what = ProxyError, "the proxy could not be reached"
    hint = TLS_HINT if cls is TLSError else ""
    if name == "ConnectError" and cls is APIConnectionError:
        what, hint = f"the connection to {urlsplit(request.url).netloc} could not be made", CONNECT_HINT
    text = what if name in TELL_TALE else f"{what}: {_detail(exc)}{hint}"
    return cls(text, **_facts(cls, exc, request, stale)) if issubclass(cls, APIError) else cls(text)


def cause_of(exc: BaseException) -> BaseException | None:
    """`exc` as a cause to chain: without its frames, whose variables hold headers, or None if its text holds them."""
    return None if name_of(exc) in TELL_TALE else frameless(exc)


def frameless(exc: E) -> E:
    """`exc`, and what caused it, without their frames: crash reporters show the variables of those, secrets too."""
    for link in chain(exc):
        link.__traceback__ = None
    return exc


def identify(error: BaseException, reply: Reply | None) -> None:
    """Tell `error` which answer it broke off or refused, if the head of one had arrived."""
    if reply is not None and isinstance(error, APIError):
        error.request_id = error.request_id or reply.request_id


def name_of(exc: BaseException) -> str | None:
    """The name under which the table knows `exc`; None: not at all."""
    return next((cls.__name__ for cls in type(exc).__mro__ if cls.__name__ in FAILURES), None)


def chain(exc: BaseException) -> Iterator[BaseException]:
    """`exc`, what caused it, what caused that, and so on: up to what the caller was handling when it called us."""
    link: BaseException | None = exc
    callers, seen = _frames_of_callers(), set[int]()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
        if link is not None and link.__traceback__ and id(link.__traceback__.tb_frame) in callers:
            return


def _frames_of_callers() -> set[int]:
    """The frames that wait for us, by id. An exception that one of them has caught begins its traceback there."""
    frame, found = inspect.currentframe(), set[int]()
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(OURS):
            found.add(id(frame))
        frame = frame.f_back
    return found


def _timeout(phase: str, request: Request) -> APITimeoutError:
    limit = getattr(request.timeout, phase)
    within = "in time" if limit is None else f"within {limit:g} s"
    return APITimeoutError(f"no answer {within} ({phase} timeout)", phase=phase, endpoint=request.endpoint)


def _facts(cls: type[APIError], exc: BaseException, request: Request, stale: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"endpoint": request.endpoint}
    if cls is APIConnectionError:
        facts["stale"] = stale
        facts["phase"] = "connect" if name_of(exc) == "ConnectError" else "exchange"
    if cls is ProxyError and str(exc)[:3].isdigit():  # httpcore's text is the proxy's status line
        facts["status_code"] = int(str(exc)[:3])
        facts["should_retry"] = facts["status_code"] >= 500
    if cls is APIStatusError:
        facts["status_code"] = getattr(getattr(exc, "response", None), "status_code", None)
    return facts


def _detail(exc: BaseException) -> str:
    """The text of the innermost system error ("[Errno 111] Connection refused"), which says most; or that of `exc`."""
    system = [str(link) for link in chain(exc) if isinstance(link, OSError)]
    text = (system[-1] if system else "") or str(exc) or type(exc).__name__
    return " ".join(text.split())[:MAX_DETAIL_CHARS]
