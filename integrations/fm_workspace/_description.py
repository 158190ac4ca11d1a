"""The workspace's own OpenAPI description: what FastAPI sees of the routes, and the bodies and answers it does not."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ._data_plane import PREFIX
from ._engine import JSONObject
from ._quirks import AGENT_TASKS, RESPONSES, TASKS
from ._requests import REQUESTS

VERSION = "2.0"
_REFERENCE = "#/components/schemas/{model}"
_BY_PATH = {
    f"{PREFIX}/chat/completions": (TASKS["chat"], AGENT_TASKS["chat-agent"]),
    f"{PREFIX}/completions": (TASKS["completions"],),
    f"{PREFIX}/embeddings": (TASKS["embeddings"],),
    f"{PREFIX}/responses": (RESPONSES, AGENT_TASKS["responses-agent"]),
}
"""The tasks of the paths that name no endpoint."""
_INVOCATIONS = "/invocations"
_ERROR: JSONObject = {
    "description": "The service's own error, that of a provider behind it, or as text that of its JSON reader.",
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}},
        "text/plain": {"schema": {"type": "string"}},
    },
}
_ERROR_SCHEMA: JSONObject = {
    "title": "Error",
    "anyOf": [
        {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
        },
        {
            "type": "object",
            "required": ["error", "external_model_provider", "external_model_message"],
            "properties": {
                "error": {"type": "string"},
                "external_model_provider": {"type": "string"},
                "external_model_message": {"type": "object"},
            },
        },
    ],
}
_ANSWER: JSONObject = {
    "description": "The answer; as events if `stream` is true.",
    "content": {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {"schema": {"type": "string"}},
    },
}


def describe_all(app: FastAPI) -> JSONObject:
    """What `GET /openapi.json` answers."""
    whole = get_openapi(title=app.title, version=VERSION, routes=app.routes)
    schemas: JSONObject = whole.setdefault("components", {}).setdefault("schemas", {})
    bodies = {task: _schema(task, schemas) for task in REQUESTS}
    for path, operations in whole["paths"].items():
        for operation in operations.values():
            _correct(operation)
            if tasks := _BY_PATH.get(path):
                _takes(operation, [bodies[task] for task in tasks], named=True)
            elif path.endswith(_INVOCATIONS):
                _takes(operation, list(bodies.values()), named=False)
    schemas["Error"] = _ERROR_SCHEMA
    whole["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {**whole, "security": [{"token": []}]}


def _schema(task: str, schemas: JSONObject) -> JSONObject:
    model = REQUESTS[task]
    schema = model.model_json_schema(ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _correct(operation: JSONObject) -> None:
    """FastAPI would answer 422 to a wrong body; the service answers 400, and has its own errors besides."""
    answers: JSONObject = operation["responses"]
    answers.pop("422", None)
    answers |= {"4XX": _ERROR, "5XX": _ERROR}


def _takes(operation: JSONObject, schemas: list[JSONObject], *, named: bool) -> None:
    """A query's body; where the path names no endpoint, `model` does."""
    required: Any = {
        "type": "object",
        "required": ["model"],
        "properties": {"model": {"type": "string", "minLength": 1}},
    }
    any_of: JSONObject = {"anyOf": schemas}
    whole = {"allOf": [any_of, required]} if named else any_of
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": whole}}}
    operation["responses"]["200"] = _ANSWER
