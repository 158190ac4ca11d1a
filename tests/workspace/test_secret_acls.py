"""Access lists of secret scopes: who may read, write and manage which."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from workspace_api import Api

Start = Callable[..., Api]
SECRETS = "/api/2.0/secrets"
PERMISSIONS = ("READ", "WRITE", "MANAGE")
FORBIDDEN = (403, "PERMISSION_DENIED")


@pytest.fixture
def api(start: Start) -> Api:
    found = start()
    found.post(f"{SECRETS}/scopes/create", {"scope": "prod"})
    found.post(f"{SECRETS}/put", {"scope": "prod", "key": "key", "string_value": "value"})
    return found


class As:
    """Requests of another user."""

    def __init__(self, api: Api, user: str, groups: Any = ()) -> None:
        self._http = api.http
        self._headers = {"Authorization": f"Bearer {api.workspace.issue_token(user, 'read', groups)}"}

    def get(self, path: str) -> httpx.Response:
        return self._http.get(f"{SECRETS}/{path}", headers=self._headers)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self._http.post(f"{SECRETS}/{path}", json=body, headers=self._headers)

    def may(self) -> set[str]:
        """What it is let do with the scope, which is the same afterwards."""
        tried = {
            "READ": [self.get("list?scope=prod"), self.get("get?scope=prod&key=key")],
            "WRITE": [
                self.post("put", {"scope": "prod", "key": "new", "string_value": "value"}),
                self.post("delete", {"scope": "prod", "key": "new"}),
            ],
            "MANAGE": [
                self.get("acls/list?scope=prod"),
                self.post("acls/put", {"scope": "prod", "principal": "kim", "permission": "READ"}),
                self.get("acls/get?scope=prod&principal=kim"),
                self.post("acls/delete", {"scope": "prod", "principal": "kim"}),
            ],
        }
        for answers in tried.values():
            assert len({answer.status_code for answer in answers}) == 1
            refused = [answer for answer in answers if answer.status_code != 200]
            assert all((answer.status_code, answer.json()["error_code"]) == FORBIDDEN for answer in refused)
        return {permission for permission, answers in tried.items() if answers[0].status_code == 200}

    def scopes(self) -> list[str]:
        return [scope["name"] for scope in self.get("scopes/list").json()["scopes"]]


def grant(api: Api, principal: str, permission: str) -> None:
    answer = api.post(f"{SECRETS}/acls/put", {"scope": "prod", "principal": principal, "permission": permission})
    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize("permission", PERMISSIONS)
@pytest.mark.parametrize("principal", ["ada@example.com", "team one", "users"])
def test_a_permission_includes_the_weaker_ones(api: Api, principal: str, permission: str) -> None:
    ada = As(api, "ada@example.com", ["team one"])
    assert (ada.may(), ada.scopes()) == (set(), [])
    grant(api, principal, permission)
    assert ada.may() == set(PERMISSIONS[: PERMISSIONS.index(permission) + 1])
    assert ada.scopes() == ["prod"]
    assert As(api, "bob").may() == (ada.may() if principal == "users" else set())
    assert ada.post("scopes/create", {"scope": "mine"}).status_code == 403
    assert ada.post("scopes/delete", {"scope": "prod"}).status_code == (200 if permission == "MANAGE" else 403)


def test_a_reader_gets_the_value(api: Api) -> None:
    grant(api, "ada", "READ")
    found = As(api, "ada").get("get?scope=prod&key=key").json()
    assert base64.b64decode(found["value"]) == b"value"


def test_permissions_are_listed_replaced_and_taken_away(api: Api) -> None:
    grant(api, "ada", "READ")
    grant(api, "ada", "WRITE")
    items = api.http.get(f"{SECRETS}/acls/list?scope=prod").json()["items"]
    assert items == [
        {"principal": "ada", "permission": "WRITE"},
        {"principal": "local-user", "permission": "MANAGE"},
    ]
    one = api.http.get(f"{SECRETS}/acls/get?scope=prod&principal=ada").json()
    assert one == {"principal": "ada", "permission": "WRITE"}
    assert api.post(f"{SECRETS}/acls/delete", {"scope": "prod", "principal": "ada"}).json() == {}
    assert As(api, "ada").may() == set()


def test_the_first_manager_can_be_all_users(api: Api) -> None:
    api.post(f"{SECRETS}/scopes/create", {"scope": "open", "initial_manage_principal": "users"})
    items = api.http.get(f"{SECRETS}/acls/list?scope=open").json()["items"]
    assert items == [{"principal": "users", "permission": "MANAGE"}]
    assert As(api, "anybody").scopes() == ["open"]


def test_a_scope_that_was_deleted_and_made_again_starts_without_permissions(api: Api) -> None:
    grant(api, "ada", "MANAGE")
    api.post(f"{SECRETS}/scopes/delete", {"scope": "prod"})
    api.post(f"{SECRETS}/scopes/create", {"scope": "prod"})
    assert As(api, "ada").may() == set()


def test_permissions_survive_a_restart(start: Start, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_WORKSPACE_HOME", str(tmp_path / "home"))
    first = start(state=tmp_path / "state.db")
    first.post(f"{SECRETS}/scopes/create", {"scope": "prod"})
    first.post(f"{SECRETS}/put", {"scope": "prod", "key": "key", "string_value": "value"})
    grant(first, "ada", "READ")
    first.workspace.stop()
    assert As(start(state=tmp_path / "state.db"), "ada").may() == {"READ"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("acls/put", {"scope": "prod", "principal": "ada", "permission": "OWN"}, 400),
        ("acls/put", {"scope": "prod", "principal": "", "permission": "READ"}, 400),
        ("acls/put", {"scope": "prod", "principal": "a\nb", "permission": "READ"}, 400),
        ("acls/put", {"scope": "prod", "principal": "ada"}, 400),
        ("acls/put", {"scope": "nobody", "principal": "ada", "permission": "READ"}, 404),
        ("acls/delete", {"scope": "prod", "principal": "nobody"}, 404),
        ("acls/delete", {"scope": "nobody", "principal": "ada"}, 404),
        ("scopes/create", {"scope": "new", "initial_manage_principal": "ada"}, 400),
        ("acls/get?scope=prod&principal=nobody", None, 404),
        ("acls/get?scope=nobody&principal=ada", None, 404),
        ("acls/list?scope=nobody", None, 404),
        ("acls/list", None, 400),
    ],
)
def test_what_makes_no_sense_is_refused(api: Api, path: str, body: Any, status: int) -> None:
    answer = api.post(f"{SECRETS}/{path}", body) if body else api.http.get(f"{SECRETS}/{path}")
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
