"""Tools, agents and objects: what `FunctionCallingLLM` promises to LlamaIndex's agents and programs."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, JsonSerializer
from pydantic import BaseModel

from ._kit import Calls
from ._lifecycle import Lifecycle

ASK = "Please add a=3 and b=4."
DESCRIBE = PromptTemplate("Describe the city: {facts}")
FACTS = "Paris, with 2100000 people"
TOOL_CALLS = ("chat_with_tools", "stream_chat_with_tools")
each_tool_call = pytest.mark.parametrize("name", TOOL_CALLS)


class City(BaseModel):
    """A city."""

    name: str
    population: int


def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


class ToolConformance(Lifecycle):
    """The part of the suite for an LLM that is about tools."""

    has_tools: ClassVar[bool] = True
    """Whether the model calls tools."""

    @pytest.fixture
    def caller_of_tools(self, model: Any) -> Any:
        """A model that calls tools."""
        if not self.has_tools:
            pytest.skip("the model calls no tools")
        return model

    @each_tool_call
    def test_a_tool_is_called(self, caller_of_tools: Any, call: Calls, name: str) -> None:
        answer = call.answer(caller_of_tools, name, [TOOL], ASK, tool_required=True)
        [selected] = caller_of_tools.get_tool_calls_from_response(answer)
        assert (selected.tool_name, set(selected.tool_kwargs)) == ("add", {"a", "b"})
        assert [block for block in answer.message.blocks if isinstance(block, ToolCallBlock)]
        assert isinstance(answer.message.additional_kwargs["tool_calls"], list), "LlamaIndex's programs look here"

    @each_tool_call
    def test_a_chat_without_tools_is_a_chat(self, caller_of_tools: Any, call: Calls, name: str) -> None:
        assert call.answer(caller_of_tools, name, [], "Say hello.").message.content

    @each_tool_call
    def test_the_history_of_a_chat_with_tools_is_not_changed(
        self, caller_of_tools: Any, call: Calls, name: str
    ) -> None:
        history = [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Hello")]
        before = [message.model_dump_json() for message in history]
        call.answer(caller_of_tools, name, [TOOL], ASK, chat_history=history)
        assert [message.model_dump_json() for message in history] == before

    def test_a_call_and_its_result_are_understood(self, caller_of_tools: Any, call: Calls) -> None:
        answer = call.run(caller_of_tools, "chat_with_tools", [TOOL], ASK, tool_required=True)
        [selected] = caller_of_tools.get_tool_calls_from_response(answer)
        result = ChatMessage(role="tool", content="7", additional_kwargs={"tool_call_id": selected.tool_id})
        history = [ChatMessage(role="user", content=ASK), answer.message, result]
        assert call.run(caller_of_tools, "chat", history).message.content

    def test_predict_and_call_runs_the_tool(self, caller_of_tools: Any, call: Calls) -> None:
        output = call.run(caller_of_tools, "predict_and_call", [TOOL], ASK, tool_required=True)
        assert output.sources[0].raw_output == 7

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LlamaIndex's own use of pydantic
    @pytest.mark.filterwarnings("ignore:Skipping serialization")  # of the memory, which LlamaIndex leaves to the user
    @pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
    def test_an_agent_calls_a_tool_and_its_state_can_be_stored(self, caller_of_tools: Any, streaming: bool) -> None:
        asyncio.run(self._agent(caller_of_tools, streaming))

    async def _agent(self, model: Any, streaming: bool) -> None:
        agent = FunctionAgent(tools=[TOOL], llm=model, streaming=streaming)
        context = Context(agent)
        handler = agent.run(ASK, ctx=context, memory=ChatMemoryBuffer.from_defaults(llm=model))
        events = [event async for event in handler.stream_events()]
        result = await handler
        assert [event.tool_output.raw_output for event in events if isinstance(event, ToolCallResult)] == [7]
        assert str(result)
        assert any(isinstance(event, AgentStream) and event.delta for event in events) is streaming
        assert all(JsonSerializer().serialize(event) for event in events)
        stored = json.dumps(context.to_dict(JsonSerializer()))
        restored = Context.from_dict(agent, json.loads(stored), JsonSerializer())
        again = agent.run(ASK, ctx=restored, memory=ChatMemoryBuffer.from_defaults(llm=model))
        assert str(await again)
        await self.aclose(model)

    # Objects

    def test_an_object_is_predicted(self, model: LLM, call: Calls) -> None:
        assert isinstance(call.run(model, "structured_predict", City, DESCRIBE, facts=FACTS), City)

    def test_an_object_is_streamed(self, model: LLM, call: Calls) -> None:
        items = call.stream(model, "stream_structured_predict", City, DESCRIBE, facts=FACTS)
        assert isinstance(items[-1], City)
        assert len(items) > 1

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LlamaIndex's own use of pydantic
    @pytest.mark.parametrize("name", ["chat", "stream_chat"])
    def test_a_structured_llm_answers_with_objects(self, model: LLM, call: Calls, name: str) -> None:
        structured = model.as_structured_llm(City)
        answer = call.answer(structured, name, [ChatMessage(role="user", content=f"Describe: {FACTS}")])
        assert isinstance(answer.raw, City)
