"""Target URIs: which workspace a deployments client speaks to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from fm_client import is_loopback

LOCAL = "local"
FORMS = "'fm', 'fm:/PROFILE', 'fm://local', or 'fm://HOST[:PORT]/?profile=PROFILE'"


@dataclass(frozen=True, slots=True)
class Target:
    """A workspace, by host or profile. Both None: what the environment says."""

    host: str | None = None
    profile: str | None = None


def parse_target(uri: str) -> Target:
    """The workspace that a target URI names; a ValueError says what is wrong with it.

    >>> parse_target("fm:/staging")
    Target(host=None, profile='staging')
    >>> parse_target("fm://example.cloud.databricks.com/?profile=a")
    Target(host='https://example.cloud.databricks.com', profile='a')
    >>> parse_target("fm://127.0.0.1:8080").host
    'http://127.0.0.1:8080'
    """
    parts = _split(uri)
    if not parts.scheme:  # the bare name of the target
        return Target()
    if "@" in parts.netloc:  # not repeated: what stands before the @ may be a secret
        raise ValueError(f"a target URI holds no user, password or token; it is {FORMS}")
    if parts.fragment:
        raise ValueError(f"target {uri!r} has a fragment (#…); it is {FORMS}")
    profile = _profile_of(parts, uri)
    if not parts.netloc:
        return Target(profile=profile or unquote(parts.path.strip("/")) or None)
    if parts.path not in ("", "/"):
        raise ValueError(f"target {uri!r} has a path after the host; it is {FORMS}")
    return Target(LOCAL if parts.netloc.lower() == LOCAL else _host_of(parts, uri), profile)


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as exc:
        raise ValueError(f"target {uri!r} is no URI; it is {FORMS}") from exc


def _profile_of(parts: SplitResult, uri: str) -> str | None:
    options = parse_qs(parts.query, keep_blank_values=True)
    if unknown := sorted(options.keys() - {"profile"}):
        raise ValueError(f"unknown option {unknown[0]!r} in target URI; only 'profile' can stand after the '?'")
    profiles = options.get("profile", [])
    if len(profiles) > 1 or (profiles and parts.path.strip("/")):
        raise ValueError(f"target {uri!r} names more than one profile")
    if parts.netloc.lower() == LOCAL and profiles:
        raise ValueError("the embedded workspace, fm://local, has no profile")
    return (profiles[0] or None) if profiles else None


def _host_of(parts: SplitResult, uri: str) -> str:
    """Scheme and authority: https, but plain http for this machine, where a workspace has no certificate."""
    try:
        name, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise ValueError(f"target {uri!r}: the port must be a number up to 65535") from exc
    shown = f"[{name}]" if ":" in name else name
    return f"{'http' if is_loopback(name) else 'https'}://{shown}{f':{port}' if port is not None else ''}"
