"""Tokens of Microsoft Entra ID, for Azure OpenAI: fetched with a client's secret, and kept almost to their end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from fm_client import APIConnectionError, APIError, APITimeoutError, AsyncHTTP, Request, Timeout

from ._errors import external_error, invalid_parameter
from ._forward import hidden, provider_error, unreachable

LOGIN_BASE = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
EARLY_SECONDS = 300.0
"""How long before its end a token is renewed; half its life if that is less."""
LIMITS = Timeout(connect=5.0, read=30.0, total=60.0)
_TENANT = re.compile(r"[A-Za-z0-9.-]{1,255}")


@dataclass(frozen=True, slots=True)
class Login:
    """A client of a tenant."""

    tenant: str
    client: str
    secret: str = field(repr=False)

    @property
    def key(self) -> str:
        """What tells logins apart, without the secret."""
        return hashlib.sha256(repr((self.tenant, self.client, self.secret)).encode()).hexdigest()


class Entra:
    """Tokens by login, each fetched by one caller at a time."""

    def __init__(self, base: str = LOGIN_BASE, clock: Callable[[], float] = time.monotonic) -> None:
        self._base = base
        self._clock = clock
        self._http = AsyncHTTP(base)
        self._held: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def token(self, login: Login) -> str:
        """The token of `login`."""
        if not _TENANT.fullmatch(login.tenant):
            raise invalid_parameter("microsoft_entra_tenant_id must be a tenant's id or domain.")
        async with self._locks[login.key]:
            token, renew_at = self._held.get(login.key, ("", 0.0))
            if self._clock() >= renew_at:
                token, life = await self._fetched(login)
                self._held[login.key] = token, self._clock() + life - min(EARLY_SECONDS, life / 2)
            return token

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _fetched(self, login: Login) -> tuple[str, float]:
        try:
            reply = await self._http.send(self._request(login))
        except APIConnectionError as error:
            reason = hidden(error.message, (login.secret,))
            raise unreachable("openai", reason, timeout=isinstance(error, APITimeoutError)) from None
        except APIError as error:
            raise external_error(502, "openai", {"message": hidden(error.message, (login.secret,))}) from None
        if not 200 <= reply.status < 300:
            raise provider_error("openai", reply.status, reply.headers, reply.body, (login.secret,))
        return _read(reply.body)

    def _request(self, login: Login) -> Request:
        form = {
            "grant_type": "client_credentials",
            "client_id": login.client,
            "client_secret": login.secret,
            "scope": SCOPE,
        }
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        url = f"{self._base}/{login.tenant}/oauth2/v2.0/token"
        return Request("POST", url, headers, urlencode(form).encode(), timeout=LIMITS)


def _read(body: bytes) -> tuple[str, float]:
    try:
        answer = json.loads(body)
        return str(answer["access_token"]), float(answer["expires_in"])
    except (ValueError, LookupError, TypeError):
        raise external_error(502, "openai", {"message": "Entra ID answered without a token."}) from None
