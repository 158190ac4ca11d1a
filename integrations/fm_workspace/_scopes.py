"""Secret scopes: named values that external models refer to as `{{secrets/scope/key}}`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Literal

from ._callers import Caller
from ._database import Database
from ._errors import ServiceError, invalid_parameter, not_permitted
from ._vault import Vault

MAX_NAME_CHARS = 128
MAX_VALUE_BYTES = 128 * 1024
MAX_SECRETS = 1_000
"""Of one scope. All three limits are the service's documented ones."""
_NAME = re.compile(r"[A-Za-z0-9_.@-]+")
Permission = Literal["READ", "WRITE", "MANAGE"]
PERMISSIONS: tuple[Permission, ...] = ("READ", "WRITE", "MANAGE")
"""Of a user or a group for a scope; each includes those before it."""


class Scopes:
    """Scopes and their secrets. Values are sealed by `vault` before they are kept."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], float]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    def names(self) -> list[str]:
        """The names of all scopes."""
        return [name for (name,) in self._database.rows("SELECT name FROM scopes ORDER BY name")]

    def allows(self, scope: str, caller: Caller, needed: Permission) -> bool:
        """Whether `caller` has at least the permission `needed`. Admins have them all."""
        if caller.role == "admin":
            return True
        acls = dict(self._rows_of(scope))
        granted = [PERMISSIONS.index(acls[name]) for name in (caller.user, *caller.groups) if name in acls]
        return max(granted, default=-1) >= PERMISSIONS.index(needed)

    def check(self, scope: str, caller: Caller, needed: Permission) -> None:
        """403 unless `caller` has at least the permission `needed`."""
        if not self.allows(scope, caller, needed):
            raise not_permitted(f"User {caller.user} does not have {needed} permission on scope {scope[:80]}.")

    def acls(self, scope: str) -> list[tuple[str, Permission]]:
        """Who may do what with a scope, by principal."""
        self._check_scope(scope)
        return self._rows_of(scope)

    def grant(self, scope: str, principal: str, permission: Permission) -> None:
        """Give a user or a group a permission, in place of its former one."""
        self._check_scope(scope)
        self._database.run("INSERT OR REPLACE INTO acls VALUES (?, ?, ?)", (scope, principal, permission))

    def revoke(self, scope: str, principal: str) -> None:
        """Take the permission of a user or a group away."""
        if principal not in dict(self.acls(scope)):
            raise no_acl(scope, principal)
        self._database.run("DELETE FROM acls WHERE scope = ? AND principal = ?", (scope, principal))

    def _rows_of(self, scope: str) -> list[tuple[str, Permission]]:
        if not _NAME.fullmatch(scope):
            return []  # SQLite takes no text with half a surrogate pair in it
        found = self._database.rows("SELECT principal, permission FROM acls WHERE scope = ? ORDER BY 1", scope)
        return [(principal, permission) for principal, permission in found]

    def create(self, scope: str, manager: str) -> None:
        """A new scope, which `manager` can manage."""
        _check_name(scope, "Scope name")
        if scope in self.names():
            raise ServiceError(400, "RESOURCE_ALREADY_EXISTS", f"Scope {scope} already exists!")
        self._database.run("INSERT INTO scopes VALUES (?)", (scope,))
        self.grant(scope, manager, "MANAGE")

    def delete(self, scope: str) -> None:
        """Delete a scope with all of its secrets."""
        self._check_scope(scope)
        self._database.run("DELETE FROM scopes WHERE name = ?", (scope,))

    def keys(self, scope: str) -> list[tuple[str, int]]:
        """The key of each secret, and when it was last written (Unix milliseconds)."""
        self._check_scope(scope)
        found = self._database.rows("SELECT key, updated FROM secrets WHERE scope = ? ORDER BY key", scope)
        return [(key, updated) for key, updated in found]

    def put(self, scope: str, key: str, value: bytes) -> None:
        """Keep a secret, in place of its former value."""
        _check_name(key, "Secret key")
        if len(value) > MAX_VALUE_BYTES:
            raise invalid_parameter(f"The secret is larger than {MAX_VALUE_BYTES} bytes.")
        known = {name for name, _ in self.keys(scope)}
        if key not in known and len(known) >= MAX_SECRETS:
            raise ServiceError(400, "RESOURCE_LIMIT_EXCEEDED", f"Scope {scope} holds {MAX_SECRETS} secrets already.")
        sealed = self._vault.seal(base64.b64encode(value).decode(), _context(scope, key))
        row = (scope, key, sealed, int(self._clock() * 1000))
        self._database.run("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?, ?)", row)

    def remove(self, scope: str, key: str) -> None:
        """Delete a secret."""
        if key not in {name for name, _ in self.keys(scope)}:
            raise _no_secret(scope, key)
        self._database.run("DELETE FROM secrets WHERE scope = ? AND key = ?", (scope, key))

    def get(self, scope: str, key: str) -> bytes:
        """The value of a secret."""
        self._check_scope(scope)
        if (value := self.find(scope, key)) is None:
            raise _no_secret(scope, key)
        return value

    def find(self, scope: str, key: str) -> bytes | None:
        """The value of a secret, None if there is none."""
        if not (_NAME.fullmatch(scope) and _NAME.fullmatch(key)):
            return None  # SQLite takes no text with half a surrogate pair in it
        found = self._database.rows("SELECT value FROM secrets WHERE scope = ? AND key = ?", scope, key)
        return base64.b64decode(self._vault.open(found[0][0], _context(scope, key))) if found else None

    def _check_scope(self, scope: str) -> None:
        if scope not in self.names():
            raise _no_scope(scope)


def decoded(string: str | None, base64_text: str | None) -> bytes:
    """The value of a request that gives it as text or as base64; 400 unless it is one of the two."""
    if (string is None) == (base64_text is None):
        raise invalid_parameter("Exactly one of string_value and bytes_value is needed.")
    if string is not None:
        return string.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(base64_text or "", validate=True)
    except (binascii.Error, ValueError):
        raise invalid_parameter("bytes_value must be base64.") from None


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        raise invalid_parameter(
            f"{what} {name[:80]!r} is not valid: at most {MAX_NAME_CHARS} letters, digits, -, _, @ and periods."
        )


def _no_scope(scope: str) -> ServiceError:
    return ServiceError(404, "RESOURCE_DOES_NOT_EXIST", f"Scope {scope} does not exist!")


def no_acl(scope: str, principal: str) -> ServiceError:
    """404 for a principal that has no permission for a scope."""
    return ServiceError(404, "RESOURCE_DOES_NOT_EXIST", f"No ACL exists with scope: {scope} and principal: {principal}")


def _no_secret(scope: str, key: str) -> ServiceError:
    return ServiceError(404, "RESOURCE_DOES_NOT_EXIST", f"No secret exists with scope: {scope} and key: {key}")


def _context(scope: str, key: str) -> str:
    return f"secret/{scope}/{key}"
