"""Tools: what is offered, what is chosen, what is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FaultServer, chat
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import JsonSerializer

from fm_client import ToolArgumentsError
from fm_workspace import Workspace
from llamaindex_fm import FoundationModelLLM

Scripted = Callable[..., FoundationModelLLM]


def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


def calls(*arguments: str, name: str = "add") -> dict[str, Any]:
    made = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": text}}
        for i, text in enumerate(arguments)
    ]
    answer = chat(tool_calls=made)
    answer["choices"][0]["message"]["content"] = None
    answer["choices"][0]["finish_reason"] = "tool_calls"
    return answer


def test_a_tool_is_called_by_the_workspaces_model(caller: Any, llm: FoundationModelLLM) -> None:
    answer = caller.run(llm, "chat_with_tools", [TOOL], "please add a=3 and b=4")
    [selected] = llm.get_tool_calls_from_response(answer)
    assert (selected.tool_name, selected.tool_kwargs) == ("add", {"a": 3, "b": 4})


def test_predict_and_call_runs_the_tool(caller: Any, scripted: Scripted) -> None:
    llm = scripted("e", calls('{"a": 3, "b": 4}'))
    if caller.loop is None:
        output = llm.predict_and_call([TOOL], "3 and 4")
    else:  # named without the underscore that the others have
        output = caller.loop.run_until_complete(llm.apredict_and_call([TOOL], "3 and 4"))
    assert str(output.response) == "7"


def test_the_history_given_stays_as_it_is(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    history = [ChatMessage(role="system", content="be brief")]
    caller.run(scripted("e", chat()), "chat_with_tools", [TOOL], "hello", history)
    assert len(history) == 1
    assert len(server.seen[0].json["messages"]) == 2


def test_without_tools_nothing_of_tools_is_sent(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    caller.run(scripted("e", chat()), "chat_with_tools", [], "hello", tool_required=True)
    assert server.seen[0].json.keys() == {"messages"}


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({}, None),
        ({"tool_required": True}, "required"),
        ({"tool_required": True, "tool_choice": "auto"}, "auto"),
        ({"tool_choice": "add"}, {"type": "function", "function": {"name": "add"}}),
    ],
)
def test_the_choice_of_a_tool(
    caller: Any, server: FaultServer, scripted: Scripted, arguments: dict[str, Any], sent: Any
) -> None:
    caller.run(scripted("e", chat()), "chat_with_tools", [TOOL], "hello", **arguments)
    body = server.seen[0].json
    assert body.get("tool_choice") == sent
    assert body["tools"][0]["function"]["parameters"]["required"] == ["a", "b"]
    assert "strict" not in body["tools"][0]["function"]
    assert "parallel_tool_calls" not in body


def test_parallel_calls_are_forbidden_only_to_models_that_make_them(server: FaultServer, scripted: Scripted) -> None:
    scripted("databricks-gpt-5", chat()).chat_with_tools([TOOL], "hello")
    assert server.seen[0].json["parallel_tool_calls"] is False


def test_one_call_is_kept_unless_several_are_wanted(caller: Any, scripted: Scripted) -> None:
    llm = scripted("e", calls('{"a": 1, "b": 2}', '{"a": 3, "b": 4}'))
    single = caller.run(llm, "chat_with_tools", [TOOL], "go")
    assert [c.tool_id for c in llm.get_tool_calls_from_response(single)] == ["c0"]
    assert len(single.message.additional_kwargs["tool_calls"]) == 1
    both = caller.run(llm, "chat_with_tools", [TOOL], "go", allow_parallel_tool_calls=True)
    assert [c.tool_id for c in llm.get_tool_calls_from_response(both)] == ["c0", "c1"]


@pytest.mark.parametrize("arguments", ['{"a": 3, "b"', "[1]", "oops"])
def test_a_call_with_broken_arguments_is_never_run(caller: Any, scripted: Scripted, arguments: str) -> None:
    llm = scripted("e", calls(arguments))
    answer = caller.run(llm, "chat_with_tools", [TOOL], "go")
    assert answer.message.blocks[0].tool_kwargs == arguments
    with pytest.raises(ToolArgumentsError, match="'add' are no JSON object"):
        llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)


def test_no_call_is_an_error_unless_it_may_be_so(llm: FoundationModelLLM) -> None:
    answer = ChatResponse(message=ChatMessage(role="assistant", content="just text"))
    assert llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="just text"):
        llm.get_tool_calls_from_response(answer)


def test_calls_of_another_adapters_message_are_understood(llm: FoundationModelLLM) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    answer = ChatResponse(message=ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]}))
    assert llm.get_tool_calls_from_response(answer)[0].tool_kwargs == {"a": 1}


def test_a_model_sees_what_a_tool_shows(caller: Any, ws: Workspace, keep: Any) -> None:
    """No route takes a picture in the result of a tool: the workspace refuses it, as the service does."""
    llm = keep(FoundationModelLLM("databricks-claude-sonnet-4-5", host=ws.host, token=ws.token))
    call = ToolCallBlock(tool_call_id="c1", tool_name="screenshot", tool_kwargs={})
    picture = ImageBlock(url="https://example.com/a.png")
    messages = [
        ChatMessage(role="user", content="Look at the screen."),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role="tool", blocks=[picture], additional_kwargs={"tool_call_id": "c1"}),
    ]
    assert caller.run(llm, "chat", messages).message.content


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # LlamaIndex's own use of pydantic
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
async def test_an_agent_calls_a_tool_and_answers(llm: FoundationModelLLM, streaming: bool) -> None:
    agent = FunctionAgent(tools=[TOOL], llm=llm, streaming=streaming)
    handler = agent.run("please add a=3 and b=4", memory=ChatMemoryBuffer.from_defaults(llm=llm))
    events = [event async for event in handler.stream_events()]
    result = await handler
    assert [event.tool_output.raw_output for event in events if isinstance(event, ToolCallResult)] == [7]
    assert "7" in str(result)
    assert any(isinstance(event, AgentStream) and event.delta for event in events) is streaming
    for event in events:  # as a workflow server and the saved state of an agent do
        assert JsonSerializer().serialize(event)
    await llm.aclose()


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # LlamaIndex's own use of pydantic
async def test_an_agent_runs_calls_in_parallel_and_sends_all_results_back(
    server: FaultServer, scripted: Scripted
) -> None:
    llm = scripted("e", calls('{"a": 1, "b": 2}', '{"a": 3, "b": 4}'), chat("3 and 7"))
    agent = FunctionAgent(tools=[TOOL], llm=llm, streaming=False)
    result = await agent.run("go", memory=ChatMemoryBuffer.from_defaults(llm=llm))
    assert str(result) == "3 and 7"
    sent = server.seen[1].json["messages"]
    assert [c["id"] for c in sent[-3]["tool_calls"]] == ["c0", "c1"]
    assert {(m["tool_call_id"], m["content"]) for m in sent[-2:]} == {("c0", "3"), ("c1", "7")}
    await llm.aclose()
