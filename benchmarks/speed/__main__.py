"""`python -m benchmarks.speed`: build what is missing, run, print, and write JSON and charts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ._environments import CACHE, ROOT, Environments
from ._report import SAVED, blocks, fill, save, show
from ._results import Results
from ._roster import BY_NAME, PLANS
from ._run import Run, roster

DOCS = ROOT / "docs"
PAGE = DOCS / "performance.md"


def say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def draw(environments: Environments, source: Path, folder: Path) -> None:
    environments.ask("tools", "speed._charts", [str(source), str(folder)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--plan", choices=PLANS, default="quick")
    parser.add_argument("--build", action="store_true", help="only build the environments")
    parser.add_argument("--docs", action="store_true", help="also write the figures into docs/")
    parser.add_argument("--only", nargs="*", choices=BY_NAME, default=(), help="rows of the tables; default: all")
    parser.add_argument("--here", action="store_true", help="all in the environment that is running; no charts")
    options = parser.parse_args()
    environments = Environments(here=options.here, say=say)
    chosen = roster(*options.only)
    environments.build({"tools", "fm-workspace", *(entry.environment for entry in chosen)})
    if options.build:
        return 0
    run = Run(PLANS[options.plan], environments, chosen, say)
    path = save("speed", run.all(), SAVED if options.docs else CACHE)
    results = Results(json.loads(path.read_text(encoding="utf-8")))
    show(results)
    if not options.here:
        draw(environments, path, DOCS / "charts" if options.docs else CACHE / "charts")
    if options.docs:
        PAGE.write_text(fill(PAGE, blocks(results)), encoding="utf-8")
    print(f"\n{path.relative_to(ROOT)} has all figures.")
    return 1 if run.errors else 0


if __name__ == "__main__":
    sys.exit(main())
