"""The catalog's files: the package's own, and a newer one that a user brings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._catalog_data import SECTIONS, Catalog, JSONObject, RetirementPolicy, Source, built
from ._errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FILES = {
    "catalog": ("models", "provisioned_families", "provisioned_models", "rules"),
    "retirements": ("policy", "retirements"),
    "providers": ("tasks", "providers"),
    "limits": ("limits",),
}
"""The package's files, in `data/`, and the sections of each; `sources` stand in all of them."""
VERSION = 1
"""`schema_version` of the files."""
_SHOWN = 5
"""Problems of a file that an error tells."""
_BESIDE = ("schema_version", "about")


@cache
def packaged() -> Catalog:
    """The catalog that came with the package."""
    return built(packaged_sections())


@cache
def packaged_sections() -> Mapping[str, Any]:
    """The sections of the package's files."""
    files = packaged_files().values()
    sections = {key: value for file in files for key, value in file.items() if key not in _BESIDE}
    return {**sections, "sources": {key: entry for file in files for key, entry in file["sources"].items()}}


@cache
def packaged_files() -> Mapping[str, JSONObject]:
    """The package's files by name, as they are."""
    folder = resources.files(__package__).joinpath("data")
    return {name: json.loads(folder.joinpath(f"{name}.json").read_bytes()) for name in FILES}


def read_catalog(path: str | os.PathLike[str]) -> Catalog:
    """The catalog in a file. A section that it has takes the place of the package's; the others stay.

    ConfigurationError, with the file and the place in it, for what is no such file.
    """
    return built({**packaged_sections(), **checked_sections(f"catalog {os.fspath(path)}", read_json(path))})


def checked_sections(where: str, data: Mapping[str, Any]) -> JSONObject:
    """The sections of a catalog's file, as entries; `where` begins an error's text. Sources add to the package's."""
    if data.get("schema_version") != VERSION:
        raise ConfigurationError(
            f"{where}: schema_version is {data.get('schema_version')!r:.20}; this package reads {VERSION}"
        )
    given = {key: value for key, value in data.items() if key not in _BESIDE}
    if unknown := sorted(given.keys() - _adapters().keys()):
        raise ConfigurationError(
            f"{where}: no section is called {unknown[0]!r:.60}; a catalog has {', '.join(sorted(_adapters()))}"
        )
    sections = {name: _checked(where, name, value) for name, value in given.items()}
    sections["sources"] = {**packaged_sections()["sources"], **sections.get("sources", {})}
    _check_sources(where, sections)
    return sections


def read_json(path: str | os.PathLike[str]) -> JSONObject:
    """The JSON object in a file."""
    try:
        data = json.loads(Path(path).read_bytes())
    except OSError as exc:
        raise ConfigurationError(f"{os.fspath(path)} cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{os.fspath(path)} is no JSON: {exc}") from exc
    if not isinstance(data, dict):
        raise ConfigurationError(f"{os.fspath(path)} is no JSON object")
    return data


def _checked(where: str, name: str, value: Any) -> Any:
    from pydantic import ValidationError

    try:
        return _adapters()[name].validate_json(json.dumps(value), strict=True)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_input=False)
        told = [f"{_place(name, error['loc'])}: {error['msg']}" for error in errors[:_SHOWN]]
        more = f" (and {len(errors) - _SHOWN} more)" if len(errors) > _SHOWN else ""
        raise ConfigurationError(f"{where}: {'; '.join(told)}{more}") from None


def _place(name: str, loc: tuple[int | str, ...]) -> str:
    return name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)


def _check_sources(where: str, sections: Mapping[str, Any]) -> None:
    for name in SECTIONS:
        for at, entry in enumerate(sections.get(name, ())):
            if unknown := [key for key in entry.sources if key not in sections["sources"]]:
                raise ConfigurationError(f"{where}: {name}[{at}].sources: {unknown[0]!r:.60} is in no sources")


@cache
def _adapters() -> Mapping[str, TypeAdapter[Any]]:
    from pydantic import TypeAdapter

    lists: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(list[kind]) for name, kind in SECTIONS.items()}  # type: ignore[valid-type]  # a type that is a value
    return {
        **lists,
        "sources": TypeAdapter(dict[str, Source]),
        "policy": TypeAdapter(RetirementPolicy),
        "tasks": TypeAdapter(list[str]),
    }
