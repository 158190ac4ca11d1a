"""Names of constructor arguments: synonyms, and what to say about those that are not known."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel

_SYNONYMS = {"endpoint": "model", "api_key": "token"}
_ADDRESS = "host= takes the address of the workspace"
_CLIENT = "client= takes a fm_client.Client, whose http_client= takes it"
_HEADERS = "client= takes a fm_client.Client, whose http_client= can have them"
_ONE_CLIENT = "client= takes a fm_client.Client, an AsyncClient, or both as Clients"
_EXTRA = "extra_body= takes what has no argument of its own"
_NOT_THERE = "leave it out: the service has none"
_REFUSED = "leave it out: the service refuses it"
_NO_GATEWAY = "leave it out: the gateway's own addresses are not supported"
_POLICY = "leave it out: the client has its own policy, and max_retries="
_NO_SPLITTING = "leave it out: texts are sent whole; split them before, with a text splitter"
_ELSEWHERE = {
    "base_url": _ADDRESS,
    "openai_api_base": _ADDRESS,
    "openai_api_key": "token= takes it",
    "target_uri": "host= or profile= says which workspace",
    "workspace_client": "profile= names the same credentials; client= takes a fm_client.Client",
    "use_ai_gateway": _NO_GATEWAY,
    "use_ai_gateway_native_api": _NO_GATEWAY,
    "organization": _NOT_THERE,
    "openai_organization": _NOT_THERE,
    "api_version": _NOT_THERE,
    "openai_api_version": _NOT_THERE,
    "openai_api_type": _NOT_THERE,
    "model_name": "it is called model",
    "deployment": "it is called model",
    "request_timeout": "it is called timeout",
    "stream_chunk_timeout": "timeout= takes a fm_client.Timeout, whose idle= limits it",
    "max_completion_tokens": "it is called max_tokens",
    "chunk_size": "it is called batch_size",
    "show_progress_bar": "it is called show_progress",
    "extra_params": _EXTRA,
    "model_kwargs": _EXTRA,
    "reasoning": "reasoning_effort= takes the effort; extra_body= takes all of it, with use_responses_api=True",
    "verbosity": 'extra_body={"text": {"verbosity": …}} takes it, with use_responses_api=True',
    "store": _REFUSED,
    "use_previous_response_id": _REFUSED,
    "stream_usage": "leave it out: the usage comes with every stream, once",
    "disabled_params": "leave it out: fields that the route refuses are not sent, with a warning",
    "include_response_headers": "leave it out: response_metadata has what there is",
    "tiktoken_model_name": "leave it out: custom_get_token_ids= of a chat model counts exactly",
    "stop_sequences": "it is called stop",
    "default_headers": _HEADERS,
    "headers": _HEADERS,
    "default_query": _CLIENT,
    "openai_proxy": "leave it to HTTPS_PROXY; or client= takes a fm_client.Client, whose http_client= has it",
    "http_client": _CLIENT,
    "http_socket_options": _CLIENT,
    "http_async_client": "client= takes a fm_client.AsyncClient, whose http_client= takes it",
    "async_client": _ONE_CLIENT,
    "root_client": _ONE_CLIENT,
    "root_async_client": _ONE_CLIENT,
    "retry_min_seconds": _POLICY,
    "retry_max_seconds": _POLICY,
    "embedding_ctx_length": _NO_SPLITTING,
    "check_embedding_ctx_length": _NO_SPLITTING,
    "tiktoken_enabled": _NO_SPLITTING,
    "allowed_special": _NO_SPLITTING,
    "disallowed_special": _NO_SPLITTING,
    "skip_empty": "leave it out: every text has its vector",
}
"""Arguments of other packages that a caller may bring along."""


def renamed(cls: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """`given` under the names of the fields; a ValueError for names that are none."""
    found = dict(given)
    synonyms = _SYNONYMS | ({"profile": "config_profile"} if isinstance(given.get("profile"), str) else {})
    for name, field in synonyms.items():
        if name not in found:
            continue
        value = found.pop(name)
        if found.get(field) is not None:
            raise ValueError(f"{name} and {field} mean the same: give one of them")
        found[field] = value
    for name in found:
        if name not in cls.model_fields:
            raise ValueError(_unknown(name, cls))
    return found


def _unknown(name: str, cls: type[BaseModel]) -> str:
    if name in _ELSEWHERE:
        return f"unknown argument {name!r}: {_ELSEWHERE[name]}"
    close = difflib.get_close_matches(str(name), [*cls.model_fields, *_SYNONYMS], n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    more = "; fields of the request that are not listed go into extra_body" if "extra_body" in cls.model_fields else ""
    return f"unknown argument {name!r}{hint}{more}"
