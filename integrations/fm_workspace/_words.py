"""Words of a text, and how alike two texts are by their words."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

STOP_WORDS = frozenset(
    """
    a about an and any are as at be been but by can could did do does for from get had has have he her his how i if in
    into is it its just let like make may me my no not of on or our please she should so some tell than that the their
    them then there these they this to us use using was we were what when where which who whom why will with would you
    your give show find say answer question context query following given information create generate write return
    の を は が に へ と で も か です ます する
    """.split()  # noqa: SIM905  # a word a line, as a list literal, would hide the words
)
# Japanese and Chinese have no spaces: runs of kana and single ideographs stand in for words.
_WORD = re.compile(r"[\u30a0-\u30ff]+|[\u3040-\u309f]+|[\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words(text: str) -> list[str]:
    """The words of `text`, small, in their normal form, with simple plurals taken off.

    >>> words("Refund policies of GetWeather")
    ['refund', 'policy', 'of', 'get', 'weather']
    """
    plain = unicodedata.normalize("NFKC", _CAMEL.sub(" ", text)).casefold()
    return [_stem(word) for word in _WORD.findall(plain)]


def telling(text: str) -> set[str]:
    """The words of `text` that carry meaning."""
    return {word for word in words(text) if word not in STOP_WORDS}


def overlap(one: str, other: str) -> int:
    """How many telling words two texts share."""
    return len(telling(one) & telling(other))


def best_matches(query: str, candidates: Sequence[str], *, most: int = 2, share: float = 0.75) -> list[str]:
    """The candidates that share most with `query`, in their own order: rare words weigh more than common ones.

    At most `most`, and none that scores less than `share` of the best; none at all if nothing is shared.
    """
    sets = [telling(candidate) for candidate in candidates]
    wanted, weight = telling(query), Rarity(sets)
    scores = [sum(weight(word) for word in wanted & found) for found in sets]
    top = max(scores, default=0.0)
    if top <= 0:
        return []
    ranked = sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:most]
    return [candidates[at] for at in sorted(ranked) if scores[at] >= share * top]


class Rarity:
    """The weight of a word among some sets of words: the fewer have it, the heavier."""

    def __init__(self, sets: Iterable[set[str]]) -> None:
        found = list(sets)
        self._counts = Counter(word for words in found for word in words)
        self._size = len(found)

    def __call__(self, word: str) -> float:
        return math.log(1 + self._size / (1 + self._counts[word]))


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
