"""A raw-socket HTTP server that answers by script, faults included, and keeps a ledger of what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from timing import HELD, SOON

Answer = Callable[["Connection"], bool]
"""Writes to the connection; returns whether it stays open for a further request."""


@dataclass
class Seen:
    """One request, as the server read it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def endpoint(self) -> str:
        if self.path == "/serving-endpoints/responses":
            return str(self.json["model"])
        parts = self.path.split("/")
        return parts[2] if len(parts) > 2 and parts[1] == "serving-endpoints" else ""


class Connection:
    """One accepted socket."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock, self.number, self.file = sock, number, sock.makefile("rb")
        self.peer_gone = threading.Event()

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def wait(self, seconds: float) -> None:
        """Stay silent for so long, or until the client leaves."""
        self.sock.settimeout(seconds)
        try:
            if self.sock.recv(1) == b"":
                raise ConnectionResetError("the client has left")
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(None)

    def read_request(self) -> Seen | None:
        line = self.file.readline()
        if not line:
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (raw := self.file.readline().strip()) != b"":
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = self.file.read(int(headers.get("content-length", "0")))
        return Seen(method, path, headers, body, self.number)


@dataclass
class FaultServer:
    """`with FaultServer() as server`: script answers by endpoint name, then look at `server.seen`."""

    seen: list[Seen] = field(default_factory=list)
    default: Answer | None = None

    def __post_init__(self) -> None:
        self._scripts: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.host = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._last_peer: Any = None
        self.disconnected = threading.Event()

    def script(self, endpoint: str, *answers: Answer) -> str:
        """Answers for requests to an endpoint, one after the other; the last one repeats. Returns the name."""
        self._scripts[endpoint] = list(answers)
        return endpoint

    def attempts(self, endpoint: str) -> int:
        return sum(1 for request in self.seen if request.endpoint == endpoint)

    def has_read_all(self) -> Callable[[], bool]:
        """Whether all connections made before now have been accepted, read and closed: they queue up behind each other."""
        with socket.create_connection(self._listener.getsockname()) as last:
            address = last.getsockname()
        return lambda: self._last_peer == address and not self._open

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        # A blocked accept() does not end by closing its socket: wake it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        with self._lock:
            for connection in list(self._open):
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)  # wakes who reads from it; closing alone does not
                except OSError:
                    connection.sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            connection = Connection(sock, self.connections)
            with self._lock:
                self._open.add(connection)
                self._last_peer = peer
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            while (request := connection.read_request()) is not None:
                if not self._answer_to(request)(connection):
                    break
            else:
                self.disconnected.set()
        except (OSError, ValueError):
            self.disconnected.set()
        finally:
            with self._lock:
                self._open.discard(connection)
            try:
                connection.close()
            except OSError:
                pass

    def _answer_to(self, request: Seen) -> Answer:
        with self._lock:
            self.seen.append(request)
            script = self._scripts.get(request.endpoint) or self._scripts.get(request.path)
            if not script:
                return self.default or reply(
                    404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "The given endpoint does not exist."}
                )
            return script.pop(0) if len(script) > 1 else script[0]


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1")


def reply(status: int, body: Any = b"", **headers: str) -> Answer:
    """A whole answer; a dict or list is sent as JSON."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "application/json" if isinstance(body, (dict, list)) else "text/plain"
    sent = {"content-type": kind, "content-length": str(len(data)), "x-request-id": "req-1"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(connection: Connection) -> bool:
        connection.write(head(status, sent) + data)
        return True

    return answer


def chunked(*pieces: bytes | float, end: str = "ok", content_type: str = "text/event-stream") -> Answer:
    """A chunked 200 answer. A number among the pieces is a pause in seconds.

    `end`: "ok" (whole), "cut" (connection closed before the last chunk), "reset", "hold" (stays open, silent).
    """

    def answer(connection: Connection) -> bool:
        headers = {"content-type": content_type, "transfer-encoding": "chunked", "x-request-id": "req-1"}
        connection.write(head(200, headers))
        for piece in pieces:
            if isinstance(piece, (int, float)):
                connection.wait(piece)
            elif piece:
                connection.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if end == "ok":
            connection.write(b"0\r\n\r\n")
        elif end == "reset":
            connection.reset()
        elif end == "hold":
            connection.wait(HELD)
        return end == "ok"

    return answer


def until_close(*pieces: bytes) -> Answer:
    """An answer whose end is the end of the connection."""

    def answer(connection: Connection) -> bool:
        connection.write(head(200, {"content-type": "text/event-stream", "connection": "close"}) + b"".join(pieces))
        return False

    return answer


def reset(connection: Connection) -> bool:
    """No answer: RST."""
    connection.reset()
    return False


def hang_up(connection: Connection) -> bool:
    """No answer: FIN."""
    return False


def silence(seconds: float) -> Answer:
    """No answer for a while, or until the client leaves; then a hang-up."""

    def answer(connection: Connection) -> bool:
        connection.wait(seconds)
        return False

    return answer


def raw(*pieces: bytes | float, end: str = "close") -> Answer:
    """Just these bytes, head included. A number among them is a pause in seconds.

    `end`: "keep" (open for a further request), "close", "reset", "hold" (open, silent).
    """

    def answer(connection: Connection) -> bool:
        for piece in pieces:
            if isinstance(piece, (int, float)):
                connection.wait(piece)
            else:
                connection.write(piece)
        if end == "reset":
            connection.reset()
        elif end == "hold":
            connection.wait(HELD)
        return end == "keep"

    return answer


def drip(data: bytes, pause: float, size: int = 1) -> tuple[bytes | float, ...]:
    """`data` in pieces of `size`, with a pause after each: what `raw` and `chunked` take."""
    pieces = (data[i : i + size] for i in range(0, len(data), size))
    return tuple(part for piece in pieces for part in (piece, pause))


def either(choose: Callable[[Seen], Answer], server: FaultServer) -> Answer:
    """An answer that depends on the request."""

    def answer(connection: Connection) -> bool:
        request = next(seen for seen in reversed(server.seen) if seen.connection == connection.number)
        return choose(request)(connection)

    return answer


def meeting(count: int) -> Answer:
    """Answers when so many requests are there at the same time, and fails if they do not come together."""
    barrier = threading.Barrier(count)

    def answered(connection: Connection) -> bool:
        try:
            barrier.wait(SOON)
        except threading.BrokenBarrierError:
            return reply(400, "the others did not come")(connection)
        return reply(200, chat("met"))(connection)

    return answered


def event(data: Any, newline: bytes = b"\n") -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return b"data: " + text + newline + newline


DONE = event(b"[DONE]")


def chat(text: str = "hello", **message: Any) -> dict[str, Any]:
    """A whole chat answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "meta-llama-3.3-70b-instruct-121024",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    }


def delta(
    content: Any = None, *, finish: str | None = None, usage: Any = None, index: int = 0, **fields: Any
) -> dict[str, Any]:
    """One chunk of a chat stream."""
    chunk: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "meta-llama-3.3-70b-instruct-121024",
        "choices": [
            {"index": index, "delta": {"role": "assistant", "content": content, **fields}, "finish_reason": finish}
        ],
    }
    return chunk | ({"usage": usage} if usage is not None else {})


def words(*texts: str, finish: str | None = "stop") -> list[bytes]:
    """A plain chat stream as events, without its [DONE]: cumulative usage on every chunk, as hosted models send it."""
    events = [
        event(delta(text, usage={"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n}))
        for n, text in enumerate(texts, 1)
    ]
    if finish:
        n = len(texts)
        usage = {"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n}
        events.append(event(delta("", finish=finish, usage=usage)))
    return events


def embeddings(vectors: Iterable[Any], *, order: Iterable[int] | None = None) -> dict[str, Any]:
    """An embeddings answer."""
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    if order is not None:
        data = [data[i] for i in order]
    return {
        "object": "list",
        "model": "gte-large-en-v1.5",
        "data": data,
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


BUSY = reply(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"})


def text(chunks: Iterable[Any]) -> str:
    """What the chunks of a stream say together."""
    return "".join(chunk.text for chunk in chunks)
