"""Embeddings by words: signed feature hashing of words and their character n-grams.

Every text gets the same vector on every machine, and texts that share words, or parts of words, come to lie close.
They know nothing of meaning: a synonym is as far away as any other word.
"""

from __future__ import annotations

import base64
import math
from array import array
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b

from ._words import STOP_WORDS, words

INSTRUCTION_WEIGHT = 0.05
"""An instruction turns a query's vector slightly: the words of the query itself have to decide."""
STOP_WEIGHT = 0.15
GRAM_WEIGHT = 0.35
GRAM_SIZES = (3, 4)
HASHES = 4
"""Places that one feature is spread over, so that features which meet in one place still differ."""


def embed(text: str, dimension: int, *, instruction: str | None = None, normalized: bool = True) -> list[float]:
    """The vector of `text`; of length 1 if `normalized`, else longer the more the text says."""
    vector = [0.0] * dimension
    _add(vector, text, 1.0)
    if instruction:
        _add(vector, instruction, INSTRUCTION_WEIGHT)
    if not normalized:
        return vector
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector]


def encoded(vector: list[float]) -> str:
    """The vector as base64 of 32-bit floats, the short form of OpenAI's API."""
    return base64.b64encode(array("f", vector).tobytes()).decode()


def _add(vector: list[float], text: str, weight: float) -> None:
    for feature, amount in _features(text).items():
        for place, sign in _places(feature):
            vector[place % len(vector)] += sign * weight * amount


def _features(text: str) -> dict[str, float]:
    """Features of a text and how much each weighs; a text without words is a feature by itself."""
    counts = Counter(words(text))
    if not counts:
        return {f"text:{text}": 1.0}
    features: Counter[str] = Counter()
    for word, times in counts.items():
        amount = (1 + math.log(times)) * (STOP_WEIGHT if word in STOP_WORDS else 1.0)
        features[f"word:{word}"] += amount  # type: ignore[assignment]  # a Counter sums floats as well
        grams = list(_grams(word))
        for gram in grams:
            features[f"gram:{gram}"] += GRAM_WEIGHT * amount / math.sqrt(len(grams))  # type: ignore[assignment]
    return dict(features)


def _grams(word: str) -> Iterator[str]:
    framed = f"<{word}>"
    for size in GRAM_SIZES:
        yield from (framed[at : at + size] for at in range(len(framed) - size + 1))


@lru_cache(maxsize=65_536)
def _places(feature: str) -> tuple[tuple[int, float], ...]:
    digest = blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=4 * HASHES).digest()
    numbers = [int.from_bytes(digest[at : at + 4], "big") for at in range(0, 4 * HASHES, 4)]
    return tuple((number >> 1, 1.0 if number & 1 else -1.0) for number in numbers)
