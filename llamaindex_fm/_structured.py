"""Structured output: by a tool call that is required, or by `response_format` where that is wanted or all there is."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any, Literal, TypeVar, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # offered without saying so
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.program.utils import process_streaming_objects
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode

from fm_client import profile_for

M = TypeVar("M", bound=BaseModel)
dispatcher = get_dispatcher(__name__)


class StructuredCalls(FunctionCallingLLM):
    """The part of an LLM that answers with objects.

    By default they are asked for as a tool call; of an endpoint that has no tools, by JSON schema, if its model is
    known to take one, and else in words. `pydantic_program_mode` overrides all of this, as everywhere in LlamaIndex.
    """

    structured_output: Literal["tools", "json_schema"] | None = Field(
        default=None, description="How an object is asked for; None: by what the model can do."
    )

    @property
    def _by_schema(self) -> bool:
        if self.pydantic_program_mode is not PydanticProgramMode.DEFAULT:
            return False
        if self.structured_output is not None:
            return self.structured_output == "json_schema"
        meta = self.metadata
        return not meta.is_function_calling_model and profile_for(meta.model_name).get("supports_json_schema", False)

    @property
    def _by_tools(self) -> bool:
        chosen = self.pydantic_program_mode in (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION)
        return chosen and self.metadata.is_function_calling_model

    @dispatcher.span
    def structured_predict(
        self,
        output_cls: type[M],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> M:
        """An object of `output_cls`, as the answer to a prompt."""
        if not self._by_schema:
            return cast(M, super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args))
        _report_start(output_cls, prompt, prompt_args)
        messages, kwargs = self._schema_call(output_cls, prompt, llm_kwargs, prompt_args)
        return _report_end(parsed(self.chat(messages, **kwargs), output_cls))

    @dispatcher.span
    async def astructured_predict(
        self,
        output_cls: type[M],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> M:
        """An object of `output_cls`, as the answer to a prompt."""
        if not self._by_schema:
            return cast(M, await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args))
        _report_start(output_cls, prompt, prompt_args)
        messages, kwargs = self._schema_call(output_cls, prompt, llm_kwargs, prompt_args)
        return _report_end(parsed(await self.achat(messages, **kwargs), output_cls))

    def _structured_stream_call(
        self,
        output_cls: type[M],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if self._by_schema:
            messages, kwargs = self._schema_call(output_cls, prompt, llm_kwargs, prompt_args)
            return growing(self.stream_chat(messages, **kwargs), output_cls, self)
        if self._by_tools:
            return self._program(output_cls, prompt).stream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)

    async def _structured_astream_call(
        self,
        output_cls: type[M],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if self._by_schema:
            messages, kwargs = self._schema_call(output_cls, prompt, llm_kwargs, prompt_args)
            return agrowing(await self.astream_chat(messages, **kwargs), output_cls, self)
        if self._by_tools:
            return await self._program(output_cls, prompt).astream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)

    def _program(self, output_cls: type[M], prompt: PromptTemplate) -> FunctionCallingProgram[M]:
        # LlamaIndex's own program does not require the call in a stream: a text answer would be an empty object.
        return FunctionCallingProgram.from_defaults(output_cls, prompt=prompt, llm=self, tool_choice="required")

    def _schema_call(
        self, output_cls: type[BaseModel], prompt: PromptTemplate, llm_kwargs: Any, prompt_args: dict[str, Any]
    ) -> tuple[list[ChatMessage], dict[str, Any]]:
        kwargs = {**(llm_kwargs or {}), "response_format": response_format(output_cls)}
        return self._extend_messages(prompt.format_messages(llm=self, **prompt_args)), kwargs


def response_format(output_cls: type[BaseModel]) -> dict[str, Any]:
    """`response_format` for a model class."""
    schema = output_cls.model_json_schema()
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", schema.get("title") or output_cls.__name__)
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def parsed(response: ChatResponse, output_cls: type[M]) -> M:
    """The object that an answer is; a pydantic `ValidationError` if it is another one, or cut off."""
    return output_cls.model_validate_json(response.message.content or "")


def growing(responses: Iterable[ChatResponse], output_cls: type[M], llm: LLM) -> Generator[Any, None, None]:
    """The object as it grows, and at the end, checked, the whole one."""
    last: ChatResponse | None = None
    objects: Any = None
    for last in responses:
        objects = _so_far(last, output_cls, llm, objects)
        yield objects
    if last is not None:
        yield parsed(last, output_cls)


async def agrowing(responses: AsyncIterable[ChatResponse], output_cls: type[M], llm: LLM) -> AsyncGenerator[Any, None]:
    """The same, of an async stream."""
    last: ChatResponse | None = None
    objects: Any = None
    async for last in responses:
        objects = _so_far(last, output_cls, llm, objects)
        yield objects
    if last is not None:
        yield parsed(last, output_cls)


def _so_far(response: ChatResponse, output_cls: type[BaseModel], llm: LLM, before: Any) -> Any:
    return process_streaming_objects(response, output_cls, cur_objects=before and [before], flexible_mode=True, llm=llm)


def _report_start(output_cls: type[BaseModel], prompt: PromptTemplate, prompt_args: dict[str, Any]) -> None:
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))


def _report_end(output: M) -> M:
    dispatcher.event(LLMStructuredPredictEndEvent(output=output))
    return output
