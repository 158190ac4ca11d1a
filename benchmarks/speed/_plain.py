"""HTTP without a client library of ours or of a peer: httpx as shipped, httpx on a pool of its own, and raw sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from array import array
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ._subjects import MESSAGES, Subject, Vectors, split

IN_FLIGHT = 8
"""Requests of one embedding at a time: as ours has by default."""
BATCH = 100
"""Texts in one of them: likewise."""


def batches(texts: list[str]) -> list[list[str]]:
    return [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]


class Httpx(Subject):
    """httpx as its documentation shows it, with room for as many connections as there are tasks."""

    def open(self) -> None:
        import httpx
        from pydantic_core import from_json

        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
        options = {"headers": {"authorization": f"Bearer {self.token}"}, "timeout": 300}
        self.sync = httpx.Client(**options, limits=limits, **self.transport("sync"))
        self.aio = httpx.AsyncClient(**options, limits=limits, **self.transport("aio"))
        self.url = {name: f"{self.host}/serving-endpoints/{name}/invocations" for name in (self.model, self.embedder)}
        self.parse = from_json

    def transport(self, kind: str) -> dict[str, Any]:
        return {}

    def chat(self) -> str:
        answer = self.sync.post(self.url[self.model], json={"messages": MESSAGES})
        return json.loads(answer.content)["choices"][0]["message"]["content"]

    async def achat(self) -> str:
        answer = await self.aio.post(self.url[self.model], json={"messages": MESSAGES})
        return json.loads(answer.content)["choices"][0]["message"]["content"]

    def stream(self) -> Iterator[str]:
        body = {"messages": MESSAGES, "stream": True}
        with self.sync.stream("POST", self.url[self.model], json=body) as answer:
            rest = b""
            for data in answer.iter_raw():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    yield text_of(event)

    async def astream(self) -> AsyncIterator[str]:
        body = {"messages": MESSAGES, "stream": True}
        async with self.aio.stream("POST", self.url[self.model], json=body) as answer:
            rest = b""
            async for data in answer.aiter_raw():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    yield text_of(event)

    def embed(self, texts: list[str]) -> Vectors:
        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            return [vector for part in threads.map(self.one, batches(texts)) for vector in part]

    def one(self, texts: list[str]) -> Vectors:
        answer = self.sync.post(self.url[self.embedder], json={"input": texts})
        return [row["embedding"] for row in self.parse(answer.content)["data"]]

    async def aembed(self, texts: list[str]) -> Vectors:
        free = asyncio.Semaphore(IN_FLIGHT)

        async def one(part: list[str]) -> Vectors:
            async with free:
                answer = await self.aio.post(self.url[self.embedder], json={"input": part})
            return [row["embedding"] for row in self.parse(answer.content)["data"]]

        return [vector for part in await asyncio.gather(*map(one, batches(texts))) for vector in part]


def text_of(event: bytes) -> str:
    if event.endswith(b"[DONE]"):
        return ""
    return json.loads(event[6:])["choices"][0]["delta"]["content"]


class HttpxLifo(Httpx):
    """httpx on a pool that keeps its idle connections in a stack, and with requests that are made beforehand."""

    def open(self) -> None:
        super().open()
        body = {"messages": MESSAGES}
        self.made = self.sync.build_request("POST", self.url[self.model], json=body)
        self.amade = self.aio.build_request("POST", self.url[self.model], json=body)

    def transport(self, kind: str) -> dict[str, Any]:
        from ._lifo import AsyncTransport, Transport

        return {"transport": Transport() if kind == "sync" else AsyncTransport(), "trust_env": False}

    def chat(self) -> str:
        answer = self.sync.send(self.made)
        return json.loads(answer.content)["choices"][0]["message"]["content"]

    async def achat(self) -> str:
        answer = await self.aio.send(self.amade)
        return json.loads(answer.content)["choices"][0]["message"]["content"]


class Raw(Subject):
    """Sockets, `json.loads`, and as much of HTTP as the server of the benchmark needs: nobody can be much quicker."""

    def open(self) -> None:
        where, _, port = self.host.removeprefix("http://").partition(":")
        self.address = (where, int(port))
        self.question = self.request(self.model, {"messages": MESSAGES})
        self.streamed = self.request(self.model, {"messages": MESSAGES, "stream": True})
        self.idle: list[socket.socket] = []
        self.aidle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def request(self, endpoint: str, body: Any) -> bytes:
        data = json.dumps(body).encode()
        top = f"POST /serving-endpoints/{endpoint}/invocations HTTP/1.1\r\nhost: {self.address[0]}\r\n"
        auth = f"authorization: Bearer {self.token}\r\ncontent-type: application/json\r\n"
        return f"{top}{auth}content-length: {len(data)}\r\n\r\n".encode() + data

    def ask(self, request: bytes) -> bytes:
        """The body of the answer."""
        sock = self.idle.pop() if self.idle else socket.create_connection(self.address)
        sock.sendall(request)
        data = sock.recv(65536)
        top = data.index(b"\r\n\r\n") + 4
        length = size_in(data[:top])
        body = bytearray(data[top:])
        while len(body) < length:
            body += sock.recv(1 << 20)
        self.idle.append(sock)
        return bytes(body)

    async def aask(self, request: bytes) -> bytes:
        reader, writer = self.aidle.pop() if self.aidle else await asyncio.open_connection(*self.address)
        writer.write(request)
        top = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(size_in(top))
        self.aidle.append((reader, writer))
        return body

    def chat(self) -> str:
        return json.loads(self.ask(self.question))["choices"][0]["message"]["content"]

    async def achat(self) -> str:
        return json.loads(await self.aask(self.question))["choices"][0]["message"]["content"]

    def stream(self) -> Iterator[str]:
        sock = self.idle.pop() if self.idle else socket.create_connection(self.address)
        sock.sendall(self.streamed)
        with sock.makefile("rb", buffering=65536) as file:
            while file.readline() != b"\r\n":
                pass
            while (size := int(file.readline(), 16)) > 0:
                yield text_of(file.read(size)[:-2])
                file.readline()
            file.readline()
        self.idle.append(sock)

    async def astream(self) -> AsyncIterator[str]:
        reader, writer = self.aidle.pop() if self.aidle else await asyncio.open_connection(*self.address)
        writer.write(self.streamed)
        await reader.readuntil(b"\r\n\r\n")
        while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
            yield text_of((await reader.readexactly(size + 2))[:-4])
        await reader.readexactly(2)
        self.aidle.append((reader, writer))

    def embed(self, texts: list[str]) -> Vectors:
        return [vector for part in split(texts) for vector in unpacked(self.ask(self.packed(part)))]

    async def aembed(self, texts: list[str]) -> Vectors:
        parts = await asyncio.gather(*(self.aask(self.packed(part)) for part in split(texts)))
        return [vector for part in parts for vector in unpacked(part)]

    def packed(self, texts: list[str]) -> bytes:
        return self.request(self.embedder, {"input": texts, "encoding_format": "base64"})


def size_in(top: bytes) -> int:
    _, _, rest = top.partition(b"content-length: ")
    return int(rest[: rest.index(b"\r")])


def unpacked(body: bytes) -> Vectors:
    found = [row["embedding"] for row in json.loads(body)["data"]]
    return [array("f", base64.b64decode(each)).tolist() if isinstance(each, str) else each for each in found]
