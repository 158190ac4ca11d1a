"""Several blocking calls at once, in threads that nobody has to wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread


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
            Thread(target=work, args=(job,), name="fm-embed", daemon=True).start()
            running += 1
        if not running:
            break
        failure = results.get() or failure
        running -= 1
    if failure is not None:
        raise failure
