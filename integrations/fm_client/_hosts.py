"""Which hosts a token may be sent to, in one spelling."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from ._errors import ConfigurationError

MAX_NAME_CHARS, MAX_LABEL_CHARS = 253, 63


def normalize_host(host: str) -> str:
    """`host` as scheme and authority, e.g. 'https://example.cloud.databricks.com'.

    A missing scheme becomes https; plain http is accepted for this machine alone, because the token would be readable
    on the way to any other.
    """
    text = host.strip() if isinstance(host, str) else ""
    shown = repr(text[:100])
    if "@" in text:
        raise ConfigurationError("host must not contain user or password")
    if not text or not text.isascii() or any(c.isspace() or not c.isprintable() for c in text):
        raise ConfigurationError(f"host {shown} is no host name in plain ASCII")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError as exc:
        raise ConfigurationError(f"host {shown} is no host name") from exc
    if parts.scheme not in ("https", "http"):
        raise ConfigurationError(f"host {shown}: the scheme must be https")
    if parts.path not in ("", "/") or parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ConfigurationError(f"host {shown}: give the workspace's host alone, without a path or query")
    name, port = _authority(parts, shown)
    if parts.scheme == "http" and not is_loopback(name):
        raise ConfigurationError(f"host {shown}: a token is sent over plain http to this machine only; use https")
    shown_name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown_name}{f':{port}' if port else ''}"


def _authority(parts: SplitResult, shown: str) -> tuple[str, int | None]:
    try:
        name, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise ConfigurationError(f"host {shown}: the port must be a number from 1 to 65535") from exc
    if port == 0 or parts.netloc.endswith(":"):
        raise ConfigurationError(f"host {shown}: the port must be a number from 1 to 65535")
    if not _is_name(name):
        raise ConfigurationError(f"host {shown} is no host name")
    return name, None if (parts.scheme, port) in (("https", 443), ("http", 80)) else port


def _is_name(name: str) -> bool:
    """Whether the resolver can take `name`: its limits (RFC 1035) are 253 characters, and 1 to 63 between two dots."""
    labels = name.split(".")
    return (
        len(name) <= MAX_NAME_CHARS
        and all(0 < len(label) <= MAX_LABEL_CHARS for label in labels)
        and all(c.isalnum() or c in "-._:" for c in name)
    )


def is_loopback(name: str) -> bool:
    """Whether a host name is this machine in one of its canonical spellings."""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None
