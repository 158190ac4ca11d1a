"""Runs in the environment of the embedded workspace: how soon it is there, and how many calls it answers.

Its load is raw sockets on the other core, so that the workspace is what is measured. With "serve" as its job, this is
the workspace itself.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

CONNECTIONS = 16


def serve() -> None:
    """Start, say so, and stay until the input ends."""
    began = time.perf_counter()
    from fm_workspace import Workspace

    imported = time.perf_counter()
    with Workspace.start() as ws:
        started = time.perf_counter()
        print(json.dumps([imported - began, started - imported, ws.host, ws.token]), flush=True)
        sys.stdin.read()


async def load(host: str, token: str, seconds: float, verb: str) -> int:
    """Calls answered within so many seconds."""
    from ._plain import Raw

    raw = Raw(host, token)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Say fox."}], "max_tokens": 10}
    chat, embed = raw.request(raw.model, body), raw.request(raw.embedder, {"input": ["a fox"]})
    request, until, done = chat if verb == "chat" else embed, time.perf_counter() + seconds, 0

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < until:
            assert b'"usage"' in await raw.aask(request)
            done += 1

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return done


def main() -> None:
    job = json.loads(sys.argv[1])
    if job == "serve":
        return serve()
    pipe = subprocess.PIPE
    with subprocess.Popen(job["serve"], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        imported, started, host, token = json.loads(process.stdout.readline())
        asyncio.run(load(host, token, 0.2, "chat"))
        rates = {}
        for verb in ("chat", "embed"):
            began = time.perf_counter()
            rates[verb] = asyncio.run(load(host, token, job["seconds"], verb)) / (time.perf_counter() - began)
        process.stdin.close()
    answer = {"import": imported, "start": started, "chat_rate": rates["chat"], "embed_rate": rates["embed"]}
    print(json.dumps(answer))
    return None


if __name__ == "__main__":
    main()
