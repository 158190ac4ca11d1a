"""Azure OpenAI behind Entra ID."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from vendor_server import JSON, KEY, Asked, Said, Turn, VendorServer


class Azure(VendorServer):
    """Azure OpenAI behind Entra ID: a token page, and a deployment that wants its token."""

    name = "openai"

    def error(self, status: int, message: str) -> Any:
        return {"error": {"code": str(status), "message": message}}

    def refusal(self, asked: Asked) -> Said | None:
        given = asked.headers.get("authorization")
        return None if given == "Bearer token-of-entra" else Said(401, self.error(401, f"wrong: {given}"), JSON)

    def respond(self, asked: Asked) -> Said:
        if "/oauth2/v2.0/token" not in asked.path:
            return super().respond(asked)
        self.seen.append(asked)
        form = parse_qs(asked.raw.decode())
        if form["client_secret"] != [KEY]:
            return Said(401, {"error": "invalid_client", "error_description": f"not {form['client_secret'][0]}"}, JSON)
        return Said(200, {"access_token": "token-of-entra", "expires_in": 3600, "token_type": "Bearer"}, JSON)

    def turn(self, asked: Asked) -> Turn:
        return Turn(asked.body["messages"][-1]["content"])

    def answer(self, asked: Asked, turn: Turn) -> Said:
        message = {"role": "assistant", "content": "".join(turn.words)}
        return Said(200, {"id": "z-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}, JSON)


def azure(server: Azure, secret: str = KEY, **more: Any) -> dict[str, Any]:
    config = {
        "openai_api_type": "azuread",
        "openai_api_base": server.url,
        "openai_deployment_name": "mine",
        "microsoft_entra_tenant_id": "tenant",
        "microsoft_entra_client_id": "client",
        "microsoft_entra_client_secret_plaintext": secret,
        **more,
    }
    return {"external_model": {"name": "gpt-4o", "provider": "openai", "task": "llm/v1/chat", "openai_config": config}}
