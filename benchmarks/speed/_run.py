"""The run itself: server, rounds, and what everyone found, as one dictionary of plain data."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._environments import ROOT, Environments, Say, plain_environment
from ._roster import ROSTER, Entry, Plan

TASKS = ("chat", "concurrent", "streams", "first_chunk", "embeddings")
FLOOR_TASKS = ("chat", "streams", "embeddings")
ONCE = ("memory", "big")
GROWTH = ("grow_concurrent", "grow_texts", "grow_chunks")
Samples = dict[str, dict[str, list[Any]]]


class Run:
    """One run of the benchmark."""

    def __init__(self, plan: Plan, environments: Environments, roster: tuple[Entry, ...], say: Say) -> None:
        self.plan, self.environments, self.roster, self.say = plan, environments, roster, say
        self.client_core, self.server_core = cores()
        self.samples: Samples = {entry.name: {} for entry in roster}
        self.installed: dict[str, Any] = {}
        self.errors: dict[str, str] = {}
        self.busiest: tuple[float, str] = (0.0, "")
        self.crowding: list[float] = []

    def all(self) -> dict[str, Any]:
        load = os.getloadavg()[0]
        began = datetime.datetime.now(datetime.UTC)
        self.imports()
        with serving(self.environments, self.server_core) as host:
            for number in range(self.plan.rounds):
                self.say(f"round {number + 1} of {self.plan.rounds}")
                for entry in self.measured:
                    self.measure(entry, host, self.tasks(entry, first=number == 0))
            self.say("growth")
            for entry in self.measured:
                if entry.role == "ours":
                    self.measure(entry, host, GROWTH)
        workspace = self.workspace()
        took = (datetime.datetime.now(datetime.UTC) - began).total_seconds()
        return {
            "date": began.date().isoformat(),
            "took": took,
            "machine": machine(self.client_core, self.server_core, load),
            "crowding": max(self.crowding, default=0.0),
            "plan": dataclasses.asdict(self.plan),
            "samples": self.samples,
            "installed": self.installed,
            "workspace": workspace,
            "server": {"busy": self.busiest[0], "task": self.busiest[1]},
            "errors": self.errors,
        }

    @property
    def measured(self) -> list[Entry]:
        return [entry for entry in self.roster if entry.kind]

    def tasks(self, entry: Entry, *, first: bool) -> tuple[str, ...]:
        if entry.name in ("langchain", "llamaindex"):
            return FLOOR_TASKS
        once = ONCE if first and entry.role != "floor" else ()
        return TASKS + once

    def measure(self, entry: Entry, host: str, tasks: tuple[str, ...]) -> None:
        if entry.name in self.errors:
            return
        plan = dataclasses.asdict(self.plan)
        if entry.role != "ours":
            plan["memory_calls"] = self.plan.peer_memory_calls
        job = {"class": entry.kind, "module": entry.module, "host": host, "plan": plan, "tasks": tasks}
        try:
            answer = self.environments.ask(entry.environment, "speed._worker", job, self.client_core)
        except RuntimeError as error:
            self.errors[entry.name] = str(error)
            return
        for metric, value in answer["figures"].items():
            self.samples[entry.name].setdefault(metric, []).append(value)
        for task, busy in answer["busy"].items():
            self.busiest = max(self.busiest, (busy, f"{entry.label}, {task}"))
        self.crowding.append(answer["crowding"])

    def imports(self) -> None:
        """In rounds too; one that is not counted comes first, so that all files are in memory."""
        self.say("imports")
        for entry in self.roster:
            only = entry.role == "floor"
            if entry.distribution:
                job = {"root": entry.distribution, "only": only and entry.name != "httpx"}
                self.installed[entry.name] = self.imported(entry, job)["installed"]
        timed = [entry for entry in self.roster if entry.imports]
        for number in range(self.plan.import_rounds + 1):
            for entry in timed:
                found = self.imported(entry, {"imports": entry.imports})["timed"]
                for metric, value in zip(("import_wall", "import_rss", "import_modules"), found, strict=True):
                    if number:
                        self.samples[entry.name].setdefault(metric, []).append(value)

    def imported(self, entry: Entry, job: dict[str, Any]) -> dict[str, Any]:
        return self.environments.ask(entry.environment, "speed._imports", job, self.client_core)

    def workspace(self) -> dict[str, Any]:
        self.say("the embedded workspace")
        serve = self.environments.command("fm-workspace", "speed._workspace", "serve", self.server_core)
        job = {"serve": serve, "seconds": self.plan.workspace_seconds}
        found = [
            self.environments.ask("fm-workspace", "speed._workspace", job, self.client_core)
            for _ in range(self.plan.rounds)
        ]
        return {metric: [each[metric] for each in found] for metric in found[0]}


@contextlib.contextmanager
def serving(environments: Environments, core: int) -> Iterator[str]:
    """The server, for as long as the block lasts; its address."""
    command = environments.command("tools", "speed._server", None, core)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=plain_environment()) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def cores() -> tuple[int, int]:
    """One for the client and another one for the server, if there are two; -1 means any."""
    if not hasattr(os, "sched_getaffinity") or len(usable := sorted(os.sched_getaffinity(0))) < 2:
        return -1, -1
    return usable[0], usable[-1]


def machine(client: int, server: int, load: float) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in _lines(cpuinfo) if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "pinned": client >= 0,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load": load,
        "load_after": os.getloadavg()[0],
    }


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def roster(*, ours_only: bool) -> tuple[Entry, ...]:
    return tuple(entry for entry in ROSTER if not ours_only or entry.role != "peer")


__all__ = ["ROOT", "Run", "roster"]
