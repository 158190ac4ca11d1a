"""The routes of the query API: `…/invocations`, and the OpenAI style paths that name the endpoint as `model`."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ._agent import Agent
from ._engine import Answer, Engine, Events, JSONObject, Query
from ._errors import ServiceError, bad_request, no_endpoint, rate_limited
from ._gateway import Balancer, candidates, check_input, check_output, falls_back, limits_of, reserved_tokens
from ._hosted import response_model
from ._lifecycle import Config, Endpoint, Entity, serving
from ._limits import Metrics, RateLimiter
from ._providers import Providers
from ._quirks import AGENT_TASKS, RESPONSES, TASKS, Quirks, quirks_of
from ._registry import Registry
from ._requests import check, read_object

PREFIX = "/serving-endpoints"


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Answers queries of all three kinds of endpoints."""

    registry: Registry
    engine: Engine
    providers: Providers
    limiter: RateLimiter
    balancer: Balancer
    metrics: Metrics
    agent: Agent = field(default_factory=Agent)

    async def query(self, name: str, body: bytes, *, task: str = "", served: str = "") -> Response:
        """The answer to one query of endpoint `name`, its failures counted with its successes."""
        try:
            response = await self._query(self._endpoint(name), read_object(body), task, served)
        except ServiceError as error:
            self.metrics.count(name, error.status)
            raise
        self.metrics.count(name, response.status_code)
        return response

    def _endpoint(self, name: str) -> Endpoint:
        found = self.registry.find(name)
        if found is None:
            raise no_endpoint()
        return found

    async def _query(self, endpoint: Endpoint, body: JSONObject, task: str, served: str) -> Response:
        config = serving(endpoint)
        task = _task_of(endpoint.name, config.task, task, body)
        first = _named(config, served) if served else self.balancer.pick(endpoint.name, config)
        quirks = _quirks(endpoint, first)
        check(task, body, quirks, openai=config.kind == "external")
        _check_batch(endpoint.name, body, quirks)
        check_input(endpoint, body)
        self.limiter.admit(endpoint.name, limits_of(endpoint), reserved_tokens(body), life=endpoint.id)
        tried = [first] if served else candidates(endpoint, config, first)
        return await self._first_answer(endpoint, task, tried, body)

    async def _first_answer(self, endpoint: Endpoint, task: str, entities: list[Entity], body: JSONObject) -> Response:
        """The answer of the first entity that does not fail; the failure of the last one if all do."""
        *others, last = entities
        for entity in others:
            try:
                return await self._ask(endpoint, task, entity, body)
            except ServiceError as error:
                if not falls_back(error.status):
                    raise
        return await self._ask(endpoint, task, last, body)

    async def _ask(self, endpoint: Endpoint, task: str, entity: Entity, body: JSONObject) -> Response:
        model = response_model(entity.model)
        query = Query(endpoint.name, task, model, body, _quirks(endpoint, entity))
        external, engine = entity.external, self.agent if task in AGENT_TASKS.values() else self.engine
        answer = await (self.providers.answer(external, query) if external else engine.answer(query))
        return _response(endpoint, entity, answer)


def data_routes(plane: DataPlane) -> APIRouter:
    """All routes of the query API."""
    router = APIRouter(prefix=PREFIX)

    @router.post("/{name}/invocations")
    async def invocations(name: str, request: Request) -> Response:
        return await plane.query(name, await request.body())

    @router.post("/{name}/served-models/{served}/invocations")
    async def served_invocations(name: str, served: str, request: Request) -> Response:
        return await plane.query(name, await request.body(), served=served)

    @router.post("/chat/completions")
    async def chat(request: Request) -> Response:
        return await _by_model(plane, request, TASKS["chat"])

    @router.post("/responses")
    async def responses(request: Request) -> Response:
        return await _by_model(plane, request, RESPONSES)

    @router.post("/completions")
    async def completions(request: Request) -> Response:
        return await _by_model(plane, request, TASKS["completions"])

    @router.post("/embeddings")
    async def embeddings(request: Request) -> Response:
        return await _by_model(plane, request, TASKS["embeddings"])

    return router


async def _by_model(plane: DataPlane, request: Request, task: str) -> Response:
    body = await request.body()
    name = read_object(body).get("model")
    if not isinstance(name, str) or not name:
        raise bad_request("Missing required parameter: 'model'")
    return await plane.query(name, body, task=task)


def _task_of(name: str, served: str, asked: str, body: JSONObject) -> str:
    """The task of a query: that of the endpoint, unless the path or the body speak of another that it takes too."""
    if served == TASKS["chat"] and not asked and "input" in body and "messages" not in body:
        return RESPONSES
    if not asked or asked == served or (asked, served) in _LEADS_TO:
        return served
    if (asked, served) == (RESPONSES, TASKS["chat"]):
        return RESPONSES
    raise bad_request(f"endpoint {name} serves {served} and cannot answer {asked}")


_LEADS_TO = {(TASKS["chat"], AGENT_TASKS["chat-agent"]), (RESPONSES, AGENT_TASKS["responses-agent"])}
"""Paths by which agents are asked."""


def _named(config: Config, served: str) -> Entity:
    entity = config.entity(served)
    if entity is None:
        raise no_endpoint()
    return entity


def _quirks(endpoint: Endpoint, entity: Entity) -> Quirks:
    return quirks_of(entity.model, endpoint.tags)


def _check_batch(name: str, body: JSONObject, quirks: Quirks) -> None:
    texts = body.get("input")
    if quirks.batch_limit is not None and isinstance(texts, list) and len(texts) > quirks.batch_limit:
        message = f"Exceeded workspace QPS rate limit for {name}. Please use a provisioned throughput Foundation Model"
        raise rate_limited(f"{message} APIs endpoint for a higher rate limit.", 1.0)


def _response(endpoint: Endpoint, entity: Entity, answer: Answer) -> Response:
    headers = {"served-model-name": entity.name}
    if isinstance(answer, Events):
        return StreamingResponse(answer.source, media_type="text/event-stream", headers=headers)
    check_output(endpoint, answer.payload)
    return JSONResponse(answer.payload, headers=headers)
