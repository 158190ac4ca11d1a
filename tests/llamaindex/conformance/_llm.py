"""The suite for an `LLM`: answers, streams, events, and what agents and engines make of them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, ClassVar

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.loading import load_llm
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from ._kit import Calls, watched
from ._tools import ToolConformance

PROMPT = "Say hello to the world."
MESSAGES = [ChatMessage(role="user", content=PROMPT)]
WHOLE = ("chat", "complete")
STREAMS = ("stream_chat", "stream_complete")
each_call = pytest.mark.parametrize("name", [*WHOLE, *STREAMS])
each_stream = pytest.mark.parametrize("name", STREAMS)


def question(name: str) -> Any:
    """What to ask in a call of that name."""
    return list(MESSAGES) if "chat" in name else PROMPT


def text_of(answer: Any) -> str:
    """The text of an answer of either kind."""
    return answer.message.content or "" if isinstance(answer, ChatResponse) else answer.text


def usage_of(answer: Any) -> Any:
    """The service's count of all tokens, where LlamaIndex's own handlers look for it; None if it is not there."""
    raw = answer.raw if isinstance(answer.raw, dict) else answer.raw.model_dump() if answer.raw else {}
    usage = raw.get("usage") or answer.additional_kwargs
    return usage.get("total_tokens")


class LLMConformance(ToolConformance):
    """Override `make`; `has_usage`, `has_tools`, `window` say what is to be expected."""

    has_usage: ClassVar[bool] = True
    """Whether the service counts tokens."""
    window: ClassVar[int | None] = None
    """The model's real context window, if `metadata` is to know it."""

    def use(self, model: Any) -> Any:
        """One call."""
        return model.complete(PROMPT).text

    # Answers

    @each_call
    def test_each_call_answers_with_text(self, model: LLM, call: Calls, name: str) -> None:
        answer = call.answer(model, name, question(name))
        assert isinstance(answer, ChatResponse if "chat" in name else CompletionResponse)
        assert text_of(answer).strip()
        if isinstance(answer, ChatResponse):
            assert answer.message.role is MessageRole.ASSISTANT

    @each_stream
    def test_a_stream_grows_by_its_deltas(self, model: LLM, call: Calls, name: str) -> None:
        items = call.stream(model, name, question(name))
        assert all(isinstance(item.delta, str) for item in items)
        assert "".join(item.delta for item in items) == text_of(items[-1])
        so_far = ""
        for item in items:
            so_far += item.delta
            assert text_of(item) == so_far

    @each_call
    def test_raw_is_plain_data(self, model: LLM, call: Calls, name: str) -> None:
        """Handlers call `dict(raw)`; agents and workflows store it as JSON."""
        raw = call.answer(model, name, question(name)).raw
        raw = raw.model_dump(mode="json") if isinstance(raw, BaseModel) else raw
        assert isinstance(raw, dict)
        assert json.loads(json.dumps(raw)) == raw

    @each_call
    def test_usage_comes_with_every_answer_once(self, model: LLM, call: Calls, name: str) -> None:
        if not self.has_usage:
            pytest.skip("the service counts no tokens")
        items = (
            call.stream(model, name, question(name)) if "stream" in name else [call.run(model, name, question(name))]
        )
        assert usage_of(items[-1]) > 0
        assert [usage_of(item) for item in items[:-1] if usage_of(item)] == [], "once, at the end"

    @each_call
    def test_a_token_counter_counts_what_the_service_counted(self, model: LLM, call: Calls, name: str) -> None:
        if not self.has_usage:
            pytest.skip("the service counts no tokens")
        counter = TokenCountingHandler(tokenizer=lambda text: ["wrong"] * 100_000)
        model.callback_manager = CallbackManager([counter])
        answer = call.answer(model, name, question(name))
        assert counter.total_llm_token_count == usage_of(answer)

    @each_call
    def test_what_was_given_is_not_changed(self, model: LLM, call: Calls, name: str) -> None:
        given = question(name)
        before = [message.model_dump_json() for message in given] if isinstance(given, list) else given
        call.answer(model, name, given)
        assert before == ([message.model_dump_json() for message in given] if isinstance(given, list) else given)

    # Reports

    @each_call
    def test_each_call_is_one_event(self, model: LLM, call: Calls, name: str) -> None:
        log = LlamaDebugHandler(print_trace_on_end=False)
        model.callback_manager = CallbackManager([log])
        with watched() as witness:
            call.answer(model, name, question(name))
        kind = "LLMChat" if "chat" in name else "LLMCompletion"
        assert witness.named("StartEvent", "EndEvent") == [f"{kind}StartEvent", f"{kind}EndEvent"]
        assert len(log.get_event_pairs(CBEventType.LLM)) == 1

    @each_call
    def test_each_call_is_one_span(self, model: LLM, call: Calls, name: str) -> None:
        with watched() as witness:
            call.answer(model, name, question(name))
        assert witness.public_spans(type(model)) == [name if call.loop is None else f"a{name}"]
        assert not witness.spans.open_spans

    @each_call
    def test_events_can_be_stored(self, model: LLM, call: Calls, name: str) -> None:
        with watched() as witness:
            answer = call.answer(model, name, question(name))
        before = answer.model_dump_json()
        for event in witness.events:
            assert json.dumps(event.model_dump(mode="json"))
        assert answer.model_dump_json() == before

    def test_the_payload_names_the_model_and_its_temperature(self) -> None:
        payload = self.make(temperature=0.25).to_payload()
        assert payload["model"]
        assert payload["temperature"] == 0.25

    # Metadata, settings

    def test_metadata_tells_the_truth(self, model: LLM) -> None:
        meta = model.metadata
        assert meta.model_name
        assert meta.is_chat_model
        assert meta.is_function_calling_model is self.has_tools
        if self.window is not None:
            assert meta.context_window == self.window

    def test_settings_take_it(self, model: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Settings, "_llm", None)
        Settings.llm = model
        assert Settings.llm is model
        assert model.callback_manager is not None

    def test_the_registry_loads_a_dump(self, model: LLM, anew: None) -> None:
        assert isinstance(load_llm(model.to_dict()), type(model))

    def test_a_prompt_is_predicted(self, model: LLM, call: Calls) -> None:
        assert call.run(model, "predict", PromptTemplate("Say hello to {who}."), who="Ada").strip()

    # Threads and loops

    def test_one_model_serves_many_threads(self, model: LLM) -> None:
        texts: list[str] = []
        threads = [threading.Thread(target=lambda: texts.append(model.complete(PROMPT).text)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([text for text in texts if text]) == 4

    def test_one_model_serves_one_event_loop_after_the_other(self, model: LLM) -> None:
        async def ask() -> str:
            texts = await asyncio.gather(*(model.acomplete(PROMPT) for _ in range(3)))
            await self.aclose(model)
            return "".join(text.text for text in texts)

        assert all(asyncio.run(ask()) for _ in range(3))

    @each_stream
    def test_a_stream_can_be_left(self, model: LLM, name: str) -> None:
        stream = getattr(model, name)(question(name))
        assert next(stream).delta is not None
        stream.close()
        assert self.use(model)
