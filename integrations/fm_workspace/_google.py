"""Google's login of a service account, for Vertex AI: a token for a claim that the account's key has signed.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ._errors import ServiceError, invalid_parameter
from ._logins import Login
from ._urls import checked

TOKEN_HOSTS = frozenset({"oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"})
"""Where key files, today's and those of before, have their tokens from."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLAIM_SECONDS = 3_600
"""The longest that Google takes."""
_FIELDS = ("client_email", "private_key", "token_uri")
PROVIDER = "google-cloud-vertex-ai"


def google_login(text: str, base: str | None = None) -> Login:
    """The login of a service account by its key file; 400 if that is none, or leads elsewhere than to Google.

    `base` replaces Google's address. The claim names Google's all the same, because it is read there in the end.
    """
    account = _service_account(text)
    url = f"{base}/token" if base else _checked_uri(account["token_uri"])
    secrets = (text, account["private_key"])
    return Login(PROVIDER, url, (text,), lambda: {"grant_type": GRANT, "assertion": _assertion(account)}, secrets)


def _service_account(text: str) -> dict[str, Any]:
    """The key file of a service account. Other kinds name files to read and programs to run: they are refused."""
    try:
        account = json.loads(text)
    except (ValueError, RecursionError):
        raise _unfit() from None  # the text is the secret
    if not isinstance(account, dict) or not all(isinstance(account.get(field), str) for field in _FIELDS):
        raise _unfit()
    if account.get("type") != "service_account":
        raise _unfit()
    return account


def _unfit() -> ServiceError:
    return invalid_parameter("private_key must be the JSON key file of a service account, whole.")


def _checked_uri(uri: str) -> str:
    url = checked(uri, "token_uri of private_key")
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.netloc not in TOKEN_HOSTS:
        raise invalid_parameter(
            'token_uri of private_key must be Google\'s (https://oauth2.googleapis.com/token); provider_urls["google"]'
            " replaces it."
        )
    return url


def _signer(pem: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unfit() from None  # the error may quote the key
    if not isinstance(key, RSAPrivateKey):
        raise _unfit()
    return key


def _assertion(account: Mapping[str, Any]) -> str:
    """A signed claim (a JWT by RS256) that the account is who it says."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    now = int(time.time())
    head = {"alg": "RS256", "typ": "JWT", "kid": account.get("private_key_id")}
    claim = {
        "iss": account["client_email"],
        "scope": SCOPE,
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + CLAIM_SECONDS,
    }
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claim))
    key = _signer(account["private_key"])
    return f"{signed}.{_encoded(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
