"""Which served entity answers a query, what a gateway configuration refuses, and what is tried if one fails."""

from __future__ import annotations

import json

from . import _tokens
from ._engine import JSONObject
from ._lifecycle import Config, Endpoint, Entity, Route

DEFAULT_RESERVED = 1_000
"""Output tokens that are reserved for a query that sets no limit. The service's own number is not known."""
_FALLBACK_STATUS = 429
_FALLBACK_SERVER_STATUS = 500


class Balancer:
    """Shares queries out in the configured proportions, evenly mixed (smooth weighted round robin)."""

    def __init__(self) -> None:
        self._credits: dict[str, tuple[int, dict[str, int]]] = {}

    def pick(self, endpoint: str, config: Config) -> Entity:
        """The served entity whose turn it is. `endpoint` is an id; another version of its configuration starts anew."""
        routes = [route for route in config.routes if route.percentage > 0]
        version, credit = self._credits.get(endpoint, (config.version, {}))
        credit = credit if version == config.version else {}
        self._credits[endpoint] = config.version, credit
        for route in routes:
            credit[route.entity] = credit.get(route.entity, 0) + route.percentage
        chosen = max(routes, key=lambda route: credit[route.entity])
        credit[chosen.entity] -= 100
        return _entity_of(config, chosen)


def candidates(endpoint: Endpoint, config: Config, first: Entity) -> list[Entity]:
    """`first`, then with `fallback_config` all others in the order they are listed in."""
    fallback = ((endpoint.ai_gateway or {}).get("fallback_config") or {}).get("enabled")
    return [first, *(entity for entity in config.entities if entity is not first)] if fallback else [first]


def falls_back(status: int) -> bool:
    """Whether a failure of this status is another entity's turn."""
    return status == _FALLBACK_STATUS or status >= _FALLBACK_SERVER_STATUS


def limits_of(endpoint: Endpoint) -> list[JSONObject]:
    """The rate limits of an endpoint: those of its gateway, and those of the older kind."""
    return [*endpoint.rate_limits, *((endpoint.ai_gateway or {}).get("rate_limits") or [])]


def reserved_tokens(body: JSONObject) -> int:
    """What a query counts against a token limit: its prompt, and what it allows the answer to take."""
    if "messages" in body:
        return _tokens.count_chat(body["messages"], body.get("tools")) + _most_output(body)
    texts = body.get("prompt", body.get("input"))
    texts = [texts] if isinstance(texts, str) else texts or []
    words = [text if isinstance(text, str) else json.dumps(text) for text in texts]
    return sum(map(_tokens.count, words)) + _most_output(body)


def reserved_output(body: JSONObject) -> int:
    """What a query counts against the service's limit of output tokens."""
    return _most_output(body) or DEFAULT_RESERVED


def _most_output(body: JSONObject) -> int:
    """The output tokens that a query allows; 0 if it sets no limit."""
    limits = (body.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"))
    return next((limit for limit in limits if isinstance(limit, int)), 0)


def _entity_of(config: Config, route: Route) -> Entity:
    found = config.entity(route.entity)
    if found is None:
        raise ValueError(f"traffic leads to {route.entity!r}, which is not served")
    return found
