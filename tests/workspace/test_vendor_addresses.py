"""Where vendors and their logins may be: what holds for providers that are asked directly holds for all of them.

Vendors that are asked through litellm are skipped where it is not installed: `make test-providers`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from vendor_api import SERVERS, connected, model, playing, private_key, urls
from vendor_azure import Azure, azure
from vendor_clouds import TOKEN_URI, Vertex, service_account
from vendor_server import VendorServer
from workspace_api import CHAT, Api

from fm_workspace._endings import EventEnding
from fm_workspace._errors import ServiceError
from fm_workspace._fence import Exchange, StrayedError, client, current
from fm_workspace._forward import Forwarder
from fm_workspace._google import google_login
from fm_workspace._logins import Login, Logins
from fm_workspace._urls import Reach

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm's warnings are not ours to mend
Start = Callable[..., Api]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
INSIDE = [
    "https://10.0.0.1",
    "https://169.254.169.254",
    "https://100.64.0.1",
    "https://[fd00::1]",
    "https://[::ffff:10.0.0.1]",
]
LOOKED_UP = "localhost"
"""A name that http is allowed for; the tests say what it stands for."""


@pytest.fixture(params=SERVERS)
def vendor(request: pytest.FixtureRequest) -> Iterator[VendorServer]:
    """Each vendor in turn."""
    with playing(request.param) as server:
        yield server


@pytest.fixture
def azure_server() -> Iterator[Azure]:
    with Azure() as server:
        yield server


def named(url: str) -> str:
    """`url` by a name that has to be looked up."""
    return url.replace("127.0.0.1", LOOKED_UP)


def looked_up(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let the name stand for these addresses, one after the other; the last one stays."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (LOOKED_UP, LOOKED_UP.encode()):
            return real(host, port, *args, **kwargs)
        address = answers[min(len(asked), len(answers) - 1)]
        asked.append(address)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def connects(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that a socket of this process is connected to from here on."""
    seen: list[Any] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        seen.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    return seen


def reason(api: Api) -> tuple[int, str]:
    answer = api.query("ext", HELLO)
    return answer.status_code, answer.json()["external_model_message"]["message"]


@pytest.mark.parametrize("url", INSIDE)
def test_a_vendor_inside_is_not_connected_to(
    start: Start, vendor: VendorServer, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Nor by way of a proxy that the environment names."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    api = start(provider_urls={**urls(vendor), vendor.name: url})
    api.created("ext", model(vendor))
    seen = connects(monkeypatch)
    status, text = reason(api)
    assert (status, "are not permitted" in text) == (502, True), text
    ours = {urlsplit(api.workspace.host).port, urlsplit(vendor.url).port}  # the latter's login
    assert [address for address in seen if address[1] not in ours] == []


def test_a_vendor_on_this_machine_can_be_ruled_out(start: Start, vendor: VendorServer) -> None:
    api = start(provider_urls=urls(vendor), provider_networks=())
    api.created("ext", model(vendor))
    status, text = reason(api)
    assert (status, "connections to 127.0.0.1 are not permitted" in text) == (502, True), text
    assert vendor.seen == []


def test_a_vendors_name_is_looked_up_once_and_its_checked_address_connected_to(
    start: Start, vendor: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = looked_up(monkeypatch, "127.0.0.1")
    api = start(
        provider_urls={name: named(url) for name, url in urls(vendor).items()}, provider_networks=("127.0.0.1/32",)
    )
    api.created("ext", model(vendor))
    assert api.text("ext", "Hello") == "Echo: Hello"
    assert asked == ["127.0.0.1"], "login and model are one host here, and one connection"
    assert {seen.headers["host"].partition(":")[0] for seen in vendor.seen} == {LOOKED_UP}


@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2"])
def test_a_vendors_name_that_changes_its_mind_gains_nothing(
    start: Start, vendor: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: an allowed address when it is looked up first, a server inside when it is looked up again."""
    asked = looked_up(monkeypatch, "127.0.0.2", "127.0.0.1")
    with Vertex("127.0.0.2") as login:
        addresses = {vendor.name: named(urls(vendor)[vendor.name]), "google": login.url}
        api = start(provider_urls=addresses, provider_networks=("127.0.0.2/32",))
        api.created("ext", model(vendor))
        assert [api.query("ext", HELLO).status_code for _ in range(3)] == [502] * 3
        assert "connections to 127.0.0.1 are not permitted" in reason(api)[1]
    assert vendor.seen == []
    assert len(asked) == 4


@pytest.mark.parametrize("url", INSIDE)
def test_a_login_of_entra_inside_is_not_connected_to(
    start: Start, azure_server: Azure, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    api = start(provider_urls={"entra": url})
    api.created("ext", azure(azure_server))
    seen = connects(monkeypatch)
    assert "are not permitted" in reason(api)[1]
    assert [address for address in seen if address[1] != urlsplit(api.workspace.host).port] == []


def logins(server: VendorServer, base: str) -> list[Login]:
    """Google's login and Entra's, at `base`."""
    from fm_workspace._entra import entra_login

    return [google_login(service_account(private_key()), base), entra_login(base, "tenant", "client", "key-for-tests")]


async def refused(networks: tuple[str, ...], login: Login) -> str:
    forwarder = Forwarder(Reach(networks).permits)
    try:
        with pytest.raises(ServiceError) as caught:
            await Logins(forwarder).token(login)
    finally:
        await forwarder.aclose()
    assert caught.value.status == 502
    return str(caught.value.body["external_model_message"]["message"])


@pytest.mark.parametrize("which", [0, 1], ids=["google", "entra"])
async def test_a_login_is_fetched_from_where_a_provider_may_be(which: int) -> None:
    with Vertex() as server:
        for url in [*INSIDE, server.url]:
            assert "are not permitted" in await refused((), logins(server, url)[which])
        assert server.seen == []


@pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("which", [0, 1], ids=["google", "entra"])
async def test_the_name_of_a_login_that_changes_its_mind_gains_nothing(
    monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    with Vertex() as server:
        asked = looked_up(monkeypatch, "127.0.0.2", "127.0.0.1")
        login = logins(server, named(server.url))[which]
        texts = [await refused(("127.0.0.2/32",), login) for _ in range(2)]
        assert asked == ["127.0.0.2", "127.0.0.1"]
        assert "are not permitted" in texts[1]
        assert server.seen == []


async def test_a_token_of_google_is_fetched_with_a_signed_claim_and_kept() -> None:
    """The server checks the signature and what is claimed."""
    with Vertex() as server:
        forwarder, now = Forwarder(), [0.0]
        held, (login, _) = Logins(forwarder, lambda: now[0]), logins(server, server.url)
        first = await held.token(login)
        now[0] = 3_299.0
        assert await held.token(login) == first
        assert len(server.seen) == 1
        now[0] = 3_301.0  # five minutes before its end
        await held.token(login)
        assert len(server.seen) == 2
        await forwarder.aclose()


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/token",
        "https://oauth2.googleapis.com.example.com/token",
        "https://oauth2.googleapis.com:8443/token",
        "https://user@oauth2.googleapis.com/token",
        "http://oauth2.googleapis.com/token",
        "http://127.0.0.1:9/token",
    ],
)
def test_a_service_account_gets_its_tokens_from_google(uri: str) -> None:
    """Or from where `provider_urls` says, which no endpoint can."""
    account = service_account(private_key()).replace(TOKEN_URI, uri)
    with pytest.raises(ServiceError) as caught:
        google_login(account)
    assert (caught.value.status, caught.value.code) == (400, "INVALID_PARAMETER_VALUE")
    assert google_login(account, "https://login.example.com").url == "https://login.example.com/token"
    assert google_login(service_account(private_key())).url == TOKEN_URI


async def test_what_litellm_is_given_sends_to_the_calls_own_host_alone() -> None:
    forwarder = Forwarder()
    with pytest.raises(StrayedError):
        await client().get("http://127.0.0.1:9")
    exchange = Exchange("http://127.0.0.1:9", forwarder.http("http://127.0.0.1:9"), False, EventEnding())
    mark = current.set(exchange)
    try:
        with pytest.raises(StrayedError):
            await client().get("http://127.0.0.1:10")
    finally:
        current.reset(mark)
    assert exchange.sent == 0


@pytest.mark.parametrize("base", [f"https://{LOOKED_UP}:443", f"https://{LOOKED_UP.upper()}"])
async def test_a_vendors_address_may_be_spelled_in_another_way(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    asked = looked_up(monkeypatch, "127.0.0.1")
    exchange = Exchange(base, Forwarder(lambda address: False).http(base), False, EventEnding())
    mark = current.set(exchange)
    try:
        with pytest.raises(httpx.ReadError, match="connections to 127.0.0.1 are not permitted"):
            await client().get(f"https://{LOOKED_UP}/v1")
    finally:
        current.reset(mark)
    assert (exchange.sent, asked) == (1, ["127.0.0.1"])


@pytest.mark.parametrize("left", [True, False], ids=["left", "read to its end"])
async def test_a_stream_gives_its_connection_back(api: Api, left: bool) -> None:
    host, forwarder = api.workspace.host, Forwarder()
    exchange = Exchange(host, forwarder.http(host), True, EventEnding())
    mark = current.set(exchange)
    try:
        headers = {"Authorization": f"Bearer {api.workspace.token}"}
        url = f"{host}/serving-endpoints/{CHAT}/invocations"
        async with client().stream("POST", url, json={**HELLO, "stream": True}, headers=headers) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_bytes():
                if left:
                    break
    finally:
        current.reset(mark)
    assert exchange.reply is not None
    assert exchange.reply.source is None
    assert exchange.ending.told or left
    await forwarder.aclose()


def test_a_vendor_behind_a_redirect_is_not_followed_there(start: Start, vendor: VendorServer) -> None:
    answer = connected(start, vendor).query("ext", {"messages": [{"role": "user", "content": "redirect"}]})
    assert answer.status_code == 502
    assert [asked.path for asked in vendor.seen if "elsewhere" in asked.path] == []
