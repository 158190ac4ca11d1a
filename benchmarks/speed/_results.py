"""What a run has found: medians, spreads, and ratios, which are taken within a round before their median is."""

from __future__ import annotations

import math
import statistics
from typing import Any

Point = tuple[str, str]
"""Who, and which metric."""


class Results:
    """`data` is what `Run.all` returns."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def values(self, name: str, metric: str) -> list[float]:
        return [each for each in self.data["samples"].get(name, {}).get(metric, []) if each is not None]

    def median(self, name: str, metric: str) -> float | None:
        found = self.values(name, metric)
        return statistics.median(found) if found else None

    def ratio(self, of: Point, *to: Point) -> float | None:
        """`of` over the sum of `to`, round by round."""
        samples = [self.data["samples"].get(name, {}).get(metric, []) for name, metric in (of, *to)]
        rounds = [found for found in zip(*samples, strict=False) if None not in found]
        return statistics.median(above / sum(below) for above, *below in rounds) if rounds else None

    def installed(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.data["installed"].get(name, {})
        return found

    def growth(self, name: str, metric: str) -> list[tuple[float, float]]:
        """`(size, seconds of CPU)`."""
        runs = self.data["samples"].get(name, {}).get(metric, [])
        return [(size, spent) for size, spent in runs[0]] if runs else []

    def exponent(self, name: str, metric: str) -> float | None:
        """p of CPU = c * size ** p, fitted over the upper half, where what a call costs in any case is small."""
        points = self.growth(name, metric)
        upper = points[len(points) // 2 :]
        if len(upper) < 2:
            return None
        return statistics.linear_regression(*zip(*((math.log(n), math.log(t)) for n, t in upper), strict=True)).slope

    def step(self, name: str, metric: str, small: int, large: int) -> float | None:
        """How many times the CPU `large` costs, compared with `small`."""
        found = dict(self.growth(name, metric))
        return found[large] / found[small] if small in found and large in found else None
