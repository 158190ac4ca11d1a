"""A sync and an async client from the same settings, opened when first used: what a framework's adapter holds."""

from __future__ import annotations

import threading
from typing import Any, Self

from ._auth import hidden
from ._base import BaseClient
from ._client import AsyncClient, Client
from ._errors import ConfigurationError
from ._process import PerProcess

SECRETS = ("token", "client_secret")


class Clients:
    """Both clients of one workspace.

    >>> clients = Clients(host="local")
    >>> clients.sync.settings.host == clients.aio.settings.host
    True

    Takes the arguments of `Client`, or `client=`: one that is there already, whose settings the other one shares.
    Nothing is looked up or opened before `sync` or `aio` is used. Copies share the clients; a pickle holds no secret.
    """

    def __init__(self, *, client: Client | AsyncClient | None = None, **options: Any) -> None:
        if client is not None and (given := sorted(k for k, v in options.items() if v is not None)):
            raise ConfigurationError(f"give either client= or {', '.join(given)}, not both")
        if client is not None and not isinstance(client, BaseClient):
            raise ConfigurationError(f"client must be a Client or an AsyncClient, not a {type(client).__name__}")
        self._options = {
            name: hidden(value) if name in SECRETS else value for name, value in options.items() if value is not None
        }
        self._given = client
        self._reset()

    def _reset(self) -> None:
        self._lock = PerProcess(threading.RLock)
        self._sync = self._given if isinstance(self._given, Client) else None
        self._aio = self._given if isinstance(self._given, AsyncClient) else None

    @property
    def sync(self) -> Client:
        """The sync client."""
        with self._lock():
            if self._sync is None:
                self._sync = self._make(Client, self._aio)
            return self._sync

    @property
    def aio(self) -> AsyncClient:
        """The async client."""
        with self._lock():
            if self._aio is None:
                self._aio = self._make(AsyncClient, self._sync)
            return self._aio

    def _make(self, kind: Any, other: BaseClient | None) -> Any:
        return kind(**self._options) if other is None else kind.sharing(other)

    def close(self) -> None:
        """Close the sync client, unless it was given."""
        if self._sync is not None and self._sync is not self._given:
            self._sync.close()

    async def aclose(self) -> None:
        """Close the async client's connections of the running event loop, unless it was given."""
        if self._aio is not None and self._aio is not self._given:
            await self._aio.aclose()

    def __repr__(self) -> str:
        return f"Clients({(self._sync or self._aio)!r})" if self._sync or self._aio else "Clients(unopened)"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        options = self._options if self._given is None else self._given.recipe()
        if "http_client" in options:
            raise TypeError("clients with their own http_client cannot be pickled")
        return {name: value for name, value in options.items() if name not in SECRETS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._options, self._given = state, None
        self._reset()
