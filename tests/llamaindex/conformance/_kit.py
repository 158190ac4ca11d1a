"""What all suites share: how models are made, called in the sync and the async way, watched, and closed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler


class Calls:
    """Calls `chat` or `achat`, and so on, as one plain function."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop

    def run(self, target: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a call."""
        if self.loop is None:
            return getattr(target, name)(*args, **kwargs)
        return self.loop.run_until_complete(getattr(target, f"a{name}")(*args, **kwargs))

    def stream(self, target: Any, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """All items of a stream, which has to be a generator: LlamaIndex takes any other iterator for a whole answer."""
        if self.loop is None:
            items = getattr(target, name)(*args, **kwargs)
            assert inspect.isgenerator(items)
            return list(items)

        async def collect() -> list[Any]:
            items = await getattr(target, f"a{name}")(*args, **kwargs)
            assert inspect.isasyncgen(items)
            return [item async for item in items]

        return self.loop.run_until_complete(collect())

    def answer(self, target: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """The answer of a call, or the last item of a stream."""
        if "stream" in name:
            return self.stream(target, name, *args, **kwargs)[-1]
        return self.run(target, name, *args, **kwargs)


class Witness(BaseEventHandler):
    """Keeps the events and the spans of what is done while it is entered."""

    events: list[Any] = []  # noqa: RUF012  # a pydantic model: each instance has its own
    spans: Any = None

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex wants it."""
        return "Witness"

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Keep an event."""
        self.events.append(event)

    def named(self, *ends: str) -> list[str]:
        """The kinds of the events whose names end so."""
        return [name for event in self.events if (name := event.class_name()).endswith(ends)]

    def public_spans(self, kind: type) -> list[str]:
        """The public methods of a class that were called, each as often as a tracer would show it."""
        prefix = f"{kind.__name__}."
        ids = [span.id_ for span in self.spans.completed_spans if span.id_.startswith(prefix)]
        names = [id_.removeprefix(prefix).partition("-")[0] for id_ in ids]
        return [name for name in names if not name.startswith("_")]


@contextmanager
def watched() -> Iterator[Witness]:
    """What LlamaIndex reports within."""
    witness, root = Witness(spans=SimpleSpanHandler()), get_dispatcher()
    root.add_event_handler(witness)
    root.add_span_handler(witness.spans)
    try:
        yield witness
    finally:
        root.event_handlers.remove(witness)
        root.span_handlers.remove(witness.spans)


class Kit:
    """Calls models, and closes them."""

    secret: ClassVar[str] = "secret-token-of-the-kit"
    """The token that `make` uses: it must show up nowhere."""

    def close(self, model: Any) -> None:
        """Close the sync half, if it can be closed."""
        if hasattr(model, "close"):
            model.close()

    async def aclose(self, model: Any) -> None:
        """Close the async half in the running loop, if it can be closed."""
        if hasattr(model, "aclose"):
            await model.aclose()

    @pytest.fixture
    def made(self) -> Iterator[list[Any]]:
        """The models of a test."""
        models: list[Any] = []
        yield models
        for model in models:
            self.close(model)

    @pytest.fixture
    def keep(self, made: list[Any]) -> Callable[[Any], Any]:
        """`keep(model)` is the model, closed after the test."""
        return lambda model: made.append(model) or model

    @pytest.fixture(params=["sync", "async"])
    def call(self, request: pytest.FixtureRequest, made: list[Any]) -> Iterator[Calls]:
        """Sync and async in turn."""
        if request.param == "sync":
            yield Calls(None)
            return
        loop = asyncio.new_event_loop()
        yield Calls(loop)
        for model in made:
            loop.run_until_complete(self.aclose(model))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
