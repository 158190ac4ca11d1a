"""The wire between a measuring process and the server of the benchmark."""

from __future__ import annotations

import http.client
import json
from typing import Any


class Control:
    """Tells the server how to answer, and asks it what it has spent."""

    def __init__(self, host: str) -> None:
        self.address = host.removeprefix("http://")

    def mode(self, **mode: Any) -> None:
        self._ask("POST", "/bench/mode", json.dumps(mode).encode())

    def stats(self) -> dict[str, Any]:
        return self._ask("GET", "/bench/stats", None)

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        line = http.client.HTTPConnection(self.address)
        try:
            line.request(method, path, body)
            return json.loads(line.getresponse().read())
        finally:
            line.close()
