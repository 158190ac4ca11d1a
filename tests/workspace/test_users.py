"""Users: what each role may do, and limits that count by user."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from workspace_api import CHAT, CONTROL, Api

Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
QUERY = f"/serving-endpoints/{CHAT}/invocations"
READ, ASK, WRITE, PRIVATE = "read", "ask", "write", "private"
REQUESTS = {
    READ: [("GET", CONTROL), ("GET", f"{CONTROL}/{CHAT}"), ("GET", f"{CONTROL}/{CHAT}/metrics")],
    ASK: [("POST", QUERY), ("POST", f"/serving-endpoints/{CHAT}/served-models/{CHAT}/invocations")],
    WRITE: [
        ("POST", CONTROL),
        ("DELETE", f"{CONTROL}/pt"),
        ("PUT", f"{CONTROL}/{CHAT}/ai-gateway"),
        ("PATCH", f"{CONTROL}/{CHAT}/tags"),
        ("PUT", "/api/2.0/permissions/serving-endpoints/x"),
        ("POST", "/api/2.0/secrets/scopes/create"),
    ],
    PRIVATE: [
        ("GET", "/api/2.0/secrets/get?scope=a&key=b"),
        ("GET", "/api/fm/usage"),
        ("GET", "/api/fm/audit"),
        ("GET", f"/api/fm/inference-tables/{CHAT}"),
    ],
}
ALLOWED = {"admin": {READ, ASK, WRITE, PRIVATE}, "query": {READ, ASK}, "read": {READ}}


def asked_as(api: Api, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, api.workspace.host + path, json=body, headers=headers, trust_env=False)


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("kind", REQUESTS)
def test_a_role_allows_what_it_says_and_refuses_the_rest_with_403(api: Api, role: Any, kind: str) -> None:
    token = api.workspace.issue_token(f"{role}@example.com", role)
    for method, path in REQUESTS[kind]:
        answer = asked_as(api, token, method, path, HELLO if kind == ASK else {})
        assert (answer.status_code == 403) is (kind not in ALLOWED[role]), (role, method, path, answer.text)
        if answer.status_code == 403:
            assert answer.json()["error_code"] == "PERMISSION_DENIED"
        if kind in (READ, ASK) and kind in ALLOWED[role]:
            assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/2.0/secrets/%67et?scope=s&key=k", "/api/2.0/./secrets/get?scope=s&key=k", "//api/fm/audit"]
)
def test_no_spelling_of_a_path_gets_past_a_role(api: Api, path: str) -> None:
    answer = asked_as(api, api.workspace.issue_token("ada", "read"), "GET", path)
    assert answer.status_code in (403, 404)


def test_an_unknown_role_is_refused(api: Api) -> None:
    with pytest.raises(ValueError, match="admin, query, read"):
        api.workspace.issue_token("ada", "owner")  # type: ignore[arg-type]


def test_only_digests_of_tokens_are_kept(api: Api) -> None:
    token = api.workspace.issue_token("ada")
    kept = vars(api.workspace._callers)
    assert token not in repr(kept)
    assert api.workspace.token not in repr(kept)


def test_a_limit_per_user_counts_each_users_own_queries(api: Api) -> None:
    limit = {"key": "user", "calls": 2, "renewal_period": "minute"}
    name = api.created("per-user", ai_gateway={"rate_limits": [limit]})
    path = f"/serving-endpoints/{name}/invocations"
    ada, bob = api.workspace.issue_token("ada"), api.workspace.issue_token("bob")
    assert [asked_as(api, ada, "POST", path, HELLO).status_code for _ in range(3)] == [200, 200, 429]
    assert [asked_as(api, bob, "POST", path, HELLO).status_code for _ in range(3)] == [200, 200, 429]
    refused = asked_as(api, bob, "POST", path, HELLO).json()
    assert refused["message"].endswith("Requests-per-minute (RPM) rate limit exceeded for user")


def test_a_limit_per_endpoint_counts_all_users_together(api: Api) -> None:
    limit = {"key": "endpoint", "calls": 2, "renewal_period": "minute"}
    name = api.created("for-all", ai_gateway={"rate_limits": [limit]})
    path = f"/serving-endpoints/{name}/invocations"
    tokens = [api.workspace.issue_token(user) for user in ("ada", "bob", "eve")]
    assert [asked_as(api, token, "POST", path, HELLO).status_code for token in tokens] == [200, 200, 429]


@pytest.mark.parametrize(
    ("limit", "statuses"),
    [
        ({"key": "user", "principal": "ada"}, {"ada": 429, "bob": 200}),
        ({"key": "service_principal", "principal": "bob"}, {"ada": 200, "bob": 429}),
        ({"key": "user_group", "principal": "users"}, {"ada": 429, "bob": 429}),
        ({"key": "user_group", "principal": "admins"}, {"ada": 200, "bob": 200}),
    ],
)
def test_a_limit_with_a_principal_is_one_for_that_principal(api: Api, limit: Any, statuses: Any) -> None:
    rate_limits = [{**limit, "calls": 0, "renewal_period": "minute"}]
    name = f"only-{limit['key'].replace('_', '-')}-{limit['principal']}"
    api.created(name, ai_gateway={"rate_limits": rate_limits})
    path = f"/serving-endpoints/{name}/invocations"
    found = {user: asked_as(api, api.workspace.issue_token(user), "POST", path, HELLO).status_code for user in statuses}
    assert found == statuses


def test_a_limit_for_a_group_or_a_principal_counts_their_queries_alone(api: Api) -> None:
    def limit(key: str, principal: str) -> dict[str, Any]:
        return {"key": key, "principal": principal, "calls": 2, "renewal_period": "minute"}

    limits = [limit("user_group", "admins"), limit("service_principal", "robot")]
    name = api.created("counted-apart", ai_gateway={"rate_limits": limits})
    path = f"/serving-endpoints/{name}/invocations"
    ada, robot = api.workspace.issue_token("ada"), api.workspace.issue_token("robot")
    assert [asked_as(api, ada, "POST", path, HELLO).status_code for _ in range(4)] == [200] * 4
    assert [asked_as(api, robot, "POST", path, HELLO).status_code for _ in range(3)] == [200, 200, 429]
    admins = [api.workspace.issue_token(user, "admin") for user in ("eve", "bob", "kim")]
    assert [asked_as(api, admin, "POST", path, HELLO).status_code for admin in admins] == [200, 200, 429]


def test_a_limit_that_names_a_user_comes_in_place_of_the_one_for_every_user(api: Api) -> None:
    every = {"key": "user", "calls": 1, "renewal_period": "minute"}
    name = api.created("with-exception", ai_gateway={"rate_limits": [every, {**every, "principal": "ada", "calls": 3}]})
    path = f"/serving-endpoints/{name}/invocations"
    ada, bob = api.workspace.issue_token("ada"), api.workspace.issue_token("bob")
    assert [asked_as(api, ada, "POST", path, HELLO).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [asked_as(api, bob, "POST", path, HELLO).status_code for _ in range(2)] == [200, 429]


def test_tokens_that_were_reserved_and_not_used_are_given_back(api: Api) -> None:
    limit = {"key": "endpoint", "tokens": 1_000, "renewal_period": "minute"}
    name = api.created("credited", ai_gateway={"rate_limits": [limit]})
    reserving = {**HELLO, "max_tokens": 900}
    assert [api.query(name, reserving).status_code for _ in range(3)] == [200] * 3
    api.stream(name, "Hello", max_tokens=800)
    assert api.query(name, {**HELLO, "max_tokens": 600}).status_code == 200
    assert api.query(name, {**HELLO, "max_tokens": 1_000}).status_code == 429


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [json.loads(record.message) for record in caplog.records if record.name == "fm_workspace.audit"]


def test_every_write_to_the_management_api_leaves_a_line_without_values(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fm_workspace.audit")
    api = start()
    api.post("/api/2.0/secrets/scopes/create", {"scope": "prod"})
    api.post("/api/2.0/secrets/put", {"scope": "prod", "key": "key", "string_value": "canary-for-tests"})
    api.created("pt")
    api.tag("pt", team="canary-for-tests")
    api.http.get(f"{CONTROL}/pt")
    api.query("pt", HELLO)
    ada = api.workspace.issue_token("ada", "read")
    refused = asked_as(api, ada, "DELETE", f"{CONTROL}/pt")
    lines = audit_lines(caplog)
    assert [(line["user"], line["method"], line["path"], line["status_code"]) for line in lines] == [
        ("local-user", "POST", "/api/2.0/secrets/scopes/create", 200),
        ("local-user", "POST", "/api/2.0/secrets/put", 200),
        ("local-user", "POST", CONTROL, 200),
        ("local-user", "PATCH", f"{CONTROL}/pt/tags", 200),
        ("ada", "DELETE", f"{CONTROL}/pt", 403),
    ]
    assert lines[-1]["request_id"] == refused.headers["x-request-id"]
    assert "canary-for-tests" not in caplog.text
    kept = [{"event": "audit", **row} for row in api.workspace.audit()]
    assert kept == lines
    assert api.http.get("/api/fm/audit").json()["rows"] == api.workspace.audit()


@pytest.mark.parametrize("smuggled", ["%0AFAKE LINE", "%1b[2J", "%E2%80%A8FAKE", "%7f", "%c2%85FAKE"])
def test_no_request_can_write_a_log_line_of_its_own(
    start: Start, caplog: pytest.LogCaptureFixture, smuggled: str
) -> None:
    caplog.set_level(logging.INFO)
    api = start()
    api.http.delete(f"{CONTROL}/x{smuggled}")
    (record,) = [record for record in caplog.records if record.name == "fm_workspace.audit"]
    assert record.message.isascii()
    assert record.message.isprintable()
    assert "FAKE" not in smuggled or len(record.message.splitlines()) == 1


def test_a_fault_of_ours_is_a_500_and_one_line_without_texts_of_the_request(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def answer(self, query: Any) -> Any:
            raise RuntimeError(f"cannot answer\n{query.body}")

        async def aclose(self) -> None: ...

    api = start(engine=Broken())
    answer = api.query(CHAT, {"messages": [{"role": "user", "content": "canary-for-tests"}]})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    line = json.loads(record.message)
    assert (line["error"], line["request_id"]) == ("RuntimeError", answer.headers["x-request-id"])
    assert "canary-for-tests" not in caplog.text + answer.text
