"""The suites against a server that answers by script: what is sent, and what becomes of any answer there may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from fault_server import Answer, FaultServer, Seen, chat, delta, either, embeddings, reply
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler

from ._kit import Calls, Kit
from ._tools import TOOL
from ._wires import BUSY, CUT, REFUSED, STREAMED_THOUGHTS, TWO_CALLS, USAGE, WHOLE_THOUGHTS, streamed, two_whole_calls

HI = [ChatMessage(role="user", content="Hi")]
IMAGE = ImageBlock(url="https://example.com/a.png")
each_call = pytest.mark.parametrize("name", ["chat", "stream_chat"])


class Wire(Kit):
    """A model on the scripted server."""

    def make_at(self, host: str, **fields: Any) -> Any:
        """A model that sends its requests to `host` (http://127.0.0.1:…), with `secret` for its token."""
        pytest.fail(f"{type(self).__name__} must say how a model is made: def make_at(self, host, **fields)")

    @pytest.fixture
    def server(self) -> Iterator[FaultServer]:
        """A server that gives one answer to everything: `server.default`."""
        with FaultServer() as running:
            yield running

    @pytest.fixture
    def on(self, server: FaultServer, keep: Any) -> Any:
        """`on(answer)` -> a model that gets this answer."""

        def make(answer: Answer, **fields: Any) -> Any:
            server.default = answer
            return keep(self.make_at(server.host, **fields))

        return make


def body(server: FaultServer) -> Any:
    """What was sent last."""
    return server.seen[-1].json


class LLMWireConformance(Wire):
    """Override `make_at`, for an LLM that chats."""

    other_secrets: ClassVar[dict[str, str]] = {"OPENAI_API_KEY": "key-of-another-provider"}
    """Variables of other providers, which are nobody else's business."""

    def make_without_token(self, host: str) -> Any:
        """A model for `host` that is given no token."""
        pytest.skip("a token is always given")

    # What is sent

    @each_call
    def test_an_argument_of_a_call_beats_that_of_the_constructor(
        self, on: Any, call: Calls, server: FaultServer, name: str
    ) -> None:
        call.answer(on(self._hello(name), max_tokens=100), name, HI, max_tokens=5)
        assert body(server)["max_tokens"] == 5

    @each_call
    def test_a_temperature_of_none_is_not_sent(self, on: Any, call: Calls, server: FaultServer, name: str) -> None:
        call.answer(on(self._hello(name), temperature=None), name, HI)
        assert "temperature" not in body(server)

    @each_call
    def test_nothing_is_sent_as_null(self, on: Any, call: Calls, server: FaultServer, name: str) -> None:
        """Strict routes answer 400 to `tools: null`."""
        call.answer(on(self._hello(name)), f"{name}_with_tools", [], "Hi")
        assert [key for key, value in body(server).items() if value is None] == []

    @each_call
    def test_the_name_of_an_endpoint_decides_nothing(
        self, on: Any, call: Calls, server: FaultServer, name: str
    ) -> None:
        model = on(self._hello(name), model="o1-mini", temperature=0.25, max_tokens=5)
        call.answer(model, name, [ChatMessage(role="system", content="be brief"), *HI])
        sent = body(server)
        assert (sent["messages"][0]["role"], sent["temperature"], sent["max_tokens"]) == ("system", 0.25, 5)

    @pytest.mark.parametrize("role", ["user", "assistant", "tool"])
    def test_an_image_is_sent_or_refused_and_never_dropped(
        self, on: Any, call: Calls, server: FaultServer, role: str
    ) -> None:
        extra = {"tool_call_id": "c0"} if role == "tool" else {}
        message = ChatMessage(role=role, blocks=[TextBlock(text="look"), IMAGE], additional_kwargs=extra)
        try:
            call.run(on(self._hello("chat")), "chat", [*HI, message])
        except (ValueError, TypeError):
            return
        assert "example.com/a.png" in str(body(server))

    def test_the_keys_of_other_providers_stay_here(self, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.other_secrets.items():
            monkeypatch.setenv(name, value)
        server.default = self._hello("chat")
        try:
            self.make_without_token(server.host).chat(HI)
        except Exception:  # noqa: BLE001, S110  # it may refuse, in its own way
            pass
        sent = str([seen.headers for seen in server.seen])
        assert [value for value in self.other_secrets.values() if value in sent] == []

    # Answers

    @pytest.mark.parametrize("usage", [True, False], ids=["at the end", "never"])
    def test_usage_of_a_stream_is_the_services_or_none(self, on: Any, call: Calls, usage: bool) -> None:
        items = call.stream(on(streamed(delta("a"), delta("b"), usage=usage)), "stream_chat", HI)
        counts = [item.raw.get("usage") if isinstance(item.raw, dict) else item.raw.usage for item in items]
        assert items[-1].message.content == "ab", "the last item is the whole answer"
        assert bool(counts[-1]) is usage
        assert not any(counts[:-1])
        if usage:
            assert dict(counts[-1])["total_tokens"] == USAGE["total_tokens"]

    @each_call
    @pytest.mark.parametrize("form", WHOLE_THOUGHTS)
    def test_reasoning_is_a_block_beside_the_text(self, on: Any, call: Calls, name: str, form: str) -> None:
        script = (STREAMED_THOUGHTS if "stream" in name else WHOLE_THOUGHTS)[form]
        message = call.answer(on(script), name, HI).message
        assert message.content == "four"
        assert [block.content for block in message.blocks if isinstance(block, ThinkingBlock)] == ["let me see"]

    @pytest.mark.parametrize("form", STREAMED_THOUGHTS)
    def test_reasoning_is_streamed_from_its_first_piece(self, on: Any, call: Calls, form: str) -> None:
        items = call.stream(on(STREAMED_THOUGHTS[form]), "stream_chat", HI)
        assert "".join(item.additional_kwargs.get("thinking_delta") or "" for item in items) == "let me see"

    @each_call
    def test_signed_reasoning_is_sent_back(self, on: Any, call: Calls, server: FaultServer, name: str) -> None:
        script = (STREAMED_THOUGHTS if "stream" in name else WHOLE_THOUGHTS)["list of parts"]
        model = on(script)
        said = call.answer(model, name, HI).message
        server.default = self._hello("chat")
        call.run(model, "chat", [*HI, said, ChatMessage(role="user", content="and then?")])
        assert "sig" in str(body(server)["messages"][1])

    @pytest.mark.parametrize("way", [*TWO_CALLS, "whole"])
    def test_parallel_calls_arrive_whole(self, on: Any, call: Calls, way: str) -> None:
        model = on(TWO_CALLS.get(way) or two_whole_calls())
        name = "chat_with_tools" if way == "whole" else "stream_chat_with_tools"
        answer = call.answer(model, name, [TOOL], "add", allow_parallel_tool_calls=True)
        found = [(c.tool_id, c.tool_name, c.tool_kwargs) for c in model.get_tool_calls_from_response(answer)]
        assert found == [("c0", "add", {"a": 1, "b": 2}), ("c1", "add", {"a": 3, "b": 4})]

    @pytest.mark.parametrize("way", [*TWO_CALLS, "whole"])
    def test_one_call_is_left_where_one_is_wanted(self, on: Any, call: Calls, way: str) -> None:
        model = on(TWO_CALLS.get(way) or two_whole_calls())
        name = "chat_with_tools" if way == "whole" else "stream_chat_with_tools"
        answer = call.answer(model, name, [TOOL], "add", allow_parallel_tool_calls=False)
        assert len(model.get_tool_calls_from_response(answer)) == 1
        assert len(answer.message.additional_kwargs["tool_calls"]) == 1

    # Failures

    @each_call
    @pytest.mark.parametrize("retries", [0, 2])
    def test_a_call_is_repeated_as_often_as_was_said(
        self, on: Any, call: Calls, server: FaultServer, name: str, retries: int
    ) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011  # each adapter has its own
            call.answer(on(BUSY, max_retries=retries), name, HI)
        assert len(server.seen) == retries + 1

    @each_call
    def test_a_failed_call_is_reported_as_ended(self, on: Any, call: Calls, name: str) -> None:
        log = LlamaDebugHandler(print_trace_on_end=False)
        model = on(REFUSED)
        model.callback_manager = CallbackManager([log])
        with pytest.raises(Exception, match="this cannot be"):
            call.answer(model, name, HI)
        assert len(log.get_event_pairs(CBEventType.LLM)) == 1

    def test_a_stream_that_is_cut_off_is_an_error(self, on: Any, call: Calls) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011  # each adapter has its own
            call.stream(on(CUT), "stream_chat", HI)

    @staticmethod
    def _hello(name: str) -> Answer:
        return streamed(delta("hello")) if "stream" in name else reply(200, chat("hello"))


class EmbeddingWireConformance(Wire):
    """Override `make_at`, for an embedding model."""

    def test_vectors_are_put_in_order(self, on: Any, call: Calls) -> None:
        model = on(reply(200, embeddings([[3.0], [1.0], [2.0]], order=[2, 0, 1])))
        assert call.run(model, "get_text_embedding_batch", ["a", "b", "c"]) == [[3.0], [1.0], [2.0]]

    def test_a_missing_vector_is_an_error(self, on: Any, call: Calls) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011  # each adapter has its own
            call.run(on(reply(200, embeddings([[1.0], [2.0]]))), "get_text_embedding_batch", ["a", "b", "c"])

    @pytest.mark.parametrize("name", ["get_text_embedding", "get_query_embedding"])
    def test_text_is_sent_as_it_is(self, on: Any, call: Calls, server: FaultServer, name: str) -> None:
        call.run(on(reply(200, embeddings([[1.0]]))), name, "two\nlines ")
        assert body(server)["input"] in ("two\nlines ", ["two\nlines "])

    def test_a_batch_that_is_too_large_is_divided(self, on: Any, call: Calls, server: FaultServer) -> None:
        def answer(seen: Seen) -> Answer:
            texts = seen.json["input"]
            return (
                reply(413, "too large") if len(texts) > 2 else reply(200, embeddings([[float(text)] for text in texts]))
            )

        model = on(either(answer, server), max_retries=0)
        texts = [str(i) for i in range(1, 8)]
        assert call.run(model, "get_text_embedding_batch", texts) == [[float(text)] for text in texts]

    @pytest.mark.parametrize("retries", [0, 2])
    def test_a_call_is_repeated_as_often_as_was_said(
        self, on: Any, call: Calls, server: FaultServer, retries: int
    ) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011  # each adapter has its own
            call.run(on(BUSY, max_retries=retries), "get_text_embedding", "a")
        assert len(server.seen) == retries + 1
