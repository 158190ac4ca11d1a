"""Blocking calls in threads that nobody has to wait for: several at once, or one for several who wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


def in_threads(jobs: Sequence[Callable[[], object]], limit: int) -> None:
    """Do `jobs`, `limit` at a time. After a failure no further one is begun; those that run are waited for.

    Not so when a signal interrupts the waiting: KeyboardInterrupt and the like leave at once. That takes daemon
    threads: at its end the interpreter waits for those of `concurrent.futures`, for as long as a request may last.
    """
    waiting, results = iter(jobs), SimpleQueue[BaseException | None]()

    def work(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as exc:  # noqa: BLE001 - it is raised again, where the caller waits
            results.put(exc)
        else:
            results.put(None)

    failure: BaseException | None = None
    running = 0
    while True:
        while failure is None and running < limit and (job := next(waiting, None)) is not None:
            # A token function, or who looks on, may ask the caller's context whom the call is for.
            Thread(target=copy_context().run, args=(work, job), name="fm-embed", daemon=True).start()
            running += 1
        if not running:
            break
        failure = results.get() or failure
        running -= 1
    if failure is not None:
        raise failure


def beside(job: Callable[[], object]) -> bool:
    """Do `job` in a thread that nobody waits for, and to whom nobody listens; False if there can be none."""

    def work() -> None:
        with suppress(Exception):
            job()

    try:
        Thread(target=copy_context().run, args=(work,), name="fm-look", daemon=True).start()
    except RuntimeError:  # the interpreter is at its end, or the system has no more of them
        return False
    return True


class Shared(Generic[T]):
    """A job that several may want at once: it is done once, and all get what comes of it. Who has no time left goes."""

    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        self._lock = Lock()
        self._future: Future[T] | None = None

    def begun(self) -> Future[T]:
        """The job that is being done; begins it if none is."""
        from concurrent.futures import Future

        with self._lock:
            if self._future is None:
                self._future = Future()
                self._future.set_running_or_notify_cancel()  # one who gives up does not cancel it for the others
                Thread(target=self._do, args=(self._future,), name="fm-token", daemon=True).start()
            return self._future

    def _do(self, future: Future[T]) -> None:
        try:
            result = self._job()
        except BaseException as exc:  # noqa: BLE001 - it is raised again, where somebody waits
            self._end()
            future.set_exception(exc)
        else:
            self._end()
            future.set_result(result)

    def _end(self) -> None:
        with self._lock:
            self._future = None
