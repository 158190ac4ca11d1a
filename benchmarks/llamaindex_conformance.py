"""Turn the LlamaIndex conformance kit on ours and on the official Databricks package, and print a table.

    python -m benchmarks.llamaindex_conformance [--env DIR] [--write docs/llamaindex.md]

The official package gets an environment of its own in DIR (made if it is not there; needs the package index). Both run
against the same embedded workspace. `--write` puts the table between the marks in a document.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET  # of our own test runs

from fm_workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
OFFICIAL = ("llama-index-llms-databricks", "llama-index-embeddings-databricks")
NEEDED = (*OFFICIAL, "pytest>=9,<10", "pytest-timeout>=2.4,<3")
SHOWN = ("llama-index-core", *OFFICIAL)
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"
SUITES = {"TestLLM": "LLM", "TestLLMWire": "LLM", "TestEmbedding": "Embedding", "TestEmbeddingWire": "Embedding"}
Result = dict[tuple[str, str], list[bool]]
"""By kind of model and name of the test: whether each of its cases passed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", type=Path, default=Path(tempfile.gettempdir()) / "fm-llamaindex-peers")
    parser.add_argument("--write", type=Path, help="document with the marks for the table")
    options = parser.parse_args()
    python = environment(options.env)
    with Workspace.start() as ws:
        ours = run(sys.executable, "tests/llamaindex/test_conformance.py", ws)
        theirs = run(str(python), "benchmarks/llamaindex_peers.py", ws)
    text = report(ours, theirs, versions(python))
    print(text)
    if options.write:
        head, _, rest = options.write.read_text(encoding="utf-8").partition(BEGIN)
        tail = rest.partition(END)[2]
        options.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def environment(directory: Path) -> Path:
    """The interpreter of an environment with the official package."""
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *NEEDED], check=True)
    return python


def versions(python: Path) -> str:
    code = f"import json; from importlib.metadata import version as v; print(json.dumps([v(n) for n in {SHOWN!r}]))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    return ", ".join(f"{name} {version}" for name, version in zip(SHOWN, json.loads(found), strict=True))


def run(python: str, tests: str, ws: Workspace) -> Result:
    """The outcome of the suites in an environment. A warning is no failure here, as it is none for a user."""
    paths = [str(ROOT / "tests" / part) for part in ("support", "llamaindex")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "KIT_HOST": ws.host, "KIT_TOKEN": ws.token}
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "junit.xml"
        options = ["-q", "--tb=native", "--timeout=60", "-p", "no:cacheprovider", "-W", "default", f"--junitxml={out}"]
        own = [] if python == sys.executable else ["-c", os.devnull, f"--rootdir={ROOT}"]
        subprocess.run([python, "-m", "pytest", *options, *own, tests], cwd=ROOT, env=env, check=False)
        return read(out)


def read(junit: Path) -> Result:
    result: Result = defaultdict(list)
    for case in ET.parse(junit).iter("testcase"):  # noqa: S314  # our own file
        if case.find("skipped") is None:
            suite = case.attrib["classname"].rpartition(".")[2]
            name = case.attrib["name"].partition("[")[0].removeprefix("test_").replace("_", " ")
            failed = case.find("failure") is not None or case.find("error") is not None
            result[SUITES[suite], name].append(not failed)
    return result


def report(ours: Result, theirs: Result, tried: str) -> str:
    day = dt.datetime.now(dt.UTC).strftime("%d %B %Y")
    lines = [
        f"Tried on {day}, on Python {sys.version_info.major}.{sys.version_info.minor}, with {tried}.",
        "Cases passed, of those that apply; a fact is tried sync and async, whole and streamed, fresh and used.",
        "",
        "| | fact | `llamaindex_fm` | official package |",
        "|---|---|---|---|",
    ]
    for kind, name in sorted(ours.keys() | theirs.keys(), key=lambda key: (key[0] != "LLM", key[1])):
        lines.append(f"| {kind} | {name} | {score(ours[kind, name])} | {score(theirs[kind, name])} |")
    lines.append(f"| | **all** | **{score(flat(ours))}** | **{score(flat(theirs))}** |")
    return "\n".join(lines)


def flat(result: Result) -> list[bool]:
    return [passed for cases in result.values() for passed in cases]


def score(cases: list[bool]) -> str:
    return f"{sum(cases)} of {len(cases)}" if cases else "-"


if __name__ == "__main__":
    main()
