"""Objects as answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fault_server import DONE, FaultServer, chat, chunked, words
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

from fm_workspace import Workspace
from llamaindex_fm import FoundationModelLLM

Scripted = Callable[..., FoundationModelLLM]
PROMPT = PromptTemplate("Describe the city: {facts}")
FACTS = "Paris, with 2100000 people"


class City(BaseModel):
    """A city."""

    name: str
    population: int


def items(caller: Any, llm: FoundationModelLLM, **kwargs: Any) -> list[Any]:
    """`stream_structured_predict` is named `astream_…`, like all of them."""
    return caller.items(llm, "stream_structured_predict", City, PROMPT, facts=FACTS, **kwargs)


@pytest.mark.parametrize("way", ["tools", "json_schema", None])
def test_an_object_is_predicted_whole_and_streamed(caller: Any, llm: FoundationModelLLM, way: Any) -> None:
    llm = llm.model_copy(update={"structured_output": way})
    whole = caller.run(llm, "structured_predict", City, PROMPT, facts=FACTS)
    assert isinstance(whole, City)
    assert whole.population == 2_100_000
    streamed = items(caller, llm)
    assert len(streamed) > 1
    assert streamed[-1] == whole


@pytest.mark.filterwarnings("ignore:The `json` method")  # LlamaIndex's own use of pydantic
def test_a_structured_llm_answers_with_objects(caller: Any, llm: FoundationModelLLM) -> None:
    structured = llm.as_structured_llm(City)
    answer = caller.run(structured, "chat", [ChatMessage(content=f"Describe: {FACTS}")])
    assert isinstance(answer.raw, City)
    last = caller.items(structured, "stream_chat", [ChatMessage(content=f"Describe: {FACTS}")])[-1]
    assert isinstance(last.raw, City)


def test_the_tool_call_is_required_in_a_stream_too(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    with pytest.raises(ValueError, match="called no tool; it said: 'no'"):  # and not an object without content
        items(caller, scripted("e", chunked(*words("no"), DONE)))
    assert server.seen[0].json["tool_choice"] == "required"


@pytest.mark.parametrize("where", ["constructor", "call"])
def test_a_model_that_thinks_is_not_forced_to_call(
    caller: Any, server: FaultServer, scripted: Scripted, where: str
) -> None:
    """Claude refuses that: it is asked to, and an answer without a call is an error."""
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    in_constructor = where == "constructor"
    llm = scripted("databricks-claude-sonnet-4-5", chat("In France."), **(fields if in_constructor else {}))
    with pytest.raises(ValueError, match="called no tool; it said: 'In France.'"):
        caller.run(llm, "structured_predict", City, PROMPT, None if in_constructor else fields, facts=FACTS)
    sent = server.seen[0].json
    assert (sent["thinking"], "tools" in sent, "tool_choice" in sent) == (fields["thinking"], True, False)


def test_an_object_is_predicted_by_a_model_that_thinks(caller: Any, ws: Workspace, keep: Any) -> None:
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4096}
    llm = keep(FoundationModelLLM("databricks-claude-sonnet-4-5", host=ws.host, token=ws.token, **fields))
    assert caller.run(llm, "structured_predict", City, PROMPT, facts=FACTS).population == 2_100_000
    assert items(caller, llm)[-1].population == 2_100_000


def test_the_schema_is_sent_where_that_is_chosen(caller: Any, server: FaultServer, scripted: Scripted) -> None:
    llm = scripted("e", chat('{"name": "Paris", "population": 2}'), structured_output="json_schema")
    got = caller.run(llm, "structured_predict", City, PROMPT, {"temperature": 0}, facts=FACTS)
    assert got == City(name="Paris", population=2)
    sent = server.seen[0].json
    assert sent["temperature"] == 0
    assert "tools" not in sent
    assert sent["response_format"]["json_schema"]["name"] == "City"
    assert sent["response_format"]["json_schema"]["schema"]["required"] == ["name", "population"]


def test_a_model_without_tools_that_takes_a_schema_is_sent_one(server: FaultServer, scripted: Scripted) -> None:
    name = "databricks-meta-llama-3-3-70b-instruct"
    llm = scripted(name, chat('{"name": "Paris", "population": 2}'), is_function_calling_model=False)
    assert llm.structured_predict(City, PROMPT, facts=FACTS).name == "Paris"
    assert server.seen[0].json["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    "fields", [{"is_function_calling_model": False}, {"pydantic_program_mode": PydanticProgramMode.LLM}]
)
def test_all_others_are_asked_in_words(
    caller: Any, server: FaultServer, scripted: Scripted, fields: dict[str, Any]
) -> None:
    llm = scripted("e", chat('{"name": "Paris", "population": 2}'), **fields)
    assert caller.run(llm, "structured_predict", City, PROMPT, facts=FACTS).name == "Paris"
    assert server.seen[0].json.keys() == {"messages"}
    assert "population" in server.seen[0].json["messages"][0]["content"]


def test_an_object_that_was_cut_off_is_an_error_at_the_end(caller: Any, scripted: Scripted) -> None:
    script = chunked(*words('{"name": "Par', 'is"', finish="length"), DONE)
    llm = scripted("e", script, structured_output="json_schema")
    with pytest.raises(ValidationError):
        items(caller, llm)


def test_a_call_without_arguments_for_the_llm_streams(caller: Any, llm: FoundationModelLLM) -> None:
    """An official adapter needs `llm_kwargs` here."""
    assert isinstance(items(caller, llm, llm_kwargs=None)[-1], City)
