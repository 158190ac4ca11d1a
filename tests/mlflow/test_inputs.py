"""What a body asks for, also after MLflow's command line has made a data frame of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlflow_fm._inputs import Call, Task, body_of, body_of_columns, read_inputs

MESSAGES = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


class Frame:
    """As much of a pandas data frame as is used."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = list(columns)
        self._columns = columns

    def to_dict(self, orient: str) -> dict[str, list[Any]]:
        assert orient == "list"
        return self._columns


@pytest.mark.parametrize(
    ("body", "task", "question"),
    [
        ({"messages": MESSAGES}, Task.CHAT, MESSAGES),
        ({"prompt": "Once"}, Task.COMPLETIONS, "Once"),
        ({"prompt": ["Once", "Twice"]}, Task.COMPLETIONS, ["Once", "Twice"]),
        ({"input": "a"}, Task.EMBEDDINGS, "a"),
        ({"input": ["a", "b"]}, Task.EMBEDDINGS, ["a", "b"]),
    ],
)
def test_the_shape_of_a_body_says_what_is_asked(body: dict[str, Any], task: Task, question: Any) -> None:
    assert read_inputs(body) == Call(task, question, {})


def test_fields_the_core_knows_are_parameters_and_others_are_sent_as_they_are() -> None:
    call = read_inputs({"messages": MESSAGES, "temperature": 0, "timeout": 3, "databricks_options": {"x": 1}})
    assert call.params == {"temperature": 0, "databricks_options": {"x": 1}, "extra_body": {"timeout": 3}}


def test_options_of_the_client_are_no_fields_of_an_embeddings_body() -> None:
    call = read_inputs({"input": "a", "dimensions": 8, "batch_size": 2, "normalize": True})
    assert call.params == {"dimensions": 8, "extra_body": {"batch_size": 2, "normalize": True}}


def test_the_body_given_is_left_as_it_is() -> None:
    body = {"messages": MESSAGES, "stream": False, "n": 2}
    read_inputs(body)
    assert body == {"messages": MESSAGES, "stream": False, "n": 2}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (None, "not a NoneType"),
        ("Hi", "not a str"),
        ([{"messages": MESSAGES}], "not a list of dict"),
        ({}, "these have nothing"),
        ({"dataframe_split": {}}, "these have 'dataframe_split'"),
        ({"messages": MESSAGES, "prompt": "Hi"}, "'messages' and 'prompt'"),
        ({"input": MESSAGES}, "texts, not a list of dict"),
        ({"input": 3}, "not a int"),
        ({"messages": MESSAGES, "stream": True}, "use predict_stream"),
    ],
)
def test_what_asks_for_nothing_is_refused_with_the_reason(inputs: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_inputs(inputs)


def test_embeddings_are_not_streamed() -> None:
    with pytest.raises(ValueError, match="use predict"):
        read_inputs({"input": "a"}, stream=True)


@pytest.mark.parametrize(
    ("columns", "body"),
    [
        ({"messages": MESSAGES, "n": [2, 2]}, {"messages": MESSAGES, "n": 2}),
        ({"messages": MESSAGES[1:]}, {"messages": MESSAGES[1:]}),
        ({"messages": [MESSAGES], "tools": [[TOOL]]}, {"messages": MESSAGES, "tools": [TOOL]}),
        ({"messages": MESSAGES, "tools": [TOOL, TOOL]}, {"messages": MESSAGES, "tools": [TOOL, TOOL]}),
        ({"messages": MESSAGES[1:], "tools": [TOOL]}, {"messages": MESSAGES[1:], "tools": [TOOL]}),
        ({"messages": MESSAGES, "stop": [".", "!"]}, {"messages": MESSAGES, "stop": [".", "!"]}),
        ({"messages": MESSAGES, "stop": [".", "."]}, {"messages": MESSAGES, "stop": ["."]}),
        ({"prompt": ["Once"], "stop": [["."]]}, {"prompt": "Once", "stop": ["."]}),
        ({"prompt": ["Once", "Twice"], "n": [1, 1]}, {"prompt": ["Once", "Twice"], "n": 1}),
        ({"input": ["a", "b"]}, {"input": ["a", "b"]}),
        ({"input": [["a", "b"]]}, {"input": ["a", "b"]}),
        ({"prompt": ["Once"], "seed": [float("nan")], "user": [None]}, {"prompt": "Once"}),
    ],
)
def test_a_data_frame_is_the_body_it_was_made_of(columns: dict[str, list[Any]], body: dict[str, Any]) -> None:
    assert body_of(Frame(columns)) == body


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"messages": [MESSAGES, MESSAGES]}, "2 requests"),
        ({"prompt": ["a", "b"], "n": [1, 2]}, "'n' has more than one value"),
        ({"prompt": []}, "without rows"),
        ({"question": ["a"]}, "these have 'question'"),
    ],
)
def test_a_data_frame_that_is_no_one_body_is_refused(columns: dict[str, list[Any]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        body_of_columns(columns)


@pytest.mark.parametrize(
    ("written", "body"),
    [
        ({"messages": MESSAGES, "max_tokens": 5}, {"messages": MESSAGES, "max_tokens": 5}),
        ([{"messages": MESSAGES, "tools": [TOOL], "stop": ["."], "n": 1}], None),
        ({"messages": MESSAGES, "tools": [TOOL, TOOL]}, {"messages": MESSAGES, "tools": [TOOL, TOOL]}),
        ([{"messages": MESSAGES, "response_format": {"type": "json_object"}}], None),
        ([{"prompt": "Once", "temperature": 0.5, "logprobs": True}], None),
        ({"input": ["a", "b", "c"]}, {"input": ["a", "b", "c"]}),
        ([{"input": ["a", "b"], "dimensions": 8}], None),
    ],
)
def test_what_pandas_reads_from_a_file_is_the_body_written_there(tmp_path: Path, written: Any, body: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="mlflow-skinny comes without pandas")
    path = tmp_path / "body.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    read = body_of(pandas.read_json(path))
    assert read == (body or written[0])
    assert json.loads(json.dumps(read)) == read
