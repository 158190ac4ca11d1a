"""A query of an endpoint as the core client's call, and the core's answers as the service's own JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

from fm_client import ChatResponse, CompletionResponse, EmbeddingResponse, Timeout

from ._errors import mlflow_errors
from ._inputs import JSONObject, Task, read_inputs
from ._results import Result
from ._settings import predict_timeout

Endpoints = str | Sequence[str]
"""An endpoint, or several to try in turn (not for embeddings: vectors of two models have nothing in common)."""
_VERBS = {Task.CHAT: "chat", Task.COMPLETIONS: "complete", Task.EMBEDDINGS: "embed"}


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of which endpoint."""

    endpoint: Endpoints
    task: Task
    question: Any
    options: JSONObject

    def send(self, client: Any) -> Any:
        """The answer of a `Client`; of an `AsyncClient`, what to await."""
        return getattr(client, _VERBS[self.task])(self.endpoint, self.question, **self.options)

    def stream(self, client: Any) -> Any:
        """The chunks of a `Client` or an `AsyncClient`."""
        return getattr(client, f"stream_{_VERBS[self.task]}")(self.endpoint, self.question, **self.options)


def read_query(
    deployment_name: str | None, inputs: Any, endpoint: Endpoints | None, timeout: float | None, *, stream: bool = False
) -> Query:
    """The query that the arguments of `predict` mean."""
    call = read_inputs(inputs, stream=stream)
    limit: Timeout | float | None = predict_timeout(timeout)
    return Query(one_endpoint(deployment_name, endpoint), call.task, call.question, {**call.params, "timeout": limit})


def one_endpoint(deployment_name: str | None, endpoint: Endpoints | None) -> Endpoints:
    """The endpoint to ask: MLflow has two names for it."""
    if deployment_name and endpoint and deployment_name != endpoint:
        raise ValueError(
            f"deployment_name {deployment_name!r} and endpoint {endpoint!r} are two endpoints: give one. "
            "Requests go to an endpoint, which divides them among its served entities"
        )
    name = endpoint or deployment_name
    if not name:
        raise ValueError("no endpoint is named: give endpoint=… (deployment_name=… means the same)")
    return name


def answer(response: ChatResponse | CompletionResponse | EmbeddingResponse) -> Result:
    """An answer in the service's own form."""
    return embeddings(response) if isinstance(response, EmbeddingResponse) else Result.of(response.to_dict())


def embeddings(response: EmbeddingResponse) -> Result:
    """Vectors as the service sends them, for any number of texts, with the usage of all requests together."""
    data = [Result(object="embedding", index=i, embedding=vector) for i, vector in enumerate(response.vectors)]
    usage = Result.of(response.usage.to_dict())
    return Result(object="list", data=data, model=response.model, usage=usage)


def results(chunks: Generator[Any, None, None]) -> Generator[Result, None, None]:
    """Chunks in the service's own form; the usage is in the last one."""
    with mlflow_errors(), closing(chunks):
        yield from filter(None, map(_piece, chunks))


async def aresults(chunks: AsyncGenerator[Any, None]) -> AsyncGenerator[Result, None]:
    """Chunks in the service's own form; the usage is in the last one."""
    with mlflow_errors():
        async with aclosing(chunks):
            async for chunk in chunks:
                if piece := _piece(chunk):
                    yield piece


def _piece(chunk: Any) -> Result | None:
    """A chunk as a result; None for the closing one if the service never sent the usage that it is for."""
    data = {"object": chunk.object, "choices": [], **chunk.to_dict()}
    if data.get("usage") is None:
        data.pop("usage", None)
    return Result.of(data) if data["choices"] or "usage" in data else None
