"""Secrets to be planted, and all the ways in which they could come to light."""

from __future__ import annotations

import inspect
import pickle
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from fault_lab import exposed
from pydantic import SecretStr

from fm_client import ExternalModel, FMError, OpenAIConfig, StreamInterruptedError

TOKEN = "canary-token-for-tests"
CLIENT_SECRET = "canary-client-secret-for-tests"
PROFILE_TOKEN = "canary-profile-token-for-tests"
PROVIDER_KEY = "canary-provider-key-for-tests"
FETCHED = "canary-fetched-token-for-tests"
BASIC = b64encode(f"client-1:{CLIENT_SECRET}".encode()).decode()
PACKAGES = ("fm_client", "langchain_fm", "llamaindex_fm", "mlflow_fm")
ALL = (TOKEN, CLIENT_SECRET, PROFILE_TOKEN, PROVIDER_KEY, FETCHED, BASIC)


def leaks(text: str | bytes) -> list[str]:
    """Which secrets `text` holds."""
    shown = text if isinstance(text, str) else text.decode("latin-1")
    return [secret for secret in ALL if secret in shown]


def external() -> ExternalModel:
    config = OpenAIConfig(openai_api_key_plaintext=PROVIDER_KEY)
    return ExternalModel(provider="openai", name="gpt-4o", task="llm/v1/chat", openai_config=config)


def outcome(call: Callable[[Any], Any], fm: Any) -> str:
    """All that can be seen of what came of a call: of the answer, or of the error and everything behind it."""
    try:
        answer = call(fm)
    except FMError as error:
        data = pickle.dumps(error).decode("latin-1")
        return exposed(error) + data + (seen_of(error.partial) if isinstance(error, StreamInterruptedError) else "")
    return seen_of(answer)


def seen_of(value: Any, depth: int = 6) -> str:
    """`value` as text, as a dump, and the same of every attribute beneath it."""
    text = f"{value!r} {value!s}"
    for way in ("model_dump", "model_dump_json", "to_dict", "to_json"):
        if depth == 6 and callable(method := getattr(value, way, None)):
            text += str(method())
    if depth == 0 or inspect.isfunction(value) or inspect.ismethod(value) or isinstance(value, (str, SecretStr)):
        return text
    if isinstance(value, dict):
        inner: list[Any] = list(value.values())
    elif isinstance(value, (list, tuple)):
        inner = list(value)
    else:
        own = str(type(value).__module__).startswith(PACKAGES)
        inner = list(getattr(value, "__dict__", {}).values()) if own else []
    return text + "".join(seen_of(item, depth - 1) for item in inner)
