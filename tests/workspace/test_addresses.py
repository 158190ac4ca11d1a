"""Where a provider may be: public addresses, and networks that were named; whatever its name may stand for."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from workspace_api import Api, external

from fm_workspace._urls import Reach

Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
FORBIDDEN = [
    "http://example.com",
    "http://10.0.0.1",
    "ftp://127.0.0.1",
    "file:///etc/passwd",
    "gopher://127.0.0.1",
    "https://user:pw@127.0.0.1",
    "https://user@example.com",
    "https://2130706433",
    "https://0x7f.1",
    "https://0x7f000001",
    "https://127.1",
    "https://0177.0.0.1",
    "https://127.0.0.01",
    "https://example.com?next=x",
    "https://example.com#x",
    "https://",
    "https://exa mple.com",
    "https://[::1",
    "https://127.0.0.1:99999",
]
"""Refused where they are configured."""
INSIDE = [
    "https://10.0.0.1",
    "https://172.16.0.1",
    "https://192.168.1.1",
    "https://169.254.169.254",
    "https://100.64.0.1",
    "https://0.0.0.0",
    "https://224.0.0.1",
    "https://[fd00::1]",
    "https://[fe80::1]",
    "https://[::ffff:127.0.0.1]",
    "https://[::ffff:10.0.0.1]",
    "https://[64:ff9b::a00:1]",
    "https://[2002:7f00:1::]",
    "https://[::]",
]
"""Refused where they would be connected to."""


@pytest.mark.parametrize("url", FORBIDDEN)
def test_an_address_that_makes_no_sense_is_refused_when_it_is_configured(api: Api, url: str) -> None:
    entity = external("https://example.com", "token-for-tests")
    entity["external_model"]["openai_config"]["openai_api_base"] = url
    answer = api.create("refused", entity)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("url", INSIDE)
def test_an_address_inside_is_not_connected_to(start: Start, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with watched_connects(monkeypatch) as connected:
        api = start()
        api.created("ext", external(url, "token-for-tests"))
        answer = api.query("ext", HELLO)
        port = api.workspace.host.rpartition(":")[2]
    assert answer.status_code == 502
    assert "are not permitted" in answer.json()["external_model_message"]["message"]
    assert [address for address in connected if str(address[1]) != port] == []


@contextmanager
def watched_connects(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every address that a socket of this process is connected to."""
    connected: list[Any] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        connected.append(address)
        connect(self, address)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", noted)
        yield connected


class Listener:
    """A TLS server on 127.0.0.1 that counts who comes, and notes which name they ask for."""

    def __init__(self, folder: Path, name: str) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        context.sni_callback = lambda wire, asked, _: self.names.append(asked)
        self.names: list[str | None] = []
        self.visits = 0
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.visits += 1
            try:
                with self._context.wrap_socket(connection, server_side=True) as wire:
                    wire.recv(65_536)
                    body = b'{"id": "x", "object": "chat.completion", "choices": []}'
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    wire.sendall(head.encode() + body)
            except OSError:
                pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    running = Listener(tmp_path, "provider.test")
    yield running
    running.close()


def resolver(monkeypatch: pytest.MonkeyPatch, name: str, *answers: list[str]) -> list[str]:
    """Let `name` stand for these addresses, one answer after the other; the last one stays."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (name, name.encode()):
            return real(host, port, *args, **kwargs)
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def test_the_address_that_was_checked_is_connected_to_and_the_name_is_kept(
    start: Start, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolver(monkeypatch, "provider.test", ["127.0.0.1"])
    api = start(provider_networks=("127.0.0.1/32",))
    api.created("ext", external(f"https://provider.test:{listener.port}", "token-for-tests"))
    assert api.query("ext", HELLO).status_code == 200
    assert (listener.visits, listener.names, len(asked)) == (1, ["provider.test"], 1)


@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2"])
def test_a_name_that_changes_its_mind_gains_nothing(
    start: Start, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: allowed when it is looked up first, a server inside when it is looked up again."""
    asked = resolver(monkeypatch, "provider.test", ["127.0.0.2"], ["127.0.0.1"])
    api = start(provider_networks=("127.0.0.2/32",))
    api.created("ext", external(f"https://provider.test:{listener.port}", "token-for-tests"))
    statuses = [api.query("ext", HELLO).status_code for _ in range(3)]
    assert statuses == [502] * 3
    assert len(asked) == 3
    assert listener.visits == 0


@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2"])
def test_a_name_with_one_address_inside_is_not_connected_to_at_all(
    start: Start, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver(monkeypatch, "provider.test", ["127.0.0.2", "127.0.0.1"])
    api = start(provider_networks=("127.0.0.2/32",))
    api.created("ext", external(f"https://provider.test:{listener.port}", "token-for-tests"))
    answer = api.query("ext", HELLO).json()["external_model_message"]["message"]
    assert "connections to 127.0.0.1 are not permitted" in answer
    assert listener.visits == 0


def test_a_workspace_can_be_kept_from_this_machine_too(start: Start) -> None:
    provider, api = start(), start(provider_networks=())
    api.created("ext", external(provider.workspace.host, provider.workspace.token))
    assert "not permitted" in api.query("ext", HELLO).json()["external_model_message"]["message"]


def test_a_query_cannot_lead_elsewhere(start: Start) -> None:
    """Neither by fields of its own nor by extra parameters, which are part of the body that the provider gets."""
    provider, api = start(), start()
    api.created("ext", external(provider.workspace.host, provider.workspace.token))
    for field in ("api_base", "base_url", "openai_api_base", "custom_provider_url", "headers", "extra_headers"):
        assert api.query("ext", {**HELLO, field: "http://127.0.0.1:1"}).status_code == 400
        answer = api.query("ext", {**HELLO, "extra_params": {field: "http://127.0.0.1:1"}})
        assert f'unknown field "{field}"' in answer.json()["external_model_message"]["message"]


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "127.0.0.1", "::1"])
def test_public_addresses_and_this_machine_are_in_reach(address: str) -> None:
    assert Reach().permits(address)


def test_networks_can_be_added() -> None:
    assert Reach(("10.1.0.0/16",)).permits("10.1.9.9")
    assert not Reach(("10.1.0.0/16",)).permits("10.2.0.1")
    assert not Reach(("10.1.0.0/16",)).permits("127.0.0.1")
    with pytest.raises(ValueError, match="10.1.0.1"):
        Reach(("10.1.0.1/16",))
