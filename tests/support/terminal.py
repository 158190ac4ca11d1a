"""A program in a pseudo-terminal: what it shows can be waited for, and keys can be pressed."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import subprocess
import sys
import time
from typing import Self

from timing import wait_until_it_waits

SECONDS = 40.0
# A program started in a session of its own gets the terminal that it opens first: without it Ctrl-C sends no signal.
LAUNCH = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`with Terminal("fm", "chat", …) as tty: tty.expect("> "); tty.type("hello")`."""

    def __init__(self, *command: str, env: dict[str, str]) -> None:
        self.raw = ""
        self._seen = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._master, slave = pty.openpty()
        launched = [sys.executable, "-c", LAUNCH, *command]
        env = {**env, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        self.process = subprocess.Popen(
            launched, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, close_fds=True
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """All that was shown, without escape sequences."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def expect(self, wanted: str, seconds: float = SECONDS) -> str:
        """Wait until `wanted` is shown after what was expected before; returns what was shown up to it."""
        until = time.monotonic() + seconds
        while (at := self.text.find(wanted, self._seen)) < 0:
            if not self._read(until - time.monotonic()):
                raise AssertionError(f"{wanted!r} was not shown; shown was {self.text[self._seen :]!r}")
        began, self._seen = self._seen, at + len(wanted)
        return self.text[began : self._seen]

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def line(self, text: str) -> None:
        """Type a line, and wait for its echo."""
        self.type(f"{text}\n")
        self.expect(text)

    def interrupt(self) -> None:
        """Press Ctrl-C, once the program waits."""
        wait_until_it_waits(self.process.pid)
        self.type("\x03")

    def finish(self, seconds: float = SECONDS) -> int:
        """Wait for the end; returns the exit code."""
        until = time.monotonic() + seconds
        while self._read(until - time.monotonic()):
            pass
        return self.process.wait(max(0.1, until - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        if seconds <= 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # nobody has the other end any more
            return False
        self.raw += self._decoder.decode(data)  # which waits for the rest of a character
        return bool(data)
