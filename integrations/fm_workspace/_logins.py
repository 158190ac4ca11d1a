"""Tokens that providers' logins give for a stored credential: each fetched once, and kept almost to its end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from fm_client import APIConnectionError, APIError, APITimeoutError, Request, Timeout

from ._errors import external_error
from ._forward import Forwarder, hidden, provider_error, unreachable

EARLY_SECONDS = 300.0
"""How long before its end a token is renewed; half its life if that is less."""
LIMITS = Timeout(connect=5.0, read=30.0, total=60.0)


@dataclass(frozen=True, slots=True)
class Login:
    """What is asked for a token: `form` makes what is sent to `url`, and `secrets` are shown in no error."""

    provider: str
    url: str
    identity: tuple[str, ...] = field(repr=False)
    form: Callable[[], Mapping[str, str]] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def key(self) -> str:
        """What tells logins apart, without the secret."""
        return hashlib.sha256(repr((self.url, self.identity)).encode()).hexdigest()


class Logins:
    """Tokens by login, fetched over the connections of `forwarder`: to where a provider may be, and nowhere else."""

    def __init__(self, forwarder: Forwarder, clock: Callable[[], float] = time.monotonic) -> None:
        self._forwarder = forwarder
        self._clock = clock
        self._held: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def token(self, login: Login) -> str:
        """The token of `login`."""
        async with self._locks[login.key]:
            token, renew_at = self._held.get(login.key, ("", 0.0))
            if self._clock() >= renew_at:
                token, life = await self._fetched(login)
                self._held[login.key] = token, self._clock() + life - min(EARLY_SECONDS, life / 2)
            return token

    async def _fetched(self, login: Login) -> tuple[str, float]:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        request = Request("POST", login.url, headers, urlencode(login.form()).encode(), timeout=LIMITS)
        try:
            reply = await self._forwarder.http(login.url).send(request)
        except APIConnectionError as error:
            reason = hidden(error.message, login.secrets)
            raise unreachable(login.provider, reason, timeout=isinstance(error, APITimeoutError)) from None
        except APIError as error:
            raise external_error(502, login.provider, {"message": hidden(error.message, login.secrets)}) from None
        if not 200 <= reply.status < 300:
            raise provider_error(login.provider, reply.status, reply.headers, reply.body, login.secrets)
        return _read(login.provider, reply.body)


def _read(provider: str, body: bytes) -> tuple[str, float]:
    try:
        answer = json.loads(body)
        return str(answer["access_token"]), float(answer["expires_in"])
    except (ValueError, LookupError, TypeError):
        raise external_error(502, provider, {"message": "The provider's login answered without a token."}) from None
