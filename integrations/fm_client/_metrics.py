"""The Prometheus text format: samples out of what an endpoint's `metrics` answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SAMPLE = re.compile(
    rf"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{{(?P<labels>(?:[^\"}}]|{_QUOTED})*)\}})?"
    r"\s+(?P<value>[^\s{}]+)(?:\s+(?P<time>[^\s#]+))?"
)
_LABEL = re.compile(r'\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"(?P<value>(?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One line of an endpoint's metrics."""

    name: str
    value: float
    """NaN and infinities are values, too."""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    kind: str | None = None
    """counter, gauge, histogram or summary; None if the text does not say."""
    timestamp: float | None = None
    """As it stands in the text: its unit differs between the two formats."""


def parse_metrics(text: str) -> list[MetricSample]:
    r"""The samples of a text in the Prometheus (or OpenMetrics) format; lines that are none are passed over.

    >>> parse_metrics('# TYPE request_count_total counter\nrequest_count_total{endpoint_name="e"} 2')
    [MetricSample(name='request_count_total', value=2.0, labels={'endpoint_name': 'e'}, kind='counter', timestamp=None)]
    """
    return list(_samples(text))


def _samples(text: str) -> Iterator[MetricSample]:
    kinds: dict[str, str] = {}
    for line in text.split("\n"):  # a label may hold what else ends lines
        if line.startswith("#"):
            words = line.split(None, 3)
            if len(words) == 4 and words[1] == "TYPE":
                kinds[words[2]] = words[3].strip()
        elif (sample := _sample(line.strip(), kinds)) is not None:
            yield sample


def _sample(line: str, kinds: Mapping[str, str]) -> MetricSample | None:
    found = _SAMPLE.match(line)
    value = _number(found["value"]) if found else None
    if found is None or value is None:
        return None
    labels = {label["name"]: _unescaped(label["value"]) for label in _LABEL.finditer(found["labels"] or "")}
    return MetricSample(found["name"], value, labels, _kind(found["name"], kinds), _number(found["time"] or ""))


def _kind(name: str, kinds: Mapping[str, str]) -> str | None:
    """The kind of the family that a sample belongs to: `x_bucket` is one of the histogram `x`."""
    families = (name, *(name.removesuffix(end) for end in ("_total", "_bucket", "_sum", "_count", "_created")))
    return next((kinds[family] for family in families if family in kinds), None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text)
