"""Copies of answers: what is copied, what is shared, and what they still know."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from fm_client import ChatChunk, ChatResponse, CompletionChunk, Message, Usage, copy_with
from fm_client.types.usage import Serving

SERVING = Serving("ep", "req-1", "entity", 2, ("seed",))
WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda model: model.model_copy(),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),  # noqa: S301  # made here
    "copy_with": copy_with,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [ChatChunk, CompletionChunk])
def test_a_copy_knows_what_served_it_and_the_whole_answer(way: str, kind: Any) -> None:
    """What an answer says of its route"""
    whole = ChatResponse(id="1").served_by(SERVING)
    chunk = kind(id="1", note="x").served_by(SERVING)._keep("_response", whole)
    found = WAYS[way](chunk)
    assert found == chunk and found is not chunk
    assert (found.endpoint, found.request_id, found.attempts) == ("ep", "req-1", 2)
    assert found.dropped_params == ("seed",)
    assert found.response == whole and found.response.endpoint == "ep"


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_without_such_knowledge_is_equal_to_its_original(way: str) -> None:
    made = ChatResponse.model_validate_json('{"choices": [], "object": "chat.completion", "new": {"a": 1}}')
    found = WAYS[way](made)
    assert found == made and found.to_dict() == made.to_dict()
    assert (found.endpoint, found.attempts) == ("", 1)


def test_answers_served_by_different_endpoints_are_different() -> None:
    first, second = ChatResponse(id="1").served_by(SERVING), ChatResponse(id="1")
    assert first != second
    assert first == second.served_by(SERVING)


def test_a_copy_with_other_fields_is_what_pydantics_would_be() -> None:
    """A chunk's cost"""
    message = Message.model_validate({"role": "assistant", "content": "a", "refusal": None})
    found = copy_with(message, content="b")
    assert found == message.model_copy(update={"content": "b"})
    assert found.model_fields_set == message.model_fields_set
    assert message.content == "a"


def test_a_copy_shares_no_dictionary_with_its_original() -> None:
    message = Message.model_validate({"content": "a", "refusal": None})
    found = copy_with(message)
    found.role, found.refusal = "user", "no"  # type: ignore[attr-defined]  # a field that is not declared
    assert (message.role, message.model_extra) == ("assistant", {"refusal": None})
    assert message.model_fields_set == {"content", "refusal"}


def test_a_copy_of_a_model_without_further_fields_has_none() -> None:
    assert copy_with(Usage(prompt_tokens=1), prompt_tokens=2).to_dict() == {"prompt_tokens": 2}
