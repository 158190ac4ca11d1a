"""Settings: arguments first, then the environment, then the profile file; every default is a named constant."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ._errors import ConfigurationError
from ._wire import Credential, Timeout

DEFAULT_MAX_RETRIES = 2
"""Repeats after the first attempt, so three attempts in all (as the OpenAI SDK does)."""
MAX_RETRIES_LIMIT = 20
DEFAULT_CONCURRENCY = 8
"""Requests that one `embed` call keeps in flight."""
DEFAULT_MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""The service's published payload limit for foundation-model and external endpoints."""
DEFAULT_MAX_RESPONSE_BYTES = 64 * 1024 * 1024
DEFAULT_MAX_EVENT_BYTES = 8 * 1024 * 1024
MAX_SECONDS = 2_000_000.0
"""23 days, and what longer limits are cut to: system calls count milliseconds in 31 bits."""
LOCAL = "local"
StreamEnd = Literal["either", "both", "off"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client needs to know. Made by `resolve_settings`; the credential is in no repr, pickle or comparison."""

    host: str
    credential: Credential = field(repr=False, compare=False)
    profile: str | None = None
    timeout: Timeout = Timeout()
    max_retries: int = DEFAULT_MAX_RETRIES
    concurrency: int = DEFAULT_CONCURRENCY
    strict_params: bool = False
    stream_end: StreamEnd = "either"
    max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES


def check_timeout(timeout: float | Timeout | None) -> Timeout:
    """A `Timeout`; a plain number of seconds limits the whole call."""
    if timeout is None:
        return Timeout()
    if isinstance(timeout, Timeout):
        for name in Timeout.__slots__:
            value = getattr(timeout, name)
            if value is not None and not _is_seconds(value):
                raise ConfigurationError(
                    f"timeout.{name} must be a positive number of seconds, or None for no limit, not {value!r:.60}"
                )
        return Timeout(**{name: _cut(getattr(timeout, name)) for name in Timeout.__slots__})
    if not _is_seconds(timeout):
        raise ConfigurationError(f"timeout must be a positive number of seconds or a Timeout, not {timeout!r:.60}")
    seconds = min(float(timeout), MAX_SECONDS)
    return Timeout(read=seconds, total=seconds, idle=min(seconds, Timeout().idle or seconds))


def _cut(seconds: float | None) -> float | None:
    return None if seconds is None else float(min(seconds, MAX_SECONDS))


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_BYTES = (_is_count, "a whole number of bytes above 0")
_OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "concurrency": (_is_count, "a whole number from 1"),
    "strict_params": (lambda value: isinstance(value, bool), "True or False"),
    "stream_end": (lambda value: value in get_args(StreamEnd), f"one of {', '.join(get_args(StreamEnd))}"),
    "max_request_bytes": _BYTES,
    "max_response_bytes": _BYTES,
    "max_event_bytes": _BYTES,
}
_ARGUMENTS = (
    *("host", "token", "profile", "timeout", "max_retries"),
    *("client_id", "client_secret", "auth_type", "http_client", "verify"),
)
"""The other arguments of a client, for those who misspell one."""
_ELSEWHERE = {"api_key": "token", "api_base": "host", "base_url": "host", "default_headers": "http_client"}
"""What clients of other packages call an argument, and what it is called here."""


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a client that there are none of, and values that would fail later, or wait for ever."""
    for name, value in options.items():
        if name not in _OPTIONS:
            raise ConfigurationError(_unknown(name))
        check, expected = _OPTIONS[name]
        if not check(value):
            raise ConfigurationError(f"{name} must be {expected}, not {value!r:.60}")


def _unknown(name: str) -> str:
    import difflib

    known = [*_ARGUMENTS, *_OPTIONS]
    meant = [_ELSEWHERE[name]] if name in _ELSEWHERE else difflib.get_close_matches(name, known, 1)
    return f"unknown option {name!r}; " + (f"did you mean {meant[0]}=?" if meant else f"there are: {', '.join(known)}")


def check_max_retries(value: int | None) -> int:
    """`max_retries` from 0 to 20; None means the default, 2."""
    if value is None:
        return DEFAULT_MAX_RETRIES
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES_LIMIT:
        raise ConfigurationError(f"max_retries must be a whole number from 0 to {MAX_RETRIES_LIMIT}, not {value!r}")
    return value
