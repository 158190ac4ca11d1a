"""Decompression with a bound: a small body may unpack to gigabytes, so it is unpacked piece by piece."""

from __future__ import annotations

import zlib

from ._errors import ResponseFormatError

PIECE_BYTES = 65_536
"""The largest piece that decompression gives out at once."""
GZIP_OR_ZLIB, RAW_DEFLATE = 47, -15
"""`wbits` of zlib: 32 + 15 tells gzip and zlib apart by itself; some servers send "deflate" without either's head."""
HEAD_BYTES = 2
"""Of gzip and zlib: with fewer nobody can tell whether there is one."""
ACCEPTED = "gzip, deflate"


class Decoder:
    """The bytes of a body as they were meant: put in with `feed`, got out with `take` until that gives none."""

    def __init__(self, encoding: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise ResponseFormatError(f"the answer is encoded as {encoding[:40]!r}, which was not asked for")
        self._inflate = None if encoding in ("", "identity") else zlib.decompressobj(GZIP_OR_ZLIB)
        self._fresh = self._inflate is not None
        self._fed = b""
        self._more = False

    def feed(self, data: bytes) -> None:
        """Put in the next bytes of the body; only when `take` has given all of the last ones."""
        self._fed += data

    def take(self) -> bytes:
        """The next piece; empty when more must be fed."""
        if self._inflate is None:
            data, self._fed = self._fed, b""
            return data
        while self._more or len(self._fed) >= (HEAD_BYTES if self._fresh else 1):
            if data := self._unpack():
                return data
        return b""

    def finish(self) -> None:
        """The body is over: complain if it ended in the middle."""
        if self._inflate is not None and (self._fed or not (self._fresh or self._inflate.eof)):
            raise ResponseFormatError("the compressed answer ends in the middle")

    def _unpack(self) -> bytes:
        assert self._inflate is not None  # noqa: S101 - for mypy; `take` has looked
        try:
            data = self._inflate.decompress(self._fed, PIECE_BYTES)
        except zlib.error as exc:
            return self._headless(exc)
        # A full piece may have a rest inside zlib, even when all input is used up.
        self._fed, self._more = self._inflate.unconsumed_tail, len(data) == PIECE_BYTES
        self._fresh = False
        if self._inflate.eof and self._inflate.unused_data:  # gzip allows several members, one after the other
            self._fed, self._inflate = self._inflate.unused_data, zlib.decompressobj(GZIP_OR_ZLIB)
        return data

    def _headless(self, exc: zlib.error) -> bytes:
        if not self._fresh:
            raise ResponseFormatError(f"the compressed answer is damaged: {exc}") from exc
        self._inflate, self._fresh = zlib.decompressobj(RAW_DEFLATE), False
        return self._unpack()
