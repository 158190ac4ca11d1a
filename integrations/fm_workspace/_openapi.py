"""The OpenAPI document of one endpoint's query route."""

from __future__ import annotations

from ._engine import JSONObject
from ._lifecycle import Endpoint
from ._requests import REQUESTS


def describe(endpoint: Endpoint) -> JSONObject:
    """What `GET …/{name}/openapi` answers."""
    reference = "#/components/schemas/{model}"
    schema = REQUESTS[endpoint.config.task].model_json_schema(ref_template=reference)
    components = schema.pop("$defs", {})
    operation = {
        "operationId": "query",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "The answer", "content": {"application/json": {}}}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": endpoint.name, "version": str(endpoint.config.version)},
        "paths": {f"/serving-endpoints/{endpoint.name}/invocations": {"post": operation}},
        "components": {"schemas": components},
    }
