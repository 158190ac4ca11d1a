"""The service of the soak, a process of its own: answers, faults, tokens, restarts, an outage; and what it has seen."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import socket
import struct
import sys
import time
from array import array
from collections import Counter
from typing import Any

from ._answers import CHUNKED_END, Answer, broken, chunk, completion, discovery, embeddings, head, malformed, reply, sse
from ._census import crowding
from ._plan import BURST, EVENTS, LATE, LONG_LIFE, RETRY_AFTER, SLOW, Case, Script, Window, case_of, pieces, read_script

ID = re.compile(rb"soak-(\d{7})")
UNAVAILABLE = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}
THROTTLED = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Exceeded the request limit of this endpoint."}
REFUSALS = (
    (403, {"error_code": "403", "message": "Invalid access token. [ReqId: soak]"}),
    (401, {"error_code": "UNAUTHENTICATED", "message": "Credential was not sent or was of an unsupported type."}),
)
REST = 0.004
"""Seconds between two bursts of a stream."""


class HungUpError(Exception):
    """The connection is to be closed now."""


class Service:
    """Everything that the server knows and counts."""

    def __init__(self, script: Script) -> None:
        self.script, self.began = script, float("inf")
        size = script.calls
        self.attempts, self.refused, self.served, self.cut = (array("b", bytes(size)) for _ in range(4))
        self.spent = array("d", bytes(8 * size))
        self.throttled: list[tuple[int, float]] = []
        self.tokens: dict[str, tuple[str, int | None, float]] = {}
        self.used: set[str] = set()
        self.grants: list[tuple[str, float]] = []
        self.in_window: dict[str, Counter[int]] = {"restart": Counter(), "outage": Counter()}
        self.outside = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.connections, self.emptied = 0, 0.0
        self.down = False
        self.gone: list[tuple[float, float]] = []
        """When it was away: as it came to pass, on a machine that may be busy."""

    def now(self) -> float:
        return time.monotonic() - self.began

    # -- connections

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while True:
                await self._exchange(reader, writer)
        except (HungUpError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()
            if not self.writers:
                self.emptied = time.monotonic()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        top = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", top)
        body = await reader.readexactly(int(length[1]) if length else 0)
        begun = time.monotonic()
        found = ID.search(body)
        answer = self._own(top) if found is None else self._call(case_of(self.script.seed, int(found[1])), top)
        async for data in answer:
            if writer.transport.is_closing():
                raise ConnectionResetError
            if data is None:
                _reset(writer)
                raise HungUpError
            writer.write(data)
            await writer.drain()
        if found is not None:
            self.spent[int(found[1])] = time.monotonic() - begun

    # -- tokens

    async def _own(self, top: bytes) -> Answer:
        """The token endpoint, and the document that names it."""
        if self.down:
            yield reply(503, UNAVAILABLE)
        elif top.startswith(b"GET"):
            host = re.search(rb"(?i)\r\nhost: *(\S+)", top)
            yield reply(200, discovery(host[1].decode() if host else ""))
        else:
            yield self._grant(top)

    def _grant(self, top: bytes) -> bytes:
        basic = re.search(rb"(?i)\r\nauthorization: Basic (\S+)", top)
        lane = base64.b64decode(basic[1]).decode().partition(":")[0] if basic else "?"
        moment = self.now()
        token, life = f"token-{len(self.grants)}-for-tests", self.script.life(moment)
        self.tokens[token] = (lane, None if life < LONG_LIFE else self.script.generation(moment), moment + life)
        self.grants.append((lane, time.monotonic()))
        return reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": life})

    def _refuses(self, top: bytes) -> bool:
        bearer = re.search(rb"(?i)\r\nauthorization: Bearer (\S+)", top)
        token = bearer[1].decode() if bearer else ""
        _, generation, ends = self.tokens.get(token, ("", -1, 0.0))
        # Those that age are renewed early, and no rotation takes them.
        if self.now() >= ends or generation not in (None, self.script.generation(self.now())):
            return True
        self.used.add(token)
        return False

    # -- calls

    async def _call(self, case: Case, top: bytes) -> Answer:
        self._count(case.id)
        if self.down:
            yield reply(503, UNAVAILABLE)
        elif self._refuses(top):
            self.refused[case.id] += 1
            yield reply(*REFUSALS[self.script.generation(self.now()) % 2])
        else:
            first = not self.served[case.id]
            self.served[case.id] += 1
            async for data in self._faulty(case, first=first):
                yield data

    def _count(self, number: int) -> None:
        self.attempts[number] += 1
        window = next((w for w in self.script.windows if w.start <= self.now() < w.end), None)
        if window is None:
            self.outside += 1
        else:
            self.in_window[window.kind][number] += 1

    async def _faulty(self, case: Case, *, first: bool) -> Answer:
        """A fault that a second attempt cures happens to the first one only."""
        if first and case.fault == "throttled":
            self.throttled.append((case.id, time.monotonic()))
            named = (
                {"retry-after-ms": str(int(RETRY_AFTER * 1000))} if case.how % 2 else {"retry-after": str(RETRY_AFTER)}
            )
            yield reply(429, THROTTLED, named)
        elif first and case.fault == "busy":
            yield reply(503, UNAVAILABLE)
        elif first and case.fault == "reset":
            self.cut[case.id] = 1
            if case.how % 3 == 0:
                yield b"HTTP/1.1 200 OK\r\ncontent-"
            yield None
        else:
            await asyncio.sleep(_pause(case))
            async for data in _malformed(case) if case.fault == "malformed" else _whole(case):
                yield data

    # -- the run

    async def live(self, stop: asyncio.Event) -> None:
        """Say the port, and serve until `stop`, going away when the script says so."""
        listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        print(port, flush=True)
        for window in self.script.windows:
            if await self._until(window.start, stop):
                break
            left = time.monotonic()
            listener = await self._away(window, listener, port, stop)
            self.gone.append((left, time.monotonic()))
        await stop.wait()
        listener.close()

    async def _away(self, window: Window, listener: asyncio.Server, port: int, stop: asyncio.Event) -> asyncio.Server:
        if window.kind == "outage":
            self.down = True
            await self._until(window.end, stop)
            self.down = False
            return listener
        listener.close()
        for writer in list(self.writers):
            writer.transport.abort()
        await self._until(window.end, stop)
        return await asyncio.start_server(self.serve, "127.0.0.1", port)

    async def _until(self, moment: float, stop: asyncio.Event) -> bool:
        """Wait for a moment of the run; whether the run was stopped instead."""
        while not stop.is_set() and (left := moment - self.now()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(left, 0.5))
        return stop.is_set()

    def report(self) -> dict[str, Any]:
        lists = {name: list(getattr(self, name)) for name in ("attempts", "refused", "served", "cut", "spent")}
        windows = {kind: [sum(seen.values()), len(seen)] for kind, seen in self.in_window.items()}
        return {
            **lists,
            "throttled": self.throttled,
            "grants": self.grants,
            "used": [self.tokens[token][0] for token in self.used],
            "windows": windows,
            "gone": self.gone,
            "outside": self.outside,
            "connections": self.connections,
            "open": len(self.writers),
            "emptied": self.emptied,
            "cpu": time.process_time(),
            "crowding": crowding(),
        }


def _pause(case: Case) -> float:
    if case.fault == "late":
        return LATE
    return SLOW[case.how % 2] if case.fault == "slow" else case.think


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _whole(case: Case) -> Answer:
    if case.verb == "stream":
        async for data in _stream(case):
            yield data
    else:
        yield reply(200, completion(case) if case.verb == "chat" else embeddings(case))


async def _stream(case: Case) -> Answer:
    yield head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    stop = case.after if case.fault == "broken" else EVENTS
    events = [sse(case, i) for i in range(stop)]
    for i in range(0, stop, BURST):
        for piece in pieces(b"".join(events[i : i + BURST]), case.how):
            yield chunk(piece)
        await asyncio.sleep(REST)
    if case.fault == "broken":
        yield broken(case)
        raise HungUpError
    yield chunk(b"data: [DONE]\n\n") + CHUNKED_END


async def _malformed(case: Case) -> Answer:
    yield malformed(case)


async def main() -> None:
    """Serves from the moment that is read until the input ends, then says what it has seen."""
    service, stop = Service(read_script(sys.argv[1:])), asyncio.Event()
    life = asyncio.create_task(service.live(stop))
    service.began = float((await asyncio.to_thread(sys.stdin.readline)) or "inf")
    await asyncio.to_thread(sys.stdin.readline)
    stop.set()
    await life
    print(json.dumps(service.report()))


if __name__ == "__main__":
    asyncio.run(main())
