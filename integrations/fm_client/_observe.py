"""Who looks on at calls: told when one begins, is sent, brings its first piece, and ends. Pure.

While nobody looks on, a call costs one look at an empty list more, and its flow is the very same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ._errors import APIError, StreamInterruptedError
from ._vendors import vendor
from ._wire import Attempt, Command, Done, Emit, Flow, step

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ObservedCall:
    """A call that begins: what is asked of which endpoints."""

    kind: str
    """chat, complete or embed: the client's method."""
    models: tuple[str, ...]
    """The endpoints to try, in order."""
    body: Mapping[str, Any] = field(repr=False)
    """What is asked, in the fields of the API (`messages`, `tools`, `temperature`, …). Not to be changed."""
    stream: bool = False
    context: Context = field(default_factory=copy_context, repr=False, compare=False)
    """The context variables of where the call was made, which need not be where a stream is read."""
    host: str = field(default="", repr=False)
    """The workspace."""

    def provider(self, endpoint: str, served: str | None = None) -> str | None:
        """Whose model an external endpoint, or one of its served entities, is, such as openai, azure or anthropic.

        Known of endpoints that were got, listed, created or updated in this process; else None. None also where it may
        be one of several.
        """
        return vendor(self.host, endpoint, served)


class CallObserver:
    """Looks on at one call; override what is of interest. The methods do nothing.

    They are called where the call runs: in its thread or task, but those of the batches of `embed` from several
    threads at once. They should be quick. What they raise is logged, and the call goes on.
    """

    def sent(self, endpoint: str, failure: APIError | None) -> None:
        """A request goes out to `endpoint`; `failure` is what it is sent again for, None if it is no retry."""

    def first_piece(self) -> None:
        """The first piece of a stream is there."""

    def ended(self, answer: Any, error: BaseException | None) -> None:
        """The call is over, once and last.

        `answer` is the whole response, or what of a stream had arrived; None where nothing had. `error` is what the
        caller gets instead, or GeneratorExit if the caller gave up: cancelled the call, or left the stream early.
        """


Begin = Callable[[ObservedCall], CallObserver | None]
_observers: list[Begin] = []


def observe(begin: Begin) -> Callable[[], None]:
    """Have `begin` called with every call of every client that begins from now on; returns what ends that.

    `begin` returns the observer of that call, or None for a call that is of no interest. It is called when the first
    request is due, which for a stream is when it is first read.

    >>> from fm_client import CallObserver, Client, observe
    >>> class Printer(CallObserver):
    ...     def ended(self, answer, error):
    ...         print(answer.endpoint, answer.usage.output_tokens)
    >>> stop = observe(lambda call: Printer())
    >>> answer = Client(host="local").chat("databricks-meta-llama-3-3-70b-instruct", "Hi", max_tokens=1)
    databricks-meta-llama-3-3-70b-instruct 1
    >>> stop()
    """

    def begun(call: ObservedCall) -> CallObserver | None:  # one of its own, as `begin` may be given twice
        return begin(call)

    def stop() -> None:
        if begun in _observers:
            _observers.remove(begun)

    _observers.append(begun)
    return stop


class _Watch:
    """The observers of one call. None of them can break it."""

    def __init__(self, call: ObservedCall) -> None:
        self._models = call.models
        begun = [_guarded(begin, call) for begin in list(_observers)]
        self._observers: list[CallObserver] = [each for each in begun if each is not None]
        self._emitted: Emit | None = None
        self.answer: Any = None

    def note(self, command: Command) -> None:
        """Tell of what the flow is about to do."""
        if isinstance(command, Attempt) and command.request.endpoint in self._models:
            self._tell("sent", command.request.endpoint, command.because)
        elif isinstance(command, Emit):
            if self._emitted is None:
                self._tell("first_piece")
            self._emitted = command

    def end(self, error: BaseException | None) -> None:
        """Tell of the end."""
        self._tell("ended", self.answer if self.answer is not None else self._arrived(error), error)

    def _arrived(self, error: BaseException | None) -> Any:
        """What of a stream had arrived."""
        if isinstance(error, StreamInterruptedError):
            return error.partial
        emitted = self._emitted
        if emitted is None:
            return None
        whole = getattr(emitted.items[-1], "response", None) if emitted.items else None
        return whole or (emitted.partial and emitted.partial())

    def _tell(self, event: str, *facts: Any) -> None:
        for observer in self._observers:
            _guarded(getattr(observer, event), *facts)


def observed(asked: Callable[[], ObservedCall], flow: Flow[T]) -> Flow[T]:
    """`flow`, with all observers looking on; `flow` itself, if there are none, who need not know what is asked."""
    return _watched(asked(), flow) if _observers else flow


@contextmanager
def observing(call: ObservedCall) -> Iterator[_Watch | None]:
    """Observers for a call of several flows, which are to be `noted`; whoever has the answer sets it."""
    if not _observers:
        yield None
        return
    watch = _Watch(call)
    try:
        yield watch
    except BaseException as error:
        watch.end(error)
        raise
    watch.end(None)


def noted(watch: _Watch | None, flow: Flow[T]) -> Flow[T]:
    """`flow`, whose commands are told to `watch`."""
    return flow if watch is None else _noted(watch, flow)


def _watched(call: ObservedCall, flow: Flow[T]) -> Flow[T]:
    with observing(call) as watch:
        result = yield from noted(watch, flow)
        if watch is not None:
            watch.answer = result
        return result


def _noted(watch: _Watch, flow: Flow[T]) -> Flow[T]:
    try:
        command = step(flow)
        while not isinstance(command, Done):
            watch.note(command)
            command = step(flow, *(yield from _performed(command)))
        return command.value
    finally:
        flow.close()


def _performed(command: Command) -> Flow[tuple[Any, Exception | None]]:
    """Answer and failure of a command, in no variable: the answer may be the token."""
    try:
        return (yield command), None
    except Exception as failure:  # noqa: BLE001 - whatever the driver throws in goes on to the flow
        return None, failure


def _guarded(function: Callable[..., T], *facts: Any) -> T | None:
    try:
        return function(*facts)
    except Exception as exc:
        import logging

        text = "an observer failed and was passed over: %s"
        logging.getLogger("fm_client").warning(text, type(exc).__name__, exc_info=exc)
        return None
