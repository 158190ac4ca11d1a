"""The server of the benchmark: canned answers, made before anyone asks, so that it is never what limits a client.

Run as a program it prints its port, and serves until its input ends. It needs nothing but Python, and takes uvloop if
it is there. `/bench/…` sets the mode (delay, number of chunks, …) and tells what the server itself has spent.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import socket
import sys
import time
from array import array
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

TEXT = "The quick brown fox jumps over the lazy dog."
WORD = " fox"
MODEL = "meta-llama-3.3-70b-instruct-121024"
VARIANTS = 16
"""Different vectors: the text at position i gets the vector i % VARIANTS."""
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
STREAMS = re.compile(rb'"stream": *true')
BASE64 = re.compile(rb'"encoding_format": *"base64"')
USAGE = {"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 19}


@dataclass(frozen=True)
class Mode:
    """How the server answers until it is told otherwise."""

    delay: float = 0.0
    """Seconds before an answer, or before the first event of a stream."""
    chunks: int = 10
    rest: float = 0.0
    """Seconds between the first event of a stream and all the others."""
    dims: int = 1024
    packs: bool = True
    """Whether base64 is given to those who ask for it; else it is ignored, as by a route that does not know it."""
    content: int = 0
    """Bytes of the text of a whole answer; 0: the usual one."""


def head(length: int | None, kind: str = "application/json", status: str = "200 OK") -> bytes:
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{size}\r\n\r\n".encode()


def whole(body: Any, status: str = "200 OK") -> bytes:
    data = json.dumps(body).encode()
    return head(len(data), status=status) + data


@cache
def chat(content: int) -> bytes:
    text = "x" * content if content else TEXT
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1732000000, "model": MODEL}
    return whole({**answer, "choices": [choice], "usage": USAGE})


def event(delta: dict[str, Any], count: int, finish: str | None = None) -> bytes:
    """One event of a stream as hosted models send it: the role in each, and the usage so far."""
    usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish, "logprobs": None}
    answer = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1732000000, "model": MODEL}
    return piece(b"data: " + json.dumps({**answer, "choices": [choice], "usage": usage}).encode() + b"\n\n")


def piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@cache
def stream(chunks: int) -> tuple[bytes, bytes]:
    """The first event with all that is before it, and the rest."""
    events = [event({"content": WORD}, i + 1) for i in range(chunks)]
    end = event({"content": ""}, chunks, "stop") + piece(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return head(None, "text/event-stream") + events[0], b"".join(events[1:]) + end


@cache
def vectors(dims: int) -> list[list[float]]:
    """Numbers as float32 holds them exactly, so that both encodings mean the same vector."""
    made = random.Random(1)  # noqa: S311  # any numbers will do, if they are always the same
    return [[round(made.gauss(0, 1) * 2**12) / 2**12 for _ in range(dims)] for _ in range(VARIANTS)]


@cache
def encoded(dims: int, packed: bool) -> list[bytes]:
    if packed:
        return [b'"' + base64.b64encode(array("f", vector).tobytes()) + b'"' for vector in vectors(dims)]
    return [json.dumps(vector).encode() for vector in vectors(dims)]


@cache
def embeddings(count: int, dims: int, packed: bool) -> bytes:
    texts = encoded(dims, packed)
    rows = (b'{"object":"embedding","index":%d,"embedding":%s}' % (i, texts[i % VARIANTS]) for i in range(count))
    usage = json.dumps({"prompt_tokens": 3 * count, "total_tokens": 3 * count}).encode()
    body = b'{"object":"list","model":"gte-large-en-v1.5","data":[%s],"usage":%s}' % (b",".join(rows), usage)
    return head(len(body)) + body


class Service:
    """What all connections share."""

    def __init__(self) -> None:
        self.mode, self.loop = Mode(), asyncio.get_running_loop()
        self.packed = 0
        """Answers with vectors in base64."""

    def control(self, path: bytes, body: bytes) -> bytes:
        if path == b"/bench/mode":
            self.mode = replace(Mode(), **json.loads(body))
            stream(self.mode.chunks), chat(self.mode.content), encoded(self.mode.dims, False)
            encoded(self.mode.dims, True)
        return whole({"cpu": time.process_time(), "wall": time.monotonic(), "packed": self.packed})

    def answer(self, body: bytes) -> tuple[bytes, bytes]:
        """What to send at once, and what to send `mode.rest` later."""
        if b'"messages"' in body:
            return stream(self.mode.chunks) if STREAMS.search(body) else (chat(self.mode.content), b"")
        packed = self.mode.packs and BASE64.search(body) is not None
        self.packed += packed
        texts = json.loads(body)["input"]
        return embeddings(1 if isinstance(texts, str) else len(texts), self.mode.dims, packed), b""


class Connection(asyncio.Protocol):
    def __init__(self, service: Service) -> None:
        self.service, self.parts, self.held, self.wanted = service, [], 0, 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        self.held += len(data)
        if self.held < self.wanted:
            return
        data = b"".join(self.parts)
        top = data.find(b"\r\n\r\n") + 4
        if top < 4:
            return
        length = LENGTH.search(data, 0, top)
        self.wanted = top + (int(length[1]) if length else 0)
        if len(data) >= self.wanted:
            self.parts, self.held, self.wanted = [], 0, 0
            self.request(data[: data.find(b"\r\n")].split(b" ")[1], data[top:])

    def request(self, path: bytes, body: bytes) -> None:
        service = self.service
        if path.startswith(b"/bench/"):
            self.transport.write(service.control(path, body))
        elif not body:  # clients that look around before they ask
            self.transport.write(whole({"error_code": "NOT_FOUND", "message": "no"}, "404 Not Found"))
        else:
            self.later(service.mode.delay, *service.answer(body))

    def later(self, delay: float, data: bytes, rest: bytes) -> None:
        if delay:
            self.service.loop.call_later(delay, self.send, data, rest)
        else:
            self.send(data, rest)

    def send(self, data: bytes, rest: bytes) -> None:
        if rest and self.service.mode.rest:
            self.transport.write(data)
            self.later(self.service.mode.rest, rest, b"")
        else:
            self.transport.write(data + rest if rest else data)


async def main() -> None:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(partial(Connection, Service()), "127.0.0.1", 0, backlog=4096)
    for sock in listener.sockets:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(sock.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


def run() -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


if __name__ == "__main__":
    run()
