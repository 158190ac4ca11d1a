"""Anthropic, Cohere and AI21 Labs in their own wire formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vendor_server import ANSWER_TOKENS, JSON, KEY, PROMPT_TOKENS, Asked, Said, Turn, VendorServer, sse

ARGUMENTS = {"city": "Paris"}
CACHED = 3
SIGNATURE = "signature-for-tests"
EVENTS = {"Content-Type": "text/event-stream"}


def text_of(content: Any) -> str:
    """The text of a message's content, whatever its form."""
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content or [])


class Anthropic(VendorServer):
    """POST /v1/messages. https://docs.anthropic.com/en/api/messages and /messages-streaming."""

    name = "anthropic"

    def error(self, status: int, message: str) -> Any:
        kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
        return {"type": "error", "error": {"type": kinds[status], "message": message}, "request_id": "req_1"}

    def refusal(self, asked: Asked) -> Said | None:
        key, body = asked.headers.get("x-api-key"), asked.body
        if key != KEY or "anthropic-version" not in asked.headers:
            return Said(401, self.error(401, f"invalid x-api-key: {key}"), JSON)
        if asked.path != "/v1/messages":
            return Said(404, {"type": "error", "error": {"type": "not_found_error", "message": asked.path}}, JSON)
        roles = [message["role"] for message in body["messages"]]
        if not isinstance(body.get("max_tokens"), int) or not set(roles) <= {"user", "assistant"} or roles[0] != "user":
            return Said(400, self.error(400, "max_tokens: Field required"), JSON)
        return None

    def turn(self, asked: Asked) -> Turn:
        last = asked.body["messages"][-1]["content"]
        results = [] if isinstance(last, str) else [block for block in last if block["type"] == "tool_result"]
        tools = asked.body.get("tools") or []
        result = text_of(results[0]["content"]) if results else None
        return Turn(text_of(last), result, tools[0]["name"] if tools else None)

    def answer(self, asked: Asked, turn: Turn) -> Said:
        blocks = list(self.blocks(asked, turn))
        if asked.body.get("stream"):
            return Said(200, list(sse(self.events(asked, turn, blocks))), EVENTS, cut=turn.text == "cut")
        used = {"input_tokens": PROMPT_TOKENS, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": 0}
        message = {**self.message(asked), "content": blocks, "stop_reason": self.reason(turn)}
        return Said(200, {**message, "usage": {**used, "output_tokens": ANSWER_TOKENS}}, JSON)

    def reason(self, turn: Turn) -> str:
        return "tool_use" if turn.calls else "end_turn"

    def message(self, asked: Asked) -> dict[str, Any]:
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": asked.body["model"], "content": []}

    def blocks(self, asked: Asked, turn: Turn) -> Iterator[dict[str, Any]]:
        if asked.body.get("thinking"):
            yield {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE}
        if turn.calls:
            yield {"type": "tool_use", "id": "toolu_1", "name": turn.tool, "input": ARGUMENTS}
        else:
            yield {"type": "text", "text": "".join(turn.words)}

    def events(self, asked: Asked, turn: Turn, blocks: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        used = {"input_tokens": PROMPT_TOKENS, "cache_read_input_tokens": CACHED, "output_tokens": 1}
        start = {**self.message(asked), "stop_reason": None, "usage": used}
        yield "message_start", {"type": "message_start", "message": start}
        yield "ping", {"type": "ping"}
        for index, block in enumerate(blocks):
            yield from self.block_events(index, block, turn)
        end = {"delta": {"stop_reason": self.reason(turn)}, "usage": {"output_tokens": ANSWER_TOKENS}}
        yield "message_delta", {"type": "message_delta", **end}
        yield "message_stop", {"type": "message_stop"}

    def block_events(self, index: int, block: dict[str, Any], turn: Turn) -> Iterator[tuple[str, Any]]:
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
        begin = {**block, **empty[block["type"]]}
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": begin}
        for delta in self.deltas(block, turn):
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}

    def deltas(self, block: dict[str, Any], turn: Turn) -> Iterator[dict[str, Any]]:
        if block["type"] == "thinking":
            yield {"type": "thinking_delta", "thinking": block["thinking"]}
            yield {"type": "signature_delta", "signature": block["signature"]}
        elif block["type"] == "text":
            yield from ({"type": "text_delta", "text": word} for word in turn.words)
        else:
            text = json.dumps(block["input"])
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in (text[:5], text[5:]))


class Cohere(VendorServer):
    """POST /v2/chat and /v2/embed. https://docs.cohere.com/reference/chat, /chat-stream and /embed."""

    name = "cohere"

    def error(self, status: int, message: str) -> Any:
        return {"id": "e-1", "message": message}

    def refusal(self, asked: Asked) -> Said | None:
        given = asked.headers.get("authorization", "")
        if given.removeprefix("Bearer ").removeprefix("bearer ") != KEY:
            return Said(401, self.error(401, f"invalid api token: {given}"), JSON)
        if asked.path not in ("/v2/chat", "/v2/embed"):
            return Said(404, self.error(404, asked.path), JSON)
        if asked.path == "/v2/embed" and not {"texts", "input_type", "model"} <= asked.body.keys():
            return Said(400, self.error(400, "input_type is required"), JSON)
        return None

    def turn(self, asked: Asked) -> Turn:
        if asked.path == "/v2/embed":
            return Turn(asked.body["texts"][0])
        last, tools = asked.body["messages"][-1], asked.body.get("tools") or []
        text = text_of(last["content"])
        name = tools[0]["function"]["name"] if tools else None
        return Turn(text, text if last["role"] == "tool" else None, name)

    def answer(self, asked: Asked, turn: Turn) -> Said:
        if asked.path == "/v2/embed":
            vectors = [[float(len(text)), 0.5] for text in asked.body["texts"]]
            meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": PROMPT_TOKENS}}
            body = {"id": "m-1", "embeddings": {"float": vectors}, "texts": asked.body["texts"], "meta": meta}
            return Said(200, body, JSON)
        if asked.body.get("stream"):
            return Said(200, list(sse(self.events(turn))), EVENTS, cut=turn.text == "cut")
        said = {"tool_plan": "I will look.", "tool_calls": [self.call(turn)]} if turn.calls else {}
        text = {} if turn.calls else {"content": [{"type": "text", "text": "".join(turn.words)}]}
        message = {"role": "assistant", **said, **text}
        return Said(200, {"id": "c-1", "message": message, **self.end(turn)}, JSON)

    def call(self, turn: Turn) -> dict[str, Any]:
        return {"id": "call_1", "type": "function", "function": {"name": turn.tool, "arguments": json.dumps(ARGUMENTS)}}

    def end(self, turn: Turn) -> dict[str, Any]:
        units = {"input_tokens": PROMPT_TOKENS, "output_tokens": ANSWER_TOKENS}
        reason = "TOOL_CALL" if turn.calls else "COMPLETE"
        return {"finish_reason": reason, "usage": {"billed_units": units, "tokens": units}}

    def events(self, turn: Turn) -> Iterator[tuple[str, Any]]:
        yield "message-start", {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant"}}}
        yield from self.call_events(turn) if turn.calls else self.text_events(turn)
        yield "message-end", {"type": "message-end", "delta": self.end(turn)}

    def text_events(self, turn: Turn) -> Iterator[tuple[str, Any]]:
        def delta(content: Any) -> Any:
            return {"index": 0, "delta": {"message": {"content": content}}}

        yield "content-start", {"type": "content-start", **delta({"type": "text", "text": ""})}
        for word in turn.words:
            yield "content-delta", {"type": "content-delta", **delta({"text": word})}
        yield "content-end", {"type": "content-end", "index": 0}

    def call_events(self, turn: Turn) -> Iterator[tuple[str, Any]]:
        def delta(calls: Any) -> Any:
            return {"index": 0, "delta": {"message": {"tool_calls": calls}}}

        call, text = self.call(turn), json.dumps(ARGUMENTS)
        yield "tool-plan-delta", {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will look."}}}
        first = {**call, "function": {"name": turn.tool, "arguments": ""}}
        yield "tool-call-start", {"type": "tool-call-start", **delta(first)}
        for piece in (text[:5], text[5:]):
            yield "tool-call-delta", {"type": "tool-call-delta", **delta({"function": {"arguments": piece}})}
        yield "tool-call-end", {"type": "tool-call-end", "index": 0}


class AI21(VendorServer):
    """POST /studio/v1/chat/completions (Jamba) and /studio/v1/{model}/complete (Jurassic). https://docs.ai21.com."""

    name = "ai21labs"

    def error(self, status: int, message: str) -> Any:
        return {"detail": message}

    def refusal(self, asked: Asked) -> Said | None:
        given = asked.headers.get("authorization", "")
        if given != f"Bearer {KEY}":
            return Said(401, self.error(401, f"Forbidden: Bad or missing API token {given}"), JSON)
        known = ("/studio/v1/chat/completions", "/studio/v1/j2-ultra/complete")
        return None if asked.path in known else Said(404, self.error(404, asked.path), JSON)

    def turn(self, asked: Asked) -> Turn:
        if "prompt" in asked.body:
            return Turn(asked.body["prompt"])
        last, tools = asked.body["messages"][-1], asked.body.get("tools") or []
        result = last["content"] if last["role"] == "tool" else None
        return Turn(last["content"], result, tools[0]["function"]["name"] if tools else None)

    def answer(self, asked: Asked, turn: Turn) -> Said:
        if "prompt" in asked.body:
            return Said(200, self.completion(asked, turn), JSON)
        if asked.body.get("stream"):
            events = [*((None, chunk) for chunk in self.chunks(turn)), (None, "[DONE]")]
            return Said(200, list(sse(iter(events))), EVENTS)
        message = {"role": "assistant", "content": None if turn.calls else "".join(turn.words)}
        message |= {"tool_calls": [self.call(turn)]} if turn.calls else {}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if turn.calls else "stop"}
        return Said(200, {"id": "a-1", "model": asked.body["model"], "choices": [choice], "usage": self.usage()}, JSON)

    def call(self, turn: Turn) -> dict[str, Any]:
        return {"id": "call_1", "type": "function", "function": {"name": turn.tool, "arguments": json.dumps(ARGUMENTS)}}

    def usage(self) -> dict[str, int]:
        total = PROMPT_TOKENS + ANSWER_TOKENS
        return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": ANSWER_TOKENS, "total_tokens": total}

    def chunks(self, turn: Turn) -> Iterator[dict[str, Any]]:
        calls = [{"tool_calls": [{"index": 0, **self.call(turn)}]}] if turn.calls else []
        for delta in calls or [{"content": word} for word in turn.words]:
            yield {"id": "a-1", "choices": [{"index": 0, "delta": {"role": "assistant", **delta}}]}
        end = {"index": 0, "delta": {"content": ""}, "finish_reason": "tool_calls" if turn.calls else "stop"}
        yield {"id": "a-1", "choices": [end], "usage": self.usage()}

    def completion(self, asked: Asked, turn: Turn) -> dict[str, Any]:
        tokens = [{"generatedToken": {"token": "x"}}] * ANSWER_TOKENS
        done = {"data": {"text": "".join(turn.words), "tokens": tokens}, "finishReason": {"reason": "endoftext"}}
        prompt = {"text": turn.text, "tokens": [{}] * PROMPT_TOKENS}
        return {"id": 1, "prompt": prompt, "completions": [done] * asked.body.get("numResults", 1)}
