"""Names of constructor arguments: synonyms, and what to say about those that are not known."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel

_SYNONYMS = {"endpoint": "model", "api_key": "token"}
_ELSEWHERE = {
    "base_url": "host= takes the address of the workspace",
    "openai_api_base": "host= takes the address of the workspace",
    "openai_api_key": "token= takes it",
    "target_uri": "host= or profile= says which workspace",
    "workspace_client": "profile= names the same credentials; client= takes a fm_client.Client",
    "model_name": "it is called model",
    "request_timeout": "it is called timeout",
    "max_completion_tokens": "it is called max_tokens",
    "chunk_size": "it is called batch_size",
    "show_progress_bar": "it is called show_progress",
    "extra_params": "extra_body= takes what has no argument of its own",
    "model_kwargs": "extra_body= takes what has no argument of its own",
    "stream_usage": "leave it out: the usage comes with every stream, once",
    "stop_sequences": "it is called stop",
    "default_headers": "client= takes a fm_client.Client, whose http_client= can have headers",
    "http_client": "client= takes a fm_client.Client, which takes it",
    "http_async_client": "client= takes a fm_client.AsyncClient, whose http_client= takes it",
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
