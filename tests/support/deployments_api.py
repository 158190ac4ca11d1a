"""The query methods of a deployments client behind one face, so that a test is written once and run both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from fault_server import FaultServer

from mlflow_fm import FoundationModelDeploymentClient

CHAT = "databricks-meta-llama-3-3-70b-instruct"
GTE = "databricks-gte-large-en"


class Asked:
    """`predict` and `stream`, sync or async."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop

    def predict(self, client: FoundationModelDeploymentClient, **arguments: Any) -> Any:
        if self.loop is None:
            return client.predict(**arguments)
        return self.loop.run_until_complete(client.apredict(**arguments))

    def stream(self, client: FoundationModelDeploymentClient, **arguments: Any) -> Generator[Any, None, None]:
        """Chunks, one at a time; closing this generator closes the stream."""
        if self.loop is None:
            with client.predict_stream(**arguments) as chunks:
                yield from chunks
            return
        pieces = client.apredict_stream(**arguments)
        try:
            while (piece := self.loop.run_until_complete(_next(pieces))) is not None:
                yield piece
        finally:
            self.loop.run_until_complete(pieces.aclose())


async def _next(pieces: Any) -> Any:
    return await anext(pieces, None)


def user(text: str) -> dict[str, Any]:
    """A chat body of one message."""
    return {"messages": [{"role": "user", "content": text}]}


def client_of(server: FaultServer) -> FoundationModelDeploymentClient:
    """A client of the scripted server, whose token is in the environment."""
    return FoundationModelDeploymentClient(server.host.replace("http://", "fm://"))
