"""A server that plays a vendor of models: it checks what the vendor would check, and answers in the vendor's own form.

What it says follows from the request alone: it calls the first tool once, repeats a tool's result, and else says
"Echo: " and the last text. A text that is one of the words of `TROUBLES` makes it fail in that way.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

KEY = "key-for-tests-0123456789"
TROUBLES = ("limit", "bad", "redirect", "cut", "garbage")
PROMPT_TOKENS, ANSWER_TOKENS = 11, 7
JSON = {"Content-Type": "application/json"}


@dataclass
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    body: Any
    raw: bytes = b""


@dataclass
class Said:
    """One answer; a list of pieces is sent in chunks, and cut off if `cut`."""

    status: int
    content: Any
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class Turn:
    """What a vendor reads out of a request, whatever its form: the last text, a tool's result, the first tool."""

    text: str
    result: str | None = None
    tool: str | None = None

    @property
    def words(self) -> list[str]:
        """The pieces that the answer is streamed in."""
        said = f"Result: {self.result}" if self.result is not None else f"Echo: {self.text}"
        head, space, rest = said.partition(" ")
        return [head + space, rest]

    @property
    def calls(self) -> bool:
        """Whether the answer is a tool call."""
        return self.tool is not None and self.result is None


class VendorServer(ABC):
    """Runs `answer` behind a loopback port; `seen` holds all requests."""

    name: ClassVar[str] = ""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.seen: list[Asked] = []
        self._server = ThreadingHTTPServer((address, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def respond(self, asked: Asked) -> Said:
        """The answer to one request."""
        self.seen.append(asked)
        refusal = self.refusal(asked)
        if refusal is not None:
            return refusal
        text = self.turn(asked).text
        if text == "redirect":
            return Said(307, b"", {"Location": f"{self.url}/elsewhere"})
        if text == "limit":
            return Said(429, self.error(429, "slow down"), {**JSON, "Retry-After": "17"})
        if text == "bad":
            return Said(400, self.error(400, "that is not allowed"), JSON)
        if text == "garbage":
            return Said(200, b"<html>", {"Content-Type": "text/html"})
        return self.answer(asked, self.turn(asked))

    @abstractmethod
    def refusal(self, asked: Asked) -> Said | None:
        """401 or the like for a wrong key, which the vendor quotes; None if it is right."""

    @abstractmethod
    def turn(self, asked: Asked) -> Turn:
        """What the request says."""

    @abstractmethod
    def answer(self, asked: Asked, turn: Turn) -> Said:
        """The answer in the vendor's form."""

    @abstractmethod
    def error(self, status: int, message: str) -> Any:
        """An error in the vendor's form."""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"] or 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
                _send(self, vendor.respond(Asked(self.path, headers, None if form else json.loads(raw), raw)))

            def log_message(self, *args: Any) -> None: ...

        return Handler


def sse(events: Iterator[tuple[str | None, Any]]) -> Iterator[bytes]:
    """Server-sent events: of each its name, if it has one, and its data."""
    for name, data in events:
        head = f"event: {name}\n" if name else ""
        yield f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def _send(handler: BaseHTTPRequestHandler, said: Said) -> None:
    pieces = said.content if isinstance(said.content, list) else None
    handler.send_response(said.status)
    content = b"" if pieces is not None else said.content
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    length = {"Transfer-Encoding": "chunked"} if pieces is not None else {"Content-Length": str(len(content))}
    for key, value in {**said.headers, **length}.items():
        handler.send_header(key, value)
    handler.end_headers()
    if pieces is None:
        handler.wfile.write(content)
        return
    for piece in pieces[: len(pieces) // 2] if said.cut else pieces:
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")
