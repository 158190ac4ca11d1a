"""`fm doctor`: each check sees what it is for, and says what to fix."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
import trustme
from fault_server import FaultServer, head, raw, reply
from tls_servers import ConnectProxy, TLSServer
from typer.testing import Result

from fm_cli._doctor import clock_check
from fm_client import Client
from fm_workspace import Workspace

Run = Callable[..., Result]
Env = dict[str, str]
PATH = "/api/2.0/serving-endpoints"
NAMES = ["version", "configuration", "proxy", "connection", "clock", "login", "endpoint"]


def checks(done: Result) -> dict[str, Any]:
    """The checks of a report for programs, by name."""
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def statuses(done: Result) -> dict[str, str]:
    return {name: check["status"] for name, check in checks(done).items()}


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[TLSServer]:
    """A workspace without endpoints, behind a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "workspace.test").configure_cert(context)
    with TLSServer(context) as running:
        running.script(PATH, reply(200, {"endpoints": []}, date=formatdate(time(), usegmt=True)))
        yield running


def test_all_is_well(fm: Run, here: Env) -> None:
    done = fm("doctor", "databricks-gte-large-en", "--output", "json", **here)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"] is True
    assert statuses(done) == dict.fromkeys(NAMES, "ok")
    assert here["DATABRICKS_TOKEN"] not in done.output


def test_people_get_a_line_for_each_check(fm: Run, here: Env) -> None:
    done = fm("doctor", **here)
    assert [line.split()[1] for line in done.stdout.splitlines()] == NAMES
    assert done.stdout.splitlines()[-1].startswith("skipped")
    assert "\x1b" not in done.stdout


def test_without_configuration_it_says_how_to_get_one(fm: Run) -> None:
    done = fm("doctor", "--output", "json")
    assert done.exit_code == 3
    found = checks(done)
    assert found["configuration"]["status"] == "failed"
    assert "DATABRICKS_HOST" in found["configuration"]["text"]
    assert "--host local" in found["configuration"]["fix"]


def test_where_the_configuration_is_from(fm: Run, workspace: Workspace, here: Env, tmp_path: Path) -> None:
    profile = tmp_path / "profiles"
    profile.write_text(f"[dev]\nhost = {workspace.host}\ntoken = {workspace.token}\n")
    by_profile = fm("doctor", "--profile", "dev", "--output", "json", DATABRICKS_CONFIG_FILE=str(profile))
    assert "profile dev" in checks(by_profile)["configuration"]["text"]
    assert "DATABRICKS_HOST" in checks(fm("doctor", "--output", "json", **here))["configuration"]["text"]
    by_option = fm("doctor", "--host", workspace.host, "--output", "json", **here)
    assert f"--host {workspace.host}" in checks(by_option)["configuration"]["text"]


def test_a_dead_server_is_no_connection_and_the_rest_is_skipped(fm: Run) -> None:
    done = fm("doctor", "--output", "json", DATABRICKS_HOST="http://127.0.0.1:9", DATABRICKS_TOKEN="t")
    assert done.exit_code == 5
    assert statuses(done) == {
        **dict.fromkeys(NAMES[:3], "ok"),
        "connection": "failed",
        **dict.fromkeys(NAMES[4:], "skipped"),
    }
    assert "firewall" in checks(done)["connection"]["fix"]


def test_a_certificate_that_is_accepted(fm: Run, secured: TLSServer, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    env = {"DATABRICKS_HOST": secured.host, "DATABRICKS_TOKEN": "t", "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    done = fm("doctor", "--output", "json", **env)
    assert done.exit_code == 0, done.output
    assert "certificate accepted" in checks(done)["connection"]["text"]


def test_a_certificate_that_is_not_accepted(fm: Run, secured: TLSServer) -> None:
    done = fm("doctor", "--output", "json", DATABRICKS_HOST=secured.host, DATABRICKS_TOKEN="t")
    assert done.exit_code == 5
    assert "SSL_CERT_FILE" in checks(done)["connection"]["fix"]


def test_the_proxy_is_named_without_its_password(
    fm: Run, secured: TLSServer, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with ConnectProxy(secured.port) as proxy:
        done = fm(
            *("doctor", "--output", "json"),
            DATABRICKS_HOST="https://workspace.test",
            DATABRICKS_TOKEN="t",
            HTTPS_PROXY=f"http://user:password-of-the-proxy@{proxy.address}",
            SSL_CERT_FILE=str(tmp_path / "ca.pem"),
        )
    assert done.exit_code == 0, done.output
    assert proxy.address in checks(done)["proxy"]["text"]
    assert "password-of-the-proxy" not in done.output
    assert proxy.asked


def test_a_proxy_that_refuses(fm: Run, secured: TLSServer) -> None:
    with ConnectProxy(secured.port, refusal="403 Forbidden") as proxy:
        env = {"DATABRICKS_HOST": "https://workspace.test", "HTTPS_PROXY": f"http://{proxy.address}"}
        done = fm("doctor", "--output", "json", DATABRICKS_TOKEN="t", **env)
    assert done.exit_code == 5
    assert "HTTPS_PROXY" in checks(done)["connection"]["fix"]


@pytest.mark.parametrize(
    ("ahead", "status", "code"),
    [(0, "ok", 0), (-60, "warning", 0), (60, "warning", 0), (3600, "failed", 1), (-3600, "failed", 1)],
)
def test_the_clock(fm: Run, server: FaultServer, there: Env, ahead: float, status: str, code: int) -> None:
    server.script(PATH, reply(200, {"endpoints": []}, date=formatdate(time() - ahead, usegmt=True)))
    done = fm("doctor", "--output", "json", **there)
    assert (checks(done)["clock"]["status"], done.exit_code) == (status, code)
    if ahead:
        assert f"s {'ahead of' if ahead > 0 else 'behind'} the server" in checks(done)["clock"]["text"]
        assert "NTP" in checks(done)["clock"]["fix"]


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Foo 2026 10:00:00 GMT"])
def test_a_server_that_does_not_say_what_time_it_is(date: str | None) -> None:
    assert clock_check(date, 0.0).status == "skipped"


def test_a_wrong_token(fm: Run, workspace: Workspace) -> None:
    wrong = "wrong-token-for-tests"
    done = fm("doctor", "x", "--output", "json", DATABRICKS_HOST=workspace.host, DATABRICKS_TOKEN=wrong)
    assert done.exit_code == 3
    assert statuses(done)["login"] == "failed"
    assert statuses(done)["endpoint"] == "skipped"
    assert "DATABRICKS_TOKEN" in checks(done)["login"]["fix"]
    assert wrong not in done.output


def test_who_may_not_list_may_query_all_the_same(fm: Run, server: FaultServer, there: Env) -> None:
    server.script(PATH, reply(403, {"error_code": "PERMISSION_DENIED", "message": "not for you"}))
    done = fm("doctor", "--output", "json", **there)
    assert (done.exit_code, statuses(done)["login"]) == (0, "warning")


def test_a_host_that_is_no_workspace(fm: Run, server: FaultServer, there: Env) -> None:
    page = b"<html>Please log in</html>"
    html = head(200, {"content-type": "text/html", "content-length": str(len(page))}) + page
    server.script(PATH, raw(html, end="close"))
    done = fm("doctor", "--output", "json", **there)
    assert done.exit_code == 1
    assert "login page" in checks(done)["login"]["fix"]


def test_an_endpoint_that_does_not_exist(fm: Run, here: Env) -> None:
    done = fm("doctor", "databricks-gte-large", "--output", "json", **here)
    assert done.exit_code == 4
    assert "databricks-gte-large-en" in checks(done)["endpoint"]["text"]


@pytest.mark.parametrize("tag", ["fm_deploy_seconds", "fm_deploy_fail"])
def test_an_endpoint_that_is_not_ready(fm: Run, workspace: Workspace, here: Env, tag: str) -> None:
    model = {"entity_name": "main.default.mine", "entity_version": "1", "max_provisioned_throughput": 980}
    with Client(workspace.host, workspace.token) as client:
        client.endpoints.create("mine", **model, tags={tag: "600"})
    done = fm("doctor", "mine", "--output", "json", **here)
    assert done.exit_code == 6
    assert "fm endpoints wait mine" in checks(done)["endpoint"]["fix"]


def test_a_retired_endpoint_is_warned_of(fm: Run, server: FaultServer, there: Env) -> None:
    name = "databricks-dbrx-instruct"
    server.script(PATH, reply(200, {"endpoints": []}))
    state = {"ready": "READY", "config_update": "NOT_UPDATING"}
    server.script(f"{PATH}/{name}", reply(200, {"name": name, "state": state}))
    done = fm("doctor", name, "--output", "json", **there)
    assert (done.exit_code, statuses(done)["endpoint"]) == (0, "warning")
    assert "was retired" in checks(done)["endpoint"]["fix"]
