"""Agents, engines that choose, extractors and evaluators, on the embedded workspace and on scripted answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FaultServer, chat
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.evaluation import BatchEvalRunner, FaithfulnessEvaluator, RelevancyEvaluator
from llama_index.core.extractors import KeywordExtractor, QuestionsAnsweredExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.core.workflow import Context, JsonSerializer
from pydantic import BaseModel

from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

Scripted = Callable[..., FoundationModelLLM]
FACTS = "The lighthouse was built in 1871. Ada Finch was its keeper. The tower is forty-one metres tall."
QUESTION = "Who was the keeper of the lighthouse?"

pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),  # LlamaIndex's own use of it
    pytest.mark.filterwarnings("ignore:Skipping serialization"),  # of the memory, which LlamaIndex leaves to the user
]


def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(multiply)]


def calling(*made: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """An answer that calls tools."""
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for i, (name, arguments) in enumerate(made)
    ]
    answer = chat("", tool_calls=calls)
    answer["choices"][0]["finish_reason"] = "tool_calls"
    return answer


@pytest.fixture
def index(embed_model: FoundationModelEmbedding) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text=FACTS)], embed_model=embed_model)


async def test_agents_hand_over_and_call_tools_in_parallel(server: FaultServer, scripted: Scripted) -> None:
    llm = scripted(
        "e",
        calling(("handoff", {"to_agent": "second", "reason": "it multiplies"})),
        calling(("add", {"a": 1, "b": 2}), ("multiply", {"a": 3, "b": 4})),
        chat("3 and 12"),
    )
    first = FunctionAgent(name="first", description="begins", llm=llm, can_handoff_to=["second"], streaming=False)
    second = FunctionAgent(name="second", description="ends", llm=llm, tools=TOOLS, streaming=False)
    workflow = AgentWorkflow(agents=[first, second], root_agent="first")
    context = Context(workflow)
    handler = workflow.run("go", ctx=context, memory=ChatMemoryBuffer.from_defaults(llm=llm))
    events = [event async for event in handler.stream_events()]
    result = await handler
    results = [event.tool_output.raw_output for event in events if isinstance(event, ToolCallResult)]
    assert sorted(results[1:]) == [3, 12]
    assert (str(result), result.current_agent_name) == ("3 and 12", "second")
    sent = server.seen[-1].json["messages"]
    assert {message["tool_call_id"] for message in sent if message["role"] == "tool"} >= {"c0", "c1"}
    stored = json.loads(json.dumps(context.to_dict(JsonSerializer())))
    restored = Context.from_dict(workflow, stored, JsonSerializer())
    assert str(await workflow.run("again", ctx=restored, memory=ChatMemoryBuffer.from_defaults(llm=llm))) == "3 and 12"
    await llm.aclose()


class Sum(BaseModel):
    """A sum of two numbers."""

    total: int


async def test_an_agent_answers_with_an_object(llm: FoundationModelLLM) -> None:
    agent = FunctionAgent(tools=TOOLS[:1], llm=llm, output_cls=Sum)
    result = await agent.run("please add a=3 and b=4", memory=ChatMemoryBuffer.from_defaults(llm=llm))
    assert isinstance(result.get_pydantic_model(Sum), Sum)
    await llm.aclose()


async def test_an_agent_asks_an_index(index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    tool = QueryEngineTool.from_defaults(
        index.as_query_engine(llm=llm), name="lighthouse", description="answers questions on the lighthouse"
    )
    agent = FunctionAgent(tools=[tool], llm=llm)
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    handler = agent.run("Ask the lighthouse tool: who was its keeper?", memory=memory)
    outputs = [e.tool_output.content async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
    assert str(await handler)
    assert any("Ada Finch" in output for output in outputs)
    await llm.aclose()
    await index._embed_model.aclose()


@pytest.mark.parametrize("selector", [PydanticSingleSelector, LLMSingleSelector])
def test_a_router_chooses_an_engine(
    caller: Any, index: VectorStoreIndex, scripted: Scripted, llm: FoundationModelLLM, selector: Any
) -> None:
    choice = {"index": 1, "reason": "it knows lighthouses"}
    answer = (
        calling(("SingleSelection", choice))
        if selector is PydanticSingleSelector
        else chat(json.dumps([{"choice": 1, "reason": "fits"}]))
    )
    choosing = scripted("e", answer)
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), description="on the lighthouse"),
        QueryEngineTool.from_defaults(SummaryIndex([]).as_query_engine(llm=llm), description="on nothing"),
    ]
    engine = RouterQueryEngine(selector=selector.from_defaults(llm=choosing), query_engine_tools=tools, llm=choosing)
    assert "Ada Finch" in str(caller.run(engine, "query", QUESTION))


def test_a_question_is_divided(
    caller: Any, index: VectorStoreIndex, scripted: Scripted, llm: FoundationModelLLM
) -> None:
    questions = {"items": [{"sub_question": QUESTION, "tool_name": "lighthouse"}] * 2}
    dividing = scripted("e", chat("```json\n" + json.dumps(questions) + "\n```"))
    tool = QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name="lighthouse", description="on it")
    engine = SubQuestionQueryEngine.from_defaults(
        [tool],
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=dividing),
        use_async=caller.loop is not None,
        verbose=False,
    )
    answer = caller.run(engine, "query", QUESTION)
    assert "Ada Finch" in str(answer)
    assert len(answer.source_nodes) >= 2


def test_an_engine_answers_with_an_object(caller: Any, index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    class Tower(BaseModel):
        """A tower."""

        year: int

    engine = index.as_query_engine(llm=llm.as_structured_llm(Tower))
    assert isinstance(caller.run(engine, "query", "When was it built?").response, Tower)


def test_extractors_write_metadata(caller: Any, llm: FoundationModelLLM) -> None:
    extractors = [
        TitleExtractor(nodes=1, llm=llm),
        KeywordExtractor(keywords=3, llm=llm),
        SummaryExtractor(llm=llm),
        QuestionsAnsweredExtractor(questions=1, llm=llm),
    ]
    pipeline = IngestionPipeline(transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), *extractors])
    [*nodes] = caller.run(pipeline, "run", documents=[Document(text=FACTS * 4)])
    assert len(nodes) > 1
    written = {"document_title", "excerpt_keywords", "section_summary", "questions_this_excerpt_can_answer"}
    assert all(node.metadata.keys() >= written and all(node.metadata.values()) for node in nodes)


def test_an_extractor_is_loaded_from_its_dump(llm: FoundationModelLLM) -> None:
    """It looks the class up in LlamaIndex's registry."""
    again = KeywordExtractor.from_dict(KeywordExtractor(keywords=3, llm=llm).to_dict())
    assert isinstance(again.llm, FoundationModelLLM)
    assert again.llm.model == llm.model


@pytest.mark.filterwarnings("ignore:asyncio_module")  # LlamaIndex's own
async def test_answers_are_evaluated(index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    judges = {"faithful": FaithfulnessEvaluator(llm=llm), "relevant": RelevancyEvaluator(llm=llm)}
    runner = BatchEvalRunner(judges, workers=2)
    found = await runner.aevaluate_queries(index.as_query_engine(llm=llm), queries=[QUESTION] * 2)
    assert {name: len(results) for name, results in found.items()} == {"faithful": 2, "relevant": 2}
    assert all(result.feedback and "Ada Finch" in result.response for results in found.values() for result in results)
    await llm.aclose()
    await index._embed_model.aclose()


def test_everything_uses_what_the_settings_have(
    llm: FoundationModelLLM, embed_model: FoundationModelEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "_llm", None)
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.llm, Settings.embed_model = llm, embed_model
    index = VectorStoreIndex.from_documents([Document(text=FACTS)])
    assert "Ada Finch" in str(index.as_query_engine().query(QUESTION))
    assert embed_model.usage.total_tokens > 0


def test_a_chat_engine_streams(caller: Any, index: VectorStoreIndex, llm: FoundationModelLLM) -> None:
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    engine = index.as_chat_engine(chat_mode="context", llm=llm, memory=memory)
    if caller.loop is None:
        pieces = list(engine.stream_chat(QUESTION).response_gen)
    else:
        pieces = caller.loop.run_until_complete(_pieces(engine))
    assert len(pieces) > 1
    assert "Ada Finch" in "".join(pieces)
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"]


async def _pieces(engine: Any) -> list[str]:
    answer = await engine.astream_chat(QUESTION)
    return [piece async for piece in answer.async_response_gen()]


def test_a_chat_history_of_a_pipeline_can_be_sent_again(caller: Any, llm: FoundationModelLLM) -> None:
    first = caller.run(llm, "chat", [ChatMessage(content=QUESTION)])
    stored = ChatMessage.model_validate_json(first.message.model_dump_json())
    assert caller.run(llm, "chat", [ChatMessage(content=QUESTION), stored, ChatMessage(content="And then?")])
