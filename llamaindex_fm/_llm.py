"""`FoundationModelLLM`: a chat or completion endpoint as an LLM of LlamaIndex that calls tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, Literal, TypeVar, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    ImageBlock,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.loading import RECOGNIZED_LLMS
from llama_index.core.tools import BaseTool

from fm_client import AsyncClient, Client, Clients, InvalidRequestError, ModelProfile, thinks

from ._answers import PARTIAL, as_chat, as_completion, chat_answer, completion_answer
from ._connection import Connected, one_name
from ._endpoint import Facts, Known
from ._messages import selections, to_prompt, to_wire, tool_choice_to_wire, tools_to_wire
from ._reported import reported_as_chat, reported_as_completion
from ._schema import JSONObject
from ._streams import GrowingChat, GrowingCompletion, agrown, grown, same
from ._structured import StructuredCalls

COMPLETIONS = "llm/v1/completions"
Task = Literal["llm/v1/chat", "llm/v1/completions"]
CHAT_CONTEXT_WINDOW = 32_768
"""Of a chat endpoint that nothing is known of: the least of the chat models that the service listed in December 2024
(Mixtral 8x7B, DBRX; their makers' model cards). Give `context_window` if yours takes more."""
UNKNOWN_NUM_OUTPUT = -1
"""LlamaIndex's own sign for "not said"."""
SAMPLING = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "user",
)
CHAT_ONLY = ("reasoning_effort", "thinking", "logprobs", "top_logprobs")
T = TypeVar("T")


class FoundationModelLLM(Connected, StructuredCalls):
    """An LLM behind a serving endpoint: hosted, provisioned or external.

    >>> llm = FoundationModelLLM("databricks-meta-llama-3-3-70b-instruct", host="local", temperature=0)
    >>> llm.metadata.is_function_calling_model
    True

    `model` (or `endpoint`) names an endpoint, or several: the next is asked where one cannot answer. Host and token
    come from `host`, `token`, `profile`, or else from the environment and ~/.databrickscfg; or from a `client` that is
    there already. A sampling field that is None is not sent; an argument of a call wins over the field of the same
    name. Whatever else the API takes goes into `extra_body`.

    Nothing is looked up or sent before the first call. An endpoint that the catalog does not know is asked once what it
    serves, when its `metadata` or a call first needs it: so a completions endpoint is used as one, and prompts fit the
    model's window. `task=` says it beforehand, and then nothing is asked.
    """

    model: str | list[str] = Field(description="Name of the endpoint; several to fall back on.")
    task: Task | None = Field(default=None, description="What the endpoint does; None: as catalog or endpoint say.")
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    user: str | None = None
    reasoning_effort: str | None = None
    thinking: JSONObject | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    context_window: int | None = Field(default=None, gt=0, description="Tokens; None: by model.")
    is_function_calling_model: bool | None = Field(default=None, description="Whether it has tools; None: by model.")

    _known: Known = PrivateAttr(default_factory=Known)

    def __init__(
        self,
        model: str | Sequence[str] | None = None,
        *,
        endpoint: str | Sequence[str] | None = None,
        token: Any = None,
        client: Client | AsyncClient | Clients | None = None,
        **fields: Any,
    ) -> None:
        name = one_name(model=model, endpoint=endpoint)
        fields["model"] = list(name) if isinstance(name, Sequence) and not isinstance(name, str) else name
        super().__init__(**fields)
        self._connect(client, token)

    @classmethod
    def class_name(cls) -> str:
        """The id of this class in dumps and registries."""
        return "FoundationModelLLM"

    # What the model is

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex sizes its prompts by: from arguments, catalog and endpoint."""
        self._look()
        return LLMMetadata(**self._known_metadata())

    async def aload_metadata(self) -> LLMMetadata:
        """`metadata`, awaited: once this is done, an agent in the same event loop is not held up by asking."""
        await self._alook()
        return LLMMetadata(**self._known_metadata())

    def to_payload(self) -> dict[str, Any]:
        """What events say of this LLM, as far as it is known by now: no secret, no address."""
        known = {"class_name": self.class_name(), **self._known_metadata()}
        return {**known, "model": self._names[0], "temperature": self.temperature, **self._set(SAMPLING)}

    def _known_metadata(self) -> JSONObject:
        """The fields of `metadata`, as far as they are known by now."""
        facts = self._facts
        chats = self._chats_by(facts)
        return {
            "context_window": self.context_window or _window(facts, chats),
            "num_output": self.max_tokens or facts[0].profile.get("default_max_tokens") or UNKNOWN_NUM_OUTPUT,
            "is_chat_model": chats,
            "is_function_calling_model": self._calls_tools_by(facts),
            "model_name": self._names[0],
            "system_role": MessageRole.SYSTEM,
        }

    def _look(self) -> None:
        if unknown := self._unknown():
            self._known.look(self._clients, unknown)

    async def _alook(self) -> None:
        if unknown := self._unknown():
            await self._known.alook(self._clients, unknown)

    def _unknown(self) -> list[str]:
        return self._known.unknown(self._names) if self.task is None else []

    @property
    def _names(self) -> list[str]:
        return [self.model] if isinstance(self.model, str) else self.model

    @property
    def _facts(self) -> list[Facts]:
        known = self._known
        return [known.of(name) for name in self._names]

    @property
    def _profiles(self) -> list[ModelProfile]:
        return [facts.profile for facts in self._facts]

    @property
    def _chats(self) -> bool:
        return self._chats_by(self._facts)

    def _chats_by(self, facts: list[Facts]) -> bool:
        return (self.task or facts[0].task) != COMPLETIONS

    def _calls_tools_by(self, facts: list[Facts]) -> bool:
        if self.is_function_calling_model is not None:
            return self.is_function_calling_model
        return self._chats_by(facts) and all(each.profile.get("supports_tools", True) for each in facts)

    @property
    def _sees(self) -> bool:
        """Whether images may be sent: unless a model is known to take none, the service decides."""
        return all(profile.get("supports_images", True) for profile in self._profiles)

    @property
    def _takes_schemas(self) -> bool:
        self._look()
        return self._chats and all(profile.get("supports_json_schema") for profile in self._profiles)

    def _may_be_forced(self, kwargs: JSONObject) -> bool:
        return not thinks(kwargs.get("thinking", self.thinking))  # Claude refuses both at once

    # The eight calls: the decorated ones report, the private ones ask

    @reported_as_chat
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer to a chat."""
        self._look()
        return self._chat(messages, kwargs) if self._chats else as_chat(self._complete(self._prompt(messages), kwargs))

    @reported_as_chat
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer to a chat."""
        await self._alook()
        if self._chats:
            return await self._achat(messages, kwargs)
        return as_chat(await self._acomplete(self._prompt(messages), kwargs))

    @reported_as_chat
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The answer as it grows; the last item is the whole one, with the usage."""
        self._look()
        if self._chats:
            return self._stream_chat(messages, kwargs, same)
        return self._stream_complete(self._prompt(messages), kwargs, as_chat)

    @reported_as_chat
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """The answer as it grows; the last item is the whole one, with the usage."""
        await self._alook()
        if self._chats:
            return self._astream_chat(messages, kwargs, same)
        return self._astream_complete(self._prompt(messages), kwargs, as_chat)

    @reported_as_completion
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The whole answer to a prompt: a chat endpoint gets it as one user message."""
        self._look()
        prompt = self._formatted(prompt, formatted)
        return as_completion(self._chat(_said(prompt), kwargs)) if self._chats else self._complete(prompt, kwargs)

    @reported_as_completion
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The whole answer to a prompt: a chat endpoint gets it as one user message."""
        await self._alook()
        prompt = self._formatted(prompt, formatted)
        if self._chats:
            return as_completion(await self._achat(_said(prompt), kwargs))
        return await self._acomplete(prompt, kwargs)

    @reported_as_completion
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The answer to a prompt as it grows; the last item is the whole one, with the usage."""
        self._look()
        prompt = self._formatted(prompt, formatted)
        if self._chats:
            return self._stream_chat(_said(prompt), kwargs, as_completion)
        return self._stream_complete(prompt, kwargs, same)

    @reported_as_completion
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """The answer to a prompt as it grows; the last item is the whole one, with the usage."""
        await self._alook()
        prompt = self._formatted(prompt, formatted)
        if self._chats:
            return self._astream_chat(_said(prompt), kwargs, as_completion)
        return self._astream_complete(prompt, kwargs, same)

    def _chat(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        single, params = self._chat_params(kwargs)
        return chat_answer(self._clients.sync.chat(self.model, self._sent(messages), **params), single_call=single)

    async def _achat(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        single, params = self._chat_params(kwargs)
        return chat_answer(await self._clients.aio.chat(self.model, self._sent(messages), **params), single_call=single)

    def _stream_chat(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any], shape: Callable[[ChatResponse], T]
    ) -> Generator[T, None, None]:
        single, params = self._chat_params(kwargs)
        chunks = self._clients.sync.stream_chat(self.model, self._sent(messages), **params)
        return grown(chunks, GrowingChat(single_call=single), shape)

    def _astream_chat(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any], shape: Callable[[ChatResponse], T]
    ) -> AsyncGenerator[T, None]:
        single, params = self._chat_params(kwargs)
        chunks = self._clients.aio.stream_chat(self.model, self._sent(messages), **params)
        return agrown(chunks, GrowingChat(single_call=single), shape)

    def _complete(self, prompt: str, kwargs: dict[str, Any]) -> CompletionResponse:
        return completion_answer(self._clients.sync.complete(self.model, prompt, **self._params(SAMPLING, kwargs)))

    async def _acomplete(self, prompt: str, kwargs: dict[str, Any]) -> CompletionResponse:
        params = self._params(SAMPLING, kwargs)
        return completion_answer(await self._clients.aio.complete(self.model, prompt, **params))

    def _stream_complete(
        self, prompt: str, kwargs: dict[str, Any], shape: Callable[[CompletionResponse], T]
    ) -> Generator[T, None, None]:
        chunks = self._clients.sync.stream_complete(self.model, prompt, **self._params(SAMPLING, kwargs))
        return grown(chunks, GrowingCompletion(), shape)

    def _astream_complete(
        self, prompt: str, kwargs: dict[str, Any], shape: Callable[[CompletionResponse], T]
    ) -> AsyncGenerator[T, None]:
        chunks = self._clients.aio.stream_complete(self.model, prompt, **self._params(SAMPLING, kwargs))
        return agrown(chunks, GrowingCompletion(), shape)

    def _params(self, names: Sequence[str], kwargs: dict[str, Any]) -> Any:
        return self._merged(self._set(names), kwargs)

    def _set(self, names: Sequence[str]) -> dict[str, Any]:
        """Those of the fields that have a value."""
        fields = self.__dict__
        return {name: value for name in names if (value := fields[name]) is not None}

    def _chat_params(self, kwargs: dict[str, Any]) -> tuple[bool, Any]:
        """Whether only one tool call is wanted, and the arguments for the core."""
        wanted = dict(kwargs)
        single = not wanted.pop("allow_parallel_tool_calls", True)
        return single, self._params((*SAMPLING, *CHAT_ONLY), wanted)

    def _sent(self, messages: Sequence[ChatMessage]) -> list[JSONObject]:
        blocks = (block for message in messages for block in message.blocks)
        if any(isinstance(block, ImageBlock) for block in blocks) and not self._sees:
            raise InvalidRequestError(f"the model of {self._names[0]!r} is known to take no images")
        return to_wire(messages)

    def _formatted(self, prompt: str, formatted: bool) -> str:
        if not isinstance(prompt, str):  # LlamaIndex would make an empty message of it
            raise InvalidRequestError(f"prompt must be a text, not {type(prompt).__name__}")
        render = self.completion_to_prompt
        return prompt if formatted or self._chats or render is None else render(prompt)

    def _prompt(self, messages: Sequence[ChatMessage]) -> str:
        return to_prompt(messages, cast(Callable[[Sequence[ChatMessage]], str], self.messages_to_prompt))

    # Tools

    async def achat_with_tools(self, *args: Any, **kwargs: Any) -> ChatResponse:
        """As LlamaIndex's own, after asking the endpoint without blocking the event loop."""
        await self._alook()
        return await super().achat_with_tools(*args, **kwargs)

    async def astream_chat_with_tools(self, *args: Any, **kwargs: Any) -> ChatResponseAsyncGen:
        """As LlamaIndex's own, after asking the endpoint without blocking the event loop."""
        await self._alook()
        return await super().astream_chat_with_tools(*args, **kwargs)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | JSONObject | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments of `chat` for a chat with tools. The history given stays as it is."""
        said = [user_msg] if isinstance(user_msg, ChatMessage) else _said(user_msg) if user_msg else []
        call: dict[str, Any] = {"messages": [*(chat_history or []), *said], **kwargs}
        if not tools:
            return call
        self._look()
        call |= {"tools": tools_to_wire(tools), "allow_parallel_tool_calls": allow_parallel_tool_calls}
        if (choice := tool_choice_to_wire(tool_choice, required=tool_required)) is not None:
            call["tool_choice"] = choice
        if not allow_parallel_tool_calls and self._profiles[0].get("supports_parallel_tools"):
            call["parallel_tool_calls"] = False  # the others would refuse the field, and send one call anyway
        return call

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tools that an answer calls.

        A ValueError if it calls none (unless `error_on_no_tool_call` is False), and `fm_client.ToolArgumentsError` (a
        ValueError) for a call whose arguments are no JSON object, for instance because `max_tokens` cut them off.
        """
        found = selections(response.message, partial=bool(response.additional_kwargs.get(PARTIAL)))
        if not found and error_on_no_tool_call:
            raise ValueError(f"the model called no tool; it said: {response.message.content!r}")
        return found


def _window(facts: list[Facts], chats: bool) -> int:
    unknown = CHAT_CONTEXT_WINDOW if chats else DEFAULT_CONTEXT_WINDOW
    return min(each.profile.get("context_tokens") or unknown for each in facts)


def _said(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


FoundationModelLLM.__module__ = "llamaindex_fm"  # where it is to be found: pickles and MLflow's settings name the place
RECOGNIZED_LLMS[FoundationModelLLM.class_name()] = FoundationModelLLM
