"""Who asks: users, their roles, and the tokens they are known by, of which only SHA-256 digests are kept."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ._errors import not_permitted

Role = Literal["admin", "query", "read"]
ROLES = get_args(Role)
OWNER = "local-user"
"""The user whom a workspace's own token stands for."""
_CONTROL = "/api/"
_SECRETS = "/api/2.0/secrets/"
_ADMINS_ALONE = (f"{_SECRETS}scopes/create", "/api/fm/")
"""Where the texts of others can be read, and where there is nothing yet that a user could have a permission for."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A user and what their token allows: `read` endpoints, `query` them too, or all (`admin`)."""

    user: str = OWNER
    role: Role = "admin"
    member_of: tuple[str, ...] = ()
    """Groups, beside those that every workspace of the service has."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of the user."""
        return ("users", *(["admins"] if self.role == "admin" else []), *self.member_of)

    @property
    def principals(self) -> tuple[str, ...]:
        """Whom permissions may mean that are for this user."""
        names = (f"user_name:{self.user}", f"service_principal_name:{self.user}")
        return (*names, *(f"group_name:{group}" for group in self.groups))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the guard found out about a request."""

    request_id: str
    caller: Caller


class Callers:
    """The users of a workspace by their tokens."""

    def __init__(self, token: str) -> None:
        self._known = {digest_of(token): Caller()}

    def add(self, token: str, caller: Caller) -> None:
        """Let `token` stand for `caller`."""
        if caller.role not in ROLES:
            raise ValueError(f"role is one of {', '.join(ROLES)}, not {caller.role!r}")
        self._known = {**self._known, digest_of(token): caller}

    def of(self, token: str) -> Caller | None:
        """The user whose token it is; as many comparisons for a wrong token as for a right one."""
        given, found = digest_of(token), None
        for digest, caller in self._known.items():
            if hmac.compare_digest(given, digest):
                found = caller
        return found


def digest_of(token: str) -> bytes:
    """All that the server keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_role(caller: Caller, method: str, path: str) -> None:
    """403 for what is for admins alone. Of endpoints and secrets, what is allowed is known where they are."""
    if caller.role == "admin":
        return
    creates = method == "POST" and path.startswith(_CONTROL) and not path.startswith(_SECRETS)
    if creates or path.startswith(_ADMINS_ALONE):
        raise not_permitted(f"User {caller.user} has the role {caller.role}, which does not allow {method} here.")


def asked_by(scope: Any) -> Asked:
    """What the guard has put into an ASGI scope."""
    asked: Asked = scope["fm_workspace"]
    return asked
