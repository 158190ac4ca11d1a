"""What `predict` is given -> the call it means: chat, completions or embeddings, by the body's shape. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fm_client import ChatParams, CompletionParams

JSONObject = dict[str, Any]

SHAPES = (
    "inputs must be an object with one of 'messages' (chat), 'prompt' (completions) or 'input' (embeddings: texts), "
    "as the serving endpoint's own API takes it"
)


class Task(StrEnum):
    """What is asked of an endpoint; the value is the field that holds the question."""

    CHAT = "messages"
    COMPLETIONS = "prompt"
    EMBEDDINGS = "input"


# Client options are no fields of a body: a body that has one is passed on as it stands, for the service to judge.
_OPTIONS = frozenset({"extra_body", "timeout", "max_retries"})
_FIELDS = {
    Task.CHAT: frozenset(ChatParams.__annotations__) - _OPTIONS,
    Task.COMPLETIONS: frozenset(CompletionParams.__annotations__) - _OPTIONS,
    Task.EMBEDDINGS: frozenset({"instruction", "dimensions"}),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A query as the core client takes it: the question, and the parameters beside it."""

    task: Task
    question: Any
    params: JSONObject


def read_inputs(inputs: Any, *, stream: bool = False) -> Call:
    """The call that a request body means; a ValueError says why it means none.

    >>> read_inputs({"prompt": "Once", "max_tokens": 5, "client_request_id": "1"})  # doctest: +NORMALIZE_WHITESPACE
    Call(task=<Task.COMPLETIONS: 'prompt'>, question='Once',
         params={'max_tokens': 5, 'extra_body': {'client_request_id': '1'}})
    """
    body = body_of(inputs)
    task = _task_of(body)
    if body.pop("stream", False) and not stream:
        raise ValueError("inputs ask for a stream: use predict_stream")
    if stream and task is Task.EMBEDDINGS:
        raise ValueError("embeddings cannot be streamed: use predict")
    question = body.pop(task.value)
    if task is Task.EMBEDDINGS:
        _check_texts(question)
    known = _FIELDS[task]
    params = {name: value for name, value in body.items() if name in known}
    if extra := {name: value for name, value in body.items() if name not in known}:
        params["extra_body"] = extra
    return Call(task, question, params)


def body_of(inputs: Any) -> JSONObject:
    """The request body in `inputs`: an object, or the data frame that MLflow's command line makes of one."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    # Known by what it can do, so that pandas is not needed: mlflow-skinny comes without it.
    if hasattr(inputs, "columns") and hasattr(inputs, "to_dict"):
        return body_of_columns(inputs.to_dict(orient="list"))
    raise ValueError(f"{SHAPES}, not {_kind(inputs)}")


def body_of_columns(columns: Mapping[Any, Sequence[Any]]) -> JSONObject:
    """The request body that was spread over the columns of a data frame.

    A list became one row for each of its items, and every other field was repeated in each row. A body that was the
    only item of a list (`[{"messages": […]}]`) became one row that holds it unchanged.

    >>> body_of_columns({"input": ["a", "b"], "dimensions": [256, 256]})
    {'input': ['a', 'b'], 'dimensions': 256}
    """
    cells = {str(name): list(values) for name, values in columns.items()}
    task = _task_of(cells)
    rows = len(cells[task.value])
    if not rows:
        raise ValueError("inputs are a data frame without rows")
    fields = {name: _repeated(name, values) for name, values in cells.items() if name != task.value}
    question = {task.value: _question(task, cells[task.value])}
    return question | {name: value for name, value in fields.items() if value is not None}


def _question(task: Task, cells: list[Any]) -> Any:
    if len(cells) > 1 and any(isinstance(cell, list) for cell in cells):
        raise ValueError(f"inputs are a data frame with {len(cells)} requests: send one at a time")
    # A message is one row, whether there are others or not; a single text, or a list in one row, is the whole field.
    return cells[0] if len(cells) == 1 and (task is not Task.CHAT or isinstance(cells[0], list)) else cells


def _repeated(name: str, values: list[Any]) -> Any:
    present = [value for value in values if not _is_missing(value)]
    if name == "tools" and any(isinstance(value, Mapping) for value in present):
        return present  # as many as there are messages: of another number, pandas would have taken none
    if name == "stop" and all(isinstance(value, str) for value in present):
        return list(dict.fromkeys(present))  # likewise, or one text that was repeated in each row
    if any(value != present[0] for value in present):
        raise ValueError(
            f"inputs are a data frame whose column {name!r} has more than one value: send one request at a time"
        )
    return present[0] if present else None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # NaN is how a data frame says "nothing"


def _task_of(body: Mapping[str, Any]) -> Task:
    found = [task for task in Task if task.value in body]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{SHAPES}; these have {' and '.join(repr(task.value) for task in found)}")
    given = ", ".join(repr(name) for name in list(body)[:8]) or "nothing"
    raise ValueError(f"{SHAPES}; these have {given}")


def _check_texts(value: Any) -> None:
    """Agents have a field `input` too, of messages: those are no texts."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"inputs['input'] must be a text or a list of texts, not {_kind(value)}")


def _kind(value: Any) -> str:
    if isinstance(value, list) and value:
        return f"a list of {type(value[0]).__name__}"
    return f"a {type(value).__name__}"
