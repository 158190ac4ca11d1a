"""The run itself: server, rounds, and what everyone found, as one dictionary of plain data."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._environments import Environments, Say, plain_environment
from ._roster import ROSTER, Entry, Plan

FIRST_TASKS = ("chat", "memory", "big")
"""Before the many vectors, whose memory goes back to the system bit by bit later on."""
CALLS, STREAMS, VECTORS = (
    ("concurrent", "more_concurrent"),
    ("streams", "first_chunk"),
    ("embeddings", "more_embeddings"),
)
TASKS = (*FIRST_TASKS, *CALLS, *STREAMS, *VECTORS, "plain")
FLOOR_TASKS = ("chat", "streams", "embeddings", "plain")
ONCE = {"memory", "big", "more_concurrent", "more_embeddings"}
GROWTH = ("grow_concurrent", "grow_texts", "grow_chunks")
SLOW = 3.0
"""Seconds for 200 calls at once above which one round of them is enough."""
IMPORT_METRICS = ("import_wall", "import_rss", "import_modules")
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
        self.began, self.rounds = time.monotonic(), 0

    def all(self) -> dict[str, Any]:
        load, began = os.getloadavg()[0], dt.datetime.now(dt.UTC)
        self.imports()
        with serving(self.environments, self.server_core) as host:
            while self.rounds < self.plan.rounds and self.has_time():
                self.say(f"round {self.rounds + 1} of {self.plan.rounds}")
                for entry in self.roster:
                    self.measure(entry, host, self.tasks(entry, self.rounds))
                self.rounds += 1
        workspace = self.workspace()
        return {
            "date": began.date().isoformat(),
            "took": time.monotonic() - self.began,
            "rounds": self.rounds,
            "machine": machine(self.client_core, self.server_core, load),
            "crowding": max(self.crowding, default=0.0),
            "plan": dataclasses.asdict(self.plan),
            "samples": self.samples,
            "installed": self.installed,
            "workspace": workspace,
            "server": {"busy": self.busiest[0], "task": self.busiest[1]},
            "errors": self.errors,
        }

    def has_time(self) -> bool:
        """Whether there is time for one more round; the first one is always made."""
        gone = time.monotonic() - self.began
        return self.rounds == 0 or gone + gone / self.rounds / 2 < self.plan.seconds

    def tasks(self, entry: Entry, number: int) -> tuple[str, ...]:
        if entry.kind.endswith("Floor"):
            return FLOOR_TASKS
        left_out = set(ONCE) if number else set()
        if number and max(self.samples[entry.name].get(f"wall_{self.plan.concurrent[0]}", [0.0])) > SLOW:
            left_out.add("concurrent")
        if number and entry.role == "peer":
            left_out.add("plain")
        growth = GROWTH if number == 0 and entry.role == "ours" else ()
        return (*(task for task in TASKS if task not in left_out), *growth)

    def measure(self, entry: Entry, host: str, tasks: tuple[str, ...]) -> None:
        if not entry.kind or entry.name in self.errors:
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
        """In rounds too; the first one, for which files come into memory, is not counted if there are others."""
        self.say("imports")
        for number in range(self.plan.import_rounds):
            if number > 1 and time.monotonic() - self.began > self.plan.seconds / 6:
                break
            for entry in self.roster:
                self.imported(entry, first=number == 0, counts=number > 0 or self.plan.import_rounds == 1)

    def imported(self, entry: Entry, *, first: bool, counts: bool) -> None:
        if entry.name in self.errors:
            return
        job: dict[str, Any] = {"imports": entry.imports}
        if first:
            job |= {"root": entry.distribution, "only": entry.role == "floor" and entry.name != "httpx"}
        try:
            found = self.environments.ask(entry.environment, "speed._imports", job, self.client_core)
        except RuntimeError as error:
            self.errors[entry.name] = str(error)
            return
        if "installed" in found:
            self.installed[entry.name] = found["installed"]
        if "timed" in found and counts:
            for metric, value in zip(IMPORT_METRICS, found["timed"], strict=True):
                self.samples[entry.name].setdefault(metric, []).append(value)

    def workspace(self) -> dict[str, Any]:
        self.say("the embedded workspace")
        serve = self.environments.command("fm-workspace", "speed._workspace", "serve", self.server_core)
        job = {"serve": serve, "seconds": self.plan.workspace_seconds}
        found = [
            self.environments.ask("fm-workspace", "speed._workspace", job, self.client_core) for _ in range(self.rounds)
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


def roster(*names: str) -> tuple[Entry, ...]:
    """All, or those that are named."""
    return tuple(entry for entry in ROSTER if not names or entry.name in names)
