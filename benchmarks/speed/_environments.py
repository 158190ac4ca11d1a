"""One environment for each subject, built when it is first needed, and kept under `.bench/`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._roster import ENVIRONMENTS, TOOLS, Needs

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench"
WHEEL_OF = ("integrations", "langchain_fm", "llamaindex_fm", "mlflow_fm", "pyproject.toml")
BOOT = """
import os, resource, runpy, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand connections, and as many on the other side
sys.path.append({root!r})  # last, so that what is installed comes first
if {core} >= 0: os.sched_setaffinity(0, [{core}])
runpy.run_module({module!r}, run_name="__main__")
"""
TIMEOUT = 600
"""Seconds for all that one process does."""
Say = Callable[[str], None]


class Environments:
    """Where the Python of an environment is; all are this one if `here`, which is what a smoke run does."""

    def __init__(self, *, here: bool = False, say: Say = print) -> None:
        self.here, self.say = here, say

    def python(self, name: str) -> str:
        return sys.executable if self.here else str(CACHE / "env" / name / "bin" / "python")

    def build(self, names: set[str]) -> None:
        """Build what is not there yet, or no longer what it should be."""
        if self.here:
            return
        for name in ["tools", *sorted(names - {"tools"})]:
            self._build(name, TOOLS if name == "tools" else ENVIRONMENTS[name])

    def _build(self, name: str, needs: Needs) -> None:
        ours = any(need.startswith("fm-integrations") for need in needs)
        digest = source_digest() if ours else ""
        stamp = CACHE / "env" / name / ".stamp"
        found = json.loads(stamp.read_text()) if stamp.exists() else {}
        if found == (wanted := {"needs": list(needs), "digest": digest}):
            return
        self.say(f"building the environment of {name}")
        if not found:
            subprocess.run([sys.executable, "-m", "venv", str(stamp.parent)], check=True)
        if ours:
            path = str(wheel(digest))
            needs = tuple(need.replace("fm-integrations", path) for need in needs)
        only_code = ours and found.get("needs") == wanted["needs"]
        self._install(name, *(("--no-deps", "--reinstall") if only_code else ()), *needs)
        stamp.write_text(json.dumps(wanted))

    def _install(self, name: str, *needs: str) -> None:
        """By uv: pip takes many minutes to find out which versions of one of the peers fit together."""
        if not (uv := CACHE / "env" / "tools" / "bin" / "uv").exists():
            _do([self.python("tools"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"])
        _do([str(uv), "pip", "install", "--quiet", "--compile-bytecode", "--python", self.python(name), *needs])

    def ask(self, name: str, module: str, job: dict[str, Any], core: int = -1) -> dict[str, Any]:
        """Run a module of the benchmark in an environment; the last line that it prints is its answer."""
        try:
            done = subprocess.run(self.command(name, module, job, core), **quiet(), timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"has not ended within {TIMEOUT} s") from error
        if done.returncode:
            raise RuntimeError(last_line(done.stderr) or f"exit code {done.returncode}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def command(self, name: str, module: str, job: Any, core: int = -1) -> list[str]:
        boot = BOOT.format(root=str(ROOT), core=core, module=f"benchmarks.{module}")
        return [self.python(name), "-c", boot, json.dumps(job)]


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} has failed:\n{done.stdout}{done.stderr}")


def quiet() -> dict[str, Any]:
    return {"cwd": CACHE if CACHE.exists() else "/", "env": plain_environment(), "capture_output": True, "text": True}


def plain_environment() -> dict[str, str]:
    """Without what a developer has set for workspaces, proxies and telemetry."""
    unwanted = ("DATABRICKS_", "OPENAI_", "MLFLOW_", "LANGCHAIN_", "LANGSMITH_", "PYTHON")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(unwanted) and not k.lower().endswith("_proxy")}
    return {
        **kept,
        "DATABRICKS_CONFIG_FILE": os.devnull,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONWARNINGS": "ignore",
    }


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""


def source_digest() -> str:
    """Of everything that goes into our wheel."""
    found = hashlib.sha256()
    for part in WHEEL_OF:
        path = ROOT / part
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix in {".py", ".json", ".toml", ".typed"}:
                found.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return found.hexdigest()


def wheel(digest: str) -> Path:
    """The wheel of the working tree."""
    folder = CACHE / "wheel" / digest[:16]
    if not folder.exists():
        shutil.rmtree(folder.parent, ignore_errors=True)
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))
