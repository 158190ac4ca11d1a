"""Secrets out of what a service says: some quote, in a refusal, what they were sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REDACTED = "**********"
LEAST_SECRET = 8
"""Characters of a secret that is worth hiding in a text; shorter ones are words, of which errors are made."""
_PLAINTEXT = "_plaintext"
"""How the service's fields end that hold a provider's key itself, and not a reference to one."""


def redacted(text: str, secrets: Iterable[str | None]) -> str:
    """`text` without `secrets`, in their plain form and as JSON writes them.

    >>> redacted("Incorrect key: key-for-docs.", ["key-for-docs"])
    'Incorrect key: **********.'
    """
    for secret in sorted(_spellings(secrets), key=len, reverse=True):  # the longer first: one may begin another
        text = text.replace(secret, REDACTED)
    return text


def redacted_bytes(data: bytes, secrets: Iterable[str | None]) -> bytes:
    """The same for an answer as it came."""
    for secret in sorted(_spellings(secrets), key=len, reverse=True):
        data = data.replace(secret.encode("utf-8", "replace"), REDACTED.encode())
    return data


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


def _spellings(secrets: Iterable[str | None]) -> set[str]:
    worth = [secret for secret in secrets if secret and len(secret) >= LEAST_SECRET]
    return {*worth, *(json.dumps(secret)[1:-1] for secret in worth)}
