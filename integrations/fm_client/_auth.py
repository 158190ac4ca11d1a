"""Where the bearer token comes from. A credential is asked before every request and may be asked for a fresh one."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

from pydantic import SecretStr

from ._errors import APITimeoutError, AuthenticationError, ConfigurationError, FMError
from ._process import PerProcess
from ._threads import Shared
from ._wire import Credential

TokenLike = str | SecretStr | Callable[[], str] | Callable[[], Awaitable[str]]

T = TypeVar("T")

MAX_TOKEN_CHARS = 16_384


class Secretive:
    """What may hold a secret: a copy of it is the same thing, and a pickle of it there is none."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a credential cannot be pickled: pickle the client, which looks its credential up anew")


class StaticToken(Secretive):
    """A personal access token, as it was given."""

    kind = "pat"

    def __init__(self, value: str) -> None:
        self._value = SecretStr(check_token(value))

    def __repr__(self) -> str:
        return "StaticToken(**********)"

    def token(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """The token; there is no other one to give when it is refused."""
        return self._value.get_secret_value()

    async def atoken(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """The token."""
        return self._value.get_secret_value()


class TokenSource(Secretive):
    """A caller's own function that returns a token, asked before every request; it does its own caching."""

    kind = "callable"

    def __init__(self, source: Callable[[], str] | Callable[[], Awaitable[str]]) -> None:
        self._source = source

    def __repr__(self) -> str:
        return "TokenSource(…)"

    def token(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """What the function returns; a coroutine function needs `AsyncClient`.

        It runs in the caller's own thread and context, where it may look for a request's user; so it cannot be cut
        short. For the batches of `embed` it runs in their threads, in a copy of the context.
        """
        value = self._source()
        if inspect.isawaitable(value):
            _dismiss(value)
            raise ConfigurationError("this token function is async: use AsyncClient, or give a plain function")
        return check_token(value)

    async def atoken(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """What the function returns: awaited where it is async, got in a thread where it is not, as it may block."""
        return check_token(await in_time(self._asked(), within))

    async def _asked(self) -> Any:
        if inspect.iscoroutinefunction(self._source):
            return await self._source()
        import asyncio

        value = await asyncio.to_thread(self._source)
        return await value if inspect.isawaitable(value) else value


class SDKToken(Secretive):
    """Whatever else the `databricks-sdk` can log in with. It is imported when a token is first needed (about 2 s)."""

    kind = "databricks-sdk"

    def __init__(self, host: str, auth_type: str | None, profile: str | None) -> None:
        self._options = {"host": host, "auth_type": auth_type, "profile": profile}
        self._config: Any = None
        self._asking = PerProcess(lambda: Shared(self._ask))

    def __repr__(self) -> str:
        return f"SDKToken({self._options['auth_type'] or 'unified'!r})"

    def token(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """The token that the SDK has; it renews its tokens itself, in a thread, for all who wait for it."""
        try:
            return self._asking().begun().result(within)
        except FMError as error:
            raise copy.copy(error) from None
        except TimeoutError:
            raise no_token_in_time() from None

    async def atoken(self, stale: str | None = None, run: Any = None, within: float | None = None) -> str:
        """The token; the SDK blocks, its thread alone."""
        import asyncio

        try:
            return await in_time(asyncio.wrap_future(self._asking().begun()), within)
        except FMError as error:
            raise copy.copy(error) from None

    def _ask(self) -> str:
        self._config = self._config or self._load()
        scheme, _, value = self._headers().get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise ConfigurationError(f"the databricks-sdk gave no bearer token for {self!r}")
        return check_token(value)

    def _load(self) -> Any:
        try:
            sdk = importlib.import_module("databricks.sdk.core")
        except ImportError as exc:
            raise ConfigurationError(
                f'{self!r} needs the databricks-sdk: pip install "fm-integrations[databricks]"'
            ) from exc
        # What it raises may quote what was sent: its kind alone is told, and it is out of reach as a context too.
        try:
            return sdk.Config(**{name: value for name, value in self._options.items() if value})
        except ValueError as exc:
            fault = str(exc).partition("\n")[0] or "ValueError"
        except Exception as exc:  # noqa: BLE001  # whatever its many ways to log in raise, none of it ours
            fault = type(exc).__name__
        raise ConfigurationError(f"the databricks-sdk cannot log in: {fault}")

    def _headers(self) -> dict[str, str]:
        try:
            headers: dict[str, str] = self._config.authenticate()
            return headers
        except Exception as exc:  # noqa: BLE001  # as above
            fault = type(exc).__name__
        raise AuthenticationError(f"the databricks-sdk got no token: {fault}")


def no_token_in_time() -> APITimeoutError:
    """The call's time was over before there was a token."""
    return APITimeoutError("there was no token before the time of the call was over (total timeout)", phase="total")


async def in_time(awaitable: Awaitable[T], within: float | None) -> T:
    """What `awaitable` gives, `within` so many seconds."""
    import asyncio

    try:
        async with asyncio.timeout(within) as limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise no_token_in_time() from None
        raise  # its own


def hidden(secret: T) -> T | SecretStr:
    """`secret` so that it does not show. What is no text counts as empty, which the checks to come refuse."""
    if secret is None or isinstance(secret, SecretStr) or callable(secret):
        return secret
    return SecretStr(secret if isinstance(secret, str) else "")


def credential_for(token: TokenLike) -> Credential:
    """The credential for what a caller gave as token."""
    if isinstance(token, SecretStr):
        return StaticToken(token.get_secret_value())
    return TokenSource(token) if callable(token) else StaticToken(token)


def check_token(value: object) -> str:
    """`value` if it can stand in an HTTP header; the error never quotes it."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError("the token is empty or no text")
    if len(value) > MAX_TOKEN_CHARS:
        raise ConfigurationError(f"the token is longer than {MAX_TOKEN_CHARS} characters")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError("the token has characters that no token has (spaces, line breaks or non-ASCII)")
    return value


def _dismiss(awaitable: Awaitable[str]) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()
