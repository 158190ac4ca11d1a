"""Where host and credential come from: arguments, then the environment, then a profile of ~/.databrickscfg."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ._auth import SDKToken, TokenLike, credential_for
from ._config import Settings, check_max_retries, check_timeout
from ._errors import ConfigurationError
from ._hosts import normalize_host
from ._wire import Credential, Timeout

if TYPE_CHECKING:
    import configparser

NO_HOST = (
    "no workspace is configured. Do one of: (1) pass host= and token=; (2) set DATABRICKS_HOST and DATABRICKS_TOKEN; "
    "(3) write a profile into ~/.databrickscfg and pass profile= (or set DATABRICKS_CONFIG_PROFILE). "
    'To try it without an account, pass host="local": the embedded workspace.'
)
NO_CREDENTIAL = (
    "no credential for {host}: pass token=, or client_id= and client_secret=; set DATABRICKS_TOKEN (or "
    "DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET) together with DATABRICKS_HOST; or name a profile of "
    "~/.databrickscfg that has them. "
    "Other ways to log in (Azure, Google, the databricks CLI, …) need auth_type= and the extra [databricks]"
)
Values = Mapping[str, str | None]
# Under these names, upper case behind DATABRICKS_, in the environment; as they stand in a profile.
_NAMES = (
    "host",
    "token",
    "client_id",
    "client_secret",
    "auth_type",
    "oidc_token",
    "oidc_token_env",
    "oidc_token_filepath",
)
# The ways that need no SDK, and what each takes: one of these sets of values.
_NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "pat": (("token",),),
    "oauth-m2m": (("client_id", "client_secret"),),
    "env-oidc": (("oidc_token",), ("oidc_token_env",)),
    "file-oidc": (("oidc_token_filepath",),),
    "model-serving": ((),),
}
_FOREIGN_PROFILE = ("azure_", "google_", "username", "metadata_service_url", "cluster_id")


def resolve_settings(
    host: str | None = None,
    token: TokenLike | None = None,
    profile: str | None = None,
    *,
    timeout: float | Timeout | None = None,
    max_retries: int | None = None,
    client_id: str | None = None,
    client_secret: str | SecretStr | None = None,
    auth_type: str | None = None,
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Settings:
    """Settings from arguments, environment and profile file.

    >>> resolve_settings("https://example.cloud.databricks.com/", "token-for-tests").host
    'https://example.cloud.databricks.com'
    """
    secret = client_secret.get_secret_value() if isinstance(client_secret, SecretStr) else client_secret
    given = {"client_id": client_id, "client_secret": secret, "auth_type": auth_type}
    found = Sources(host, token, profile, os.environ if environ is None else environ, given)
    return Settings(
        host=found.host,
        credential=found.credential,
        profile=found.profile,
        timeout=check_timeout(timeout),
        max_retries=check_max_retries(max_retries),
        **options,
    )


class Sources:
    """Host, credential and profile. A credential goes only to the host that it was configured with."""

    def __init__(
        self, host: str | None, token: TokenLike | None, profile: str | None, env: Mapping[str, str], given: Values
    ) -> None:
        self._env = env
        environment: Values = {name: env.get(f"DATABRICKS_{name.upper()}") or None for name in _NAMES}
        container_host = env.get("DATABRICKS_MODEL_SERVING_HOST_URL") or env.get("DB_MODEL_SERVING_HOST_URL")
        if env.get("IS_IN_DB_MODEL_SERVING_ENV", "").lower() == "true" and container_host and not environment["host"]:
            environment = {**environment, "host": container_host, "auth_type": "model-serving"}
        self.profile = profile or env.get("DATABRICKS_CONFIG_PROFILE") or None
        needs_file = self.profile is not None or not (host or environment["host"])
        section: Values = self._read_profile() if needs_file else {}
        # A profile that the caller names outranks the environment; one that the environment names does not.
        ranked = [section, environment] if profile else [environment, section]
        wanted = host or next((source["host"] for source in ranked if source.get("host")), None)
        if not wanted:
            raise ConfigurationError(NO_HOST)
        self.host = normalize_host(wanted)
        self.credential = self._credential(token, given, ranked)

    def _credential(self, token: TokenLike | None, given: Values, ranked: list[Values]) -> Credential:
        if token is not None:
            if given.get("client_secret"):
                raise ConfigurationError("give either token= or client_id= and client_secret=, not both")
            return credential_for(token)
        if given.get("client_secret") and not given.get("client_id"):
            raise ConfigurationError("client_secret= needs client_id=")
        wanted = given.get("auth_type") or self._env.get("DATABRICKS_AUTH_TYPE") or None
        for source in (given, *ranked):
            if not source.get("host") or normalize_host(source["host"] or "") == self.host:
                found = self._credential_of(
                    {**source, "client_id": given.get("client_id") or source.get("client_id")}, wanted
                )
                if found is not None:
                    return self._fitting(found, given)
        if wanted is not None and wanted in _NEEDS:
            raise ConfigurationError(
                f"auth_type {wanted!r} needs {' and '.join(_NEEDS[wanted][0])}: set them for {self.host}"
            )
        raise ConfigurationError(NO_CREDENTIAL.format(host=self.host) + self._elsewhere(ranked))

    def _elsewhere(self, ranked: list[Values]) -> str:
        """Where else what is configured belongs: it is sent there only."""
        hosts = dict.fromkeys(normalize_host(host) for source in ranked if (host := source.get("host")))
        others = [host for host in hosts if host != self.host]
        return f". What is configured is for {' and '.join(others)}, and goes nowhere else" if others else ""

    def _fitting(self, found: Credential, given: Values) -> Credential:
        """`found`, unless the caller named a client and no secret: another one's login is not what they mean."""
        if given.get("client_id") and not given.get("client_secret") and found.kind in ("pat", "oauth-m2m"):
            raise ConfigurationError("client_id= needs client_secret= (or an OIDC token to exchange)")
        return found

    def _credential_of(self, source: Values, wanted: str | None) -> Credential | None:
        kind = wanted or source.get("auth_type") or self._kind_of(source)
        if kind is None:
            return None
        if kind not in _NEEDS:
            return SDKToken(self.host, None if kind == "unified" else kind, self.profile)
        if not any(all(source.get(name) for name in names) for names in _NEEDS[kind]):
            if wanted:
                return None  # another source may have what this way needs
            raise ConfigurationError(f"auth_type {kind!r} needs {_NEEDS[kind][0][-1]}, which is not set where it is")
        return credential_for(source["token"] or "") if kind == "pat" else self._fetched(source, kind)

    def _kind_of(self, source: Values) -> str | None:
        kinds = [
            kind
            for kind, needs in _NEEDS.items()
            if kind != "model-serving" and any(all(source.get(name) for name in names) for names in needs)
        ]
        if len(kinds) > 1:
            raise ConfigurationError(
                f"more than one way to log in is configured in one place ({', '.join(kinds)}): "
                "set auth_type to the one that is meant, or remove the other"
            )
        if kinds:
            return kinds[0]
        return "unified" if any(key.startswith(_FOREIGN_PROFILE) for key in source) else None

    def _fetched(self, source: Values, kind: str) -> Credential:
        from . import _oauth as oauth  # most programs have a token, and need none of it

        if kind == "oauth-m2m":
            client_id, secret = source["client_id"] or "", source["client_secret"] or ""
            return oauth.machine_to_machine(self.host, client_id, secret, time.monotonic)
        if kind == "model-serving":
            return oauth.container_token(time.monotonic)
        return oauth.oidc_exchange(
            self.host, source.get("client_id"), lambda: self._subject(source, kind), time.monotonic
        )

    def _subject(self, source: Values, kind: str) -> str:
        """The identity provider's token, read anew each time: it ages too."""
        if kind == "file-oidc":
            path = Path(source["oidc_token_filepath"] or "")
            return text_in(path, f"the OIDC token file {path}").strip()
        name = source.get("oidc_token_env") or "DATABRICKS_OIDC_TOKEN"
        value = self._env.get(name) or source.get("oidc_token")
        if not value:
            raise ConfigurationError(f"the environment variable {name}, which should hold the OIDC token, is empty")
        return value

    def _read_profile(self) -> Values:
        named = self._env.get("DATABRICKS_CONFIG_FILE") or None
        path = Path(named or "~/.databrickscfg").expanduser()
        if not path.is_file():
            if self.profile is None and named is None:
                return {}
            wanted = f"profile {self.profile!r} should be in" if self.profile else "DATABRICKS_CONFIG_FILE names"
            raise ConfigurationError(f"{wanted} {path}, which does not exist; write it, or leave that out")
        sections = read_profiles(path)
        chosen = self.profile or sections.get("__settings__", {}).get("default_profile") or "DEFAULT"
        if chosen in sections:
            self.profile = chosen
            return sections[chosen]
        if self.profile is None and chosen == "DEFAULT":
            return {}
        names = ", ".join(name for name in sections if not name.startswith("__")) or "none"
        raise ConfigurationError(f"{path} has no profile {chosen!r}; it has: {names}")


def text_in(path: Path, what: str) -> str:
    """The text of a file with secrets; `what` begins an error's text, which holds nothing of the file's."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise ConfigurationError(f"{what} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        pass  # it holds all of the file, and is therefore no cause of ours
    raise ConfigurationError(f"{what} is not UTF-8 text")


def read_profiles(path: Path) -> dict[str, dict[str, str]]:
    """The sections of a profile file. [DEFAULT] is a profile like any other: it is not merged into the rest."""
    import configparser

    parser = configparser.ConfigParser(default_section="\0", interpolation=None)
    text = text_in(path, str(path))
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as exc:
        fault = f"{path}, line {_line_of(exc)}: {_fault_of(exc)}"
    else:
        return {name: {key: value for key, value in parser.items(name) if value} for name in parser.sections()}
    # Out of reach of the parser's own error, which quotes the line, and that may hold a token.
    raise ConfigurationError(fault) from None


def _line_of(exc: configparser.Error) -> int | str:
    errors = getattr(exc, "errors", None)
    return errors[0][0] if errors else getattr(exc, "lineno", None) or "?"


def _fault_of(exc: configparser.Error) -> str:
    import configparser

    if isinstance(exc, configparser.MissingSectionHeaderError):
        return "a setting stands before the first [profile] line"
    if isinstance(exc, configparser.DuplicateSectionError):
        return f"profile [{exc.section}] stands there twice"
    if isinstance(exc, configparser.DuplicateOptionError):
        return f"{exc.option!r} is set twice in profile [{exc.section}]"
    return "expected 'name = value' or '[profile]'"
