"""Write a newer catalog from JSON documents, each of which says what one source states.

    python -m fm_client.refresh_catalog news.json --output my-catalog.json
    FM_CATALOG=my-catalog.json python my_program.py

A document has a `source` (`key`, `title`, `date`, `kind`) and any of the sections of a catalog, with entries as in the
package's `data/*.json`, of which a model needs no more than `endpoint`:

    {"source": {"key": "models_2027_01", "title": "docs.example.com/models", "date": "2027-01-15", "kind": "the docs"},
     "models": [{"endpoint": "databricks-new-model", "task": "llm/v1/chat", "inputs": ["text"]}],
     "retirements": [{"model": "Old", "endpoint": "databricks-old", "offering": "pay-per-token", "date": "2027-04-01"}]}

The answer of `GET /api/2.0/serving-endpoints`, under `endpoints`, does for `models`. What a document states goes over
what was known, but a third party (`kind` begins with it) only fills gaps. To update the package itself, name its
folder `integrations/fm_client/data` as the output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ._catalog_data import SECTIONS, JSONObject
from ._catalog_file import FILES, VERSION, checked_sections, packaged_files, packaged_sections, read_json
from ._catalog_merge import merged
from ._errors import ConfigurationError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0, or 1 for a file that is not what it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m fm_client.refresh_catalog", description="Write a newer catalog of models."
    )
    parser.add_argument("documents", nargs="*", type=Path, metavar="DOCUMENT", help="JSON of what one source states")
    parser.add_argument("--output", required=True, type=Path, help="file to write, or the package's data folder")
    given = parser.parse_args(arguments)
    try:
        sections = dict(packaged_sections())
        for path in given.documents:
            sections = merged(sections, read_json(path), str(path))
        checked_sections("the catalog that results", {"schema_version": VERSION, **sections})
        written = _write(given.output, sections)
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    counts = ", ".join(f"{len(sections[name])} {name}" for name in SECTIONS)
    sys.stdout.write(f"{', '.join(map(str, written))}: {counts}\n")
    return 0


def _write(output: Path, sections: Mapping[str, Any]) -> list[Path]:
    """Write one file with all sections; or, where `output` is a folder, each of the package's files."""
    if not output.is_dir():
        output.write_text(_text({"schema_version": VERSION, **sections}), encoding="utf-8")
        return [output]
    return [_write_part(output / f"{name}.json", packaged_files()[name], sections, FILES[name]) for name in FILES]


def _write_part(path: Path, before: JSONObject, sections: Mapping[str, Any], names: Sequence[str]) -> Path:
    own = {name: sections[name] for name in names}
    used = {key for name in names for key in _used(own[name])}
    sources = {key: entry for key, entry in sections["sources"].items() if key in used or key in before["sources"]}
    head = {"schema_version": VERSION, "about": before["about"]}
    path.write_text(_text({**head, "sources": _ordered(sources, before["sources"]), **own}), encoding="utf-8")
    return path


def _ordered(sources: Mapping[str, Any], before: Mapping[str, Any]) -> JSONObject:
    """The sources in the order that the file had them, and new ones after them."""
    return {key: sources[key] for key in (*before, *(key for key in sources if key not in before))}


def _used(section: Any) -> Iterator[str]:
    for entry in section if isinstance(section, list) else [section]:
        if isinstance(entry, Mapping):
            yield from entry.get("sources", ())


def _text(data: Mapping[str, Any]) -> str:
    """JSON with an entry to a line, so that a change of one model is a change of one line."""
    parts = [f"  {json.dumps(name)}: {_part(value)}" for name, value in data.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _part(value: Any) -> str:
    if isinstance(value, dict):
        lines = [f"    {json.dumps(key)}: {_line(inner)}" for key, inner in value.items()]
        return "{\n" + ",\n".join(lines) + "\n  }"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"    {_line(inner)}" for inner in value) + "\n  ]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
