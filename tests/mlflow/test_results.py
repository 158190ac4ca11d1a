"""Results: dictionaries with attributes."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from mlflow_fm._results import EndpointResult, Result

DATA = {"id": None, "choices": [{"message": {"content": "né"}}], "vectors": [[{"x": 1}]], "numbers": [1.0, 2.0]}


def test_a_result_equals_the_json_it_was_made_of() -> None:
    assert Result.of(DATA) == DATA


def test_keys_are_attributes_at_any_depth() -> None:
    result = Result.of(DATA)
    assert result.choices[0].message.content == "né"
    assert result.vectors[0][0].x == 1
    assert result.id is None


def test_attributes_set_and_delete_keys() -> None:
    result = Result.of(DATA)
    result.choices[0].message.content = "no"
    del result.numbers
    assert result["choices"][0]["message"] == {"content": "no"}
    assert "numbers" not in result
    assert DATA["choices"] == [{"message": {"content": "né"}}]


def test_a_missing_attribute_is_an_attribute_error_that_names_those_there_are() -> None:
    with pytest.raises(AttributeError, match="no 'usage'; it has: id, choices"):
        Result.of(DATA).usage  # noqa: B018  # reading it is the test
    with pytest.raises(AttributeError):
        del Result.of(DATA).usage
    assert not hasattr(Result(), "usage")


def test_json_goes_to_a_text_or_to_a_file(tmp_path: Path) -> None:
    result, path = Result.of(DATA), tmp_path / "result.json"
    assert json.loads(result.to_json()) == DATA
    result.to_json(path)
    assert json.loads(path.read_text(encoding="utf-8")) == DATA


def test_results_are_copied_and_pickled_whole() -> None:
    result = Result.of(DATA)
    for other in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):  # noqa: S301  # our own pickle
        assert other == result
        assert isinstance(other.choices[0], Result)


def test_an_endpoint_type_is_the_task_as_an_attribute_and_the_services_own_as_a_key() -> None:
    endpoint = EndpointResult.of({"name": "e", "task": "llm/v1/chat", "endpoint_type": "EXTERNAL_MODEL"})
    assert endpoint.endpoint_type == "llm/v1/chat"
    assert endpoint["endpoint_type"] == "EXTERNAL_MODEL"
    assert EndpointResult.of({"name": "e"}).endpoint_type is None
