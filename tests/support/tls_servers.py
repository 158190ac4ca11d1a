"""A TLS front for the scripted server, and a forward proxy that tunnels to it whatever host is asked for."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Self

from fault_server import Connection, FaultServer


class TLSServer(FaultServer):
    """A `FaultServer` behind a certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context
        self.port = self._listener.getsockname()[1]
        self.host = f"https://127.0.0.1:{self.port}"

    def _serve(self, connection: Connection) -> None:
        try:
            secured = self.context.wrap_socket(connection.sock, server_side=True)
        except OSError:  # the client did not like the certificate
            connection.close()
            return
        connection.file.close()
        super()._serve(Connection(secured, connection.number))


class ConnectProxy:
    """Tunnels every CONNECT to one local port, or refuses them all with a status line."""

    def __init__(self, port: int, refusal: str = "") -> None:
        self.port, self.refusal = port, refusal
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        request = Connection(sock, 0).read_request()
        if request is None:
            sock.close()
            return
        self.asked.append((f"{request.method} {request.path}", request.headers))
        if self.refusal:
            sock.sendall(f"HTTP/1.1 {self.refusal}\r\ncontent-length: 0\r\n\r\n".encode())
            sock.close()
            return
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with sock, socket.create_connection(("127.0.0.1", self.port)) as target:
            back = threading.Thread(target=pump, args=(target, sock), daemon=True)
            back.start()
            pump(sock, target)
            back.join(5)


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until one side ends, and tell the other."""
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
