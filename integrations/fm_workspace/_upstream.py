"""The engine `upstream`: hosted and provisioned endpoints answered by any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping

from ._engine import Answer, Query
from ._errors import ServiceError
from ._forward import OPENAI_PATHS, Forwarder, Target, openai_body
from ._urls import checked

ANY_ENDPOINT = "*"


class Upstream:
    """Answers with the models of another server: Ollama, vLLM, llama.cpp, a gateway, a real workspace.

    `base_url` is what the OpenAI SDK calls by that name. `models` maps endpoint names to the server's model names,
    `"*"` standing for all others; an endpoint without either asks for a model of its own name.

    >>> Upstream("http://localhost:11434/v1", models={"*": "llama3.3"})
    Upstream('http://localhost:11434/v1')
    """

    def __init__(self, base_url: str, api_key: str | None = None, models: Mapping[str, str] | None = None) -> None:
        # Without a key there is nothing to protect, so that a server in the next room may be asked without TLS.
        try:
            self._base = checked(base_url, "base_url", plain_http=api_key is None)
        except ServiceError as exc:
            raise ValueError(exc.message) from None
        self._key = api_key
        self._models = dict(models or {})
        self._forwarder = Forwarder()

    async def answer(self, query: Query) -> Answer:
        """The server's answer to one query, passed on as it comes."""
        model = self._models.get(query.endpoint) or self._models.get(ANY_ENDPOINT) or query.endpoint
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        target = Target("upstream", self._base + OPENAI_PATHS[query.task], openai_body(query, model), headers)
        return await self._forwarder.forward(target, stream=query.stream)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._forwarder.aclose()

    def __repr__(self) -> str:
        return f"Upstream({self._base!r})"
