"""What `Client` and `AsyncClient` share: settings, the flows' context, and how they are copied and pickled."""

from __future__ import annotations

import importlib
import random
import time
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from ._auth import TokenLike, hidden
from ._config import LOCAL, Settings, check_options
from ._context import Context
from ._errors import ConfigurationError
from ._failures import frameless
from ._sources import resolve_settings
from ._wire import Timeout

if TYPE_CHECKING:
    from asyncio import Future


class BaseClient:
    """Settings and context of a client."""

    def __init__(
        self,
        host: str | None = None,
        token: TokenLike | None = None,
        profile: str | None = None,
        *,
        timeout: float | Timeout | None = None,
        max_retries: int | None = None,
        client_id: str | None = None,
        client_secret: str | SecretStr | None = None,
        auth_type: str | None = None,
        http_client: Any = None,
        verify: Any = True,
        **options: Any,
    ) -> None:
        """Connects lazily: nothing is sent before the first call.

        `host` "local" is the embedded workspace. `timeout` in seconds for a whole call, or a `Timeout`. `max_retries`
        repeats after the first attempt (0 to 20, default 2). `client_id` and `client_secret`: OAuth for machines.
        `auth_type`: one way to log in where several are configured. `http_client`: your own httpx client, as it is.
        `verify`: True, False, a CA file or an `ssl.SSLContext`. `options` are further fields of `Settings`:
        `concurrency`, `strict_params`, `stream_end`, `max_request_bytes`, `max_response_bytes`, `max_event_bytes`.
        """
        # From here on hidden: crash reporters show the variables of every frame that an error passes.
        token, client_secret = hidden(token), hidden(client_secret)
        shown_id = None if client_secret else client_id
        shown = {"host": host, "profile": profile, "client_id": shown_id, "auth_type": auth_type}
        self._origin = {**shown, "timeout": timeout, "max_retries": max_retries, **options}
        if host == LOCAL:
            host, token = _local()
        check_options(options)
        settings = _resolved(
            host,
            token,
            profile,
            timeout=timeout,
            max_retries=max_retries,
            client_id=client_id,
            client_secret=client_secret,
            auth_type=auth_type,
            **options,
        )
        context = Context(settings, clock=time.monotonic, now=time.time, jitter=random.random)
        self._use(context, http_client, verify)

    @classmethod
    def sharing(cls, other: BaseClient) -> Self:
        """A client with the settings, credential and retry budgets of `other`, and connections of its own."""
        if other._http_client is not None:
            raise ConfigurationError(
                f"this {type(other).__name__} has its own http_client, which serves no {cls.__name__}: "
                f"make a {cls.__name__} with an http_client of its kind"
            )
        client = cls.__new__(cls)
        client._origin = other._origin
        client._use(other._context, None, other._verify)
        return client

    def _use(self, context: Context, http_client: Any, verify: Any) -> None:
        self._context, self.settings = context, context.settings
        self._http_client, self._verify = http_client, verify
        self._asides: set[Future[None]] = set()
        importlib.import_module("._catalog_file", __package__)  # now: a child forked amid that would wait for ever
        self._open()

    def _open(self) -> None:
        raise TypeError("use Client or AsyncClient")

    def _http_options(self) -> dict[str, Any]:
        limit = self.settings.max_response_bytes
        return {"http_client": self._http_client, "verify": self._verify, "max_response_bytes": limit}

    def __repr__(self) -> str:
        # A client that is still being made has none: crash reporters show it all the same.
        return f"{type(self).__name__}({self.settings.host if hasattr(self, 'settings') else None!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy shares the connections: they are safe to share, and cannot be doubled."""
        return self

    def recipe(self) -> dict[str, Any]:
        """Arguments that make such a client again. Secrets are not among them: they are looked up anew."""
        if self._http_client is not None:
            raise TypeError("a client with its own http_client cannot be pickled")
        return {name: value for name, value in {**self._origin, "verify": self._verify}.items() if value is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.recipe())


def _resolved(*args: Any, **options: Any) -> Settings:
    try:
        return resolve_settings(*args, **options)
    except ConfigurationError as error:
        raise frameless(error) from error.__cause__


def _rebuild(cls: type[BaseClient], recipe: dict[str, Any]) -> BaseClient:
    return cls(**recipe)


def _local() -> tuple[str, str]:
    """Host and token of this process's embedded workspace."""
    try:
        # By name: the core never depends on the workspace, which depends on the core.
        workspace = importlib.import_module("fm_workspace").local()
    except ImportError as exc:
        cause = frameless(exc.__cause__) if exc.__cause__ else exc  # its front door names what is missing, and no more
        raise ConfigurationError(
            'host="local" needs the embedded workspace: pip install "fm-integrations[workspace]"'
        ) from cause
    return workspace.host, workspace.token
