"""LangChain on a serving endpoint: a chain, a tool call, and a streamed answer."""

from __future__ import annotations

from functools import partial
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool

from langchain_fm import ChatFoundationModel

from ._demo_places import Outcome, Place, Steps

MAX_TOKENS = 200
NOTE = "The office is closed on Sundays. Parcels are accepted until 18:00 on weekdays."


def steps(place: Place) -> Steps:
    """The three examples."""
    return {"chain": partial(chain, place), "tool call": partial(tool_call, place), "stream": partial(stream, place)}


def chain(place: Place) -> Outcome:
    """Prompt | model | parser."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Answer in one sentence, from this note: {note}"), ("human", "{question}")]
    )
    model = ChatFoundationModel(model=place.chat, host=place.host, max_tokens=MAX_TOKENS)
    pipeline = prompt | model | StrOutputParser()

    witness = Witness()
    text = pipeline.invoke({"note": NOTE, "question": "Until when are parcels accepted?"}, witness.config)
    return witness.outcome(text)


@tool
def multiply(a: int, b: int) -> str:
    """Multiply two whole numbers."""
    return f"{a} * {b} = {a * b}"


def tool_call(place: Place) -> Outcome:
    """The model calls a tool, which is run; the model answers from its result."""
    model = ChatFoundationModel(model=place.chat, host=place.host, max_tokens=MAX_TOKENS).bind_tools([multiply])
    messages: list[BaseMessage] = [HumanMessage("Multiply 12 by 34.")]

    witness = Witness()
    called = model.invoke(messages, witness.config)
    if not called.tool_calls:
        raise RuntimeError("the model called no tool")
    messages += [called, *(multiply.invoke(call) for call in called.tool_calls)]
    return witness.outcome(model.invoke(messages, witness.config).text)


def stream(place: Place) -> Outcome:
    """An answer that arrives in pieces."""
    model = ChatFoundationModel(model=place.chat, host=place.host, max_tokens=MAX_TOKENS)

    witness = Witness()
    pieces = [chunk.text for chunk in model.stream("Say hello to a new colleague.", witness.config) if chunk.text]
    return witness.outcome(f"({len(pieces)} pieces) {''.join(pieces)}")


class Witness(BaseCallbackHandler):
    """Notes what the model's answers say of endpoint and tokens."""

    def __init__(self) -> None:
        self.answers: list[AIMessage] = []

    @property
    def config(self) -> RunnableConfig:
        """For `invoke` and `stream`."""
        return {"callbacks": [self]}

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Note an answer."""
        generation = response.generations[0][0]
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            self.answers.append(generation.message)

    def outcome(self, text: str) -> Outcome:
        """The sum over all answers."""
        usages = [answer.usage_metadata for answer in self.answers if answer.usage_metadata]
        return Outcome(
            self.answers[-1].response_metadata["endpoint"],
            text,
            sum(usage["input_tokens"] for usage in usages) if usages else None,
            sum(usage["output_tokens"] for usage in usages) if usages else None,
        )
