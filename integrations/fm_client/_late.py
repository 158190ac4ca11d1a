"""Where the names are that the front door imports when they are asked for, but for the models of `types`."""

from __future__ import annotations

PLACES = {
    "HTTP": "._http",
    "AsyncHTTP": "._http",
    "environment_proxy": "._network",
    "MetricSample": "._metrics",
    "parse_metrics": "._metrics",
}
