"""The routes of the query API: `…/invocations`, and the OpenAI style paths that name the endpoint as `model`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from ._access import check_access
from ._agent import Agent
from ._callers import Asked, Caller, asked_by
from ._engine import Answer, Engine, Events, JSONObject, Query
from ._errors import JSON, ServiceError, bad_request, no_endpoint, rate_limited
from ._gateway import Balancer, candidates, falls_back, limits_of, reserved_output, reserved_tokens
from ._guardrails import check_filter, check_input, check_output, guards_output
from ._hosted import response_model
from ._ledger import Entry, Ledger, usage_of, watched
from ._lifecycle import Config, Endpoint, Entity, serving
from ._limits import Metrics, RateLimiter, Spent, service_defined
from ._providers import Providers
from ._quirks import AGENT_TASKS, RESPONSES, TASKS, Quirks, quirks_of, service_limits
from ._registry import Registry
from ._requests import check, read_object
from ._stream_guard import guarded
from ._warmth import Warmth

PREFIX = "/serving-endpoints"


@dataclass(slots=True)
class _Call:
    """One query on its way: what it asks of which endpoint, and what was reserved for it."""

    entry: Entry
    task: str
    body: JSONObject
    spent: list[tuple[Spent, bool]] = field(default_factory=list)
    """What was counted against limits, and whether of output tokens alone."""

    @property
    def endpoint(self) -> Endpoint:
        return self.entry.endpoint

    def refund(self) -> None:
        """Give back all that was reserved: there is no answer."""
        for spent, _ in self.spent:
            spent.settle(0)

    def settle(self, usage: JSONObject) -> None:
        """Give back what was reserved and not used."""
        prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
        output = usage.get("completion_tokens", usage.get("output_tokens")) or 0  # an embedding has none
        if isinstance(prompt, int):
            for spent, only_output in self.spent:
                spent.settle(output if only_output else prompt + output)


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Answers queries of all three kinds of endpoints."""

    registry: Registry
    engine: Engine
    providers: Providers
    limiter: RateLimiter
    balancer: Balancer
    metrics: Metrics
    ledger: Ledger
    warmth: Warmth
    agent: Agent = field(default_factory=Agent)

    async def query(self, name: str, body: bytes, asked: Asked, *, task: str = "", served: str = "") -> Response:
        """The answer to one query of endpoint `name`, its failures counted with its successes."""
        endpoint = self._endpoint(name, asked.caller)
        try:
            response = await self._recorded(endpoint, body, asked, task, served)
        except ServiceError as error:
            self.metrics.count(endpoint.id, error.status)
            raise
        self.metrics.count(endpoint.id, response.status_code)
        return response

    def _endpoint(self, name: str, caller: Caller) -> Endpoint:
        found = self.registry.find(name)
        check_access(found, caller, "CAN_QUERY", name)
        if found is None:
            raise no_endpoint()
        return found

    async def _recorded(self, endpoint: Endpoint, raw: bytes, asked: Asked, task: str, served: str) -> Response:
        entry = Entry(endpoint, asked, raw)
        try:
            return await self._query(entry, read_object(raw), task, served)
        except ServiceError as error:
            self.ledger.close(entry, error.status, bytes(error.response().body), {})
            raise

    async def _query(self, entry: Entry, body: JSONObject, task: str, served: str) -> Response:
        endpoint = entry.endpoint
        entry.body = body
        config = serving(endpoint)
        self.warmth.wake(endpoint)
        task = _task_of(endpoint.name, config.task, task, body)
        first = _named(config, served) if served else self.balancer.pick(endpoint.id, config)
        quirks = _quirks(endpoint, first)
        check(task, body, quirks, openai=config.kind == "external")
        _check_batch(endpoint.name, body, quirks)
        call = _Call(entry, task, check_input(endpoint, body))
        check_filter(quirks.filtered, _provider(first), call.body)
        tried = [first] if served else candidates(endpoint, config, first)
        try:
            self._admit(call)
            return await self._first_answer(call, tried)
        except ServiceError:
            call.refund()
            raise

    def _admit(self, call: _Call) -> None:
        """Count the query against the limits of the service and of the gateway."""
        name, life, caller = call.endpoint.name, call.endpoint.id, call.entry.asked.caller
        limits, own = service_limits(call.endpoint.tags), limits_of(call.endpoint)
        if limits:
            output, life_of_its = reserved_output(call.body), f"{life}/service"
            spent = self.limiter.admit(name, limits, output, life=life_of_its, caller=caller, wording=service_defined)
            call.spent += [(spent, True)] if spent else []
        if own:
            spent = self.limiter.admit(name, own, reserved_tokens(call.body), life=life, caller=caller)
            call.spent += [(spent, False)] if spent else []

    async def _first_answer(self, call: _Call, entities: list[Entity]) -> Response:
        """The answer of the first entity that does not fail; the failure of the last one if all do."""
        *others, last = entities
        for entity in others:
            try:
                return await self._ask(call, entity)
            except ServiceError as error:
                if not falls_back(error.status):
                    raise
        return await self._ask(call, last)

    async def _ask(self, call: _Call, entity: Entity) -> Response:
        endpoint, task = call.endpoint, call.task
        call.entry.served = entity.name
        model = endpoint.tags.get("fm_model_name") or response_model(entity.model)
        query = Query(endpoint.name, task, model, call.body, _quirks(endpoint, entity), len(call.entry.request))
        external, engine = entity.external, self.agent if task in AGENT_TASKS.values() else self.engine
        answer = await (self.providers.answer(external, query) if external else engine.answer(query))
        return await self._response(call, answer)

    async def _response(self, call: _Call, answer: Answer) -> Response:
        headers = {"served-model-name": call.entry.served or ""}
        if isinstance(answer, Events):
            source = await guarded(call.endpoint, answer.source) if guards_output(call.endpoint) else answer.source
            return StreamingResponse(self._watched(call, source), media_type="text/event-stream", headers=headers)
        response = JSON(check_output(call.endpoint, answer.payload), headers=headers)
        self._close(call, bytes(response.body), usage_of(answer.payload))
        return response

    def _watched(self, call: _Call, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The events; their end is looked at only if somebody wants to know."""
        if not (call.spent or call.entry.wanted):
            return source
        return watched(source, lambda kept, usage: self._close(call, kept, usage))

    def _close(self, call: _Call, answer: bytes, usage: JSONObject) -> None:
        call.settle(usage)
        self.ledger.close(call.entry, 200, answer, usage)


def data_routes(plane: DataPlane) -> APIRouter:
    """All routes of the query API."""
    router = APIRouter(prefix=PREFIX)

    @router.post("/{name}/invocations")
    async def invocations(name: str, request: Request) -> Response:
        return await plane.query(name, await request.body(), asked_by(request.scope))

    @router.post("/{name}/served-models/{served}/invocations")
    async def served_invocations(name: str, served: str, request: Request) -> Response:
        return await plane.query(name, await request.body(), asked_by(request.scope), served=served)

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
    return await plane.query(name, body, asked_by(request.scope), task=task)


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


def _provider(entity: Entity) -> str:
    return str(entity.external["provider"]) if entity.external else "databricks-model-serving"
