"""Server-sent events: bytes in any cut -> events (the HTML standard's `text/event-stream` rules)."""

from __future__ import annotations

from typing import NamedTuple

from ._errors import ResponseTooLargeError

BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its type (usually empty) and its data, lines joined by line feeds."""

    kind: bytes
    data: bytes


class SSEDecoder:
    r"""Decodes a stream that is fed in pieces of any size. Lines end at CR, LF or CRLF and nowhere else.

    >>> decoder = SSEDecoder()
    >>> decoder.feed(b'data: {"a":')
    []
    >>> decoder.feed(b' 1}\n\n')
    [Event(kind=b'', data=b'{"a": 1}')]
    """

    def __init__(self, max_event_bytes: int = 8 * 1024 * 1024) -> None:
        self._limit = max_event_bytes
        self._tail = bytearray()
        self._skip_lf = False
        self._begun = False
        self._kind = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[Event]:
        """The events that `piece` completes."""
        if not self._begun:
            piece = self._without_bom(piece)
        if self._skip_lf and piece:
            # The CR at the end of the last piece has ended its line already.
            piece, self._skip_lf = piece.removeprefix(b"\n"), False
        if not piece:
            return []
        if b"\n" not in piece and b"\r" not in piece:
            self._tail += piece  # a long line in many pieces is not scanned again and again
            self._check_size(len(self._tail))
            return []
        lines = (bytes(self._tail) + piece).splitlines()
        self._skip_lf = piece.endswith(b"\r")
        self._tail = bytearray() if piece.endswith((b"\n", b"\r")) else bytearray(lines.pop())
        # Blank lines after a blank line end nothing: a flood of them is passed over at once.
        events = [
            event for line in lines if (line or self._data or self._kind) and (event := self._line(line)) is not None
        ]
        self._check_size(len(self._tail))
        return events

    def finish(self) -> list[Event]:
        """What a stream that ended without its last blank line still holds."""
        events = [self._line(bytes(self._tail)) if self._tail else None, self._line(b"")]
        self._tail.clear()
        return [event for event in events if event is not None]

    def _without_bom(self, piece: bytes) -> bytes:
        head = bytes(self._tail) + piece
        if len(head) < len(BOM) and BOM.startswith(head):
            self._tail = bytearray(head)
            return b""
        self._begun = True
        self._tail.clear()
        return head.removeprefix(BOM)

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(b"data:"):
            value = line[6:] if line.startswith(b"data: ") else line[5:]
            self._data.append(value)
            self._size += len(value)
            self._check_size(self._size)
        elif line.startswith(b"event:"):
            self._kind = line[6:].strip()
        elif line == b"data":
            self._data.append(b"")
        return None  # comments (": ping"), id, retry and unknown fields say nothing to us

    def _dispatch(self) -> Event | None:
        event = Event(self._kind, b"\n".join(self._data)) if self._data else None
        self._kind, self._data, self._size = b"", [], 0
        return event

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise ResponseTooLargeError(f"one event of the stream is larger than max_event_bytes ({self._limit:,})")
