"""The scripted server of our own tests, for clients that name the endpoint in the body as well."""

from __future__ import annotations

import json

from ._cases import fs


class PeerServer(fs.FaultServer):
    """Finds the endpoint wherever a client names it, and lets an answer see its request."""

    def _answer_to(self, request: fs.Seen) -> fs.Answer:
        target, request.path = request.path, f"/serving-endpoints/{endpoint_of(request)}/invocations"
        answer = super()._answer_to(request)

        def told(connection: fs.Connection) -> bool:
            connection.request = request  # type: ignore[attr-defined]  # for the answers that depend on it
            request.target = target  # type: ignore[attr-defined]
            return answer(connection)

        return told


def endpoint_of(request: fs.Seen) -> str:
    parts = request.path.partition("?")[0].split("/")
    if parts[-1] == "invocations":
        return parts[2]
    try:
        named = json.loads(request.body).get("model")
    except (ValueError, AttributeError):
        named = None
    return named if isinstance(named, str) else "unknown"
