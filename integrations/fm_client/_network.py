"""The way to a host: its certificate rules, the proxy in between, and a socket with a deadline over every operation."""

from __future__ import annotations

import functools
import importlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore

from ._errors import ConfigurationError
from ._framing import Joiner
from ._hosts import is_loopback

COALESCE_BYTES = 65_536
"""Writes up to this size wait for the next read, so that head and body of a request leave in one packet."""
LEAST_SHARE = 0.001
"""Seconds: none at all would mean something else to a socket."""
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")

Clock = Callable[[], float]
Permit = Callable[[str], bool]
"""Whether a connection to an IP address is allowed."""
Verify = bool | str | ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections of one kind lead, and through what."""

    key: str
    core: httpcore.Origin = field(repr=False)
    proxy: httpcore.Proxy | None = field(default=None, repr=False)
    context: ssl.SSLContext | None = field(default=None, repr=False)
    permit: Permit | None = field(default=None, repr=False)


def checked_verify(verify: Verify | os.PathLike[str]) -> Verify:
    """A `verify` setting that is one. None or 0 is none: only the word False leaves certificates unchecked."""
    if isinstance(verify, os.PathLike):
        verify = os.fspath(verify)
    if isinstance(verify, (bool, ssl.SSLContext)):
        return verify
    if not isinstance(verify, str):
        raise ConfigurationError(f"verify must be True, False, a file, a folder or an SSLContext, not {verify!r:.60}")
    if not verify or not Path(verify).exists():
        raise ConfigurationError(f"verify={verify!r}: no such file or directory")
    return verify


def tls_context(verify: Verify) -> ssl.SSLContext:
    """The context of a `verify` setting, made once per process: it costs 17 ms."""
    if isinstance(verify, ssl.SSLContext):
        return verify
    environment = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")) if verify is True else (None, None)
    try:
        return _made_context(verify, *environment)
    except OSError as exc:  # ssl.SSLError included: a file that holds no certificate
        asked = "verify=" if isinstance(verify, str) else "SSL_CERT_FILE or SSL_CERT_DIR"
        raise ConfigurationError(f"the certificates named by {asked} cannot be loaded: {exc}") from exc


@functools.lru_cache(maxsize=16)
def _made_context(verify: bool | str, cert_file: str | None, cert_dir: str | None) -> ssl.SSLContext:
    if isinstance(verify, str):
        folder = Path(verify).is_dir()
        return ssl.create_default_context(cafile=None if folder else verify, capath=verify if folder else None)
    if cert_file or cert_dir:
        return ssl.create_default_context(cafile=cert_file or None, capath=cert_dir or None)
    context = httpcore.default_ssl_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def environment_proxy(scheme: str, host: str, port: int) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (or the system's settings) name for a host.

    Never one for this machine itself: the embedded workspace is not reachable through a proxy.
    """
    if is_loopback(host):
        return None
    from urllib.request import getproxies, proxy_bypass  # 20 ms, not needed for a local host

    proxies = getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    if not named or proxy_bypass(host) or proxy_bypass(f"{host}:{port}"):
        return None
    return named if "://" in named else f"http://{named}"


def proxy_for(url: str, verify: Verify) -> httpcore.Proxy:
    """The proxy at `url`, its user and password taken out of the address."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ConfigurationError("the proxy address in the environment cannot be read") from None
    if parts.scheme not in PROXY_SCHEMES or not host or not host.isascii():
        raise ConfigurationError(f"the proxy address in the environment must be one of {', '.join(PROXY_SCHEMES)}://…")
    if parts.scheme.startswith("socks"):
        _check_socks()
    default = 1080 if parts.scheme.startswith("socks") else 443 if parts.scheme == "https" else 80
    user, password = unquote(parts.username or "").encode(), unquote(parts.password or "").encode()
    return httpcore.Proxy(
        httpcore.URL(scheme=parts.scheme, host=host, port=port or default, target="/"),
        auth=(user, password) if user or password else None,
        ssl_context=tls_context(verify) if parts.scheme == "https" else None,
    )


def _check_socks() -> None:
    try:
        importlib.import_module("socksio")  # which httpcore imports when it dials
    except ImportError:
        raise ConfigurationError('a SOCKS proxy needs one more package: pip install "httpx[socks]"') from None


@functools.cache
def socket_options() -> tuple[tuple[int, int, int], ...]:
    """Keep-alive probes: a peer that vanished is noticed after two minutes, not after the system's two hours."""
    probes = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    named = ((socket.IPPROTO_TCP, getattr(socket, name, None), value) for name, value in probes)
    known = tuple((level, option, value) for level, option, value in named if option is not None)
    return ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *known)


def _permitted(found: Sequence[tuple[Any, ...]], permit: Permit | None) -> list[str]:
    """The addresses that a name stands for; refused if any of them is not to be connected to."""
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if permit and (refused := [address for address in addresses if not permit(address)]):
        raise httpcore.ConnectError(f"connections to {refused[0]} are not permitted")
    return addresses


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


class _Limited:
    """What both wires share: the deadline, which httpcore by itself fixes once for a whole body."""

    def __init__(self, clock: Clock, permit: Permit | None = None) -> None:
        self._clock = clock
        self._permit = permit
        self.until: float | None = None
        """The moment at which whatever is going on ends; None: only the request's own limits."""
        self.heard = False
        """Whether a byte has arrived since the request began."""
        self._unsent = b""
        self._write_timeout: float | None = None
        self._joiner = Joiner()

    def begin(self, until: float | None) -> None:
        """A new request begins."""
        self.until, self.heard, self._unsent = until, False, b""
        self._joiner.begin()

    def _limit(self, timeout: float | None, late: type[Exception]) -> float | None:
        if self.until is None:
            return timeout
        left = self.until - self._clock()
        if left <= 0:
            raise late
        return left if timeout is None else min(left, timeout)

    def _shares(self, addresses: list[str], limit: float | None) -> Iterator[tuple[str, float | None, bool]]:
        """Each address, the seconds it has, and whether it is the last: a silent one must leave time for the others."""
        end = None if limit is None else self._clock() + limit
        for at, address in enumerate(addresses):
            left = None if end is None else max(LEAST_SHARE, end - self._clock())
            yield address, left and left / (len(addresses) - at), at == len(addresses) - 1

    def _hold(self, data: bytes, timeout: float | None) -> bool:
        """Keep `data` for the next flush; whether that is due already."""
        self._unsent = self._unsent + data if self._unsent else data
        self._write_timeout = timeout
        return len(self._unsent) > COALESCE_BYTES

    def _unheld(self) -> bytes:
        data, self._unsent = self._unsent, b""
        return data


class Wire(_Limited, httpcore.NetworkBackend, httpcore.NetworkStream):
    """The one socket of a connection: what httpcore dials with, and what it then reads and writes."""

    _stream: httpcore.NetworkStream | None = None

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, *_: Any, **__: Any
    ) -> httpcore.NetworkStream:
        """Dial. The socket options are ours, also behind a proxy, where httpcore drops them."""
        addresses = self._resolved(host, port)
        dial = functools.partial(httpcore.SyncBackend().connect_tcp, port=port, local_address=local_address)
        for address, share, is_last in self._shares(addresses, self._limit(timeout, httpcore.ConnectTimeout)):
            try:
                self._stream = dial(address, timeout=share, socket_options=socket_options())
                break
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if is_last:
                    raise
        return self

    def _resolved(self, host: str, port: int) -> list[str]:
        """What to dial, one after the other."""
        if self._permit is None and _is_address(host):
            return [host]
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise httpcore.ConnectError(exc) from exc
        return _permitted(found, self._permit)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Encrypt from here on."""
        limit = self._limit(timeout, httpcore.ConnectTimeout)
        self._stream = self._open().start_tls(ssl_context, server_hostname, limit)
        return self

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, now or with the next read."""
        if self._hold(bytes(buffer), timeout):
            self._flush()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes; b"" when the peer has closed."""
        if self._unsent:
            try:
                self._flush()
            except httpcore.WriteError:
                pass  # the server may have answered before it had read everything (413): its answer counts
        while data := self._open().read(max_bytes, self._limit(timeout, httpcore.ReadTimeout)):
            self.heard = True
            if joined := self._joiner.feed(data):
                return joined
        return self._joiner.feed(b"")

    def _flush(self) -> None:
        data = self._unheld()
        for at in range(0, len(data), COALESCE_BYTES):  # httpcore's limit starts anew with whatever the kernel takes
            piece = data[at : at + COALESCE_BYTES]
            self._open().write(piece, self._limit(self._write_timeout, httpcore.WriteTimeout))

    def _open(self) -> httpcore.NetworkStream:
        if self._stream is None:
            raise httpcore.ReadError("the connection is closed")
        return self._stream

    def close(self) -> None:
        """Close at once. Idempotent."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Facts of the socket, by httpcore's names."""
        return self._stream.get_extra_info(info) if self._stream is not None else None


class AsyncWire(_Limited, httpcore.AsyncNetworkBackend, httpcore.AsyncNetworkStream):
    """`Wire`, async."""

    _stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        *_: Any,
        **__: Any,
    ) -> httpcore.AsyncNetworkStream:
        """Dial. The socket options are ours, also behind a proxy, where httpcore drops them."""
        from ._sockets import connect  # which needs asyncio

        begun, limit = self._clock(), self._limit(timeout, httpcore.ConnectTimeout)
        addresses = await self._resolved(host, port, limit)
        for address, share, is_last in self._shares(addresses, limit and limit - (self._clock() - begun)):
            try:
                self._stream = await connect(address, port, share, local_address, socket_options())
                break
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if is_last:
                    raise
        return self

    async def _resolved(self, host: str, port: int, limit: float | None) -> list[str]:
        """What to dial, one after the other."""
        if self._permit is None and _is_address(host):
            return [host]
        import asyncio

        try:
            async with asyncio.timeout(limit):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(exc) from exc
        except OSError as exc:
            raise httpcore.ConnectError(exc) from exc
        return _permitted(found, self._permit)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Encrypt from here on."""
        limit = self._limit(timeout, httpcore.ConnectTimeout)
        self._stream = await self._open().start_tls(ssl_context, server_hostname, limit)
        return self

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        """Send, now or with the next read."""
        if self._hold(bytes(buffer), timeout):
            await self._flush()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        """The next bytes; b"" when the peer has closed."""
        if self._unsent:
            try:
                await self._flush()
            except httpcore.WriteError:
                pass  # the server may have answered before it had read everything (413): its answer counts
        while data := await self._open().read(max_bytes, self._limit(timeout, httpcore.ReadTimeout)):
            self.heard = True
            if joined := self._joiner.feed(data):
                return joined
        return self._joiner.feed(b"")

    async def _flush(self) -> None:
        await self._open().write(self._unheld(), self._limit(self._write_timeout, httpcore.WriteTimeout))

    def _open(self) -> httpcore.AsyncNetworkStream:
        if self._stream is None:
            raise httpcore.ReadError("the connection is closed")
        return self._stream

    async def aclose(self) -> None:
        """Close at once. Idempotent."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Facts of the socket, by httpcore's names."""
        return self._stream.get_extra_info(info) if self._stream is not None else None
