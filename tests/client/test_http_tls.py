"""Certificates and proxies: which are trusted, which are asked, and what is said when they refuse."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from crash_report import shown
from fault_server import FaultServer, chunked, reply
from timing import HELD, SOON
from tls_servers import ConnectProxy, TLSServer

from fm_client import APIConnectionError, APITimeoutError, ConfigurationError, ProxyError, TLSError
from fm_client._network import environment_proxy, proxy_for, tls_context
from fm_client._wire import Request, Timeout

Make = Callable[..., Any]
HOST = "https://models.test/x"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[TLSServer]:
    """A server for 127.0.0.1 and models.test, whose certificate only `authority` vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "models.test").configure_cert(context)
    server = TLSServer(context)
    server.script("/x", reply(200, b"secret"))
    with server:
        yield server


@pytest.fixture
def proxy(secure: TLSServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectProxy]:
    with ConnectProxy(secure.port) as running:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s%40crt@{running.address}")
        yield running


def get(url: str, **fields: Any) -> Request:
    return Request("GET", url, {"authorization": "Bearer token-for-tests"}, **fields)


class TestCertificates:
    def test_one_of_an_unknown_authority_is_refused_with_a_hint(self, http: Make, secure: TLSServer) -> None:
        face = http()
        with pytest.raises(TLSError, match="verify= or SSL_CERT_FILE"):
            face.send(get(f"{secure.host}/x"))
        assert secure.seen == []
        assert face.pool.shelf.open == 0

    def test_one_for_another_name_is_refused(self, http: Make, secure: TLSServer, bundle: Path) -> None:
        with pytest.raises(TLSError, match="localhost"):
            http(verify=str(bundle)).send(get(f"https://localhost:{secure.port}/x"))

    def test_a_bundle_is_trusted(self, http: Make, secure: TLSServer, bundle: Path) -> None:
        face = http(verify=str(bundle))
        assert [face.send(get(f"{secure.host}/x")).body for _ in range(3)] == [b"secret"] * 3
        assert secure.connections == 1

    def test_a_context_is_used_as_it_is(self, http: Make, secure: TLSServer, bundle: Path) -> None:
        context = ssl.create_default_context(cafile=bundle)
        assert http(verify=context).send(get(f"{secure.host}/x")).body == b"secret"

    def test_the_environment_names_a_file(
        self, http: Make, secure: TLSServer, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        assert http().send(get(f"{secure.host}/x")).body == b"secret"

    def test_they_go_unchecked_only_when_that_is_asked(self, http: Make, secure: TLSServer) -> None:
        assert http(verify=False).send(get(f"{secure.host}/x")).body == b"secret"

    def test_a_stream_ends_on_time(self, http: Make, secure: TLSServer, bundle: Path) -> None:
        secure.script("/x", chunked(b"one", HELD, b"two"))
        face = http(verify=str(bundle))
        opened = face.send(get(f"{secure.host}/x", stream=True))
        assert face.read(opened, SOON) == b"one"
        with pytest.raises(APITimeoutError):
            face.read(opened, 0.1)

    def test_a_server_that_does_not_speak_tls_is_an_error_and_not_a_hang(self, http: Make, server: FaultServer) -> None:
        with pytest.raises(APIConnectionError):
            http().send(get(server.host.replace("http:", "https:") + "/x", timeout=Timeout(connect=0.3)))

    def test_a_bundle_that_is_not_there_or_holds_none_is_a_wrong_setting(self, http: Make, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no such file"):
            http(verify="/nowhere/ca.pem")
        empty = tmp_path / "empty.pem"
        empty.write_text("nothing")
        with pytest.raises(ConfigurationError, match="verify="):
            http(verify=str(empty)).send(get("https://127.0.0.1:1/"))

    def test_contexts_are_made_once(self, bundle: Path) -> None:
        assert tls_context(True) is tls_context(True)
        assert tls_context(str(bundle)) is tls_context(str(bundle))
        assert tls_context(True).verify_mode is ssl.CERT_REQUIRED
        assert tls_context(False).verify_mode is ssl.CERT_NONE


class TestProxies:
    def test_one_is_asked_with_its_password_and_tunnels(
        self, http: Make, secure: TLSServer, proxy: ConnectProxy, bundle: Path
    ) -> None:
        face = http(verify=str(bundle))
        assert [face.send(get(HOST)).body for _ in range(2)] == [b"secret"] * 2
        ((line, headers),) = proxy.asked
        assert line == "CONNECT models.test:443"
        assert headers["proxy-authorization"] == "Basic dXNlcjpzQGNydA=="
        assert "authorization" not in headers
        assert secure.seen[0].headers["host"] == "models.test"
        assert "crt" not in repr(face.http._origins)

    def test_a_certificate_is_checked_through_it(self, http: Make, proxy: ConnectProxy) -> None:
        with pytest.raises(TLSError):
            http().send(get(HOST))

    def test_a_read_through_it_ends_on_time(
        self, http: Make, secure: TLSServer, proxy: ConnectProxy, bundle: Path
    ) -> None:
        secure.script("/x", chunked(b"one", HELD, b"two"))
        face = http(verify=str(bundle))
        opened = face.send(get(HOST, stream=True))
        assert face.read(opened, SOON) == b"one"
        with pytest.raises(APITimeoutError):
            face.read(opened, 0.1)

    @pytest.mark.parametrize(("refusal", "again"), [("407 Proxy Authentication Required", False), ("502 Down", True)])
    def test_one_that_refuses_is_named(
        self, http: Make, monkeypatch: pytest.MonkeyPatch, refusal: str, again: bool
    ) -> None:
        with ConnectProxy(0, refusal) as proxy:
            monkeypatch.setenv("https_proxy", f"http://user:s%40crt@{proxy.address}")
            with pytest.raises(ProxyError) as caught:
                http().send(get(HOST))
        assert (caught.value.status_code, caught.value.should_retry) == (int(refusal[:3]), again)
        report = shown(caught.value, but=__file__)
        assert "crt" not in report
        assert "dXNlcjpzQGNydA==" not in report

    def test_one_that_refuses_plain_http_is_named(self, http: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        with ConnectProxy(0, "407 Proxy Authentication Required") as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.address)
            with pytest.raises(ProxyError) as caught:
                http().send(get("http://models.test/x"))
        assert caught.value.status_code == 407
        assert proxy.asked[0][0] == "GET http://models.test/x"

    def test_one_that_is_not_there_is_a_proxy_error(self, http: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        with pytest.raises(ProxyError, match="could not be reached"):
            http().send(get(HOST))

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_none_is_asked_for_this_machine(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
        assert environment_proxy("https", host, 443) is None

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
            ({"https_proxy": "http://a:1"}, "http://a:1"),
            ({"ALL_PROXY": "a:1"}, "http://a:1"),
            ({"ALL_PROXY": "http://b:1", "HTTPS_PROXY": "http://a:1"}, "http://a:1"),
            ({"HTTP_PROXY": "http://a:1"}, None),
            ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "models.test"}, None),
            ({"HTTPS_PROXY": "http://a:1", "no_proxy": ".test"}, None),
            ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "models.test:443"}, None),
            ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, None),
            ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "other.test"}, "http://a:1"),
        ],
        ids=str,
    )
    def test_the_environment_decides(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
    ) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert environment_proxy("https", "models.test", 443) == expected

    @pytest.mark.parametrize("url", ["ftp://user:s3cret@a:1", "http://user:s3cret@:1", "http://user:s3cret@a:x"])
    def test_an_address_that_cannot_be_one_is_a_wrong_setting_and_not_shown(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            proxy_for(url, verify=True)
        assert "s3cret" not in str(caught.value)
