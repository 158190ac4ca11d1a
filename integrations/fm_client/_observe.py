"""Who looks on at calls: told when one begins, is sent, brings its first piece, and ends. Pure.

While nobody looks on, a call costs one look at an empty list more, and its flow is the very same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ._errors import APIError, StreamInterruptedError
from ._vendors import vendor
from ._wire import Attempt, Beside, Command, Done, Emit, Flow, step

if TYPE_CHECKING:
    from ._known import Looks  # not at run time: it brings the control plane

T = TypeVar("T")


def _nothing() -> None:
    """What of a call has arrived at which nobody looks on."""


@dataclass(frozen=True, slots=True)
class ObservedCall:
    """A call that begins: what is asked of which endpoints."""

    kind: str
    """chat, complete or embed: the client's method."""
    models: tuple[str, ...]
    """The endpoints to try, in order."""
    body: Mapping[str, Any] = field(repr=False)
    """What is asked, in the fields of the API (`messages`, `tools`, `temperature`, …). Not to be changed.

    What MCP tools log in with is hidden.
    """
    stream: bool = False
    context: Context = field(default_factory=copy_context, repr=False, compare=False)
    """The context variables of where the call was made, which need not be where a stream is read."""
    host: str = field(default="", repr=False)
    """The workspace."""
    arrived: Callable[[], Any] = field(default=_nothing, repr=False, compare=False)
    """What of a stream has arrived by now, as one response; None where nothing has, and once the call is over."""

    def provider(self, endpoint: str, served: str | None = None) -> str | None:
        """Whose model an endpoint, or one of its served entities, is, such as openai, azure or anthropic.

        "databricks" for what the service runs itself. Known of hosted models, and of endpoints that were got, listed,
        created or updated in this process, or asked for the sake of an observer (`observe(look_up_provider=True)`);
        else None. None also where it may be one of several.
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


@dataclass(frozen=True, slots=True, eq=False)
class _Onlooker:
    """Who looks on at all calls. Of its own, as a function may be given twice."""

    begin: Begin
    asks: bool
    """Whether endpoints are to be asked whose models they serve."""


_onlookers: list[_Onlooker] = []


def observe(begin: Begin, *, look_up_provider: bool = False) -> Callable[[], None]:
    """Have `begin` called with every call of every client that begins from now on; returns what ends that.

    `begin` returns the observer of that call, or None for a call that is of no interest. It is called when the first
    request is due, which for a stream is when it is first read.

    `look_up_provider`: an endpoint that neither the catalog nor the service has described yet is asked whose models it
    serves, once for the process and while the call goes on, so that `ObservedCall.provider` knows it at the end. The
    call waits for it if it is over sooner, 2 seconds at most since the request was sent; no failure of it is raised.

    >>> from fm_client import CallObserver, Client, observe
    >>> class Printer(CallObserver):
    ...     def ended(self, answer, error):
    ...         print(answer.endpoint, answer.usage.output_tokens)
    >>> stop = observe(lambda call: Printer())
    >>> answer = Client(host="local").chat("databricks-meta-llama-3-3-70b-instruct", "Hi", max_tokens=1)
    databricks-meta-llama-3-3-70b-instruct 1
    >>> stop()
    """
    onlooker = _Onlooker(begin, look_up_provider)

    def stop() -> None:
        if onlooker in _onlookers:
            _onlookers.remove(onlooker)

    _onlookers.append(onlooker)
    return stop


class _Watch:
    """The observers of one call. None of them can break it."""

    def __init__(self, call: ObservedCall, looks: Callable[[], Looks] | None) -> None:
        self._models = call.models
        self._emitted: Emit | None = None
        self._asked = ""
        self.answer: Any = None
        # Not by `replace`, which takes longer than all the rest.
        told = ObservedCall(call.kind, call.models, call.body, call.stream, call.context, call.host, self._arrived)
        begun = [(each, _guarded(each.begin, told)) for each in list(_onlookers)]
        self._observers = [observer for _, observer in begun if observer is not None]
        asks = any(each.asks for each, observer in begun if observer is not None)
        self._looks = looks() if looks is not None and asks else None

    def note(self, command: Command) -> Beside | None:
        """Tell of what the flow is about to do. Returns what is to be begun beside it."""
        if isinstance(command, Attempt) and command.request.endpoint in self._models:
            self._asked = command.request.endpoint
            self._tell("sent", self._asked, command.because)
            return self._looks.beside(self._asked) if self._looks is not None else None
        if isinstance(command, Emit):
            if self._emitted is None:
                self._tell("first_piece")
            self._emitted = command
        return None

    def looked(self) -> Flow[None]:
        """Have it known whose model has answered, if that is being asked."""
        if self._looks is not None:
            yield from self._looks.end(self._asked)

    def end(self, error: BaseException | None) -> None:
        """Tell of the end."""
        self._tell("ended", self.answer if self.answer is not None else self._arrived(error), error)
        # An observer may be kept, and knows its call, which knows what has arrived: nothing more of it is held here.
        self._observers, self._emitted, self.answer = [], None, None

    def _arrived(self, error: BaseException | None = None) -> Any:
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


def observed(asked: Callable[[], ObservedCall], flow: Flow[T], looks: Callable[[], Looks] | None = None) -> Flow[T]:
    """`flow`, with all observers looking on; `flow` itself, if there are none, who need not know what is asked.

    `looks` are for who wants to know whose models answer.
    """
    return _watched(asked(), flow, looks) if _onlookers else flow


@contextmanager
def observing(call: ObservedCall, looks: Callable[[], Looks] | None = None) -> Iterator[_Watch | None]:
    """Observers for a call of several flows, which are to be `noted`; whoever has the answer sets it."""
    if not _onlookers:
        yield None
        return
    watch = _Watch(call, looks)
    try:
        yield watch
    except BaseException as error:
        watch.end(error)
        raise
    watch.end(None)


def noted(watch: _Watch | None, flow: Flow[T]) -> Flow[T]:
    """`flow`, whose commands are told to `watch`."""
    return flow if watch is None else _noted(watch, flow)


def _watched(call: ObservedCall, flow: Flow[T], looks: Callable[[], Looks] | None) -> Flow[T]:
    with observing(call, looks) as watch:
        return (yield from noted(watch, flow))


def _noted(watch: _Watch, flow: Flow[T]) -> Flow[T]:
    try:
        result = yield from _told(watch, flow)
    except Exception:
        yield from watch.looked()
        raise
    finally:
        flow.close()
    if result is not None:
        watch.answer = result  # before the waiting, in which the call may be cancelled
    yield from watch.looked()
    return result


def _told(watch: _Watch, flow: Flow[T]) -> Flow[T]:
    command = step(flow)
    while not isinstance(command, Done):
        if (aside := watch.note(command)) is not None:
            yield aside
        command = step(flow, *(yield from _performed(command)))
    return command.value


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
