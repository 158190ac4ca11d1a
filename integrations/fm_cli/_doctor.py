"""`fm doctor`: what stands between this machine and an answer, check by check, and what to do about it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text

import fm_client as fm
from fm_client import catalog

from ._connect import LOCAL, Connection, connected
from ._failures import ExitCode, exit_code
from ._output import Output, one_line, print_json, terminal

Ending = Literal["ok", "warning", "failed", "skipped"]
STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
TIMEOUT = fm.Timeout(connect=5.0, read=10.0, total=15.0)
SKEW_WARNING, SKEW_FAILURE = 30.0, 300.0
"""Seconds between this clock and the server's: above the first tokens may seem old, above the second they are."""
PATH = "/api/2.0/serving-endpoints"
PORTS = {"https": 443, "http": 80}

LOGIN_FIX = (
    "get a new token in the workspace (Settings, Developer, Access tokens), and set DATABRICKS_TOKEN, "
    "or the token of the profile, to it"
)
CONNECT_FIXES: tuple[tuple[type[fm.FMError], str], ...] = (
    (
        fm.TLSError,
        "name the file of the certificate authority that signs here in SSL_CERT_FILE; ask who runs the network",
    ),
    (
        fm.ProxyError,
        "check HTTPS_PROXY and NO_PROXY, and with its user and password whether the proxy lets you through",
    ),
    (fm.APITimeoutError, "check the host's name, VPN and firewall: packets get lost on the way"),
    (fm.APIConnectionError, "check the host's name and port, VPN and firewall, and whether a server runs there"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check, as it ended. `fix` says what to do, where something is wrong."""

    name: str
    status: Ending
    text: str
    fix: str = ""
    code: ExitCode = ExitCode.OK


def run(connection: Connection, endpoint: str | None, output: Output) -> int:
    """Check everything and print it, each as soon as it is known; the exit code is that of the first failure."""
    console, checks = terminal(), list[Check]()
    for check in examined(connection, endpoint):
        checks.append(check)
        if output is Output.TEXT:
            _show(check, console)
    code = next((check.code for check in checks if check.status == "failed"), ExitCode.OK)
    if output is Output.JSON:
        print_json({"ok": code == 0, "checks": [_as_json(check) for check in checks]})
    return code


def examined(connection: Connection, endpoint: str | None) -> Iterator[Check]:
    """The checks, in an order in which each rests on those before it."""
    yield Check("version", "ok", f"fm-integrations {fm.__version__}, Python {platform.python_version()}")
    try:
        with connected(connection) as client:
            yield Check("configuration", "ok", _origin(client, connection))
            yield from _network(client)
            yield from _service(client, endpoint)
    except _UnreachableError as broken:
        yield broken.check
        yield from (Check(name, "skipped", "there is no connection") for name in ("clock", "login", "endpoint"))
    except fm.ConfigurationError as error:
        yield Check("configuration", "failed", one_line(error), _configuration_fix(), ExitCode.ACCESS)


class _UnreachableError(Exception):
    """No answer: what follows has nothing to look at."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.text)
        self.check = check


def _origin(client: fm.Client, connection: Connection) -> str:
    settings = client.settings
    if connection.host:
        said = "in this process" if connection.is_fleeting else f"--host {connection.host}"
    elif settings.profile and (connection.profile or not os.environ.get("DATABRICKS_HOST")):
        said = f"profile {settings.profile}"
    else:
        said = "DATABRICKS_HOST"
    return f"{settings.host} ({said}); login by {settings.credential.kind}"


def _configuration_fix() -> str:
    return f"see the message; to try things without an account: fm doctor --host {LOCAL}"


def _network(client: fm.Client) -> Iterator[Check]:
    host = client.settings.host
    yield Check("proxy", "ok", _proxy(host))
    began = time.perf_counter()
    try:
        reply = _greet(host)
    except fm.FMError as error:
        fix = next((fix for cls, fix in CONNECT_FIXES if isinstance(error, cls)), "")
        code = exit_code(error)
        raise _UnreachableError(Check("connection", "failed", one_line(error), fix, code)) from error
    seconds = time.perf_counter() - began
    secured = "certificate accepted" if host.startswith("https:") else "plain http, which stays on this machine"
    yield Check("connection", "ok", f"an answer ({reply.status}) in {seconds * 1000:,.0f} ms; {secured}")
    yield clock_check(reply.headers.get("date"), time.time())


def _greet(host: str) -> fm.Reply:
    """The answer to a request without a token: any answer will do."""
    http = fm.HTTP(host)
    try:
        return http.send(fm.Request("GET", f"{host}{PATH}", timeout=TIMEOUT))
    finally:
        http.close()


def _proxy(host: str) -> str:
    parts = urlsplit(host)
    found = fm.environment_proxy(parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme])
    if found is None:
        return "none for this host"
    proxy = urlsplit(found)  # without user and password
    return f"{proxy.scheme}://{proxy.hostname}{f':{proxy.port}' if proxy.port else ''}, from the environment"


def clock_check(date: str | None, now: float) -> Check:
    """This machine's clock against the `Date` of an answer.

    >>> clock_check("Thu, 01 Jan 1970 00:01:40 GMT", now=0.0).text
    'this clock is 100 s behind the server'
    """
    try:
        skew = now - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Check("clock", "skipped", "the server does not say what time it is")
    if abs(skew) < SKEW_WARNING:
        return Check("clock", "ok", f"within {SKEW_WARNING:g} s of the server")
    text = f"this clock is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} the server"
    late = abs(skew) >= SKEW_FAILURE
    fix = "set this machine's clock (by NTP): logins expire by it"
    return Check("clock", "failed" if late else "warning", text, fix, ExitCode.FAILED if late else ExitCode.OK)


def _service(client: fm.Client, endpoint: str | None) -> Iterator[Check]:
    login = _login(client)
    yield login
    if login.status == "failed":
        yield Check("endpoint", "skipped", "there is no login")
    elif endpoint is None:
        yield Check("endpoint", "skipped", "none named: fm doctor ENDPOINT looks at one")
    else:
        yield _endpoint(client, endpoint)


def _login(client: fm.Client) -> Check:
    try:
        found = client.endpoints.list()
    except fm.PermissionDeniedError as error:
        return Check(
            "login", "warning", one_line(error), "ask for the right to see endpoints; you may query all the same"
        )
    except fm.AuthenticationError as error:
        return Check("login", "failed", one_line(error), LOGIN_FIX, ExitCode.ACCESS)
    except fm.FMError as error:
        fix = "check that the host is a workspace, and nothing in front of it (an account console, a login page)"
        return Check("login", "failed", one_line(error), fix, exit_code(error))
    return Check("login", "ok", f"accepted; {len(found)} endpoints in sight")


def _endpoint(client: fm.Client, name: str) -> Check:
    try:
        found = client.endpoints.get(name)
    except fm.FMError as error:
        return Check("endpoint", "failed", one_line(error), "fm endpoints list shows what there is", exit_code(error))
    state = f"{name} ({found.route}, {found.task or 'no task'}): {found.state}"
    if not found.is_ready:
        text = f"{state}; {found.failure}" if found.failure else state
        fix = f"fm endpoints wait {name}; fm endpoints logs {name} shows why it takes long or failed"
        return Check("endpoint", "failed", text, fix, ExitCode.NOT_READY)
    if notice := catalog.retirement_notice(name, datetime.now(UTC).date()):
        return Check("endpoint", "warning", state, notice)
    return Check("endpoint", "ok", state)


def _show(check: Check, console: Console) -> None:
    console.print(Text.assemble((f"{check.status:8}", STYLES[check.status]), f" {check.name:14} {check.text}"))
    if check.fix:
        console.print(Text(f"{'':23} -> {check.fix}", "italic"))


def _as_json(check: Check) -> dict[str, object]:
    return {name: value for name, value in asdict(check).items() if name != "code"}
