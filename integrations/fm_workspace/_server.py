"""A uvicorn server on a loopback port, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from ._bounds import Limits
from ._protocol import bounded

START_SECONDS = 10.0
STOP_SECONDS = 5.0
SHUTDOWN_SECONDS = 1
"""How long open answers may go on when the server stops."""
BACKLOG = 1_024
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections (50 s in the core), so that the client is the one to close."""


class Server(uvicorn.Server):
    """uvicorn's server, told apart only by saying when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = threading.Event()
        self.on_start: Callable[[], None] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self.on_start()
        self.has_started.set()


def make_server(app: ASGIApp, limits: Limits, *, log_level: str = "warning") -> Server:
    """A server for `app` that has yet to be given a socket."""
    config = uvicorn.Config(
        app,
        http=bounded(limits),
        h11_max_incomplete_event_size=limits.header_bytes,
        log_config=None,
        log_level=log_level,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay (40 ms an answer) off only for sockets that say they are TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class ServerThread:
    """A running server. `stop` may be called from any thread, and more than once."""

    def __init__(self, app: ASGIApp, limits: Limits, sock: socket.socket) -> None:
        self._server = make_server(app, limits)
        self._socket = sock
        self._thread = threading.Thread(target=self._run, name="fm-workspace", daemon=True)

    def start(self) -> None:
        """Start, and return once requests are answered."""
        self._thread.start()
        if not self._server.has_started.wait(START_SECONDS) or not self._server.started:
            self.stop()
            raise RuntimeError("the embedded workspace did not start; its log says why")

    def stop(self) -> None:
        """Stop, and return once the port is free."""
        self._server.should_exit = True
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._server.has_started.set()  # nobody waits for a server that could not start
