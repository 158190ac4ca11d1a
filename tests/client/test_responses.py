"""`api="responses"`: what is sent, and what is read of whole answers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from fault_server import FaultServer, chat, reply
from response_events import REPLAYS, USAGE, answer, call, cut, message, reasoning, refusal, result, search

from fm_client import (
    BadRequestError,
    ChatResponse,
    InvalidRequestError,
    Message,
    RateLimitError,
    ResponseFormatError,
    ServerError,
)

PATH = "/serving-endpoints/responses"
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}
LONG = "x" * 65


def user(content: Any = "Hi", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def asks(fm: Any, server: FaultServer, messages: Any = "Hi", *items: Any, **params: Any) -> ChatResponse:
    """One call, answered by `items`."""
    server.script("ep", reply(200, answer(*(items or (message("hello"),)))))
    response: ChatResponse = fm.chat("ep", messages, api="responses", **params)
    return response


def sent(fm: Any, server: FaultServer, messages: Any = "Hi", **params: Any) -> dict[str, Any]:
    """The body that a call sends."""
    asks(fm, server, messages, **params)
    assert PATH == server.seen[-1].path
    body: dict[str, Any] = server.seen[-1].json
    return body


def items_sent(fm: Any, server: FaultServer, *messages: Any) -> Any:
    return sent(fm, server, list(messages))["input"]


class TestWhatIsSent:
    def test_a_text_goes_to_the_path_of_the_api_with_the_endpoint_as_model(self, fm: Any, server: FaultServer) -> None:
        assert {"model": "ep", "input": [user()]} == sent(fm, server)

    @pytest.mark.parametrize(("params", "body"), [
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"temperature": 0.5, "top_p": 0.9, "user": "u"}, {"temperature": 0.5, "top_p": 0.9, "user": "u"}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ({"reasoning_effort": "low", "extra_body": {"reasoning": {"summary": "auto"}}}, {"reasoning": {"effort": "low", "summary": "auto"}}),
        ({"tools": [{"type": "function", "function": FUNCTION}]}, {"tools": [{"type": "function", "strict": False, **FUNCTION}]}),
        ({"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}]}, {"tools": [{"type": "function", **FUNCTION, "strict": True}]}),
        ({"tools": [{"type": "web_search"}]}, {"tools": [{"type": "web_search"}]}),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"tool_choice": "required", "parallel_tool_calls": False}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tool_choice": {"type": "function", "name": "f"}}),
        ({"tool_choice": {"type": "mcp", "server_label": "s"}}, {"tool_choice": {"type": "mcp", "server_label": "s"}}),
        ({"response_format": {"type": "json_schema", "json_schema": SCHEMA}}, {"text": {"format": {"type": "json_schema", **SCHEMA}}}),
        ({"response_format": {"type": "json_object"}, "extra_body": {"text": {"verbosity": "low"}}}, {"text": {"format": {"type": "json_object"}, "verbosity": "low"}}),
        ({"custom_inputs": {"a": 1}, "context": {"user_id": "u"}, "databricks_options": {"return_trace": True}},
         {"custom_inputs": {"a": 1}, "context": {"user_id": "u"}, "databricks_options": {"return_trace": True}}),
        ({"stop": [], "n": 1, "logprobs": False, "seed": None}, {}),
        ({"extra_body": {"metadata": {"k": "v"}}}, {"metadata": {"k": "v"}}),
    ])  # fmt: skip
    def test_fields_have_the_names_and_shapes_of_the_api(self, fm: Any, server: FaultServer, params: Any, body: Any) -> None:  # fmt: skip
        assert {"model": "ep", "input": [user()], **body} == sent(fm, server, **params)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("stop", "x"), ("stop", ["x"]), ("seed", 1), ("top_k", 1), ("n", 2), ("logprobs", True), ("top_logprobs", 1),
         ("frequency_penalty", 1), ("presence_penalty", 1), ("thinking", {"type": "enabled"})],
    )  # fmt: skip
    @pytest.mark.parametrize("way", ["chat", "stream_chat"])
    def test_what_the_api_cannot_say_is_refused_and_not_dropped(
        self, fm: Any, server: FaultServer, way: str, name: str, value: Any
    ) -> None:
        with pytest.raises(InvalidRequestError, match=name):
            list(getattr(fm, way)("ep", "Hi", api="responses", **{name: value}))
        assert [] == server.seen

    @pytest.mark.parametrize("api", ["Responses", "", 5, ["chat"]])
    def test_an_api_that_does_not_exist_is_refused(self, fm: Any, server: FaultServer, api: Any) -> None:
        with pytest.raises(InvalidRequestError, match="api must be 'chat' or 'responses'"):
            fm.chat("ep", "Hi", api=api)
        assert [] == server.seen

    def test_the_api_is_chat_by_default_and_if_it_is_named(self, fm: Any, server: FaultServer) -> None:
        server.script("ep", reply(200, chat()))
        for params in ({}, {"api": None}, {"api": "chat"}):
            fm.chat("ep", "Hi", **params)
        assert ["/serving-endpoints/ep/invocations"] * 3 == [seen.path for seen in server.seen]
        assert [{"messages": [user()]}] * 3 == [seen.json for seen in server.seen]

    def test_instructions_keep_their_places(self, fm: Any, server: FaultServer) -> None:
        system, developer = {"role": "system", "content": "S"}, {"role": "developer", "content": "D"}
        assert [system, user(), developer] == items_sent(fm, server, system, user(), developer)

    def test_parts_of_a_users_content(self, fm: Any, server: FaultServer) -> None:
        given = [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "f.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            {"type": "input_text", "text": "b"},
        ]
        (item,) = items_sent(fm, server, user(given, name="ann"))
        assert item == user([
            {"type": "input_text", "text": "a"},
            {"type": "input_image", "image_url": "https://x.test/i.png", "detail": "auto"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "f.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            {"type": "input_text", "text": "b"},
        ])  # fmt: skip

    def test_calls_and_results_are_items(self, fm: Any, server: FaultServer) -> None:
        calls = [{"id": f"call_{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in (1, 2)]
        results = [
            {"role": "tool", "tool_call_id": "call_1", "content": "4", "name": "f"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": t} for t in "56"]},
        ]
        found = items_sent(fm, server, user(), {"role": "assistant", "content": "Well", "tool_calls": calls}, *results)
        assert found == [
            user(),
            {"role": "assistant", "content": "Well"},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "call_2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "4"},
            {"type": "function_call_output", "call_id": "call_2", "output": "56"},
        ]

    def test_an_image_as_a_result_stays_one(self, fm: Any, server: FaultServer) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}}
        *_, item = items_sent(fm, server, user(), {"role": "tool", "tool_call_id": "c", "content": [image]})
        assert [{"type": "input_image", "image_url": "https://x.test/i.png", "detail": "auto"}] == item["output"]

    def test_ids_that_are_too_long_are_left_out_or_made_short_on_both_sides(self, fm: Any, server: FaultServer) -> None:
        first = asks(fm, server, "Hi", {**reasoning(), "id": LONG}, {**call(), "id": LONG, "call_id": LONG})
        tool = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "4"}
        _, thought, called, answered = items_sent(fm, server, user(), first.message, tool)
        assert LONG == first.tool_calls[0].id
        assert ("id" in thought, "id" in called) == (False, False)
        assert len(called["call_id"]) <= 64 and called["call_id"] == answered["call_id"]

    def test_the_role_function_is_refused(self, fm: Any, server: FaultServer) -> None:
        with pytest.raises(InvalidRequestError, match='use "tool"'):
            asks(fm, server, [user(), {"role": "function", "content": "4", "name": "f"}])

    def test_a_field_of_a_message_that_would_be_lost_is_refused(self, fm: Any, server: FaultServer) -> None:
        with pytest.raises(InvalidRequestError, match=r"messages\[0\] has the field 'cache_control'"):
            asks(fm, server, [user(cache_control={"type": "ephemeral"})])

    @pytest.mark.parametrize("calls", [[5], [{}], [{"function": {}}], ["f"]])
    def test_calls_of_no_shape_are_refused(self, fm: Any, server: FaultServer, calls: Any) -> None:
        with pytest.raises(InvalidRequestError, match="messages\\[0\\].tool_calls"):
            asks(fm, server, [{"role": "assistant", "content": None, "tool_calls": calls}])

    def test_what_the_caller_gave_is_not_changed(self, fm: Any, server: FaultServer) -> None:
        items = [reasoning(), message("a"), search(), call()]
        turn = asks(fm, server, "Hi", *items).message
        given: dict[str, Any] = {
            "messages": [user([{"type": "text", "text": "a"}]), turn.model_dump(exclude_unset=True), turn],
            "tools": [{"type": "function", "function": dict(FUNCTION)}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": dict(SCHEMA)},
            "extra_body": {"text": {"verbosity": "low"}},
        }
        before = copy.deepcopy(given)
        sent(fm, server, **given)
        assert before == given


def stripped(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it may go back: without its status."""
    return {key: value for key, value in item.items() if key != "status"}


@pytest.mark.parametrize("as_dict", [False, True], ids=["Message", "dict"])
@pytest.mark.parametrize("items", REPLAYS.values(), ids=REPLAYS.keys())
def test_an_answer_goes_back_as_it_came(fm: Any, server: FaultServer, items: Any, as_dict: bool) -> None:
    """Item by item, in their order, ids and what is sealed included; but without `status`."""
    turn = asks(fm, server, "Hi", *items).message
    back = turn.to_dict() if as_dict else turn
    assert [user(), *map(stripped, items), user("And?")] == items_sent(fm, server, user(), back, user("And?"))


def test_the_result_of_a_custom_tool_goes_back_as_one(fm: Any, server: FaultServer) -> None:
    turn = asks(fm, server, "Hi", *REPLAYS["custom tool"]).message
    *_, item = items_sent(fm, server, user(), turn, {"role": "tool", "tool_call_id": "call_9", "content": "y"})
    assert {"type": "custom_tool_call_output", "call_id": "call_9", "output": "y"} == item


class TestWhatIsRead:
    def test_a_message_is_a_plain_text(self, fm: Any, server: FaultServer) -> None:
        found = asks(fm, server, "Hi", message("hello"))
        assert ("hello", "hello", "stop") == (found.text, found.message.content, found.finish_reason)
        assert ("resp_1", "gpt-5", 1, "ep", "req-1") == (found.id, found.model, found.created, found.endpoint, found.request_id)  # fmt: skip

    def test_usage_has_the_names_of_chat(self, fm: Any, server: FaultServer) -> None:
        usage = asks(fm, server).usage
        assert usage is not None
        assert (5, 2, 7) == (usage.input_tokens, usage.output_tokens, usage.total_tokens)
        assert (3, 1) == (usage.cached_tokens, usage.reasoning_tokens)

    def test_calls_are_tool_calls(self, fm: Any, server: FaultServer) -> None:
        found = asks(fm, server, "Hi", message("Well"), call(), call("g", '{"b":', "2"))
        assert ("Well", "tool_calls") == (found.message.content, found.finish_reason)
        assert [("call_1", "f", {"a": 1})] == [(c.id, c.name, c.args) for c in found.tool_calls]
        assert [("call_2", "g")] == [(c.id, c.name) for c in found.invalid_tool_calls]

    def test_a_call_without_an_id_gets_one(self, fm: Any, server: FaultServer) -> None:
        ids = [c.id for c in asks(fm, server, "Hi", {**call(), "call_id": ""}, {**call(), "call_id": None, "id": None}).tool_calls]  # fmt: skip
        assert "fc_1" == ids[0] and ids[1].startswith("call_")

    def test_reasoning_is_shown(self, fm: Any, server: FaultServer) -> None:
        assert "hm" == asks(fm, server, "Hi", reasoning(), message("a")).reasoning
        raw = {**reasoning(""), "content": [{"type": "reasoning_text", "text": "raw"}]}
        assert "raw" == asks(fm, server, "Hi", raw, message("a")).reasoning

    def test_a_refusal_is_no_text(self, fm: Any, server: FaultServer) -> None:
        found = asks(fm, server, "Hi", refusal("no"))
        assert ("", "no") == (found.text, (found.message.model_extra or {})["refusal"])

    def test_calls_that_an_agent_has_made_are_not_left_to_the_caller(self, fm: Any, server: FaultServer) -> None:
        found = asks(fm, server, "Hi", call(), result(), call("g", "{}", "2"))
        assert ["call_2"] == [c.id for c in found.tool_calls]
        assert ["function_call", "function_call_output", "function_call"] == [part["type"] for part in found.message.content or ()]  # type: ignore[index]  # fmt: skip

    @pytest.mark.parametrize(
        ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("steered", "steered")]
    )  # fmt: skip
    def test_an_incomplete_answer_says_why(self, fm: Any, server: FaultServer, reason: str, finish: str) -> None:
        server.script("ep", reply(200, cut(reason, message("hel"))))
        found = fm.chat("ep", "Hi", api="responses")
        assert ("hel", finish) == (found.text, found.finish_reason)

    def test_what_stands_beside_the_output_is_kept(self, fm: Any, server: FaultServer) -> None:
        beside = {"custom_outputs": {"a": 1}, "databricks_output": {"trace": {}}}
        server.script("ep", reply(200, answer(message("a"), **beside)))
        found = fm.chat("ep", "Hi", api="responses")
        assert beside.items() <= found.model_extra.items()

    @pytest.mark.parametrize("output", [[], [reasoning("")]], ids=["nothing", "sealed reasoning"])
    def test_an_answer_may_say_nothing(self, fm: Any, server: FaultServer, output: Any) -> None:
        server.script("ep", reply(200, cut("max_output_tokens", *output)))
        found = fm.chat("ep", "Hi", api="responses")
        assert ("", "length", []) == (found.text, found.finish_reason, found.tool_calls)

    @pytest.mark.parametrize(("body", "error"), [
        ({"object": "response"}, ResponseFormatError), ({"output": None}, ResponseFormatError), ({"output": [5]}, ResponseFormatError),
        ([], ResponseFormatError), (7, ResponseFormatError), (chat(), ResponseFormatError),
        (answer(status="in_progress"), ResponseFormatError), (answer(status="cancelled"), ResponseFormatError),
        (answer({**message("a"), "content": 5}), ResponseFormatError),
        (answer(status="failed", error={"code": "server_error", "message": "boom"}), ServerError),
        (answer(status="failed", error={"code": "rate_limit_exceeded", "message": "boom"}), RateLimitError),
        (answer(status="failed", error={"code": "invalid_prompt", "message": "boom"}), BadRequestError),
        ({"error_code": "BAD_REQUEST", "message": "boom"}, BadRequestError),
    ])  # fmt: skip
    def test_what_is_no_answer_is_an_error(self, connect: Any, server: FaultServer, body: Any, error: Any) -> None:
        server.script("ep", reply(200, body) if isinstance(body, (dict, list)) else reply(200, str(body)))
        with pytest.raises(error) as caught:
            connect(server.host, max_retries=0).chat("ep", "Hi", api="responses")
        assert (error, "ep", "req-1") == (type(caught.value), caught.value.endpoint, caught.value.request_id)


def test_with_several_endpoints_the_next_one_is_named_in_the_body(fm: Any, server: FaultServer) -> None:
    server.script("first", reply(503, {"message": "busy"}))
    server.script("second", reply(200, answer(message("a"))))
    found = fm.chat(["first", "second"], "Hi", api="responses")
    assert "second" == found.endpoint and ["first", "second"] == [seen.json["model"] for seen in server.seen]


def test_a_field_that_the_route_refuses_is_left_out(fm: Any, server: FaultServer) -> None:
    refused = reply(400, {"error_code": "BAD_REQUEST", "message": 'Bad request: json: unknown field "strict"'})
    server.script("ep", refused, reply(200, answer(message("a"))))
    with pytest.warns(UserWarning, match="strict"):
        found = fm.chat("ep", "Hi", api="responses", tools=[{"type": "function", "function": FUNCTION}])
    assert [{"type": "function", **FUNCTION}] == server.seen[-1].json["tools"]
    assert ("strict",) == found.dropped_params


def test_reasoning_that_a_model_does_not_have_is_left_out(fm: Any, server: FaultServer) -> None:
    text = "Unsupported parameter: 'reasoning.effort' is not supported with this model."
    refused = reply(400, {"error": {"message": text, "param": "reasoning.effort", "code": "unsupported_parameter"}})
    server.script("ep", refused, reply(200, answer(message("a"))))
    with pytest.warns(UserWarning, match="reasoning"):
        found = fm.chat("ep", "Hi", api="responses", reasoning_effort="low")
    assert {"model": "ep", "input": [user()]} == server.seen[-1].json
    assert ("reasoning",) == found.dropped_params


def test_an_unset_usage_is_none(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(200, answer(message("a"), usage=None)))
    assert fm.chat("ep", "Hi", api="responses").usage is None
    assert USAGE["total_tokens"] == 7


def test_a_message_of_chat_goes_the_other_way_too(fm: Any, server: FaultServer) -> None:
    """A conversation may begin with one API and go on with the other."""
    turn = asks(fm, server, "Hi", message("a"), call()).message
    server.script("ep", reply(200, chat()))
    fm.chat("ep", [user(), turn, {"role": "tool", "tool_call_id": "call_1", "content": "4"}])
    assert ["content", "role", "tool_calls"] == sorted(server.seen[-1].json["messages"][1])
    assert isinstance(turn, Message)


def test_what_is_wrong_with_an_answer_is_said_in_one_line_that_quotes_none_of_it(fm: Any, server: FaultServer) -> None:
    server.script("ep", reply(200, answer(message("a"), usage={"input_tokens": "private text"})))
    with pytest.raises(ResponseFormatError, match=r"usage\.prompt_tokens: .*integer") as caught:
        fm.chat("ep", "Hi", api="responses")
    assert "\n" not in caught.value.message and "private text" not in caught.value.message


def test_the_model_of_a_request_is_the_endpoint_of_the_call(fm: Any, server: FaultServer) -> None:
    with pytest.raises(InvalidRequestError, match="endpoint of the call"):
        fm.chat("ep", "Hi", api="responses", extra_body={"model": "other"})
    assert [] == server.seen
