"""What a text offers to fill a form with: numbers, quoted strings, names, and values given by name."""

from __future__ import annotations

import re
from typing import Any

from ._words import STOP_WORDS

MAX_STRING_CHARS = 400
_WORD_CHARS, _SHORT_CHARS = 64, 12
"""Of words that a schema's pattern is tried on; the fewer, the more ways there may be to try one."""
_MANY = 3
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|「([^」\n]+)」|\'([^\'\n]+)\'(?!\w)|`([^`\n]+)`')
_PHRASE = re.compile(r"\b[A-Z][\w'-]*(?:[ ]+(?:of |the |de )?[A-Z][\w'-]*)*(?:, [A-Z]{2}\b)?")
_NO = re.compile(r"\b(?:false|no|not|never|without|off|disabled?|don't|isn't|doesn't)\b", re.I)
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n]\s*)$")
_VALUE = (
    r"""(?:\s*(?:=|:|\bis\b|\bas\b|\bto\b)\s*(?:"([^"\n]+)"|'([^'\n]+)'|(-?\d+(?:\.\d+)?)\b|([^\s,;.!?"']+))"""
    r"""|\s+"([^"\n]+)")"""
)


class Hints:
    """The values in one text; each is handed out once, in order of appearance."""

    def __init__(self, text: str) -> None:
        self.text = text
        quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
        bare = _QUOTED.sub(" ", text)
        self.numbers = [float(found.replace(",", "")) for found in _NUMBER.findall(bare)]
        self.strings = quoted or _phrases(bare)
        self._texts = [" ".join(text.split())[:MAX_STRING_CHARS]] if text.strip() else []

    def names(self, key: str) -> bool:
        """Whether the text gives a value for `key` by name."""
        return self._named(key) is not None

    def string(self, name: str) -> str:
        """A string for the property `name`."""
        named = self._named(name)
        if named is not None:
            self._spend(named)
            return named
        if self.strings:
            return self.strings.pop(0)
        return self._texts.pop() if self._texts else f"simulated {name or 'text'}"

    def number(self, name: str, *, whole: bool) -> float | None:
        """The number for the property `name`, None if the text has none left."""
        named = _as_number(self._named(name))
        if named is not None:
            if named in self.numbers:
                self.numbers.remove(named)
            return named
        position = next((at for at, number in enumerate(self.numbers) if not whole or number.is_integer()), None)
        return _plain(self.numbers.pop(position)) if position is not None else None

    def truth(self, name: str) -> bool:
        """True, unless the text says no."""
        named = self._named(name)
        return not _NO.search(named if named is not None else self.text)

    def choose(self, options: list[Any]) -> Any:
        """The option that the text names first, else the first one."""
        places = {at: option for option in reversed(options) if (at := self._place(option)) >= 0}
        return places[min(places)] if places else options[0]

    def matching(self, pattern: str) -> str | None:
        """The first piece of the text that has the form `pattern` (a pattern of ours)."""
        found = re.search(pattern, self.text)
        return found[0] if found else None

    def fitting(self, pattern: str) -> str | None:
        """The first short word or string of the text that fits `pattern` (a schema's)."""
        words = [word.strip(".,;:!?()\"'") for word in self.text.split()[:MAX_STRING_CHARS]]
        longest = _SHORT_CHARS if _may_be_slow(pattern) else _WORD_CHARS
        short = (word for word in [*self.strings, *words] if 0 < len(word) <= longest)
        try:
            return next((word for word in short if re.search(pattern, word)), None)
        except (re.error, OverflowError, RecursionError):
            return None

    def _named(self, name: str) -> str | None:
        if not name:
            return None
        words = re.escape(name.replace("_", " ").replace("-", " ")).replace(r"\ ", "[ _-]?")
        found = re.search(rf"(?<![\w]){words}[\"'`]?{_VALUE}", self.text, re.I)
        return next(filter(None, found.groups()), None) if found else None

    def _spend(self, value: str) -> None:
        if value in self.strings:
            self.strings.remove(value)

    def _place(self, option: Any) -> int:
        found = re.search(rf"(?<!\w){re.escape(str(option))}(?!\w)", self.text, re.I)
        return found.start() if found else -1


def _may_be_slow(pattern: str) -> bool:
    """Whether a pattern could try a text in very many ways: it repeats a group, or much else."""
    return bool(re.search(r"\)[*+{]", pattern)) or len(re.findall(r"[*+]|,\d*\}", pattern)) > _MANY


def _phrases(text: str) -> list[str]:
    """Capitalised phrases, without the word that merely begins a sentence."""
    found: list[str] = []
    for match in _PHRASE.finditer(text):
        words = match[0].split()
        starts = bool(_SENTENCE_START.search(text[: match.start()]))
        if starts and (len(words) == 1 or words[0].lower() in STOP_WORDS):
            words = words[1:]
        if words and words != ["I"]:
            found.append(" ".join(words))
    return list(dict.fromkeys(found))


def _as_number(text: str | None) -> float | None:
    try:
        return _plain(float(text)) if text is not None else None
    except ValueError:
        return None


def _plain(number: float) -> float:
    return int(number) if number.is_integer() else number
