"""AsyncClient is Client, awaited: the two are written by hand and proved alike here."""

from __future__ import annotations

import inspect
import re
import textwrap

import pytest

from fm_client import HTTP, AsyncClient, AsyncHTTP, Client
from fm_client._endpoints import AsyncEndpoints, Endpoints

# How the sync source becomes the async one. A substitution that is not used fails the test, so that the list stays short.
SUBSTITUTIONS = {
    r"\bdef (?!stream_|_open|endpoints)": "async def ",
    r"self\._run\(": "await self._run(",
    r"self\._run_all\(": "await self._run_all(",
    r"self\._perform\(": "await self._perform(",
    r"self\._answer\(": "await self._answer(",
    r"self\._http\.(send|read|release)\(": r"await self._http.\1(",
    r"\bGenerator\[(\w+), None, None\]": r"AsyncGenerator[\1, None]",
    r"\bHTTP\b": "AsyncHTTP",
    r"\bEndpoints\b": "AsyncEndpoints",
    r"time\.sleep": "await _sleep",
    r"self\.settings\.credential\.token\(": "await self.settings.credential.atoken(",
    r"yield from command\.items": "for item in command.items:\nyield item",
}
# What must differ: opening and closing have other names, several flows at once are threads there and tasks here.
OWN = {"close", "aclose", "__enter__", "__exit__", "__aenter__", "__aexit__", "_run_all", "_begin"}


def plain(source: str) -> str:
    """Source without layout."""
    return re.sub(r"\s+|,(?=\s*[)\]])", "", textwrap.dedent(source))


def methods(cls: type) -> dict[str, str]:
    members = {name: getattr(value, "func", value) for name, value in vars(cls).items()}  # of a cached property
    return {name: inspect.getsource(value) for name, value in members.items() if inspect.isfunction(value)}


def test_the_async_source_is_the_sync_source_awaited() -> None:
    sync, aio = methods(Client), methods(AsyncClient)
    assert sync.keys() - OWN == aio.keys() - OWN
    used: set[str] = set()
    for name in sync.keys() - OWN:
        source = sync[name]
        for pattern, new in SUBSTITUTIONS.items():
            changed = re.sub(pattern, new, source)
            used |= {pattern} if changed != source else set()
            source = changed
        assert plain(source) == plain(aio[name]), name
    assert used == SUBSTITUTIONS.keys()


@pytest.mark.parametrize(("sync", "aio"), [(Client, AsyncClient), (Endpoints, AsyncEndpoints), (HTTP, AsyncHTTP)])
def test_signatures_agree(sync: type, aio: type) -> None:
    names = {name for name, value in inspect.getmembers(sync, inspect.isfunction) if not name.startswith("_")} - OWN
    assert (
        names == {name for name, value in inspect.getmembers(aio, inspect.isfunction) if not name.startswith("_")} - OWN
    )
    for name in names:
        ours, theirs = (inspect.signature(getattr(cls, name)).parameters for cls in (sync, aio))
        assert [(p.name, p.kind, p.default) for p in ours.values()] == [
            (p.name, p.kind, p.default) for p in theirs.values()
        ]


def test_every_public_method_is_documented() -> None:
    for cls in (Client, AsyncClient, Endpoints, AsyncEndpoints):
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            assert name.startswith("_") or method.__doc__, f"{cls.__name__}.{name}"
