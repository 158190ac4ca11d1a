"""Secret scopes: kept, resolved, encrypted where they are written down, and shown to nobody who lists them."""

from __future__ import annotations

import base64
import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from workspace_api import CHAT, CONTROL, Api, external

from fm_workspace import Workspace
from fm_workspace._vault import Encrypted, kept

Start = Callable[..., Api]
SECRETS = "/api/2.0/secrets"
CANARY = "canary-for-tests-7f3a"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installation of the test's own."""
    monkeypatch.setenv("FM_WORKSPACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def put(api: Api, scope: str, key: str, value: str = CANARY) -> None:
    api.post(f"{SECRETS}/scopes/create", {"scope": scope})
    answer = api.post(f"{SECRETS}/put", {"scope": scope, "key": key, "string_value": value})
    assert (answer.status_code, answer.json()) == (200, {})


def listed(api: Api, scope: str) -> list[str]:
    answer = api.http.get(f"{SECRETS}/list", params={"scope": scope})
    assert answer.status_code == 200, answer.text
    return [secret["key"] for secret in answer.json()["secrets"]]


def test_scopes_and_secrets_are_created_listed_and_deleted(start: Start) -> None:
    api = start()
    put(api, "prod", "b")
    put(api, "prod", "a")
    put(api, "dev", "a")
    scopes = api.http.get(f"{SECRETS}/scopes/list").json()["scopes"]
    assert scopes == [{"name": name, "backend_type": "DATABRICKS"} for name in ("dev", "prod")]
    assert listed(api, "prod") == ["a", "b"]
    assert api.post(f"{SECRETS}/delete", {"scope": "prod", "key": "a"}).json() == {}
    assert listed(api, "prod") == ["b"]
    assert api.post(f"{SECRETS}/scopes/delete", {"scope": "prod"}).json() == {}
    assert api.http.get(f"{SECRETS}/list", params={"scope": "prod"}).status_code == 404
    assert listed(api, "dev") == ["a"]


def test_a_secret_has_the_time_of_its_last_write(start: Start, clock: Any) -> None:
    api = start(clock=clock)
    put(api, "prod", "key")
    clock.now += 5
    put(api, "prod", "key")
    (secret,) = api.http.get(f"{SECRETS}/list", params={"scope": "prod"}).json()["secrets"]
    assert secret == {"key": "key", "last_updated_timestamp": 1_700_000_005_000}


@pytest.mark.parametrize("value", ["", "plain", "ünï\n\x00", "x" * 128 * 1024], ids=["empty", "plain", "odd", "128kB"])
def test_get_gives_the_bytes_as_base64(start: Start, value: str) -> None:
    api = start()
    put(api, "prod", "key", value)
    answer = api.http.get(f"{SECRETS}/get", params={"scope": "prod", "key": "key"}).json()
    assert (answer["key"], base64.b64decode(answer["value"])) == ("key", value.encode())


def test_bytes_are_kept_as_they_are(start: Start) -> None:
    api = start()
    raw = bytes(range(256))
    api.post(f"{SECRETS}/scopes/create", {"scope": "prod"})
    api.post(f"{SECRETS}/put", {"scope": "prod", "key": "key", "bytes_value": base64.b64encode(raw).decode()})
    answer = api.http.get(f"{SECRETS}/get", params={"scope": "prod", "key": "key"}).json()
    assert base64.b64decode(answer["value"]) == raw


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("scopes/create", {"scope": "there"}, 400, "RESOURCE_ALREADY_EXISTS"),
        ("scopes/create", {"scope": "a b"}, 400, "INVALID_PARAMETER_VALUE"),
        ("scopes/create", {"scope": "x" * 129}, 400, "INVALID_PARAMETER_VALUE"),
        ("scopes/create", {"scope": "a", "colour": "red"}, 400, "INVALID_PARAMETER_VALUE"),
        ("scopes/create", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("scopes/delete", {"scope": "nobody"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("put", {"scope": "nobody", "key": "k", "string_value": "v"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("put", {"scope": "there", "key": "../k", "string_value": "v"}, 400, "INVALID_PARAMETER_VALUE"),
        ("put", {"scope": "there", "key": "k"}, 400, "INVALID_PARAMETER_VALUE"),
        ("put", {"scope": "there", "key": "k", "string_value": "v", "bytes_value": "dg=="}, 400, None),
        ("put", {"scope": "there", "key": "k", "bytes_value": "%%"}, 400, "INVALID_PARAMETER_VALUE"),
        ("put", {"scope": "there", "key": "k", "string_value": "x" * 131_073}, 400, "INVALID_PARAMETER_VALUE"),
        ("delete", {"scope": "there", "key": "nobody"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("delete", {"scope": "there", "key": "\ud800"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("delete", {"scope": "\ud800", "key": "k"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("scopes/delete", {"scope": "\ud800"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("put", {"scope": "\ud800", "key": "k", "string_value": "v"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_what_makes_no_sense_is_refused(start: Start, path: str, body: Any, status: int, code: str | None) -> None:
    api = start()
    api.post(f"{SECRETS}/scopes/create", {"scope": "there"})
    content = json.dumps(body).encode()  # also what httpx could not encode
    answer = api.http.post(f"{SECRETS}/{path}", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error_code"] == (code or "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("path", ["get?scope=there&key=nobody", "get?scope=nobody&key=k", "list?scope=nobody"])
def test_what_is_not_there_is_a_404(start: Start, path: str) -> None:
    api = start()
    api.post(f"{SECRETS}/scopes/create", {"scope": "there"})
    answer = api.http.get(f"{SECRETS}/{path}")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def referring(host: str, scope: str = "prod") -> dict[str, Any]:
    entity = external(host, "")
    config = entity["external_model"]["openai_config"]
    del config["openai_api_key_plaintext"]
    config["openai_api_key"] = f"{{{{secrets/{scope}/key}}}}"
    return entity


def test_a_reference_is_resolved_from_its_scope_before_the_environment(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, api = start(), start()
    monkeypatch.setenv("FM_SECRET_PROD_KEY", "a-wrong-token")
    api.created("ext", referring(provider.workspace.host))
    assert api.query("ext", {"messages": [{"role": "user", "content": "Hi"}]}).status_code == 401
    put(api, "prod", "key", provider.workspace.token)
    assert api.text("ext", "Hello")
    api.post(f"{SECRETS}/delete", {"scope": "prod", "key": "key"})
    assert api.query("ext", {"messages": [{"role": "user", "content": "Hi"}]}).status_code == 401


def test_a_key_with_a_line_break_is_said_to_be_one_and_not_shown(start: Start) -> None:
    api = start()
    api.created("ext", referring("http://127.0.0.1:9"))
    put(api, "prod", "key", "canary-for-tests\n")
    answer = api.query("ext", {"messages": [{"role": "user", "content": "Hi"}]})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "openai cannot be asked" in answer.json()["message"]
    assert "canary-for-tests" not in answer.text


def test_secrets_and_literal_keys_survive_a_restart_and_still_work(start: Start, tmp_path: Path) -> None:
    provider, file = start(), tmp_path / "state.db"
    first = start(state=file)
    put(first, "prod", "key", provider.workspace.token)
    first.created("by-reference", referring(provider.workspace.host))
    first.created("by-literal", external(provider.workspace.host, provider.workspace.token))
    first.workspace.stop()
    second = start(state=file)
    assert second.text("by-reference", "Hello") == second.text("by-literal", "Hello")


def test_no_secret_stands_in_any_file(start: Start, tmp_path: Path, home: Path) -> None:
    """While it runs, with the write-ahead log full; after secrets were replaced and deleted; and after it has ended."""
    file = tmp_path / "state.db"
    api = start(state=file)
    put(api, "prod", "key")
    put(api, "prod", "key", f"{CANARY}-new")
    api.created("ext", external("https://example.com", CANARY))
    assert (tmp_path / "state.db-wal").stat().st_size > 0
    assert leaks(tmp_path) == []
    api.post(f"{SECRETS}/scopes/delete", {"scope": "prod"})
    api.http.delete(f"{CONTROL}/ext")
    api.workspace.stop()
    assert leaks(tmp_path) == []
    assert b"sealed:v1:" not in file.read_bytes(), "secure_delete overwrites what was deleted"
    assert len((home / "key").read_bytes()) == 32


def leaks(folder: Path) -> list[str]:
    """The files that hold a canary, in the open or as base64."""
    marks = [CANARY.encode(), base64.b64encode(CANARY.encode())[:-4]]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(mark in path.read_bytes() for mark in marks)]


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_state_log_and_key_are_their_owners_alone(start: Start, tmp_path: Path, home: Path) -> None:
    file = tmp_path / "state.db"
    file.touch(mode=0o644)
    put(start(state=file), "prod", "key")
    paths = [file, tmp_path / "state.db-wal", home / "key"]
    assert sorted(tmp_path.glob("state.db*")) == sorted(paths[:2])
    assert [stat.filemode(path.stat().st_mode) for path in paths] == ["-rw-------"] * 3
    assert stat.filemode(home.stat().st_mode) == "drwx------"


def test_no_secret_is_shown_by_any_answer_or_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api = start()
    put(api, "prod", "key")
    api.created("ext", external("https://example.com", CANARY))
    paths = [
        f"{SECRETS}/scopes/list",
        f"{SECRETS}/list?scope=prod",
        CONTROL,
        f"{CONTROL}/ext",
        f"{CONTROL}/ext/openapi",
    ]
    answers = [api.http.get(path) for path in [*paths, "/api/fm/audit", "/api/fm/usage"]]
    answers.append(api.post(f"{SECRETS}/put", {"scope": "prod", "key": "a b", "string_value": CANARY}))
    answers.append(api.query("ext", {"messages": [{"role": "user", "content": "Hi"}], "colour": "red"}))
    assert [answer.url for answer in answers if CANARY in answer.text] == []
    assert CANARY not in caplog.text + repr(api.workspace) + str(vars(api.workspace))


def test_every_installation_has_a_key_of_its_own(tmp_path: Path) -> None:
    one, other = Encrypted(tmp_path / "one"), Encrypted(tmp_path / "other")
    sealed = one.seal("text", "name")
    assert one.open(sealed, "name") == Encrypted(tmp_path / "one").open(sealed, "name") == "text"
    assert one.seal("text", "name") != sealed
    with pytest.raises(ValueError, match="another key"):
        other.open(sealed, "name")
    with pytest.raises(ValueError, match="another key"):
        one.open(sealed, "another name")
    assert (tmp_path / "one" / "key").read_bytes() != (tmp_path / "other" / "key").read_bytes()


def test_a_state_file_without_its_key_is_refused_with_the_cure(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.db"
    first = start(state=file)
    first.created("ext", external("https://example.com", CANARY))
    first.workspace.stop()
    monkeypatch.setenv("FM_WORKSPACE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="FM_WORKSPACE_HOME"):
        Workspace.start(state=file)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x" * 32)
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        kept(tmp_path / "key", lambda: b"")


def test_literals_of_an_older_state_file_are_encrypted_when_it_is_opened(start: Start, tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "state.db"
    first = start(state=file)
    first.created("ext", external("https://example.com", "x"))
    first.workspace.stop()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (text,) = connection.execute("SELECT document FROM endpoints WHERE name = 'ext'").fetchone()
        at = text.index("sealed:v1:")
        old = text[:at] + CANARY + text[text.index('"', at) :]
        connection.execute("UPDATE endpoints SET document = ? WHERE name = 'ext'", (old,))
    connection.close()
    assert leaks(tmp_path) == ["state.db"]
    start(state=file).workspace.stop()
    assert leaks(tmp_path) == []


def test_without_a_state_file_nothing_is_written_down(start: Start, home: Path) -> None:
    put(start(), "prod", "key")
    assert not home.exists()


def test_without_a_permission_only_admins_come_near_secrets(start: Start) -> None:
    api = start()
    put(api, "prod", "key")
    for role in ("query", "read"):
        headers = {"Authorization": f"Bearer {api.workspace.issue_token('ada', role)}"}
        scopes = httpx.get(f"{api.workspace.host}{SECRETS}/scopes/list", headers=headers, trust_env=False)
        assert scopes.json() == {"scopes": []}
        for path in ("list?scope=prod", "get?scope=prod&key=key", "list?scope=nobody"):
            url = f"{api.workspace.host}{SECRETS}/{path}"
            assert httpx.get(url, headers=headers, trust_env=False).status_code == 403
    assert api.text(CHAT, "Hello")
