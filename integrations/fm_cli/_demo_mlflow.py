"""MLflow's deployments client on serving endpoints: a prediction, a stream, and the life of an endpoint."""

from __future__ import annotations

from functools import partial
from typing import Any

from mlflow.deployments import get_deploy_client

from ._demo_places import Outcome, Place, Steps

CHAT = {
    "messages": [{"role": "user", "content": "What is MLflow? MLflow tracks and serves models."}],
    "max_tokens": 200,
}


def steps(place: Place) -> Steps:
    """The three examples."""
    return {"predict": partial(predict, place), "stream": partial(stream, place), "endpoint": partial(endpoint, place)}


def predict(place: Place) -> Outcome:
    """A whole answer."""
    client = _client(place)
    answer = client.predict(endpoint=place.chat, inputs=CHAT)
    return _outcome(place.chat, answer.choices[0].message.content, answer.usage)


def stream(place: Place) -> Outcome:
    """An answer in pieces; the last one has no text, but the usage."""
    client = _client(place)
    chunks = list(client.predict_stream(endpoint=place.chat, inputs=CHAT))
    pieces = [choice.delta.get("content") or "" for chunk in chunks for choice in chunk.choices]
    return _outcome(place.chat, f"({len(pieces)} pieces) {''.join(pieces)}", chunks[-1].get("usage"))


def endpoint(place: Place) -> Outcome:
    """Create an endpoint, look at it, ask it, and delete it; one that must not be created is looked at."""
    client = _client(place)
    if place.more is None:
        found = client.get_endpoint(place.chat)
        return Outcome(place.chat, f"{found.state.ready}, {found.endpoint_type}; there already: nothing to create")
    name = f"{place.chat}-2"
    client.create_endpoint(name, config=place.more)  # waits until it is ready
    try:
        found = client.get_endpoint(name)
        answer = client.predict(endpoint=name, inputs=CHAT)
    finally:
        client.delete_endpoint(name)
    if name in [each.name for each in client.list_endpoints()]:
        raise RuntimeError(f"endpoint {name} is still there after it was deleted")
    return _outcome(name, f"created, {found.state.ready}, asked, deleted", answer.usage)


def _client(place: Place) -> Any:
    return get_deploy_client(place.target)  # type: ignore[no-untyped-call]  # MLflow's


def _outcome(name: str, text: str, usage: Any) -> Outcome:
    counts = usage or {}
    return Outcome(name, text, counts.get("prompt_tokens"), counts.get("completion_tokens"))
