"""Chat agents (task agent/v2/chat): recognised by what they answer, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fault_server import DONE, FaultServer, chunked, event, reply

from fm_client import APIError, ResponseFormatError, ServerError, StreamInterruptedError
from fm_client._tool_calls import _Call

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def say(text: str, ident: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "id": ident, **more}


def calling(ident: str, *numbers: int) -> dict[str, Any]:
    function = {"name": "add", "arguments": '{"a": 1}'}
    return say("", ident, tool_calls=[{"id": f"call_{n}", "type": "function", "function": function} for n in numbers])


def told(number: int) -> dict[str, Any]:
    return {"role": "tool", "content": f"result {number}", "id": f"t{number}", "name": "add", "tool_call_id": f"call_{number}"}  # fmt: skip


STEPS = [say("I add.", "m1"), calling("m2", 1, 2), told(1), told(2), say("It is 2.", "m3")]


def agent(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), "finish_reason": "stop", "usage": USAGE, **more}


def chunks_of(*messages: Any, **more: Any) -> list[bytes]:
    """A chunk for each word, and for each call and result; the last one says the end."""
    found = []
    for message in messages:
        words = message["content"].split(" ") if message["role"] == "assistant" and message["content"] else []
        pieces = [f"{word} " for word in words[:-1]] + words[-1:] or [message["content"]]
        found += [event({"delta": {**message, "content": piece}}) for piece in pieces]
    return [*found, event({"delta": {**messages[-1], "content": ""}, "finish_reason": "stop", "usage": USAGE, **more})]


def ask(fm: Any, server: FaultServer, way: str, *messages: Any, **more: Any) -> Any:
    """The answer, whole or put together from a stream."""
    if way == "whole":
        server.script("ep", reply(200, agent(*messages, **more)))
        return fm.chat("ep", "Hi")
    server.script("ep", chunked(*chunks_of(*messages, **more), DONE))
    return list(fm.stream_chat("ep", "Hi"))[-1].response


both = pytest.mark.parametrize("way", ["whole", "stream"])


@both
def test_the_text_is_the_last_messages_and_the_steps_can_be_seen(fm: Any, server: FaultServer, way: str) -> None:
    found = ask(fm, server, way, *STEPS)
    assert ("It is 2.", [], "stop", 12) == (found.text, found.tool_calls, found.finish_reason, found.usage.total_tokens)
    assert ["assistant", "assistant", "tool", "tool", "assistant"] == [message.role for message in found.messages]
    assert ["call_1", "call_2"] == [call.id for call in found.messages[1].tool_calls]
    assert [("result 1", "call_1"), ("result 2", "call_2")] == [(m.text, m.tool_call_id) for m in found.messages[2:4]]
    assert ("ep", "req-1", ["m1", "m2", "t1", "t2", "m3"]) == (found.endpoint, found.request_id, [m.id for m in found.messages])  # fmt: skip


@both
def test_what_an_agent_puts_beside_its_messages_is_kept(fm: Any, server: FaultServer, way: str) -> None:
    found = ask(fm, server, way, *STEPS, custom_outputs={"a": [1]}, databricks_output={"trace": {}})
    assert ({"a": [1]}, {"trace": {}}) == (found.custom_outputs, found.databricks_output)


@both
def test_calls_without_a_result_are_left_to_the_caller(fm: Any, server: FaultServer, way: str) -> None:
    found = ask(fm, server, way, say("I add.", "m1"), calling("m2", 1, 2), told(1))
    assert ["call_2"] == [call.id for call in found.tool_calls]


@both
def test_an_empty_message_at_the_end_is_not_the_answer(fm: Any, server: FaultServer, way: str) -> None:
    assert "It is 2." == ask(fm, server, way, *STEPS, say("", "m4")).text


@both
def test_the_answer_goes_back_without_what_an_agent_does_not_take(fm: Any, server: FaultServer, way: str) -> None:
    found = ask(fm, server, way, *STEPS)
    server.script("ep", reply(200, agent(say("ok", "m9"))))
    fm.chat("ep", [{"role": "user", "content": "Hi"}, found.message, {"role": "user", "content": "And?"}])
    assert {"role": "assistant", "content": "It is 2."} == server.seen[-1].json["messages"][1]


def test_chunks_show_text_as_it_comes_and_inner_steps_as_parts(fm: Any, server: FaultServer) -> None:
    server.script("ep", chunked(*chunks_of(*STEPS), DONE))
    *chunks, last = fm.stream_chat("ep", "Hi")
    assert "I add.It is 2." == "".join(chunk.text for chunk in chunks)
    assert {"I add.": "m1", "It is 2.": "m3"} == {"".join(c.text for c in chunks if c.id == i): i for i in ("m1", "m3")}
    parts = [part for chunk in chunks if isinstance(chunk.delta.content, list) for part in chunk.delta.content]
    assert [("function_call", "call_1"), ("function_call_output", "call_1"), ("function_call", "call_2"), ("function_call_output", "call_2")] == [(p["type"], p["call_id"]) for p in parts]  # fmt: skip
    assert [] == [piece for chunk in chunks for piece in chunk.tool_calls], "the agent has made its calls itself"
    assert ([None] * len(chunks), 12) == ([chunk.usage for chunk in chunks], last.usage.total_tokens)
    assert ["stop"] == [chunk.finish_reason for chunk in chunks if chunk.finish_reason]


def test_open_calls_of_a_stream_have_index_and_id(fm: Any, server: FaultServer) -> None:
    server.script("ep", chunked(*chunks_of(say("I add.", "m1"), calling("m2", 1, 2)), DONE))
    chunks = list(fm.stream_chat("ep", "Hi"))
    pieces = [piece for chunk in chunks for piece in chunk.tool_calls]
    assert [(0, "call_1", "add"), (1, "call_2", "add")] == [(piece.index, piece.id, piece.name) for piece in pieces]


def test_chunks_without_ids_go_to_the_message_before(fm: Any, server: FaultServer) -> None:
    deltas = [{"role": "assistant", "content": "a"}, {"content": "b"}, {"role": "tool", "content": "r", "tool_call_id": "c"}, {"role": "assistant", "content": "d"}]  # fmt: skip
    server.script("ep", chunked(*[event({"delta": delta}) for delta in deltas], DONE))
    last = list(fm.stream_chat("ep", "Hi"))[-1]
    assert ["ab", "r", "d"] == [message.text for message in last.response.messages]


@pytest.mark.parametrize("last", [{}, {"prompt_tokens": None, "completion_tokens": 7, "total_tokens": 12}, None])
def test_usage_of_a_stream_is_the_last_number_of_each_field(fm: Any, server: FaultServer, last: Any) -> None:
    first = (
        USAGE if last == {} else {"prompt_tokens": 5, "completion_tokens": None if last else 7, "total_tokens": None}
    )
    events = [
        event({"delta": say("a", "m1"), "usage": first}),
        event({"delta": {}, "finish_reason": "stop", "usage": last}),
    ]
    server.script("ep", chunked(*events, DONE))
    *chunks, closing = fm.stream_chat("ep", "Hi")
    assert (5, 7) == (closing.usage.input_tokens, closing.usage.output_tokens)
    assert closing.response.usage == closing.usage and not any(chunk.usage for chunk in chunks)


@pytest.mark.parametrize("usage", [{}, None])
def test_a_usage_that_counts_nothing_is_none(fm: Any, server: FaultServer, usage: Any) -> None:
    server.script("ep", chunked(event({"delta": say("a", "m1"), "finish_reason": "stop", "usage": usage}), DONE))
    assert list(fm.stream_chat("ep", "Hi"))[-1].usage is None


def test_nulls_in_a_call_of_a_stream_mean_absent(fm: Any, server: FaultServer) -> None:
    call = {"index": None, "id": "call_1", "type": None, "function": {"name": "add", "arguments": None}}
    server.script("ep", chunked(*chunks_of(say("", "m1", tool_calls=[call])), DONE))
    answer = list(fm.stream_chat("ep", "Hi"))[-1].response
    assert [("call_1", "add", {})] == [(call.id, call.name, call.args) for call in answer.tool_calls]


def test_one_piece_in_answer_to_a_stream_is_the_same_answer(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(200, agent(*STEPS)))
    chunk, last = fm.stream_chat("ep", "Hi")
    assert ("It is 2.", "It is 2.", 5) == (chunk.text, last.response.text, len(last.response.messages))


@pytest.mark.parametrize(("pieces", "end", "cause"), [
    ([], "ok", APIError), ([], "cut", APIError),
    ([event({"delta": {"role": "assistant", "content": 5}})], "ok", ResponseFormatError),
    ([event({"delta": {"role": "assistant", "tool_calls": 5}})], "ok", ResponseFormatError),
    ([event({"error": {"message": "boom"}})], "ok", ServerError),
])  # fmt: skip
def test_a_broken_stream_is_interrupted(fm: Any, server: FaultServer, pieces: Any, end: str, cause: Any) -> None:
    server.script("ep", chunked(*chunks_of(*STEPS)[:-2], *pieces, end=end))
    with pytest.raises(StreamInterruptedError) as caught:
        list(fm.stream_chat("ep", "Hi"))
    assert isinstance(caught.value.__cause__, cause)
    assert ("It is ", 5) == (caught.value.partial_text, len(caught.value.partial.messages))


@pytest.mark.parametrize("body", [
    {"messages": []}, {"messages": 5}, {"messages": [{"content": 5}]}, {"delta": {}}, agent(say("a", "m1"), finish_reason={}),
])  # fmt: skip
def test_what_is_no_answer_is_an_error(fm: Any, server: FaultServer, body: Any) -> None:
    server.script("ep", reply(200, body))
    with pytest.raises(ResponseFormatError):
        fm.chat("ep", "Hi")


def test_what_agents_take_is_sent(fm: Any, server: FaultServer) -> None:
    given = {"custom_inputs": {"a": 1}, "context": {"user_id": "u"}, "databricks_options": {"return_trace": True}}
    server.script("ep", reply(200, agent(say("ok", "m1"))))
    fm.chat("ep", "Hi", **given)
    assert given.items() <= server.seen[0].json.items()


@both
def test_a_result_of_no_call_that_there_is_answers_none(fm: Any, server: FaultServer, way: str) -> None:
    found = ask(fm, server, way, calling("m1", 1), {**told(1), "tool_call_id": ["call_1"]})
    assert ["call_1"] == [call.id for call in found.tool_calls]


@pytest.mark.parametrize("answered", [False, True], ids=["left to the caller", "made by the agent"])
def test_a_call_in_many_pieces_is_put_together_when_it_is_needed(
    fm: Any, server: FaultServer, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not with every piece, which would cost the square of their number."""
    numbers = ", ".join(map(str, range(300)))
    first, *others = [f'{{"numbers": [{numbers}', "]", "}"]
    pieces = [{"index": 0, "id": "call_1", "function": {"name": "add", "arguments": ""}}]
    pieces += [{"index": 0, "function": {"arguments": piece}} for piece in [*first, *others]]
    deltas = [event({"delta": say("", "m1", tool_calls=[piece])}) for piece in pieces]
    deltas += [event({"delta": told(1)})] if answered else []
    server.script("ep", chunked(b"".join(deltas), event({"delta": say("Done.", "m2"), "finish_reason": "stop"}), DONE))
    put_together: list[str] = []
    monkeypatch.setattr(_Call, "arguments", property(lambda call: put_together.append(call.id) or "".join(call.pieces)))
    chunks = list(fm.stream_chat("ep", "Hi"))
    assert len(pieces) > 1000 > 10 > len(put_together)
    calls = [call for chunk in chunks for call in chunk.tool_calls]
    parts = [part for chunk in chunks for choice in chunk.choices for part in _parts(choice.delta.content)]
    found = parts[0]["arguments"] if answered else calls[0].arguments
    assert json.loads(found) == {"numbers": [*range(300)]}


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []
