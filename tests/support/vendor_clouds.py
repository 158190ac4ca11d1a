"""Amazon Bedrock and Google Vertex AI in their own wire formats, signatures and tokens included."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from vendor_fakes import ARGUMENTS, EVENTS, Anthropic, text_of
from vendor_server import ANSWER_TOKENS, JSON, KEY, PROMPT_TOKENS, Asked, Said, Turn, VendorServer, sse

ACCESS_KEY = "AKIAKEYFORTESTS00000"
REGION = "eu-test-1"
PROJECT = "project-for-tests"
TOKEN = "ya29.token-for-tests"
ACCOUNT = f"tests@{PROJECT}.iam.gserviceaccount.com"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URI = "https://oauth2.googleapis.com/token"
STREAM = {"Content-Type": "application/vnd.amazon.eventstream"}


def frame(kind: str, payload: Any) -> bytes:
    """One message of `application/vnd.amazon.eventstream`: lengths, their checksum, headers, payload, checksum."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(head) + len(body), len(head))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + body
    return message + struct.pack("!I", zlib.crc32(message))


def signature(asked: Asked, signed: str, scope: str, secret: str) -> str:
    """AWS's signature (version 4) of a request, computed from what has arrived."""
    path = quote(urlsplit(asked.path).path, safe="/-_.~")  # signed as it is sent, escaped once more
    headers = "".join(f"{name}:{' '.join(asked.headers[name].split())}\n" for name in signed.split(";"))
    whole = "\n".join(["POST", path, "", headers, signed, hashlib.sha256(asked.raw).hexdigest()])
    text = "\n".join(
        ["AWS4-HMAC-SHA256", asked.headers["x-amz-date"], scope, hashlib.sha256(whole.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


class Bedrock(VendorServer):
    """POST /model/{id}/converse, /converse-stream and /invoke, each request signed.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and its like.
    """

    name = "amazon-bedrock"

    def error(self, status: int, message: str) -> Any:
        return {"message": message}

    def refusal(self, asked: Asked) -> Said | None:
        kind, _, rest = asked.headers.get("authorization", "").partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        key, _, scope = fields.get("Credential", "").partition("/")
        right = kind == "AWS4-HMAC-SHA256" and key == ACCESS_KEY and scope.endswith(f"/{REGION}/bedrock/aws4_request")
        if not right or signature(asked, fields["SignedHeaders"], scope, KEY) != fields["Signature"]:
            message = f"The request signature we calculated does not match, for {key}."
            return Said(403, self.error(403, message), {**JSON, "x-amzn-ErrorType": "InvalidSignatureException"})
        return None

    def model(self, asked: Asked) -> str:
        return unquote(asked.path.split("/")[2])

    def turn(self, asked: Asked) -> Turn:
        if asked.path.endswith("/invoke"):
            return Turn(asked.body["inputText"] if "inputText" in asked.body else asked.body["texts"][0])
        last = asked.body["messages"][-1]["content"]
        results = [block["toolResult"] for block in last if "toolResult" in block]
        tools = (asked.body.get("toolConfig") or {}).get("tools") or []
        result = text_of(results[0]["content"]) if results else None
        return Turn(text_of(last), result, tools[0]["toolSpec"]["name"] if tools else None)

    def answer(self, asked: Asked, turn: Turn) -> Said:
        if asked.path.endswith("/invoke"):
            return Said(200, self.embedding(asked), {**JSON, "X-Amzn-Bedrock-Input-Token-Count": str(PROMPT_TOKENS)})
        if asked.path.endswith("/converse-stream"):
            pieces = [frame(kind, payload) for kind, payload in self.events(turn)]
            return Said(200, pieces, STREAM, cut=turn.text == "cut")
        use = {"toolUse": {"toolUseId": "tooluse_1", "name": turn.tool, "input": ARGUMENTS}}
        content = [use if turn.calls else {"text": "".join(turn.words)}]
        output = {"message": {"role": "assistant", "content": content}}
        return Said(200, {"output": output, "stopReason": self.reason(turn), **self.used()}, JSON)

    def reason(self, turn: Turn) -> str:
        return "tool_use" if turn.calls else "end_turn"

    def used(self) -> dict[str, Any]:
        total = PROMPT_TOKENS + ANSWER_TOKENS
        usage = {"inputTokens": PROMPT_TOKENS, "outputTokens": ANSWER_TOKENS, "totalTokens": total}
        return {"usage": usage, "metrics": {"latencyMs": 1}}

    def embedding(self, asked: Asked) -> dict[str, Any]:
        if "inputText" in asked.body:
            return {"embedding": [float(len(asked.body["inputText"])), 0.5], "inputTextTokenCount": PROMPT_TOKENS}
        vectors = [[float(len(text)), 0.5] for text in asked.body["texts"]]
        return {"id": "b-1", "embeddings": vectors, "texts": asked.body["texts"], "response_type": "embeddings_floats"}

    def events(self, turn: Turn) -> Iterator[tuple[str, Any]]:
        yield "messageStart", {"role": "assistant"}
        if turn.calls:
            start = {"toolUse": {"toolUseId": "tooluse_1", "name": turn.tool}}
            yield "contentBlockStart", {"contentBlockIndex": 0, "start": start}
        for delta in self.deltas(turn):
            yield "contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}
        yield "contentBlockStop", {"contentBlockIndex": 0}
        yield "messageStop", {"stopReason": self.reason(turn)}
        yield "metadata", self.used()

    def deltas(self, turn: Turn) -> list[dict[str, Any]]:
        if not turn.calls:
            return [{"text": word} for word in turn.words]
        text = json.dumps(ARGUMENTS)
        return [{"toolUse": {"input": piece}} for piece in (text[:5], text[5:])]


class Vertex(VendorServer):
    """`…/publishers/google/models/{m}:generateContent`, `:streamGenerateContent`, `:predict`, and Google's token page.

    https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
    """

    name = "google-cloud-vertex-ai"

    def error(self, status: int, message: str) -> Any:
        kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED"}
        return {"error": {"code": status, "message": message, "status": kinds[status]}}

    def respond(self, asked: Asked) -> Said:
        """The token page is no model."""
        if asked.path != "/token":
            return super().respond(asked)
        self.seen.append(asked)
        form = {name: values[0] for name, values in parse_qs(asked.raw.decode()).items()}
        if form.get("grant_type") != GRANT or not is_claim(form.get("assertion", "")):
            return Said(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, JSON)
        return Said(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}, JSON)

    def refusal(self, asked: Asked) -> Said | None:
        given = asked.headers.get("authorization", "")
        if given != f"Bearer {TOKEN}":
            return Said(401, self.error(401, f"invalid authentication credentials: {given}"), JSON)
        place = f"/projects/{PROJECT}/locations/{REGION}/publishers/google/models/"
        return None if place in asked.path else Said(404, {"error": {"code": 404, "message": asked.path}}, JSON)

    def turn(self, asked: Asked) -> Turn:
        if ":predict" in asked.path:
            return Turn(asked.body["instances"][0]["content"])
        parts = asked.body["contents"][-1]["parts"]
        results = [part["function_response"] for part in parts if "function_response" in part]
        tools = asked.body.get("tools") or []
        result = json.dumps(results[0]["response"]) if results else None
        return Turn(text_of(parts), result, tools[0]["function_declarations"][0]["name"] if tools else None)

    def answer(self, asked: Asked, turn: Turn) -> Said:
        if ":predict" in asked.path:
            return Said(200, {"predictions": [self.vector(each) for each in asked.body["instances"]]}, JSON)
        if ":streamGenerateContent" in asked.path:
            events = [(None, body) for body in self.bodies(turn)]
            return Said(200, list(sse(iter(events))), EVENTS, cut=turn.text == "cut")
        return Said(200, self.body(self.parts(turn), end=True), JSON)

    def vector(self, instance: dict[str, Any]) -> dict[str, Any]:
        statistics = {"token_count": PROMPT_TOKENS, "truncated": False}
        return {"embeddings": {"values": [float(len(instance["content"])), 0.5], "statistics": statistics}}

    def parts(self, turn: Turn) -> list[dict[str, Any]]:
        if turn.calls:
            return [{"functionCall": {"name": turn.tool, "args": ARGUMENTS}}]
        return [{"text": word} for word in turn.words]

    def bodies(self, turn: Turn) -> Iterator[dict[str, Any]]:
        *others, last = self.parts(turn)
        for part in others:
            yield self.body([part], end=False)
        yield self.body([last], end=True)

    def body(self, parts: list[dict[str, Any]], *, end: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        total = PROMPT_TOKENS + ANSWER_TOKENS
        counts = {
            "promptTokenCount": PROMPT_TOKENS,
            "candidatesTokenCount": ANSWER_TOKENS,
            "totalTokenCount": total,
        }
        reason = {"finishReason": "STOP"} if end else {}
        return {"candidates": [candidate | reason], "modelVersion": "gemini-for-tests", "responseId": "v-1"} | (
            {"usageMetadata": counts} if end else {}
        )


class VertexClaude(Anthropic):
    """Claude on Vertex AI: `…/publishers/anthropic/models/{m}:rawPredict`, Anthropic's bodies behind Google's login."""

    name = "google-cloud-vertex-ai"

    def respond(self, asked: Asked) -> Said:
        """The token page is no model."""
        return Vertex.respond(self, asked) if asked.path == "/token" else super().respond(asked)  # type: ignore[arg-type]  # it does not look at itself

    def refusal(self, asked: Asked) -> Said | None:
        place = f"/projects/{PROJECT}/locations/{REGION}/publishers/anthropic/models/"
        right = asked.headers.get("authorization") == f"Bearer {TOKEN}" and place in asked.path
        right = right and asked.body.get("anthropic_version") == "vertex-2023-10-16" and "model" not in asked.body
        return None if right else Said(401, self.error(401, f"{asked.path}: {sorted(asked.body)}"), JSON)

    def message(self, asked: Asked) -> dict[str, Any]:
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}


def is_claim(assertion: str) -> bool:
    """Whether it is the claim of the tests' account to Google, signed with its key and as good as new."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from vendor_api import private_key

    head, claim, signature = (base64.urlsafe_b64decode(part + "==") for part in assertion.split("."))
    public: Any = load_pem_private_key(private_key().encode(), None).public_key()
    public.verify(signature, assertion.rpartition(".")[0].encode(), PKCS1v15(), SHA256())
    told, now = json.loads(claim), time.time()
    assert json.loads(head) == {"alg": "RS256", "typ": "JWT", "kid": "1"}
    assert (told["iss"], told["aud"]) == (ACCOUNT, TOKEN_URI)
    assert told["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    return bool(now - 60 < told["iat"] <= now + 1 and told["exp"] - told["iat"] <= 3600)


def service_account(private_key: str) -> str:
    """The key file of a service account."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": private_key,
            "client_email": ACCOUNT,
            "token_uri": TOKEN_URI,
        }
    )
