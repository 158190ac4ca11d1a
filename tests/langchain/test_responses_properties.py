"""Any stream of the Responses API goes back to the model as the whole answer would."""

from __future__ import annotations

import functools
import json
import operator
from typing import Any

from fault_server import DONE
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from response_events import CITED, agent_events, answer, bare, call, message, reasoning, result, search, stream

from fm_client import Reply
from fm_client._items_parser import ItemStreamParser, items_response
from fm_client._requests import chat_body
from fm_client.types import ChatChunk
from langchain_fm._answers import ChunkReader, chat_result
from langchain_fm._messages import to_wire

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
ID = st.integers(1, 99)
SOURCES = st.lists(st.sampled_from([CITED, {**CITED, "url": "v"}]), max_size=2)
PHASES = st.sampled_from([{}, {"phase": "commentary"}, {"phase": "final"}])
SAID = st.builds(
    lambda text, i, sources, phase: {**message(text, f"msg_{i}", annotations=sources), **phase},
    TEXT.filter(bool), ID, SOURCES, PHASES,
)  # fmt: skip
ITEM = st.one_of(
    SAID,
    SAID,
    st.builds(lambda text, i: reasoning(text, f"rs_{i}"), TEXT, ID),
    st.builds(lambda args, i: call("f", json.dumps({"a": args}), str(i)), TEXT, ID),
    st.builds(lambda text, i: result(text, str(i)), TEXT, ID),
    st.builds(lambda i: search(f"ws_{i}"), ID),
)
ITEMS = st.lists(ITEM, min_size=1, max_size=6, unique_by=lambda item: item["id"])


def whole(items: Any) -> AIMessage:
    response = items_response(Reply(200, {}, json.dumps(answer(*items)).encode()), "ep")
    found = chat_result(response, None).generations[0].message
    assert isinstance(found, AIMessage)
    return found


def streamed(pieces: list[bytes]) -> Any:
    reply = Reply(200, {"content-type": "text/event-stream"})
    parser = ItemStreamParser(ChatChunk, reply, "ep", stream_end="either", limit=1 << 24)
    reader = ChunkReader()
    read = [reader.read(chunk) for chunk in [*parser.feed(b"".join(pieces)), *parser.feed(b"")]]  # type: ignore[arg-type]
    return functools.reduce(operator.add, [chunk.message for chunk in read if chunk is not None])


def goes_back(found: AIMessage) -> Any:
    """The items, but for the ids of calls, which the API does not need."""
    user = {"role": "user", "content": "Hi"}
    body = chat_body([user, *to_wire([found], as_items=True)], {"api": "responses"})
    calls = ("function_call",)
    return [
        {key: value for key, value in item.items() if key != "id" or item.get("type") not in calls}
        for item in body["input"][1:]
    ]


@given(ITEMS, st.integers(1, 20), st.booleans())
def test_any_stream_goes_back_as_the_whole_answer_would(items: Any, size: int, is_agent: bool) -> None:
    agents = [*map(bare, agent_events(items, size)), DONE]
    found, expected = streamed(agents if is_agent else stream(*items, size=size)), whole(items)
    assert found.text == expected.text
    assert goes_back(found) == goes_back(expected)
