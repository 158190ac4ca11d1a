"""Permissions of endpoints: who may see, query and manage which; without any, the role of a token decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from workspace_api import CHAT, CONTROL, Api, external, provisioned

Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
PERMISSIONS = "/api/2.0/permissions/serving-endpoints"
LEVELS = ("CAN_VIEW", "CAN_QUERY", "CAN_MANAGE")


class As:
    """Requests of another user."""

    def __init__(self, api: Api, user: str, role: Any = "query", groups: Any = ()) -> None:
        self._http = api.http
        self._headers = {"Authorization": f"Bearer {api.workspace.issue_token(user, role, groups)}"}

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._http.request(method, path, json=body, headers=self._headers)

    def may(self, name: str, identity: str) -> set[str]:
        """What it is let do; nothing is changed by it."""
        tried = {
            "CAN_VIEW": self("GET", f"{CONTROL}/{name}"),
            "CAN_QUERY": self("POST", f"/serving-endpoints/{name}/invocations", HELLO),
            "CAN_MANAGE": self("PATCH", f"{CONTROL}/{name}/tags", {}),
        }
        same = {
            "CAN_VIEW": self("GET", f"{PERMISSIONS}/{identity}"),
            "CAN_QUERY": self("POST", "/serving-endpoints/chat/completions", {**HELLO, "model": name}),
            "CAN_MANAGE": self("PATCH", f"{PERMISSIONS}/{identity}", {}),
        }
        allowed = {level for level, answer in tried.items() if answer.status_code == 200}
        assert allowed == {level for level, answer in same.items() if answer.status_code == 200}
        refused = [answer for answer in (*tried.values(), *same.values()) if answer.status_code != 200]
        assert all((one.status_code, one.json()["error_code"]) == (403, "PERMISSION_DENIED") for one in refused)
        return allowed


def endpoint(api: Api, name: str, **grants: str) -> str:
    """The id of a new endpoint with permissions, as `user_name="ada:CAN_QUERY"`."""
    api.created(name)
    identity: str = api.get(name)["id"]
    entries = [
        {principal: given.rpartition(":")[0], "permission_level": given.rpartition(":")[2]}
        for principal, given in grants.items()
    ]
    assert api.http.put(f"{PERMISSIONS}/{identity}", json={"access_control_list": entries}).status_code == 200
    return identity


def up_to(level: str | None) -> set[str]:
    return set(LEVELS[: LEVELS.index(level) + 1]) if level else set()


@pytest.mark.parametrize("role", ["query", "read"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("principal", ["user_name", "service_principal_name", "group_name"])
def test_a_grant_decides_in_place_of_the_role(api: Api, role: str, level: str, principal: str) -> None:
    name = f"granted-{role}-{level}-{principal}"
    who = "team" if principal == "group_name" else "ada"
    identity = endpoint(api, name, **{principal: f"{who}:{level}"})
    assert As(api, "ada", role, ["team"]).may(name, identity) == up_to(level)
    assert As(api, "bob", role).may(name, identity) == set()


@pytest.mark.parametrize(("role", "level"), [("read", "CAN_VIEW"), ("query", "CAN_QUERY"), ("admin", "CAN_MANAGE")])
def test_without_permissions_the_role_decides_and_so_it_does_once_they_are_gone(
    api: Api, role: str, level: str
) -> None:
    name = f"open-{role}"
    identity = endpoint(api, name)
    eve = As(api, "eve", role)
    assert eve.may(name, identity) == up_to(level)
    only_ada = {"access_control_list": [{"user_name": "ada", "permission_level": "CAN_QUERY"}]}
    api.http.put(f"{PERMISSIONS}/{identity}", json=only_ada)
    assert eve.may(name, identity) == (up_to(level) if role == "admin" else set())
    api.http.put(f"{PERMISSIONS}/{identity}", json={"access_control_list": []})
    assert eve.may(name, identity) == up_to(level)


def test_the_strongest_of_several_grants_counts(api: Api) -> None:
    identity = endpoint(api, "several", user_name="ada:CAN_VIEW", group_name="users:CAN_QUERY")
    assert As(api, "ada").may("several", identity) == up_to("CAN_QUERY")


def test_who_may_not_see_an_endpoint_does_not_find_it_in_the_list(api: Api) -> None:
    endpoint(api, "secretive", user_name="ada:CAN_VIEW")
    seen = {
        user: [each["name"] for each in As(api, user)("GET", CONTROL).json()["endpoints"]] for user in ("ada", "bob")
    }
    assert ("secretive" in seen["ada"], "secretive" in seen["bob"]) == (True, False)
    assert CHAT in seen["bob"]


def test_an_answer_says_what_the_one_who_asks_may_do(api: Api) -> None:
    endpoint(api, "told", user_name="ada:CAN_MANAGE", group_name="users:CAN_VIEW")
    found = {user: As(api, user)("GET", f"{CONTROL}/told").json()["permission_level"] for user in ("ada", "bob")}
    assert found == {"ada": "CAN_MANAGE", "bob": "CAN_VIEW"}
    assert api.get("told")["permission_level"] == "CAN_MANAGE"
    assert api.get(CHAT)["permission_level"] == "CAN_QUERY"
    assert As(api, "bob", "read")("GET", f"{CONTROL}/{CHAT}").json()["permission_level"] == "CAN_VIEW"


def test_who_can_manage_an_endpoint_updates_scales_and_deletes_it(api: Api) -> None:
    endpoint(api, "managed", user_name="ada:CAN_MANAGE")
    ada, config = As(api, "ada"), {"served_entities": [provisioned(version="2")]}
    assert ada("PUT", f"{CONTROL}/managed/config", config).status_code == 200
    assert ada("PUT", f"{CONTROL}/managed/ai-gateway", {}).status_code == 200
    assert ada("DELETE", f"{CONTROL}/managed").status_code == 200
    assert ada("POST", CONTROL, {"name": "managed", "config": config}).status_code == 403
    assert api.http.get(f"{CONTROL}/managed").status_code == 404


def test_only_admins_say_where_credentials_go(api: Api) -> None:
    """Who can manage an endpoint does not see its key, and could have it sent to a server of their own."""
    theirs, mine = external("https://api.example.com", "canary-for-tests"), "http://127.0.0.1:9"
    api.created("provided", theirs)
    grant = {"access_control_list": [{"user_name": "ada", "permission_level": "CAN_MANAGE"}]}
    api.http.put(f"{PERMISSIONS}/{api.get('provided')['id']}", json=grant)
    ada = As(api, "ada")
    stolen = external(mine, "", name="x")
    stolen["external_model"]["openai_config"] = {"openai_api_key": "{{secrets/prod/key}}", "openai_api_base": mine}
    assert ada("PUT", f"{CONTROL}/provided/config", {"served_entities": [stolen]}).status_code == 403
    endpoint(api, "slow", user_name="ada:CAN_MANAGE")
    assert ada("PUT", f"{CONTROL}/pt/slow/config", {"config": {"served_entities": [stolen]}}).status_code == 403
    assert ada("PUT", f"{CONTROL}/provided/ai-gateway", {}).status_code == 200


def test_who_made_an_endpoint_is_named_and_can_manage_it(start: Start) -> None:
    api = start()
    admin, later = As(api, "ada", "admin"), As(api, "ada", "read")
    made = admin("POST", CONTROL, {"name": "mine", "config": {"served_entities": [provisioned()]}}).json()
    assert made["creator"] == "ada"
    entity = api.get("mine")["config"]["served_entities"][0]
    assert entity["creator"] == "ada"
    api.http.patch(
        f"{PERMISSIONS}/{made['id']}",
        json={"access_control_list": [{"user_name": "bob", "permission_level": "CAN_QUERY"}]},
    )
    assert later.may("mine", made["id"]) == up_to("CAN_MANAGE")


def test_permissions_survive_a_restart(start: Start, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_WORKSPACE_HOME", str(tmp_path / "home"))
    first = start(state=tmp_path / "state.db")
    identity = endpoint(first, "kept", user_name="ada:CAN_QUERY")
    first.workspace.stop()
    second = start(state=tmp_path / "state.db")
    assert As(second, "ada").may("kept", identity) == up_to("CAN_QUERY")
    assert As(second, "bob").may("kept", identity) == set()


def test_a_role_is_no_way_to_learn_which_endpoints_there_are(api: Api) -> None:
    endpoint(api, "hidden", user_name="ada:CAN_QUERY")
    read = As(api, "bob", "read")
    for name in ("hidden", "no-such-endpoint"):
        assert read("POST", f"/serving-endpoints/{name}/invocations", HELLO).status_code == 403
        assert read("DELETE", f"{CONTROL}/{name}").status_code == 403


def test_every_write_to_the_management_api_is_refused_to_a_reader(api: Api) -> None:
    name, read = api.created("read-only"), As(api, "bob", "read")
    paths = api.http.get("/openapi.json").json()["paths"]
    writes = [(method, path) for path, methods in paths.items() for method in methods if method != "get"]
    assert len(writes) > 15
    api.post("/api/2.0/secrets/scopes/create", {"scope": "s"})
    bodies = {
        "scopes/delete": {"scope": "s"},
        "secrets/put": {"scope": "s", "key": "k", "string_value": "v"},
        "secrets/delete": {"scope": "s", "key": "k"},
        "acls/put": {"scope": "s", "principal": "bob", "permission": "MANAGE"},
        "acls/delete": {"scope": "s", "principal": "local-user"},
    }
    for method, path in writes:
        filled = path.format(name=name, served="my_llama-1", identity=api.get(name)["id"], model="m", version="1")
        body = next((body for end, body in bodies.items() if path.endswith(end)), {**HELLO, "model": name})
        assert read(method.upper(), filled, body).status_code == 403, (method, path)
