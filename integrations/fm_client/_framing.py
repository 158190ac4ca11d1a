"""The chunks of an HTTP body, of which one read brings many, joined to one. Pure.

Services send each event of a stream as a chunk of its own, and httpcore takes longer over a chunk than it takes to read
the JSON in it. What is cut by the end of a read, or unusual, goes on as it came, for httpcore to judge.
"""

from __future__ import annotations

import re

_HEAD_END = re.compile(rb"\n\r?\n")
"""As h11 looks for it: a head whose lines end in different ways is over sooner than it seems."""
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_SIZE = re.compile(rb"([0-9a-f]{1,15})\r\n", re.IGNORECASE)
_LONGEST_LINE = 17
_TOGETHER = 16
"""Chunks that become one, at most: what is made of more waits so long for its reader that Python's collector runs twice
as often over all that a program has."""


class Joiner:
    r"""What a connection reads, in fewer chunks; nothing of a body is held back.

    >>> joiner = Joiner()
    >>> head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    >>> joiner.feed(head + b"2\r\nab\r\n3\r\ncde\r\n")[len(head) :]
    b'5\r\nabcde\r\n'
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The head of an answer is next."""
        self._begun = self._joins = False
        self._left, self._line = 0, b""

    def feed(self, data: bytes) -> bytes:
        """What to hand on of `data`, which is empty at the end. Empty: only a part of the line before a chunk came."""
        if not data:
            rest, self._line = self._line, b""
            return rest
        if self._begun:
            return self._joined(data) if self._joins else data
        self._begun, end = True, _HEAD_END.search(data)
        # A head that takes several reads, or is not the last one, leaves its body as it is.
        if end is None or not data.startswith(b"HTTP/1.1 2") or not _CHUNKED.search(data, 0, end.end()):
            return data
        self._joins, top = True, end.end()
        return data[:top] + self._joined(data[top:])

    def _joined(self, data: bytes) -> bytes:
        data = self._line + data
        at = begun = min(self._left, len(data))
        self._left -= begun
        bodies: list[bytes] = []
        while size := _SIZE.match(data, at):
            start = size.end()
            end = start + int(size[1], 16)
            if start == end or data[end : end + 2] != b"\r\n":
                self._left = end + 2 - len(data)
                self._joins = start < end and self._left > 0  # else the last chunk, or none
                break
            bodies.append(data[start:end])
            at = end + 2
        rest = data[at:]
        self._line = rest if size is None and len(rest) < _LONGEST_LINE and b"\n" not in rest else b""
        self._joins = self._joins and (size is not None or rest == self._line)
        groups = [_chunk(bodies[i : i + _TOGETHER]) for i in range(0, len(bodies), _TOGETHER)]
        return b"".join([data[:begun], *groups, b"" if self._line else rest])


def _chunk(bodies: list[bytes]) -> bytes:
    whole = b"".join(bodies)
    return b"%x\r\n%b\r\n" % (len(whole), whole)
