"""The embedded workspace: start, stop, and the one that a process shares."""

from __future__ import annotations

import atexit
import os
import secrets as random_secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from fm_client import is_loopback

from ._app import Parts, build_app
from ._bounds import Limits
from ._callers import Caller, Callers, Role
from ._database import IN_MEMORY
from ._engine import Engine
from ._guard import LOOPBACK_NAMES, Rules
from ._records import AUDIT, INFERENCE, USAGE, Records
from ._server import ServerThread, listen, make_server
from ._simulated import SimulatedEngine
from ._store import Store
from ._urls import LOOPBACK_NETWORKS, Reach

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 32


class Workspace:
    """A workspace on this machine that speaks the service's REST API, over real HTTP, behind a token.

    >>> from fm_client import Client
    >>> with Workspace.start() as ws, Client(host=ws.host, token=ws.token) as fm:
    ...     answer = fm.chat("databricks-meta-llama-3-3-70b-instruct", "The sky is blue. What colour is the sky?")
    >>> answer.text
    'The sky is blue.'
    """

    def __init__(self, host: str, token: str, callers: Callers, records: Records, thread: ServerThread) -> None:
        self.host = host
        """Base address, such as `http://127.0.0.1:40123`."""
        self.token = token
        """The bearer token that every request needs: that of an admin."""
        self._callers = callers
        self._records = records
        self._thread = thread
        self._pid = os.getpid()

    @classmethod
    def start(
        cls,
        *,
        engine: str | Engine = "simulated",
        state: str | os.PathLike[str] = IN_MEMORY,
        deploy_seconds: float = 0.0,
        token: str | None = None,
        secrets: Mapping[str, str] | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        provider_urls: Mapping[str, str] | None = None,
        provider_networks: Sequence[str] | None = LOOPBACK_NETWORKS,
        limits: Limits | None = None,
    ) -> Self:
        """Start a workspace in a daemon thread, on a loopback port.

        `engine` answers hosted and provisioned endpoints: "simulated", or an engine such as `Upstream(...)`.
        `state` is the SQLite file that keeps everything over restarts; without it all ends with the workspace. Its
        secrets are encrypted with the key in `~/.fm-workspace` (FM_WORKSPACE_HOME names another directory).
        `deploy_seconds` is how long a deployment takes (an endpoint's tag `fm_deploy_seconds` comes first).
        `token` is made at random unless given. `secrets` maps `"scope/key"` to what `{{secrets/scope/key}}` stands for.
        `clock` (Unix seconds) decides when a deployment is over.
        `provider_urls` are other addresses for providers whose configuration has no field for one, such as your
        company's gateway: `{"anthropic": "https://llm.example.com"}`.
        `provider_networks` (CIDR) are the networks, beside all public addresses, that a provider's address may be in;
        None lets providers be anywhere, and reaches them through the environment's proxy.
        `limits` is what it takes before it refuses.
        """
        chosen = token or random_secrets.token_urlsafe(TOKEN_BYTES)
        chosen_engine = engine_of(engine)
        with ExitStack() as undo:
            sock = undo.enter_context(closing(listen(LOOPBACK, port)))
            store = undo.enter_context(closing(Store(state)))
            callers = Callers(chosen)
            rules = Rules(callers, limits=limits or Limits())
            urls, reach = provider_urls or {}, _reach(provider_networks)
            parts = Parts(rules, store, chosen_engine, deploy_seconds, secrets or {}, clock, urls, reach)
            thread = ServerThread(build_app(parts), rules.limits, sock)
            thread.start()
            undo.pop_all()  # from here on the thread closes them
        host = f"http://{LOOPBACK}:{sock.getsockname()[1]}"
        return cls(host, chosen, callers, Records(store.database), thread)

    def issue_token(self, user: str, role: Role = "query", groups: Sequence[str] = ()) -> str:
        """A token for another user, as long as the workspace runs.

        The role `read` may read endpoints, `query` may query them as well, and `admin` may do everything. Where an
        endpoint has permissions, they decide in place of `read` and `query`. `groups` are the user's, for permissions
        and limits of groups; all are in `users`, and admins in `admins`.

        >>> from fm_client import Client
        >>> with Workspace.start() as ws, Client(ws.host, ws.issue_token("ada@example.com")) as ada:
        ...     answer = ada.chat("databricks-meta-llama-3-3-70b-instruct", "The sky is blue. What colour is the sky?")
        >>> answer.text
        'The sky is blue.'
        """
        token = random_secrets.token_urlsafe(TOKEN_BYTES)
        self._callers.add(token, Caller(user, role, tuple(groups)))
        return token

    def usage(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """The usage of one endpoint or all, where the gateway tracks it: rows of `system.serving.endpoint_usage`."""
        return self._records.rows(USAGE, endpoint)

    def inference_rows(self, endpoint: str) -> list[dict[str, Any]]:
        """The inference table of an endpoint, if its gateway has one: requests and answers, word for word."""
        return self._records.rows(INFERENCE, endpoint)

    def audit(self) -> list[dict[str, Any]]:
        """Who wrote what to the management API, when, and how it ended."""
        return self._records.rows(AUDIT)

    def stop(self) -> None:
        """Stop serving. A forked child, in which the server does not run, leaves its parent's alone."""
        if self._pid == os.getpid():
            self._thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Workspace(host={self.host!r})"


class _Shared:
    """The workspace that all of a process shares; a forked child starts its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workspace: Workspace | None = None

    def get(self) -> Workspace:
        with self._lock:
            if self._workspace is None:
                self._workspace = Workspace.start()
            return self._workspace

    def stop(self) -> None:
        with self._lock:
            workspace, self._workspace = self._workspace, None
        if workspace is not None:
            workspace.stop()

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._workspace = None


_shared = _Shared()
atexit.register(_shared.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.forget)


def local() -> Workspace:
    """The workspace that this process shares, started when it is first asked for and stopped at exit.

    It keeps nothing over restarts. `Client(host="local")` talks to it.
    """
    return _shared.get()


def serve(
    host: str = LOOPBACK,
    port: int = 0,
    *,
    token: str,
    state: str | os.PathLike[str] = IN_MEMORY,
    engine: str | Engine = "simulated",
    deploy_seconds: float = 0.0,
    secrets: Mapping[str, str] | None = None,
    provider_urls: Mapping[str, str] | None = None,
    provider_networks: Sequence[str] | None = LOOPBACK_NETWORKS,
    query_token: str | None = None,
    read_token: str | None = None,
    limits: Limits | None = None,
    allow_remote: bool = False,
    host_names: tuple[str, ...] = (),
    on_start: Callable[[str], None] | None = None,
    log_level: str = "warning",
) -> None:
    """Serve a workspace until SIGINT or SIGTERM; call it in the main thread.

    `on_start` is told the address (with the port that 0 was replaced by) as soon as requests are answered.
    `provider_urls` are as for `Workspace.start`.
    An address that other machines can reach needs `allow_remote=True`, and `host_names` they may call it by.
    `token` is an admin's, `query_token` and `read_token` are for users who may do less. The rest: `Workspace.start`.
    """
    if not is_loopback(host) and not allow_remote:
        raise ValueError(f"{host} can be reached from other machines; say allow_remote=True if that is meant")
    names = LOOPBACK_NAMES | {name.lower() for name in (_authority(host), *host_names)}
    rules = Rules(_callers(token, query_token, read_token), names, limits or Limits())
    chosen, urls, reach = engine_of(engine), provider_urls or {}, _reach(provider_networks)
    with closing(listen(host, port)) as sock, closing(Store(state)) as store:
        parts = Parts(rules, store, chosen, deploy_seconds, secrets or {}, provider_urls=urls, reach=reach)
        server = make_server(build_app(parts), rules.limits, log_level=log_level)
        if on_start is not None:
            server.on_start = partial(on_start, f"http://{_authority(host)}:{sock.getsockname()[1]}")
        with suppress(KeyboardInterrupt):  # uvicorn raises it again once it has stopped
            server.run(sockets=[sock])


def engine_of(engine: str | Engine) -> Engine:
    """The engine that is meant."""
    if engine == "simulated":
        return SimulatedEngine()
    if isinstance(engine, str):
        raise ValueError(f'engine is "simulated" or an engine such as Upstream(base_url=...), not {engine!r}')
    return engine


def _callers(token: str, query_token: str | None, read_token: str | None) -> Callers:
    callers = Callers(token)
    if query_token:
        callers.add(query_token, Caller("query-user", "query"))
    if read_token:
        callers.add(read_token, Caller("read-user", "read"))
    return callers


def _reach(networks: Sequence[str] | None) -> Reach | None:
    return None if networks is None else Reach(networks)


def _authority(host: str) -> str:
    return f"[{host}]" if ":" in host else host
