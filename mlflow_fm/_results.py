"""Results: the service's own JSON as dictionaries whose keys are attributes too."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, overload


class Result(dict[str, Any]):
    """A JSON object of the service; what is nested in it, also in lists, is reached the same way.

    >>> Result.of({"choices": [{"message": {"content": "Hi"}}]}).choices[0].message.content
    'Hi'
    """

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """`data` with all that is nested in it as results; `data` itself is left as it is."""
        return cls((key, _nested(value)) for key, value in data.items())

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}; it has: {', '.join(map(str, self))}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}") from None

    @overload
    def to_json(self, path: None = None) -> str: ...

    @overload
    def to_json(self, path: str | Path) -> None: ...

    def to_json(self, path: str | Path | None = None) -> str | None:
        """The JSON text, or None if it was written to the file `path` (UTF-8)."""
        text = json.dumps(self, ensure_ascii=False)
        if path is None:
            return text
        Path(path).write_text(text, encoding="utf-8")
        return None


class EndpointResult(Result):
    """A serving endpoint.

    The key `endpoint_type` is the service's own (`EXTERNAL_MODEL`, `FOUNDATION_MODEL_API`), where it sends one. The
    attribute is the task, as in MLflow's own endpoint class, because that is what MLflow's scorers read there.

    >>> EndpointResult.of({"name": "gpt", "task": "llm/v1/chat"}).endpoint_type
    'llm/v1/chat'
    """

    @property
    def endpoint_type(self) -> str | None:
        """The task: llm/v1/chat, llm/v1/completions, llm/v1/embeddings, or another one."""
        return self.get("task") or self.get("endpoint_type")


class ResultStream(Iterator[Result]):
    """The chunks of an answer. `close()`, or leaving its `with` block, lets go of the connection at any point."""

    def __init__(self, chunks: Generator[Result, None, None]) -> None:
        self._chunks = chunks

    def __next__(self) -> Result:
        return next(self._chunks)

    def close(self) -> None:
        """End the stream; nothing happens if it has ended."""
        self._chunks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncResultStream(AsyncIterator[Result]):
    """The chunks of an answer, awaited. `aclose()`, or leaving its `async with` block, lets go of the connection."""

    def __init__(self, chunks: AsyncGenerator[Result, None]) -> None:
        self._chunks = chunks

    async def __anext__(self) -> Result:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """End the stream; nothing happens if it has ended."""
        await self._chunks.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


def _nested(value: Any) -> Any:
    if isinstance(value, dict):  # and not any Mapping: to ask for that costs as much as all else here
        return Result.of(value)
    # A vector has thousands of numbers: only lists of objects (or of lists) are gone through.
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [_nested(item) for item in value]
    return value
