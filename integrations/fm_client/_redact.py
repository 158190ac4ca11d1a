"""Secrets out of what a service says: some quote, in a refusal, what they were sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REDACTED = "**********"
CUT = "…"
"""Behind a text that was cut to size."""
LEAST_SECRET = 8
"""Characters of a secret that is worth hiding in a text; shorter ones are words, of which errors are made."""
_LOGINS = ("authorization", "headers")
_PLAINTEXT = "_plaintext"
"""How the service's fields end that hold a provider's key itself, and not a reference to one."""


def redacted(text: str, secrets: Iterable[str | None]) -> str:
    """`text` without `secrets`, in their plain form, as JSON writes them, and cut off with the text.

    >>> redacted("Incorrect key: key-for-docs.", ["key-for-docs"])
    'Incorrect key: **********.'
    """
    for secret in sorted(_spellings(secrets), key=len, reverse=True):  # the longer first: one may begin another
        text = text.replace(secret, REDACTED)
        if CUT in text:
            text = _without_beginning(text, secret)
    return text


def _without_beginning(text: str, secret: str) -> str:
    """`text` without what of `secret` stands before the place where it was cut to size."""
    found = (secret[:length] for length in range(len(secret) - 1, LEAST_SECRET - 1, -1))
    begun = next((begin for begin in found if begin + CUT in text), None)
    return text if begun is None else text.replace(begun + CUT, REDACTED + CUT)


def redacted_bytes(data: bytes, secrets: Iterable[str | None]) -> bytes:
    """The same for an answer as it came."""
    for secret in sorted(_spellings(secrets), key=len, reverse=True):
        data = data.replace(secret.encode("utf-8", "replace"), REDACTED.encode())
    return data


def without_logins(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request body, or what it is made of, as a trace may show it: without what MCP tools log in with.

    >>> without_logins({"tools": [{"type": "mcp", "server_label": "docs", "authorization": "key-for-docs"}]})
    {'tools': [{'type': 'mcp', 'server_label': 'docs', 'authorization': '**********'}]}
    """
    safe = dict(body)
    if isinstance(tools := body.get("tools"), (list, tuple)):
        safe["tools"] = [_without_login(tool) for tool in tools]
    if isinstance(extra := body.get("extra_body"), Mapping):
        safe["extra_body"] = without_logins(extra)
    return safe


def _without_login(tool: Any) -> Any:
    if not isinstance(tool, Mapping) or tool.get("type") != "mcp":
        return tool
    return {key: REDACTED if key in _LOGINS else value for key, value in tool.items()}


def plaintexts(body: Any) -> tuple[str, ...]:
    """The keys of providers that stand in a request body."""
    return tuple(dict.fromkeys(_plaintexts(body)))


def _plaintexts(value: Any) -> Iterator[str]:
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if isinstance(inner, str) and key.endswith(_PLAINTEXT):
            yield inner
        else:
            yield from _plaintexts(inner)
    for inner in value if isinstance(value, (list, tuple)) else ():
        yield from _plaintexts(inner)


def shown(text: str) -> str:
    """`text` as errors show it: line breaks and escapes in a service's text would forge lines in a log."""
    return "".join(c if c.isprintable() else " " for c in text)


def _spellings(secrets: Iterable[str | None]) -> set[str]:
    worth = [secret for secret in secrets if secret and len(secret) >= LEAST_SECRET]
    written = (json.dumps(secret, ensure_ascii=escaped)[1:-1] for secret in worth for escaped in (True, False))
    return {*worth, *written, *map(shown, worth), *(" ".join(secret.split()) for secret in worth)}
