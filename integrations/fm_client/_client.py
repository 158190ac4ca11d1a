"""`Client` and `AsyncClient`: two short drivers over the same flows, kept alike by hand (and by a parity test).

Imported late: asyncio, which sync programs do without; the transport, when a client is made; the control plane, when
it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from . import _calls
from ._base import BaseClient
from ._calls import Models
from ._context import Context
from ._embeddings import EmbedJob
from ._errors import APIError, FMError
from ._failures import frameless
from ._progress import with_progress
from ._requests import ChatParams, CompletionParams, EmbedParams, Messages
from ._threads import beside, in_threads
from ._wire import Attempt, Beside, Command, Done, Emit, Flow, Pause, Read, Reply, Token, step
from .types import ChatChunk, ChatResponse, CompletionChunk, CompletionResponse, EmbeddingResponse

if TYPE_CHECKING:
    from asyncio import Future

    from ._endpoints import AsyncEndpoints, Endpoints

T = TypeVar("T")


class Client(BaseClient):
    """The sync client.

    >>> with Client(host="local") as fm:
    ...     fm.chat("databricks-meta-llama-3-3-70b-instruct", "Hi").finish_reason
    'stop'

    Without arguments, host and token come from DATABRICKS_HOST and DATABRICKS_TOKEN or from ~/.databrickscfg.
    Usable from any number of threads, and after a fork.
    """

    def _open(self) -> None:
        from ._http import HTTP

        self._http = HTTP(self.settings.host, **self._http_options())

    @cached_property
    def endpoints(self) -> Endpoints:
        """The workspace's endpoints: create, read, change, delete and wait for them."""
        from ._endpoints import Endpoints

        return Endpoints(self._run, self._context)

    def chat(self, model: Models, messages: Messages, **params: Unpack[ChatParams]) -> ChatResponse:
        """A whole chat answer; with several models, of the first that can answer."""
        return self._run(_calls.chat(self._context, model, messages, params))

    def stream_chat(
        self, model: Models, messages: Messages, **params: Unpack[ChatParams]
    ) -> Generator[ChatChunk, None, None]:
        """A chat answer in pieces. The last chunk has the usage and, in `.response`, the whole answer."""
        return self._stream(_calls.stream_chat(self._context, model, messages, params))

    def complete(
        self, model: Models, prompt: str | list[str], **params: Unpack[CompletionParams]
    ) -> CompletionResponse:
        """A whole text completion."""
        return self._run(_calls.complete(self._context, model, prompt, params))

    def stream_complete(
        self, model: Models, prompt: str | list[str], **params: Unpack[CompletionParams]
    ) -> Generator[CompletionChunk, None, None]:
        """A text completion in pieces; the last one has the usage and, in `.response`, the whole completion."""
        return self._stream(_calls.stream_complete(self._context, model, prompt, params))

    def embed(self, model: str, inputs: str | Iterable[str], **params: Unpack[EmbedParams]) -> EmbeddingResponse:
        """The vectors of any number of texts, in their order: split, sent several at a time, checked."""
        job = EmbedJob(self._context, model, inputs, with_progress(params))
        with job.observed():
            try:
                self._run_all(job.flows())
            except APIError as error:
                raise job.failed(error) from error.__cause__
            return job.response()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _fetch(self, make: Callable[[Context], Flow[T]]) -> T:
        return self._run(make(self._context))

    def _run(self, flow: Flow[T]) -> T:
        """Drive `flow` to its result."""
        try:
            command = step(flow)
            while not isinstance(command, Done):
                command = step(flow, *self._perform(command))
        except FMError as error:
            raise frameless(error) from error.__cause__
        finally:
            flow.close()  # one that was cancelled ends now, and not when its traceback is let go
        return command.value

    def _run_all(self, flows: list[Flow[None]]) -> None:
        """Drive several flows at once; the first failure ends them all."""
        if len(flows) == 1:
            return self._run(flows[0])
        return in_threads([partial(self._run, flow) for flow in flows], self.settings.concurrency)

    def _stream(self, flow: Flow[None]) -> Generator[Any, None, None]:
        """Drive `flow`, giving out what it emits; whatever ends it, the connection is let go."""
        reply: Reply | None = None
        try:
            command = step(flow)
            while not isinstance(command, Done):
                if isinstance(command, Emit):
                    yield from command.items
                elif isinstance(command, Attempt) and reply is not None:  # another attempt begins
                    self._http.release(reply)
                if isinstance(command, Attempt):
                    reply, failure = self._perform(command)
                    command = step(flow, reply, failure)
                else:  # without a variable for the answer, which may be the token
                    command = step(flow, *self._perform(command))
        except FMError as error:
            raise frameless(error) from error.__cause__
        finally:
            flow.close()
            if reply is not None:
                self._http.release(reply)

    def _perform(self, command: Command) -> tuple[Any, FMError | None]:
        try:
            return self._answer(command), None
        except FMError as error:
            # What gets a token has secrets in its variables.
            return None, frameless(error) if isinstance(command, Token) else error

    def _answer(self, command: Command) -> Any:
        match command:
            case Attempt(request, after):
                if after > 0.0:
                    time.sleep(after)
                return self._http.send(request)
            case Pause(seconds):
                time.sleep(seconds)
            case Read(reply, timeout):
                return self._http.read(reply, timeout)
            case Token(stale, within):
                return self.settings.credential.token(stale, self._fetch, within)
            case Beside(flow):
                self._begin(flow)
        return None

    def _begin(self, flow: Flow[None]) -> None:
        if not beside(partial(self._run, flow)):
            flow.close()  # so that nobody waits for it


class AsyncClient(BaseClient):
    """The async client: the same calls, awaited.

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncClient(host="local") as fm:
    ...         return (await fm.chat("databricks-meta-llama-3-3-70b-instruct", "Hi")).finish_reason
    >>> asyncio.run(main())
    'stop'

    Usable from any number of tasks, and from several event loops, each of which gets its own connections.
    """

    def _open(self) -> None:
        from ._http import AsyncHTTP

        self._http = AsyncHTTP(self.settings.host, **self._http_options())

    @cached_property
    def endpoints(self) -> AsyncEndpoints:
        """The workspace's endpoints: create, read, change, delete and wait for them."""
        from ._endpoints import AsyncEndpoints

        return AsyncEndpoints(self._run, self._context)

    async def chat(self, model: Models, messages: Messages, **params: Unpack[ChatParams]) -> ChatResponse:
        """A whole chat answer; with several models, of the first that can answer."""
        return await self._run(_calls.chat(self._context, model, messages, params))

    def stream_chat(
        self, model: Models, messages: Messages, **params: Unpack[ChatParams]
    ) -> AsyncGenerator[ChatChunk, None]:
        """A chat answer in pieces. The last chunk has the usage and, in `.response`, the whole answer."""
        return self._stream(_calls.stream_chat(self._context, model, messages, params))

    async def complete(
        self, model: Models, prompt: str | list[str], **params: Unpack[CompletionParams]
    ) -> CompletionResponse:
        """A whole text completion."""
        return await self._run(_calls.complete(self._context, model, prompt, params))

    def stream_complete(
        self, model: Models, prompt: str | list[str], **params: Unpack[CompletionParams]
    ) -> AsyncGenerator[CompletionChunk, None]:
        """A text completion in pieces; the last one has the usage and, in `.response`, the whole completion."""
        return self._stream(_calls.stream_complete(self._context, model, prompt, params))

    async def embed(self, model: str, inputs: str | Iterable[str], **params: Unpack[EmbedParams]) -> EmbeddingResponse:
        """The vectors of any number of texts, in their order: split, sent several at a time, checked."""
        job = EmbedJob(self._context, model, inputs, with_progress(params))
        with job.observed():
            try:
                await self._run_all(job.flows())
            except APIError as error:
                raise job.failed(error) from error.__cause__
            return job.response()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        if self._asides:
            await _cancelled(self._asides)
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _fetch(self, make: Callable[[Context], Flow[T]]) -> T:
        return await self._run(make(self._context))

    async def _run(self, flow: Flow[T]) -> T:
        """Drive `flow` to its result."""
        try:
            command = step(flow)
            while not isinstance(command, Done):
                command = step(flow, *await self._perform(command))
        except FMError as error:
            raise frameless(error) from error.__cause__
        finally:
            flow.close()  # one that was cancelled ends now, and not when its traceback is let go
        return command.value

    async def _run_all(self, flows: list[Flow[None]]) -> None:
        """Drive several flows at once; the first failure ends them all."""
        import asyncio

        gate = asyncio.Semaphore(self.settings.concurrency)

        async def run(flow: Flow[None]) -> None:
            async with gate:
                await self._run(flow)

        tasks = [asyncio.ensure_future(run(flow)) for flow in flows]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stream(self, flow: Flow[None]) -> AsyncGenerator[Any, None]:
        """Drive `flow`, giving out what it emits; whatever ends it, the connection is let go."""
        reply: Reply | None = None
        try:
            command = step(flow)
            while not isinstance(command, Done):
                if isinstance(command, Emit):
                    for item in command.items:
                        yield item
                elif isinstance(command, Attempt) and reply is not None:  # another attempt begins
                    await self._http.release(reply)
                if isinstance(command, Attempt):
                    reply, failure = await self._perform(command)
                    command = step(flow, reply, failure)
                else:  # without a variable for the answer, which may be the token
                    command = step(flow, *await self._perform(command))
        except FMError as error:
            raise frameless(error) from error.__cause__
        finally:
            flow.close()
            if reply is not None:
                await self._http.release(reply)

    async def _perform(self, command: Command) -> tuple[Any, FMError | None]:
        try:
            return await self._answer(command), None
        except FMError as error:
            # What gets a token has secrets in its variables.
            return None, frameless(error) if isinstance(command, Token) else error

    async def _answer(self, command: Command) -> Any:
        match command:
            case Attempt(request, after):
                if after > 0.0:
                    await _sleep(after)
                return await self._http.send(request)
            case Pause(seconds):
                await _sleep(seconds)
            case Read(reply, timeout):
                return await self._http.read(reply, timeout)
            case Token(stale, within):
                return await self.settings.credential.atoken(stale, self._fetch, within)
            case Beside(flow):
                self._begin(flow)
        return None

    def _begin(self, flow: Flow[None]) -> None:
        import asyncio

        task = asyncio.ensure_future(self._run(flow))
        self._asides.add(task)  # an event loop by itself would forget it
        task.add_done_callback(partial(_pass_over, self._asides))


def _pass_over(asides: set[Future[None]], task: Future[None]) -> None:
    asides.discard(task)
    if not task.cancelled():
        task.exception()  # nobody else asks for it, which asyncio would complain of


async def _cancelled(tasks: set[Future[None]]) -> None:
    """End those of the running event loop, which may be closed next."""
    import asyncio

    ours = [task for task in tasks if task.get_loop() is asyncio.get_running_loop()]
    for task in ours:
        task.cancel()
    await asyncio.gather(*ours, return_exceptions=True)


async def _sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)
