"""`ChatFoundationModel`: chat with tools, structured output and streams."""

from __future__ import annotations

import builtins
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, model_validator

from fm_client import without_logins

from . import _blocks
from ._answers import ChunkReader, chat_result
from ._config import CONFIG, LanguageModel, add_version, allow_loading, estimate_tokens, first
from ._errors import model_errors
from ._messages import to_wire
from ._profile import profile_of_endpoint, profile_of_name
from ._structured import Method, structured, wire_tool, wire_tool_choice

if TYPE_CHECKING:  # naming them is not worth their import: callbacks before models would cost a tenth of a second
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.runnables import Runnable
    from langchain_core.runnables.utils import AnyConfigurableField
    from langchain_core.tools import BaseTool

    from ._configurable import ConfigurableChatModel

_blocks.register()
allow_loading()


def _wire(messages: list[BaseMessage], params: Mapping[str, Any]) -> list[dict[str, Any]]:
    return to_wire(messages, as_items=params.get("api") == "responses")


class ChatFoundationModel(LanguageModel, BaseChatModel):
    """A chat model behind a serving endpoint: hosted, provisioned or external.

    >>> llm = ChatFoundationModel(model="databricks-meta-llama-3-3-70b-instruct", host="local", temperature=0)
    >>> llm.invoke("Hello").response_metadata["finish_reason"]
    'stop'

    Host and token come from DATABRICKS_HOST and DATABRICKS_TOKEN unless given; nothing is looked up or sent before
    the first call. A field that is None is not sent, and what a call says itself beats the constructor. Errors are
    those of `fm_client` and of `langchain_core.exceptions` alike.
    """

    model_config = CONFIG

    logprobs: bool | None = None
    """Whether to answer with log probabilities, in `response_metadata["logprobs"]`."""
    top_logprobs: int | None = None
    """For how many alternatives of each token, 0 to 20."""
    parallel_tool_calls: bool | None = None
    """Whether one answer may call several tools."""
    reasoning_effort: str | None = None
    """For instance "low" (GPT OSS)."""
    thinking: dict[str, Any] | None = None
    """For instance {"type": "enabled", "budget_tokens": 1024} (Claude)."""
    custom_inputs: builtins.dict[str, Any] | None = None
    """For agents behind an endpoint; their `custom_outputs` are in `response_metadata`."""
    use_responses_api: bool | None = None
    """Ask by the Responses API: for agents that speak it, and for OpenAI's models, some of which speak nothing else."""

    @model_validator(mode="after")
    def _set_fm_version(self) -> Self:
        self.metadata = add_version(self.metadata)
        return self

    @property
    def _llm_type(self) -> str:
        return "fm-chat"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model, params = self._call(stop, kwargs)
        with model_errors():
            client, began = self.clients.sync, time.monotonic()
            response = client.chat(model, _wire(messages, params), **params)
            route = None
            if self._must_ask(response.endpoint):
                route = client.endpoints.route(response.endpoint, self._left(client, params, began))
            return chat_result(response, route)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model, params = self._call(stop, kwargs)
        with model_errors():
            client, began = self.clients.aio, time.monotonic()
            response = await client.chat(model, _wire(messages, params), **params)
            route = None
            if self._must_ask(response.endpoint):
                route = await client.endpoints.route(response.endpoint, self._left(client, params, began))
            return chat_result(response, route)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reader = ChunkReader()
        with model_errors():
            model, params = self._stream_call(stop, kwargs)
            client, route = self.clients.sync, None
            for piece in client.stream_chat(model, _wire(messages, params), **params):
                if piece.response is not None and self._must_ask(piece.endpoint):
                    route = client.endpoints.route(piece.endpoint, self._left(client, params))
                if (chunk := reader.read(piece, route)) is not None:
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        reader = ChunkReader()
        with model_errors():
            model, params = self._stream_call(stop, kwargs)
            client, route = self.clients.aio, None
            async for piece in client.stream_chat(model, _wire(messages, params), **params):
                if piece.response is not None and self._must_ask(piece.endpoint):
                    route = await client.endpoints.route(piece.endpoint, self._left(client, params))
                if (chunk := reader.read(piece, route)) is not None:
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _call(
        self, stop: str | list[str] | None, given: Mapping[str, Any]
    ) -> tuple[str | list[str], builtins.dict[str, Any]]:
        params = {**given}
        if params.pop("use_responses_api", self.use_responses_api):
            params = {"api": "responses", **params}
        return super()._call(stop, params)

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        # Several answers are not streamed only because somebody listens; who calls `stream` is told so.
        if self._asks_for_several(kwargs) and not kwargs.get("stream"):
            return False
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    def bind_tools(
        self,
        tools: Sequence[builtins.dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: builtins.dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools that it may call: functions, `BaseTool`s, pydantic classes, or schemas.

        `tool_choice`: True, "any" or "required" for some tool, a tool's name, "auto", "none", or the service's own
        object; False and None leave it to the model. `strict` asks for arguments that follow the schema to the letter.
        """
        formatted = [wire_tool(tool, strict) for tool in tools]
        choice = {"tool_choice": wire_tool_choice(tool_choice, formatted), "parallel_tool_calls": parallel_tool_calls}
        given = {name: value for name, value in choice.items() if value is not None}
        return super().bind(tools=formatted, **given, **kwargs)

    def with_structured_output(
        self,
        schema: builtins.dict[str, Any] | type | None = None,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, builtins.dict[str, Any] | BaseModel]:
        """The model with answers that follow `schema`: a pydantic class (then instances), TypedDict or JSON schema.

        `method`: "json_schema", "function_calling" or "json_mode"; by default "json_schema" for models that are known
        to take it, otherwise "function_calling". "json_mode" wants a prompt that asks for JSON; models that are known
        to have no such mode (Claude) get the prompt alone. With `include_raw` the result is a dict of `raw`, `parsed`
        and `parsing_error`. Further arguments (such as `tools`) are bound to the model.
        """
        return structured(self, schema, method=method, include_raw=include_raw, strict=strict, **kwargs)

    def load_profile(self) -> ModelProfile | None:
        """Ask the endpoint what it serves, once, and keep that as `profile`: the catalog knows hosted models only.

        A profile that is known decides the method of `with_structured_output`. Needs the right to view the endpoint.
        """
        with model_errors():
            self.profile = profile_of_endpoint(self.clients.sync.endpoints.get(first(self.model)))
        return self.profile

    async def aload_profile(self) -> ModelProfile | None:
        """`load_profile`, awaited."""
        with model_errors():
            self.profile = profile_of_endpoint(await self.clients.aio.endpoints.get(first(self.model)))
        return self.profile

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> ConfigurableChatModel:
        """The model with fields that the configuration of a call can set; tools and schemas can be bound as before."""
        from ._configurable import ConfigurableChatModel

        return ConfigurableChatModel(default=self, fields=kwargs)

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens; exactly if `custom_get_token_ids` is set. Never asks a network."""
        return len(self.custom_get_token_ids(text)) if self.custom_get_token_ids else estimate_tokens(text)

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """About how many tokens. Never asks a network."""
        listed: list[BaseTool | builtins.dict[str, Any]] = [convert_to_openai_tool(tool) for tool in tools or []]
        return count_tokens_approximately(messages, tools=listed or None)

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> builtins.dict[str, Any]:
        model, params = self._call(stop, kwargs)
        target = {"host": self.host, "config_profile": self.config_profile, "_type": self._llm_type}
        return without_logins({**target, **kwargs, **params, "model": model})

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._tracing_params("chat", stop, kwargs)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return self._cache_key(stop, kwargs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of_name(first(self.model))
