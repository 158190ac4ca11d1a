"""`FoundationModelLLM`: completions, whole and in a stream."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
from fault_server import DONE, chunked, event, reply
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError

from fm_client import observe
from fm_workspace import Workspace
from langchain_fm import FoundationModelLLM

USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def completion(*texts: str, **fields: Any) -> dict[str, Any]:
    choices = [{"index": i, "text": text, "finish_reason": "stop"} for i, text in enumerate(texts)]
    return {"id": "cmpl-1", "object": "text_completion", "model": "mpt", "choices": choices, "usage": USAGE, **fields}


def pieces(*texts: str) -> Any:
    chunks = [completion(text) for text in texts]
    for chunk in chunks[:-1]:
        chunk["choices"][0]["finish_reason"] = None
    return chunked(*map(event, chunks), DONE)


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


def test_a_prompt_is_completed(llm: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script("completions", reply(200, completion(" upon a time")))

    assert drive(llm(temperature=0.9, stop=["A"])).invoke("Once", temperature=0, stop=["B"]) == " upon a time"
    assert sent() == {"prompt": "Once", "temperature": 0, "stop": ["B"]}


def test_several_prompts_have_their_completions_in_order(llm: Any, server: Any, drive: Any) -> None:
    server.script("completions", reply(200, completion("x", "y")))
    result = drive(llm(n=2)).generate(["a", "b", "c"])

    assert [[generation.text for generation in generations] for generations in result.generations] == [["x", "y"]] * 3
    assert result.llm_output["token_usage"] == {"input_tokens": 6, "output_tokens": 9, "total_tokens": 15}
    assert result.generations[0][0].generation_info["finish_reason"] == "stop"
    assert sorted(request.json["prompt"] for request in server.seen if request.body) == ["a", "b", "c"]


@pytest.mark.parametrize("streaming", [False, True])
def test_no_prompts_have_no_completions(streaming: bool, llm: Any, server: Any, drive: Any) -> None:
    assert drive(llm(streaming=streaming)).generate([]).generations == []
    assert server.seen == []


@pytest.mark.parametrize("streaming", [False, True])
def test_log_probabilities_are_the_same_whole_and_streamed(streaming: bool, llm: Any, server: Any, drive: Any) -> None:
    def said(text: str, *logprobs: float, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": {"token_logprobs": [*logprobs]}, "finish_reason": finish}
        return {"id": "cmpl-1", "object": "text_completion", "choices": [choice]}

    parts = chunked(event(said("a", -1.0)), event(said("b", -2.0, finish="stop")), DONE)
    server.script("completions", parts if streaming else reply(200, said("ab", -1.0, -2.0, finish="stop")))
    ((generation,),) = drive(llm(streaming=streaming, extra_body={"logprobs": 1})).generate(["Once"]).generations
    assert generation.generation_info["logprobs"] == {"token_logprobs": [-1.0, -2.0]}


def test_a_batch_is_sent_several_at_a_time(llm: Any, server: Any, drive: Any) -> None:
    server.script("completions", reply(200, completion("x")))
    assert drive(llm(stop=["A"])).batch([f"p{i}" for i in range(40)], stop=["B"]) == ["x"] * 40
    assert sorted(request.json["prompt"] for request in server.seen if request.body) == sorted(
        f"p{i}" for i in range(40)
    )
    assert {tuple(request.json["stop"]) for request in server.seen if request.body} == {("B",)}
    assert server.connections > 1


def test_several_prompts_are_streamed_together_if_that_is_asked_for(llm: Any, server: Any, drive: Any) -> None:
    server.script("completions", pieces(" upon", " a time"))
    result = drive(llm(streaming=True)).generate(["a", "b"])
    assert [generations[0].text for generations in result.generations] == [" upon a time"] * 2
    assert result.llm_output["token_usage"]["total_tokens"] == 10


def test_a_completion_is_streamed_to_callers_and_listeners(llm: Any, server: Any, drive: Any) -> None:
    server.script("completions", pieces(" upon", " a time"))
    listener = Listener()

    assert drive(llm()).stream("Once", config={"callbacks": [listener]}) == [" upon", " a time", ""]
    assert listener.tokens == [" upon", " a time", ""]


def test_streaming_makes_invoke_stream(llm: Any, server: Any, sent: Any, drive: Any) -> None:
    server.script("completions", pieces(" upon", " a time"))
    result = drive(llm(streaming=True)).generate(["Once"])

    assert result.generations[0][0].text == " upon a time"
    assert result.llm_output == {
        "model_name": "mpt",
        "token_usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5},
    }
    assert sent()["stream"] is True


@pytest.mark.parametrize("given", [{"n": 2}, {}])
def test_several_completions_come_whole_from_a_model_that_streams(
    given: Any, llm: Any, server: Any, drive: Any
) -> None:
    choices = [{"index": i, "text": text, "finish_reason": "stop"} for i, text in enumerate("ab")]
    server.script("completions", reply(200, {"object": "text_completion", "choices": choices}))
    result = drive(llm(streaming=True, **given)).generate(["Once"], **({} if given else {"n": 2}))
    assert [generation.text for generation in result.generations[0]] == ["a", "b"]


def test_several_completions_are_not_streamed(llm: Any, server: Any, drive: Any) -> None:
    with pytest.raises(ModelInvalidRequestError, match="n=2 cannot be streamed"):
        drive(llm(n=2)).stream("Once")
    assert server.seen == []


def test_the_first_failure_of_several_prompts_is_raised_as_it_is(llm: Any, server: Any, drive: Any) -> None:
    server.script("completions", reply(200, completion("x")), reply(400, {"message": "bad"}))
    with pytest.raises(ModelInvalidRequestError, match="bad"):
        drive(llm()).generate(["a", "b", "c"])


def test_an_endpoint_of_the_workspace_completes(workspace: Workspace, deployed: Any, drive: Any, keep: Any) -> None:
    fields = {"model": deployed(fm_task="completions"), "host": workspace.host, "token": workspace.token}
    driven = drive(keep(FoundationModelLLM(**fields, max_tokens=64)))
    whole = driven.invoke("Once upon a time")

    assert whole
    assert "".join(driven.stream("Once upon a time")) == whole
    assert driven.batch(["Once upon a time"] * 3) == [whole] * 3


def test_context_variables_reach_the_calls_of_all_prompts(llm: Any, server: Any, drive: Any) -> None:
    """Tracing hangs on it."""
    place = ContextVar("place", default="lost")
    found: list[str] = []
    stop = observe(lambda call: found.append(call.context[place]) if place in call.context else found.append("lost"))
    server.script("completions", reply(200, completion("x")))
    place.set("kept")
    drive(llm()).generate(["a", "b"])
    drive(llm()).invoke("c")
    stop()
    assert ["kept"] * 3 == found


def test_a_subclass_may_keep_count_of_its_calls(server: Any, keep: Any, drive: Any) -> None:
    class Counting(FoundationModelLLM):
        calls: int = 0

        def dict(self, **kwargs: Any) -> Any:
            self.calls += 1
            return super().dict(**kwargs)

    server.script("c", reply(200, completion("x")))
    llm = keep(Counting(model="c", host=server.host, token="token-for-tests"))
    drive(llm).invoke("a", max_tokens=1)
    assert llm.calls > 0
    assert not [name for name in llm._identifying_params if name.startswith("call_")]
