"""The deployments client: MLflow's methods over the core client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow.deployments import BaseDeploymentClient

from fm_client import Clients, NotFoundError

from . import _deployments as deployments
from ._configs import BESIDE_CONFIG, create_plan, read_config, take_wait, update_plan
from ._errors import conflict, invalid, missing, mlflow_errors, unsupported
from ._queries import Endpoints, answer, aresults, read_query, results
from ._results import AsyncResultStream, EndpointResult, Result, ResultStream
from ._settings import clients_for
from ._targets import parse_target

Config = Mapping[str, Any] | None
Fields = dict[str, Any]


class FoundationModelDeploymentClient(BaseDeploymentClient):
    """Foundation models behind serving endpoints: hosted, provisioned and external.

    >>> client = FoundationModelDeploymentClient("fm://local")
    >>> answer = client.predict(
    ...     endpoint="databricks-meta-llama-3-3-70b-instruct",
    ...     inputs={"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20},
    ... )
    >>> answer.choices[0].message.role
    'assistant'

    Every error is an `MlflowException`, and the core client's error too. `config` may hold texts as the command line
    gives them: JSON text or `@FILE` for objects. Creating and updating wait until the endpoint is ready, 1,200 s at
    most, unless `config` has `wait` false or another `wait_timeout` (s).
    """

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)  # type: ignore[no-untyped-call]  # MLflow's
        with mlflow_errors():
            self._target = parse_target(target_uri)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target_uri!r})"

    # -- queries

    def predict(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,
        endpoint: Endpoints | None = None,
        *,
        timeout: float | None = None,
    ) -> Result:
        """Query an endpoint: chat (`messages`), completions (`prompt`) or embeddings (`input`), by the body's shape.

        `inputs` is the body as the service takes it, or the data frame that MLflow's command line reads it into.
        `endpoint`, or `deployment_name`, may be a list of endpoints to try in turn. Returns the service's own answer.
        Any number of texts is embedded, in order. `timeout`: seconds for all of it; without, the environment's limits.
        """
        with mlflow_errors():
            query = read_query(deployment_name, inputs, endpoint, timeout)
            return answer(query.send(self._clients.sync))

    async def apredict(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,
        endpoint: Endpoints | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the limits of the sync call, shared with it
    ) -> Result:
        """`predict`, awaited."""
        with mlflow_errors():
            query = read_query(deployment_name, inputs, endpoint, timeout)
            return answer(await query.send(self._clients.aio))

    def predict_stream(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,
        endpoint: Endpoints | None = None,
        *,
        timeout: float | None = None,
    ) -> ResultStream:
        """The chunks of a chat answer or completion. The last one has no choices, and the usage of the whole call."""
        with mlflow_errors():
            query = read_query(deployment_name, inputs, endpoint, timeout, stream=True)
            return ResultStream(results(query.stream(self._clients.sync)))

    def apredict_stream(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,
        endpoint: Endpoints | None = None,
        *,
        timeout: float | None = None,
    ) -> AsyncResultStream:
        """`predict_stream` for `async for`; the call itself is not awaited."""
        with mlflow_errors():
            query = read_query(deployment_name, inputs, endpoint, timeout, stream=True)
            return AsyncResultStream(aresults(query.stream(self._clients.aio)))

    def explain(self, deployment_name: str | None = None, df: Any = None, endpoint: str | None = None) -> Any:
        """Refused: foundation models explain nothing."""
        raise unsupported("foundation models give no explanations of their predictions")

    # -- endpoints

    def list_endpoints(self) -> list[EndpointResult]:
        """All endpoints, in short."""
        with mlflow_errors():
            return [_result(endpoint) for endpoint in self._endpoints.list()]

    def get_endpoint(self, endpoint: str) -> EndpointResult:
        """One endpoint, in full."""
        with mlflow_errors():
            return _result(self._endpoints.get(endpoint))

    def create_endpoint(
        self, name: str | None = None, config: Config = None, route_optimized: bool | None = None
    ) -> EndpointResult:
        """Create an endpoint.

        `config`: a whole request of the service's API (`name`, `config`, `tags`, …); or its inner `config`
        (`served_entities`, …); or one model, as `external_model`, or `entity_name` and `entity_version` with
        `provisioned_model_units`, `throughput_chunks`, or `min_provisioned_throughput` and
        `max_provisioned_throughput`.
        """
        with mlflow_errors():
            plan = create_plan(name, config, route_optimized)
            created = self._endpoints.create(plan.name, wait=plan.wait, **plan.spec)
            if plan.rate_limits:
                self._endpoints.update_rate_limits(plan.name, plan.rate_limits)
                created = self._endpoints.get(plan.name)
            return _result(created)

    def update_endpoint(self, endpoint: str, config: Config = None) -> Result:
        """Update what `config` has: tags, rate limits, the gateway, or what is served."""
        with mlflow_errors():
            fields = read_config(config)
        if fields.keys() & {"add_tags", "delete_tags"}:
            return self.update_endpoint_tags(endpoint, fields)
        if fields.keys() == {"rate_limits"}:
            return self.update_endpoint_rate_limits(endpoint, fields)
        if fields.keys() == {"ai_gateway"}:
            return self.update_endpoint_ai_gateway(endpoint, fields["ai_gateway"])
        return self.update_endpoint_config(endpoint, fields)

    def update_endpoint_config(self, endpoint: str, config: Config) -> EndpointResult:
        """Replace what an endpoint serves; until that is ready, it answers as before."""
        with mlflow_errors():
            plan = update_plan(endpoint, config)
            return _result(self._endpoints.update(plan.name, wait=plan.wait, **plan.spec))

    def update_endpoint_tags(self, endpoint: str, config: Config) -> Result:
        """Set the tags in `add_tags` (`[{"key": …, "value": …}]`) and delete those whose keys are in `delete_tags`."""
        with mlflow_errors():
            add, delete = _only(read_config(config), "add_tags", "delete_tags")
            tags = self._endpoints.update_tags(endpoint, add or (), delete or ())
            return Result.of({"tags": [tag.to_dict() for tag in tags]})

    def update_endpoint_rate_limits(self, endpoint: str, config: Config) -> Result:
        """Replace the rate limits by those in `rate_limits` (deprecated by the service: the gateway has them)."""
        with mlflow_errors():
            (limits,) = _only(read_config(config), "rate_limits")
            updated = self._endpoints.update_rate_limits(endpoint, limits or [])
            return Result.of({"rate_limits": [limit.to_dict() for limit in updated]})

    def update_endpoint_ai_gateway(self, endpoint: str, config: Config) -> Result:
        """Replace the gateway's configuration, whole."""
        with mlflow_errors():
            return Result.of(self._endpoints.update_ai_gateway(endpoint, read_config(config)).to_dict())

    def delete_endpoint(self, endpoint: str) -> None:
        """Delete an endpoint; nothing happens if there is none."""
        with mlflow_errors():
            try:
                self._endpoints.delete(endpoint)
            except NotFoundError:
                pass  # deleting twice is what MLflow calls idempotent

    # -- deployments: the served entities of an endpoint, or (without `endpoint`) an endpoint with one of them

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: Config = None, endpoint: str | None = None
    ) -> Result:
        """Serve a model: as the entity `name` of an existing endpoint, or by a new endpoint of that name.

        `model_uri`: `models:/catalog.schema.model/VERSION` with its throughput in `config`, or `openai:/gpt-4o` with
        the provider's `openai_config` (and `task`, else llm/v1/chat). `traffic_percentage` in `config` is the part of
        the endpoint's traffic that the entity gets (0).
        """
        with mlflow_errors():
            fields = read_config(config)
            beside = {key: fields.pop(key) for key in [*BESIDE_CONFIG, "wait", "wait_timeout"] if key in fields}
            entity = deployments.served_entity(name, model_uri, flavor, fields)
        if endpoint is None:
            created = self.create_endpoint(name, {"served_entities": [entity], **beside})
            return _one_deployment(created)
        found = self._described(endpoint)
        if _entity(found, name):
            raise conflict(f"endpoint {endpoint!r} has a deployment {name!r} already")
        return self._serve(found, entity, fields, beside)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Config = None,
        endpoint: str | None = None,
    ) -> Result:
        """Change the model, the throughput or the `traffic_percentage` of a deployment; the rest of it stays."""
        with mlflow_errors():
            fields = read_config(config)
            wait: Fields = {key: fields.pop(key) for key in ("wait", "wait_timeout") if key in fields}
        found = self._described(endpoint or name)
        entity = _existing(found, name if endpoint else None)
        with mlflow_errors():
            changed = deployments.changed_entity(entity, model_uri, flavor, fields)
        return self._serve(found, changed, fields, wait)

    def delete_deployment(self, name: str, config: Config = None, endpoint: str | None = None) -> None:
        """Stop serving a deployment; nothing happens if there is none. Its traffic goes to the others."""
        if endpoint is None:
            return self.delete_endpoint(name)
        with mlflow_errors():
            wait = take_wait(read_config(config))
            try:
                found = self._described(endpoint)
            except NotFoundError:
                return None
            if not _entity(found, name):
                return None
            if len(deployments.entities_of(found)) == 1:
                raise invalid(f"{name!r} is all that endpoint {endpoint!r} serves: delete the endpoint instead")
            self._endpoints.update(endpoint, wait=wait, **deployments.config_without(found, name))
        return None

    def list_deployments(self, endpoint: str | None = None) -> list[Result]:
        """The served entities of an endpoint; without `endpoint`, all endpoints, each as one deployment."""
        if endpoint is None:
            return [_one_deployment(found) for found in self.list_endpoints()]
        found = self.get_endpoint(endpoint)
        return [_deployment(entity, found) for entity in deployments.entities_of(found)]

    def get_deployment(self, name: str, endpoint: str | None = None) -> Result:
        """A served entity of an endpoint; without `endpoint`, the endpoint `name`."""
        found = self.get_endpoint(endpoint or name)
        return _deployment(_existing(found, name), found) if endpoint else _one_deployment(found)

    # -- what they share

    @property
    def _clients(self) -> Clients:
        return clients_for(self._target)

    @property
    def _endpoints(self) -> Any:
        return self._clients.sync.endpoints

    def _described(self, endpoint: str) -> Fields:
        """An endpoint, to be sent back changed: with all that came, credentials included. For nobody else."""
        with mlflow_errors():
            wire: Fields = self._endpoints.get(endpoint).to_wire()
            return wire

    def _serve(self, found: Fields, entity: Fields, fields: Fields, beside: Fields) -> Result:
        """Deploy `entity` within an endpoint that exists."""
        with mlflow_errors():
            wait = take_wait(beside)
            if beside:
                raise invalid(
                    f"{', '.join(beside)}: of an endpoint, not of a deployment; use the update_endpoint methods"
                )
            config = deployments.config_with(found, entity, fields.get("traffic_percentage"))
            updated = _result(self._endpoints.update(found["name"], wait=wait, **config))
        return _deployment(_entity(updated, entity["name"]) or {"name": entity["name"]}, updated)


def _result(endpoint: Any) -> EndpointResult:
    """What was received, with the task also where only the external model says it."""
    return EndpointResult.of({**endpoint.to_dict(), **({"task": endpoint.task} if endpoint.task else {})})


def _only(fields: Fields, *names: str) -> list[Any]:
    if unknown := sorted(fields.keys() - set(names)):
        raise ValueError(f"unknown field {unknown[0]!r} in config; there can be: {', '.join(names)}")
    return [fields.get(name) for name in names]


def _entity(endpoint: Fields, name: str) -> Fields | None:
    return next((each for each in deployments.entities_of(endpoint) if each.get("name") == name), None)


def _existing(endpoint: Fields, name: str | None) -> Fields:
    """The served entity `name`; without a name the only one."""
    entities = deployments.entities_of(endpoint)
    if name is None and len(entities) == 1:
        return entities[0]
    names = ", ".join(repr(each.get("name")) for each in entities)
    if name is None:
        raise invalid(
            f"endpoint {endpoint['name']!r} serves {names}: give endpoint={endpoint['name']!r} and one of them"
        )
    entity = _entity(endpoint, name)
    if entity is None:
        raise missing(f"endpoint {endpoint['name']!r} has no deployment {name!r}; it has: {names}")
    return entity


def _deployment(entity: Fields, endpoint: EndpointResult) -> Result:
    return Result.of(deployments.deployment(entity, endpoint["name"]))


def _one_deployment(endpoint: EndpointResult) -> Result:
    """An endpoint as a deployment; its flavor is that of what it serves."""
    entities = deployments.entities_of(endpoint)
    flavor = deployments.entity_flavor(entities[0]) if entities else None
    return EndpointResult.of({**endpoint, "endpoint": endpoint["name"], "flavor": flavor})
