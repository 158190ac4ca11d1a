"""An answer while it arrives: Markdown in a terminal, the text as it is anywhere else."""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.spinner import Spinner

from ._output import harmless

FRAMES_PER_SECOND = 12
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
_BETWEEN_BLOCKS = re.compile(r"\n[ \t]*\n(?=[^ \t\n])")
"""A blank line before one that is not indented: what is indented may go on with a list."""


class Screen(Protocol):
    """Where the pieces of an answer are shown."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The answer has ended, in one way or another."""
        ...

    def add(self, text: str) -> None:
        """Show a piece more."""
        ...


class PlainScreen:
    """The text as it is, but for what a terminal would obey; ended by a line break."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        self._is_terminal = self._file.isatty()
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last and not self._last.endswith("\n") and kind is not BrokenPipeError:
            self._write("\n")

    def add(self, text: str) -> None:
        """Show a piece more."""
        if text:
            self._last = text
            self._write(harmless(text) if self._is_terminal else text)

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()


class MarkdownScreen:
    """Rendered Markdown: blocks that have ended are printed for good, and the one that grows is drawn anew.

    So an answer of any length scrolls like other output, while what is redrawn stays small.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = ""
        self._live = Live(
            console=console, refresh_per_second=FRAMES_PER_SECOND, transient=True, vertical_overflow="ellipsis"
        )

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(Spinner("dots"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.update("")
        self._live.stop()
        self._print(self._text)

    def add(self, text: str) -> None:
        """Show a piece more."""
        if not text:
            return
        done, self._text = split_blocks(self._text + harmless(text))
        self._print(done)
        self._live.update(_rendered(self._text))

    def _print(self, text: str) -> None:
        if text.strip():
            self._console.print(_rendered(text))
            self._console.print()


def split_blocks(text: str) -> tuple[str, str]:
    r"""The blocks of Markdown that are complete, and the rest; a fenced block ends with its fence.

    >>> split_blocks("One.\n\nTwo")
    ('One.', 'Two')
    """
    for gap in reversed(list(_BETWEEN_BLOCKS.finditer(text))):
        if len(_FENCE.findall(text[: gap.start()])) % 2 == 0:
            return text[: gap.start()], text[gap.end() :]
    return "", text


def _rendered(text: str) -> RenderableType:
    return Markdown(text, hyperlinks=False)
