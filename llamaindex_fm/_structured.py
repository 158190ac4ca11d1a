"""Structured output: by JSON schema where the model takes one, else by a tool call that is required, else in words."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any, Literal, TypeVar

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # offered without saying so
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import get_program_for_llm, process_streaming_objects
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import BasePydanticProgram, PydanticProgramMode

from ._answers import PARTIAL
from ._schema import JSONObject, flat

M = TypeVar("M", bound=BaseModel)
OURS = ("tool_required", "tool_choice", "allow_parallel_tool_calls")
"""Arguments for the LLM that this decides itself, as LlamaIndex's own programs do."""
dispatcher = get_dispatcher(__name__)


class StructuredCalls(FunctionCallingLLM):
    """The part of an LLM that answers with objects.

    By default they are asked for by JSON schema, if the model is known to take one; else as a tool call; and of an
    endpoint that has no tools, in words. `pydantic_program_mode` overrides all of this, as everywhere in LlamaIndex.
    """

    structured_output: Literal["tools", "json_schema"] | None = Field(
        default=None, description="How an object is asked for; None: by what the model can do."
    )

    async def _alook(self) -> None:
        """Find out what the endpoint can do, if that is not known yet."""

    @property
    def _takes_schemas(self) -> bool:
        """Whether the model is known to take a JSON schema."""
        return False

    def _may_be_forced(self, kwargs: JSONObject) -> bool:
        """Whether the model can be made to call a tool."""
        return True

    @property
    def _by_schema(self) -> bool:
        if self.pydantic_program_mode is not PydanticProgramMode.DEFAULT:
            return False
        if self.structured_output is not None:
            return self.structured_output == "json_schema"
        return self._takes_schemas

    @property
    def _by_tools(self) -> bool:
        chosen = self.pydantic_program_mode in (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION)
        return chosen and self.metadata.is_function_calling_model

    @dispatcher.span
    def structured_predict(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: JSONObject | None = None, **prompt_args: Any
    ) -> M:
        """An object of `output_cls`, as the answer to a prompt."""
        _report_start(output_cls, prompt, prompt_args)
        if asked := self._asked(output_cls, prompt, llm_kwargs, prompt_args):
            return _report_end(self._read(self.chat(**asked), output_cls))
        found = self._program(output_cls, prompt)(llm_kwargs=llm_kwargs, **prompt_args)
        return _report_end(_of_class(found, output_cls))

    @dispatcher.span
    async def astructured_predict(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: JSONObject | None = None, **prompt_args: Any
    ) -> M:
        """An object of `output_cls`, as the answer to a prompt."""
        _report_start(output_cls, prompt, prompt_args)
        await self._alook()
        if asked := self._asked(output_cls, prompt, llm_kwargs, prompt_args):
            return _report_end(self._read(await self.achat(**asked), output_cls))
        found = await self._program(output_cls, prompt).acall(llm_kwargs=llm_kwargs, **prompt_args)
        return _report_end(_of_class(found, output_cls))

    def _structured_stream_call(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: JSONObject | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        if asked := self._asked(output_cls, prompt, llm_kwargs, prompt_args):
            return self._growing(self.stream_chat(**asked), output_cls)
        return self._program(output_cls, prompt).stream_call(llm_kwargs=llm_kwargs, **prompt_args)

    async def _structured_astream_call(
        self, output_cls: type[M], prompt: PromptTemplate, llm_kwargs: JSONObject | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        await self._alook()
        if asked := self._asked(output_cls, prompt, llm_kwargs, prompt_args):
            return self._agrowing(await self.astream_chat(**asked), output_cls)
        return await self._program(output_cls, prompt).astream_call(llm_kwargs=llm_kwargs, **prompt_args)

    def _asked(
        self, output_cls: type[BaseModel], prompt: PromptTemplate, llm_kwargs: JSONObject | None, prompt_args: Any
    ) -> JSONObject:
        """The arguments of `chat` that ask for an object; none where it is to be asked for in words."""
        if not self._by_schema and not self._by_tools:
            return {}
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        if self._by_schema:
            return {"messages": messages, **(llm_kwargs or {}), "response_format": response_format(output_cls)}
        kwargs = {name: value for name, value in (llm_kwargs or {}).items() if name not in OURS}
        tools = [get_function_tool(output_cls)]
        # LlamaIndex's own program does not require the call in a stream: a text answer would be an empty object.
        required = self._may_be_forced(kwargs)
        return self._prepare_chat_with_tools(tools, chat_history=messages, tool_required=required, **kwargs)

    def _program(self, output_cls: type[M], prompt: PromptTemplate) -> BasePydanticProgram[M]:
        return get_program_for_llm(output_cls, prompt, self, pydantic_program_mode=self.pydantic_program_mode)

    def _read(self, response: ChatResponse, output_cls: type[M]) -> M:
        """The object that an answer holds.

        A ValueError (pydantic's `ValidationError` is one) if it holds another one, none, or one that was cut off.
        """
        if self._by_schema:
            return output_cls.model_validate_json(response.message.content or "")
        return output_cls.model_validate(self.get_tool_calls_from_response(response)[0].tool_kwargs)

    def _growing(self, responses: Iterable[ChatResponse], output_cls: type[M]) -> Generator[Any, None, None]:
        """The object as it grows, and at the end, checked, the whole one."""
        item: Any = None
        for response in responses:
            item = self._object(response, output_cls, item)
            yield item

    async def _agrowing(self, responses: AsyncIterable[ChatResponse], output_cls: type[M]) -> AsyncGenerator[Any, None]:
        """The same, of an async stream."""
        item: Any = None
        async for response in responses:
            item = self._object(response, output_cls, item)
            yield item

    def _object(self, response: ChatResponse, output_cls: type[BaseModel], before: Any) -> Any:
        if not response.additional_kwargs.get(PARTIAL):
            return self._read(response, output_cls)
        known = before and [before]
        return process_streaming_objects(response, output_cls, cur_objects=known, flexible_mode=True, llm=self)


def response_format(output_cls: type[BaseModel]) -> JSONObject:
    """`response_format` for a model class."""
    schema = output_cls.model_json_schema()
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", schema.get("title") or output_cls.__name__)
    return {"type": "json_schema", "json_schema": {"name": name, "schema": flat(schema)}}


def _of_class(found: Any, output_cls: type[M]) -> M:
    if not isinstance(found, output_cls):
        raise TypeError(f"the model's answer gave a {type(found).__name__}, not a {output_cls.__name__}")
    return found


def _report_start(output_cls: type[BaseModel], prompt: PromptTemplate, prompt_args: JSONObject) -> None:
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))


def _report_end(output: M) -> M:
    dispatcher.event(LLMStructuredPredictEndEvent(output=output))
    return output
