"""What MLflow has recorded, read back from its store."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from typing import Any

import mlflow

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
