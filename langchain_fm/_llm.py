"""`FoundationModelLLM`: text completions (task `llm/v1/completions`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.language_models.base import LangSmithParams
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables.config import ContextThreadPoolExecutor
from pydantic import model_validator

from fm_client import CompletionChunk, CompletionResponse, Route

from ._answers import metadata, usage_metadata
from ._config import CONFIG, LanguageModel, add_version, estimate_tokens
from ._errors import model_errors

_Answer = tuple[CompletionResponse, Route | None]
_BESIDE = frozenset({"stop", "callbacks", "tags", "metadata", "run_name", "run_id", "timeout", "max_retries"})
"""Arguments of a call on which no answer depends, or which LangChain's cache key has already."""

_ASKED: ContextVar[tuple[object, Mapping[str, Any]]] = ContextVar("fm_asked", default=(None, {}))
"""Which model is being called, and what the call says. No copy of the model is called: it may keep count of calls."""


class FoundationModelLLM(LanguageModel, BaseLLM):
    """A completion model behind a serving endpoint: text in, text out.

        llm = FoundationModelLLM(model="my-completions-endpoint", max_tokens=16)
        llm.invoke("Once upon a time")

    Constructor, errors and precedence are those of `ChatFoundationModel`.
    """

    model_config = CONFIG

    @model_validator(mode="after")
    def _set_fm_version(self) -> Self:
        self.metadata = add_version(self.metadata)
        return self

    @property
    def _llm_type(self) -> str:
        return "fm-completions"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # LangChain's cache key is made of these, and there a call's `stop`, None included, hides the constructor's.
        return {**super()._identifying_params, **self._target, "own_stop": self.stop, **self._asked}

    @property
    def _asked(self) -> Mapping[str, Any]:
        model, asked = _ASKED.get()
        return asked if model is self else {}

    def generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        """LangChain's own; what callbacks set in the context for several prompts ends with the call."""
        # They begin and end in the same order, so that a tracer which restores the context before each of them
        # (MLflow's) would leave the span of one active, and what comes after would be lost.
        with self._asking(kwargs):
            if len(prompts) > 1:
                return copy_context().run(super().generate, prompts, *args, **kwargs)
            return super().generate(prompts, *args, **kwargs)

    async def agenerate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        """`generate`, awaited."""
        with self._asking(kwargs):
            return await super().agenerate(prompts, *args, **kwargs)

    @contextmanager
    def _asking(self, given: Mapping[str, Any]) -> Iterator[None]:
        """Have the cache key tell, in here, what a call says, which LangChain's leaves out."""
        asked = {f"call_{name}": value for name, value in given.items() if name not in _BESIDE}
        before = _ASKED.set((self, asked))
        try:
            yield
        finally:
            _ASKED.reset(before)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self.streaming and not self._asks_for_several(kwargs):
            return _merged(list(self._stream(prompt, stop, run_manager, **kwargs)) for prompt in prompts)
        model, params = self._call(stop, kwargs)
        client = self.clients.sync

        def complete(prompt: str) -> _Answer:
            began = time.monotonic()
            response = client.complete(model, prompt, **params)
            route = None
            if self._must_ask(response.endpoint):
                route = client.endpoints.route(response.endpoint, self._left(client, params, began))
            return response, route

        with model_errors():
            workers = min(len(prompts), client.settings.concurrency) or 1
            with ContextThreadPoolExecutor(workers, "fm-llm") as pool:
                return _result(list(pool.map(complete, prompts)))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self.streaming and not self._asks_for_several(kwargs):
            streams = (self._astream(prompt, stop, run_manager, **kwargs) for prompt in prompts)
            return _merged([[chunk async for chunk in stream] for stream in streams])
        model, params = self._call(stop, kwargs)
        with model_errors():
            client = self.clients.aio
            gate = asyncio.Semaphore(client.settings.concurrency)

            async def complete(prompt: str) -> _Answer:
                async with gate:
                    began = time.monotonic()
                    response = await client.complete(model, prompt, **params)
                    route = None
                    if self._must_ask(response.endpoint):
                        left = self._left(client, params, began)
                        route = await client.endpoints.route(response.endpoint, left)
                    return response, route

            return _result(await _together([complete(prompt) for prompt in prompts]))

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with model_errors():
            model, params = self._stream_call(stop, kwargs)
            client, route = self.clients.sync, None
            for piece in client.stream_complete(model, prompt, **params):
                if piece.response is not None and self._must_ask(piece.endpoint):
                    route = client.endpoints.route(piece.endpoint, self._left(client, params))
                if (chunk := _chunk(piece, route)) is not None:
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        with model_errors():
            model, params = self._stream_call(stop, kwargs)
            client, route = self.clients.aio, None
            async for piece in client.stream_complete(model, prompt, **params):
                if piece.response is not None and self._must_ask(piece.endpoint):
                    route = await client.endpoints.route(piece.endpoint, self._left(client, params))
                if (chunk := _chunk(piece, route)) is not None:
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens; exactly if `custom_get_token_ids` is set. Never asks a network."""
        return len(self.custom_get_token_ids(text)) if self.custom_get_token_ids else estimate_tokens(text)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._tracing_params("llm", stop, kwargs)


async def _together(calls: list[Coroutine[Any, Any, _Answer]]) -> list[_Answer]:
    """All results; the first failure ends the other calls, and is raised as it is."""
    if len(calls) == 1:  # without a task, so that it stays in the caller's context
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _result(answers: list[_Answer]) -> LLMResult:
    """One list of generations for each prompt; the usage of all prompts together in `llm_output`."""
    generations = [[_generation(*answer, i) for i in range(len(answer[0].choices))] for answer in answers]
    return LLMResult(generations=generations, llm_output=_output(generation[0] for generation in generations))


def _generation(response: CompletionResponse, route: Route | None, i: int) -> Generation:
    choice = response.choices[i]
    info = {**metadata(response, route), "finish_reason": choice.finish_reason, "logprobs": choice.logprobs}
    info["usage_metadata"] = usage_metadata(response.usage) if i == 0 else None
    return Generation(text=choice.text, generation_info={k: v for k, v in info.items() if v is not None})


def _chunk(piece: CompletionChunk, route: Route | None) -> GenerationChunk | None:
    if piece.response is None:
        return GenerationChunk(text=piece.text) if piece.text else None
    return GenerationChunk(text="", generation_info=_generation(piece.response, route, 0).generation_info)


def _merged(streams: Iterable[list[GenerationChunk]]) -> LLMResult:
    generations = []
    for chunks in streams:
        info = chunks[-1].generation_info
        generations.append(Generation(text="".join(chunk.text for chunk in chunks), generation_info=info))
    return LLMResult(generations=[[generation] for generation in generations], llm_output=_output(generations))


def _output(generations: Iterable[Generation]) -> dict[str, Any]:
    infos = [generation.generation_info or {} for generation in generations]
    usages = [info["usage_metadata"] for info in infos if "usage_metadata" in info]
    names = ("input_tokens", "output_tokens", "total_tokens")
    usage = {name: sum(usage[name] for usage in usages) for name in names} if usages else {}
    return {"model_name": infos[0].get("model_name") if infos else None, "token_usage": usage}
