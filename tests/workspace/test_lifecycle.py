"""The life of an endpoint, seen from outside while the time is ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workspace_api import CHAT, CONTROL, Api, Clock, external, provisioned

Start = Callable[..., Api]
READY = {"ready": "READY", "config_update": "NOT_UPDATING"}


def update(api: Api, name: str, *entities: Any) -> Any:
    return api.http.put(f"{CONTROL}/{name}/config", json={"served_entities": list(entities)})


def test_a_deployment_takes_its_time(start: Start, clock: Clock) -> None:
    api = start(deploy_seconds=10, clock=clock)
    answer = api.create("pt", provisioned())
    assert answer.json()["state"] == {"ready": "NOT_READY", "config_update": "IN_PROGRESS"}
    assert "config" not in answer.json()
    pending = answer.json()["pending_config"]
    assert (pending["config_version"], pending["start_time"]) == (1, 1_700_000_000_000)
    assert pending["served_entities"][0]["state"]["deployment"] == "DEPLOYMENT_CREATING"
    clock.now += 9.9
    assert api.get("pt")["state"]["ready"] == "NOT_READY"
    clock.now += 0.1
    shown = api.get("pt")
    assert shown["state"] == READY
    assert "pending_config" not in shown
    assert shown["config"]["config_version"] == 1
    assert shown["last_updated_timestamp"] == 1_700_000_010_000


def test_without_deploy_seconds_an_endpoint_is_ready_at_the_next_look(start: Start) -> None:
    api = start()
    assert api.create("pt", provisioned()).json()["state"]["config_update"] == "IN_PROGRESS"
    assert api.get("pt")["state"] == READY


def test_a_query_of_an_endpoint_that_deploys_is_a_503(start: Start, clock: Clock) -> None:
    api = start(deploy_seconds=10, clock=clock)
    api.created("pt")
    answer = api.query("pt", {"messages": [{"role": "user", "content": "Hello"}]})
    assert answer.status_code == 503
    assert "not ready" in answer.json()["message"]
    clock.now += 10
    assert api.text("pt", "Hello")


def test_the_tag_comes_before_the_workspaces_time(start: Start, clock: Clock) -> None:
    api = start(deploy_seconds=10, clock=clock)
    api.created("fast", tags={"fm_deploy_seconds": "0"})
    api.created("slow", tags={"fm_deploy_seconds": "60"})
    clock.now += 59
    assert (api.get("fast")["state"]["ready"], api.get("slow")["state"]["ready"]) == ("READY", "NOT_READY")


def test_the_old_configuration_serves_during_an_update(start: Start, clock: Clock) -> None:
    api = start(deploy_seconds=10, clock=clock)
    api.created("pt", provisioned(name="old"))
    clock.now += 10
    assert update(api, "pt", provisioned(name="new", version="2")).status_code == 200
    shown = api.get("pt")
    assert shown["state"] == {"ready": "READY", "config_update": "IN_PROGRESS"}
    assert shown["config"]["served_entities"][0]["name"] == "old"
    assert shown["pending_config"]["served_entities"][0]["name"] == "new"
    assert _served_by(api, "pt") == "old"
    clock.now += 10
    assert api.get("pt")["config"]["config_version"] == 2
    assert _served_by(api, "pt") == "new"


def _served_by(api: Api, name: str) -> str:
    return api.query(name, {"messages": [{"role": "user", "content": "Hello"}]}).headers["served-model-name"]


def test_an_update_during_an_update_is_a_conflict(start: Start, clock: Clock) -> None:
    api = start(deploy_seconds=10, clock=clock)
    api.created("pt")
    answer = update(api, "pt", provisioned(version="2"))
    assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    clock.now += 10
    assert update(api, "pt", provisioned(version="2")).status_code == 200
    assert update(api, "pt", provisioned(version="3")).status_code == 409


def test_a_first_deployment_can_fail(start: Start, clock: Clock) -> None:
    api = start(deploy_seconds=10, clock=clock)
    api.created("pt", tags={"fm_deploy_fail": "no capacity in this region"})
    clock.now += 10
    shown = api.get("pt")
    assert shown["state"] == {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}
    state = shown["pending_config"]["served_entities"][0]["state"]
    assert state == {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": "no capacity in this region"}
    answer = api.query("pt", {"messages": [{"role": "user", "content": "Hello"}]})
    assert answer.status_code == 503
    assert "no capacity in this region" in answer.json()["message"]
    assert "no capacity" in api.http.get(f"{CONTROL}/pt/served-models/my_llama-1/logs").json()["logs"]


def test_after_a_failed_update_the_former_configuration_serves_and_another_may_follow(start: Start) -> None:
    api = start()
    api.created("pt", provisioned(name="good"))
    api.tag("pt", fm_deploy_fail="bad weights")
    update(api, "pt", provisioned(name="bad"))
    shown = api.get("pt")
    assert shown["state"] == {"ready": "READY", "config_update": "UPDATE_FAILED"}
    assert _served_by(api, "pt") == "good"
    api.http.patch(f"{CONTROL}/pt/tags", json={"delete_tags": ["fm_deploy_fail"]})
    assert update(api, "pt", provisioned(name="better")).status_code == 200
    assert api.get("pt")["state"] == READY
    assert _served_by(api, "pt") == "better"


@pytest.mark.parametrize(
    "other", [external("https://example.com", "token-for-tests"), provisioned("main.default.bge")], ids=["kind", "task"]
)
def test_an_endpoint_keeps_its_kind_and_task(start: Start, other: Any) -> None:
    api = start()
    api.created("pt")
    answer = update(api, "pt", other)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_endpoints_survive_a_restart(start: Start, clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    first = start(state=file, deploy_seconds=10, clock=clock)
    first.created("pt", tags={"team": "a"})
    first.tag(CHAT, fm_usage_style="never")
    kept = first.get("pt")
    first.workspace.stop()
    second = start(state=file, deploy_seconds=10, clock=clock)
    assert second.get("pt") == kept
    clock.now += 10
    assert second.get("pt")["state"] == READY
    assert all(chunk.get("usage") is None for chunk in second.stream(CHAT, "Hello"))
    second.http.delete(f"{CONTROL}/pt")
    second.workspace.stop()
    assert start(state=file).http.get(f"{CONTROL}/pt").status_code == 404


def test_the_state_file_is_the_owners_alone_and_forgets_what_is_deleted(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    api = start(state=file)
    api.created("ext", external("https://example.com", "canary-for-tests"))
    assert file.stat().st_mode & 0o077 == 0
    api.http.delete(f"{CONTROL}/ext")
    api.workspace.stop()
    assert b"canary-for-tests" not in file.read_bytes()


def test_a_hosted_model_that_is_gone_from_the_catalog_goes(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    start(state=file).workspace.stop()
    gone = "databricks-long-gone"
    with sqlite3.connect(file) as connection:
        (document,) = connection.execute("SELECT document FROM endpoints WHERE name = ?", (CHAT,)).fetchone()
        connection.execute("INSERT INTO endpoints VALUES (?, ?)", (gone, document.replace(CHAT, gone)))
    connection.close()
    api = start(state=file)
    assert api.http.get(f"{CONTROL}/{gone}").status_code == 404
    assert api.get(CHAT)["state"] == READY
