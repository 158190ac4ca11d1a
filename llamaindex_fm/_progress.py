"""One progress bar over all texts of a call, moved by the requests that are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Progress = Callable[[int, int], None]
_bar: ContextVar[Any] = ContextVar("llamaindex_fm_bar", default=None)


@contextmanager
def bar(total: int, *, shown: bool) -> Iterator[None]:
    """Within: what is embedded moves a bar (tqdm, which LlamaIndex brings)."""
    if not shown:
        yield
        return
    from tqdm.auto import tqdm  # type: ignore[import-untyped]  # it has no types

    with tqdm(total=total, desc="Generating embeddings", unit="text") as made:
        token = _bar.set(made)
        try:
            yield
            made.update(total - made.n)  # what came from a cache
        finally:
            _bar.reset(token)


def reporter() -> Progress | None:
    """What the core is to call with (texts done, texts in all) of one of its calls; None where no bar is shown."""
    made, lock, known = _bar.get(), threading.Lock(), 0
    if made is None:
        return None

    def report(done: int, total: int) -> None:
        nonlocal known
        with lock:  # the core's requests may be answered in several threads
            made.update(done - known)
            known = done

    return report
