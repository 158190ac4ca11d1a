"""What `import fm_client` loads, what it leaves for later, and that nobody notices the difference."""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys

import pytest
from fault_server import DONE, FaultServer, chat, chunked, embeddings, reply, words

import fm_client
from fm_client import Endpoint

NAMES = "from fm_client import AsyncClient, ChatResponse, Client, Clients, FMError, Settings, Usage, catalog, observe"
FLOOR = "import sys; sys.modules['click'] = None\nimport httpx, pydantic"
"""Without httpx's own command, which wants click: where it is installed, the floor would be higher."""
LATE = (
    ("asyncio", "selectors", "subprocess", "ssl"),  # for who has an event loop
    ("httpx", "httpcore", "h11", "anyio", "certifi"),  # for who makes a client
    ("configparser", "email", "urllib.request", "http.client"),  # for profiles, dates of Retry-After and proxies
    ("importlib.resources", "difflib", "tempfile", "fm_client._catalog_data"),  # for who reads the catalog
    ("fm_client._endpoints", "fm_client.types.endpoints", "fm_client.types.external"),  # for the control plane
    ("fm_client._items_parser", "fm_client._items_sent"),  # for the Responses API
    ("fm_client._oauth", "concurrent.futures"),  # for tokens that are fetched
)
ASKED = {
    "Client": "fm.chat('ep', 'Hi', extra_body={'user': 'ada'}), list(fm.stream_chat('st', 'Hi')), fm.embed('em', 'Hi')",
    "AsyncClient": "asyncio.run(both())",
}
BOTH = """
async def both():
    await fm.chat('ep', 'Hi', extra_body={'user': 'ada'})
    [chunk async for chunk in fm.stream_chat('st', 'Hi')]
    await fm.embed('em', 'Hi')
"""


def script(server: FaultServer) -> None:
    server.script("ep", reply(200, chat()))
    server.script("st", chunked(*words("Hel", "lo"), DONE))
    server.script("em", reply(200, embeddings([[1.0, 0.0]])))


def run(code: str, *, stdin: bytes = b"") -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, input=stdin)
    return done.stdout.decode()


@functools.cache
def modules_after(code: str) -> set[str]:
    return set(run(f"{code}\nimport sys; print(*sys.modules)").split())


@pytest.mark.parametrize("late", LATE, ids=lambda late: late[0])
def test_importing_loads_nothing_before_it_is_used(late: tuple[str, ...]) -> None:
    assert modules_after(NAMES) & set(late) == set()


def test_importing_loads_little_more_than_httpx_and_pydantic() -> None:
    """In modules, which do not depend on how busy the machine is; in time the budget is 1.5."""
    ours, floor = modules_after(NAMES), modules_after(FLOOR)
    others = {name.partition(".")[0] for name in ours - floor} - sys.stdlib_module_names
    assert {name for name in others if name[0] != "_"} <= {"fm_client", "pydantic", "annotated_types"}
    assert len(ours) <= 1.2 * len(floor)


def test_a_sync_client_never_needs_asyncio(server: FaultServer) -> None:
    script(server)
    code = f"""
import sys
from fm_client import Client
with Client({server.host!r}, "token-for-tests") as fm:
    print(fm.chat("ep", "Hi").text, *(chunk.text for chunk in fm.stream_chat("st", "Hi")), fm.embed("em", "Hi").vectors)
print("asyncio" in sys.modules)
"""
    assert run(code).split() == ["hello", "Hel", "lo", "[[1.0,", "0.0]]", "False"]


@pytest.mark.parametrize("kind", ASKED)
def test_a_client_that_is_made_has_what_its_requests_need(server: FaultServer, kind: str) -> None:
    """A child forked while another thread imports it would wait for it for ever."""
    script(server)
    code = f"""
import asyncio, sys
from fm_client import {kind}
{BOTH}
fm = {kind}({server.host!r}, "token-for-tests")
before = set(sys.modules)
{ASKED[kind]}
print(*set(sys.modules) - before)
"""
    tops = {name.partition(".")[0] for name in run(code).split()}
    assert tops & {"fm_client", "httpcore", "h11", "anyio", "asyncio", "ssl", "certifi"} == set()


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("from fm_client import Endpoint as found", "fm_client.types.endpoints"),
        ("from fm_client.types import Endpoint as found", "fm_client.types.endpoints"),
        ("from fm_client import Permissions as found", "fm_client.types.permissions"),
        ("import fm_client; found = fm_client.types.AiGatewayConfig", "fm_client.types.gateway"),
        ("from fm_client import HTTP as found", "fm_client._http"),
        ("from fm_client import environment_proxy as found", "fm_client._network"),
        ("from fm_client import parse_metrics as found", "fm_client._metrics"),
        ("from fm_client import catalog; found = catalog.HostedModel", "fm_client._catalog_data"),
        ("from fm_client import *; found = OpenAIConfig", "fm_client.types.external"),
    ],
)
def test_what_is_late_is_there_when_it_is_asked_for(statement: str, where: str) -> None:
    assert run(f"{statement}\nprint(found.__module__)").strip() == where


def test_every_name_is_offered_before_it_is_loaded_and_is_there() -> None:
    code = """
import json, fm_client
from fm_client import catalog, types
doors = (fm_client, types)
unseen = [name for door in doors for name in door.__all__ if name not in dir(door)]
gone = [name for door in (*doors, catalog) for name in door.__all__ if not hasattr(door, name)]
print(json.dumps([unseen, gone, fm_client.Endpoint is types.Endpoint]))
"""
    assert json.loads(run(code)) == [[], [], True]


@pytest.mark.parametrize("door", ["fm_client", "fm_client.types", "fm_client._catalog"])
def test_a_name_that_is_not_there_is_an_attribute_error(door: str) -> None:
    code = f"import importlib; door = importlib.import_module({door!r})\ntry: door.Nonsense\nexcept AttributeError as e: print(e)"
    assert run(code).strip() == f"module {door!r} has no attribute 'Nonsense'"


def test_help_shows_what_is_late() -> None:
    shown = run("import pydoc, fm_client; print(pydoc.plain(pydoc.render_doc(fm_client)))")
    assert "class AiGatewayConfig(" in shown
    assert "class AsyncHTTP(" in shown


def test_threads_that_ask_at_once_get_the_same() -> None:
    code = """
import threading, fm_client
start, found = threading.Barrier(16), []
names = ("Endpoint", "ExternalModel", "HTTP", "parse_metrics")
def ask(name):
    start.wait()
    found.append((name, getattr(fm_client, name)))
threads = [threading.Thread(target=ask, args=(names[i % 4],)) for i in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(found)))
"""
    assert run(code).split() == ["16", "4"]


def test_a_pickle_of_what_is_late_opens_where_nothing_is_loaded_yet() -> None:
    endpoint = Endpoint(name="ep", task="llm/v1/chat")
    opened = run(
        "import pickle, sys; print(pickle.load(sys.stdin.buffer).to_dict())",
        stdin=pickle.dumps(endpoint),
    )
    assert opened.strip() == str(endpoint.to_dict())


def test_the_endpoints_of_a_client_are_one_object() -> None:
    with fm_client.Client("https://example.com", "token-for-tests") as fm:
        assert fm.endpoints is fm.endpoints
