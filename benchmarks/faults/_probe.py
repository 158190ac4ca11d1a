"""Runs in the environment of a subject: puts every case to it, and prints what came of each as one line of JSON.

Time is made up: a sleep only moves the clock, so that who would wait for ten minutes is seen to do so at once.
"""

from __future__ import annotations

import importlib
import json
import pickle
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

HUNG = 25
"""Seconds of real time after which a case is given up."""
TEXTS = ["zero", "one", "two"]


class Clock:
    """Replaces the clock of this process, before any client is imported."""

    def __init__(self) -> None:
        self.slept = 0.0
        time.sleep = self.sleep
        for name in ("time", "monotonic", "perf_counter"):
            setattr(time, name, self.ahead(getattr(time, name)))

    def sleep(self, seconds: float) -> None:
        self.slept += max(seconds, 0.0)

    def ahead(self, real: Callable[[], float]) -> Callable[[], float]:
        return lambda: real() + self.slept


class HungError(BaseException):
    """The case has not come to an end."""


def give_up(*_: object) -> None:
    raise HungError


def observe(subject: Any, verb: str) -> dict[str, Any]:
    from . import _views

    if verb in ("chat", "stream"):
        return getattr(_views, verb)(subject)
    if verb == "embed":
        return {"vectors": [list(vector) for vector in subject.embed(TEXTS)]}
    return {"pickle": pickled, "repr": shown}[verb](subject)


def models(subject: Any) -> list[Any]:
    return [
        value for name in ("llm", "vectors", "client", "sync") if (value := getattr(subject, name, None)) is not None
    ]


def shown(subject: Any) -> dict[str, Any]:
    """Where the token can be read: in texts and dumps that logs and errors are made of."""
    found = []
    for model in models(subject):
        texts = {"repr": repr(model), "str": str(model)}
        for name in ("model_dump_json", "to_json"):
            if callable(dump := getattr(model, name, None)):
                try:
                    texts[name] = str(dump())
                except Exception:  # noqa: BLE001, S112  # what cannot be dumped shows nothing
                    continue
        found += [name for name, text in texts.items() if subject.token in text]
    return {"shown": sorted(set(found))}


def pickled(subject: Any) -> dict[str, Any]:
    subject.chat()
    data = [pickle.dumps(model) for model in models(subject)]
    for each in data:
        pickle.loads(each)  # noqa: S301  # our own bytes
    return {"held": any(subject.token.encode() in each for each in data)}


def ask(kind: Any, job: dict[str, Any], case: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """What came of one case."""
    clock.slept, seen, error = 0.0, {}, None
    signal.alarm(HUNG)
    began = time.perf_counter()
    try:
        name = case["name"]
        subject = kind(job["host"], "dapi-secret-of-the-probe", name, name, case.get("timeout"))
        seen = observe(subject, case["verb"])
    except HungError:
        error = {"name": "hung", "typed": False, "text": ""}
    except Exception as found:  # noqa: BLE001  # whatever it is, it is what we want to know
        packages = {base.__module__.partition(".")[0] for base in type(found).__mro__}
        error = {"name": type(found).__name__, "typed": bool(packages & set(job["typed"])), "text": str(found)[:200]}
    finally:
        signal.alarm(0)
    took = time.perf_counter() - began - clock.slept
    return {"seen": seen, "error": error, "slept": round(clock.slept, 1), "took": round(took, 2)}


def main() -> None:
    clock = Clock()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    job = json.loads(sys.argv[1])
    kind = getattr(importlib.import_module("benchmarks.speed._subjects"), job["class"])
    print(json.dumps({case["name"]: ask(kind, job, case, clock) for case in job["cases"]}, default=str))


if __name__ == "__main__":
    main()
