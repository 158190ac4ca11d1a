"""Addresses that a workspace may send prompts and credentials to."""

from __future__ import annotations

from urllib.parse import urlsplit

from fm_client import is_loopback

from ._errors import invalid_parameter


def checked(url: object, field: str, *, plain_http: bool = False) -> str:
    """`url` without a slash at its end; 400 unless it is https, or http to this machine (anywhere, if `plain_http`)."""
    failure = invalid_parameter(
        f"{field} must be an https address without user, query or fragment (http only for this machine)."
    )
    if not isinstance(url, str) or any(character.isspace() or not character.isprintable() for character in url):
        raise failure
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise failure from exc
    secure = parts.scheme == "https" or (parts.scheme == "http" and (plain_http or is_loopback(host or "")))
    if not host or not secure or parts.username is not None or parts.query or parts.fragment:
        raise failure
    return url.rstrip("/")
