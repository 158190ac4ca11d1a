"""Microsoft Entra ID, for Azure OpenAI: the login of a client with its secret."""

from __future__ import annotations

import re

from ._errors import invalid_parameter
from ._logins import Login

LOGIN_BASE = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
_TENANT = re.compile(r"[A-Za-z0-9.-]{1,255}")


def entra_login(base: str, tenant: str, client: str, secret: str) -> Login:
    """The login of a client of `tenant`; 400 for a tenant that would make another address."""
    if not _TENANT.fullmatch(tenant):
        raise invalid_parameter("microsoft_entra_tenant_id must be a tenant's id or domain.")
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret, "scope": SCOPE}
    return Login("openai", f"{base}/{tenant}/oauth2/v2.0/token", (client, secret), lambda: form, (secret,))
