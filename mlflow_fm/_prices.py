"""What the user says that tokens cost, and what a call has cost by that. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fm_client import Usage

MILLION = 1_000_000


class Price(NamedTuple):
    """USD for a million tokens.

    >>> Price(input=0.5, output=1.5).cached_input is None
    True
    """

    input: float
    output: float = 0.0
    cached_input: float | None = None
    """Of input that the provider had in its cache; None: as other input."""


PriceLike = Price | Sequence[float]


def read_prices(prices: Mapping[str, PriceLike]) -> dict[str, Price]:
    """`prices` checked, each as a `Price`; a ValueError says what is wrong."""
    if not isinstance(prices, Mapping):
        raise ValueError(f"prices must be an object of endpoints or models, not a {type(prices).__name__}")
    return {name: _price(name, given) for name, given in prices.items()}


def cost(price: Price, usage: Usage) -> dict[str, float]:
    """The cost of a call in USD, as MLflow keeps it.

    >>> cost(Price(1.0, 2.0), Usage(prompt_tokens=1_000_000, completion_tokens=500_000))
    {'input_cost': 1.0, 'output_cost': 1.0, 'total_cost': 2.0}
    """
    cached = min(usage.cached_tokens, usage.input_tokens)
    for_cached = price.input if price.cached_input is None else price.cached_input
    input_cost = ((usage.input_tokens - cached) * price.input + cached * for_cached) / MILLION
    output_cost = usage.output_tokens * price.output / MILLION
    return {"input_cost": input_cost, "output_cost": output_cost, "total_cost": input_cost + output_cost}


def _price(name: str, given: Any) -> Price:
    wrong = f"price of {name!r}: give Price(input, output) or (input, output), in USD for a million tokens"
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Sequence) or not 1 <= len(given) <= 3:
        raise ValueError(f"{wrong}, not {given!r}")
    amounts = [amount for at, amount in enumerate(given) if at < 2 or amount is not None]
    if not all(isinstance(amount, (int, float)) and 0 <= amount < math.inf for amount in amounts):
        raise ValueError(f"{wrong}: numbers that are not negative, not {given!r}")
    return Price(*given)
