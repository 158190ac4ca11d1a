"""Where a workspace keeps its endpoints: all of them in memory, and each change in the database before it counts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from ._database import IN_MEMORY, Database
from ._lifecycle import Endpoint
from ._secrets import LITERAL_SUFFIX
from ._vault import SEALED, Encrypted, Memory, Vault

_DOCUMENT = TypeAdapter(Endpoint)


class Store:
    """Endpoints by name. A file survives the process; literal credentials are encrypted in it."""

    def __init__(self, path: str | os.PathLike[str] = IN_MEMORY) -> None:
        self.database = Database(path)
        self.vault: Vault = Memory() if self.database.in_memory else Encrypted()
        try:
            self._endpoints = self._loaded()
        except ValueError:
            self.database.close()
            raise

    def all(self) -> list[Endpoint]:
        """All endpoints, by name."""
        return [self._endpoints[name] for name in sorted(self._endpoints)]

    def get(self, name: str) -> Endpoint | None:
        """The endpoint of that name."""
        return self._endpoints.get(name)

    def put(self, *endpoints: Endpoint) -> None:
        """Keep endpoints, each in place of its former self."""
        rows = [(endpoint.name, self._written(endpoint)) for endpoint in endpoints]
        self.database.run("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", *rows)
        self._endpoints |= {endpoint.name: endpoint for endpoint in endpoints}

    def delete(self, *names: str) -> None:
        """Forget endpoints."""
        self.database.run("DELETE FROM endpoints WHERE name = ?", *((name,) for name in names))
        for name in names:
            self._endpoints.pop(name, None)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def _loaded(self) -> dict[str, Endpoint]:
        """The endpoints of the file; ValueError if its key is not ours. Literals of older files are encrypted now."""
        found, open_ones = {}, []
        for name, text in self.database.rows("SELECT name, document FROM endpoints"):
            found[name] = endpoint = self._read(name, text)
            if text.count(LITERAL_SUFFIX) != text.count(SEALED) and not self.database.in_memory:
                open_ones.append((name, self._written(endpoint)))
        self.database.run("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", *open_ones)
        return found

    def _read(self, name: str, text: str) -> Endpoint:
        context = _context(name)
        return _DOCUMENT.validate_python(_changed(json.loads(text), lambda each: self.vault.open(each, context)))

    def _written(self, endpoint: Endpoint) -> str:
        document = _DOCUMENT.dump_python(endpoint, mode="json")
        name = _context(endpoint.name)
        return json.dumps(_changed(document, lambda literal: self.vault.seal(literal, name)))


def _context(name: str) -> str:
    """What a literal is sealed for: moved to another endpoint in the file, it does not open."""
    return f"endpoint/{name}"


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with `change` made to every literal credential."""
    if isinstance(value, dict):
        return {
            key: change(item) if key.endswith(LITERAL_SUFFIX) and isinstance(item, str) else _changed(item, change)
            for key, item in value.items()
        }
    return [_changed(item, change) for item in value] if isinstance(value, list) else value
