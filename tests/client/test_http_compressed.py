"""Compressed answers that come in pieces of any size."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FaultServer, head, raw

from fm_client._wire import Request


@pytest.mark.parametrize("wbits", [31, 15, -15], ids=["gzip", "zlib", "raw deflate"])
def test_what_is_compressed_may_come_byte_by_byte(http: Callable[..., Any], server: FaultServer, wbits: int) -> None:
    """The first byte alone does not tell how."""
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(b"text " * 20) + packer.flush()
    begin = head(200, {"content-encoding": "gzip" if wbits == 31 else "deflate", "content-length": str(len(packed))})
    pieces = [piece for byte in packed for piece in (bytes([byte]), 0.002)]
    server.script("/x", raw(begin, *pieces, end="keep"))
    assert http().send(Request("GET", server.host + "/x")).body == b"text " * 20
