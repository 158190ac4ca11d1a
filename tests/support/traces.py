"""What MLflow has recorded, read back from its store, and calls of frameworks that it is to record."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import warnings
from collections.abc import AsyncIterable, Iterator
from typing import Any

import mlflow
import pytest
from packaging.version import Version

with warnings.catch_warnings(), contextlib.suppress(ImportError):  # skinny has it only where numpy is there
    warnings.simplefilter("ignore")
    importlib.import_module("mlflow.pyfunc")  # the first span does, and the module warns of itself


class Traces:
    """The traces of one test."""

    def all(self) -> list[Any]:
        """All spans."""
        return [span for trace in self._found() for span in trace.data.spans]

    def last(self) -> Any:
        """The newest trace."""
        return self._found()[0]

    def only(self) -> Any:
        """The only span of the only trace."""
        (span,) = self.all()
        return span

    def named(self, name: str) -> list[Any]:
        return [span for span in self.all() if span.name == name]

    def text(self) -> str:
        """All that stands in them."""
        return "".join(trace.to_json() for trace in self._found())

    def _found(self) -> list[Any]:
        return list(mlflow.MlflowClient().search_traces(["0"]))


HOLDS = pytest.mark.skipif(
    Version(mlflow.__version__) < Version("3.6"), reason="it cannot hold the span of an async one"
)

MODELS: list[Any] = []


def kept(model: Any) -> Any:
    """A model that lives as long as the test, and so as its event loop, which closes connections that nobody closes."""
    MODELS.append(model)
    return model


def autologged(framework: str, flavor: str) -> Iterator[Any]:
    """With MLflow's own autologging for a framework."""
    pytest.importorskip(framework)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, while it imports
        module = getattr(mlflow, flavor)
        module.autolog(silent=True)
        yield module
        module.autolog(disable=True, silent=True)


def finish(result: Any) -> Any:
    """The result, read to its end; of a coroutine, what it comes to."""
    if inspect.isawaitable(result) or isinstance(result, AsyncIterable):
        return asyncio.run(afinish(result))
    return list(result) if inspect.isgenerator(result) else result


async def afinish(result: Any) -> Any:
    """The same, in an event loop."""
    if inspect.isawaitable(result):
        result = await result
    return [item async for item in result] if isinstance(result, AsyncIterable) else result
