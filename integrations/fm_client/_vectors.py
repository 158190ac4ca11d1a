"""An embeddings answer -> the vectors of just these inputs in this order, or an error that names positions."""

from __future__ import annotations

import binascii
import math
import sys
import warnings
from array import array
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from ._error_bodies import text_of
from ._errors import EmbeddingContractError, ResponseFormatError
from ._responses import raise_error_in
from ._wire import Reply
from .types import Usage
from .types._base import JSONObject


class ZeroVectorWarning(UserWarning):
    """A vector has no direction: it cannot be compared with others."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The vectors of a stretch of the inputs, and what it took to get them."""

    start: int
    vectors: list[list[float]]
    usage: Usage | None
    model: str | None
    attempts: int
    request_id: str | None


def add_usages(usages: Iterable[Usage | None]) -> Usage:
    """The sum of several requests' usage."""
    total: JSONObject = {}
    for usage in usages:
        _add(total, dict(usage or ()))
    return Usage.model_validate(total)


def _add(total: JSONObject, counts: Mapping[str, Any]) -> None:
    for key, value in counts.items():
        before = total.get(key)
        if isinstance(value, Mapping):  # such as `prompt_tokens_details`
            total[key] = dict(before) if isinstance(before, dict) else {}
            _add(total[key], value)
        elif isinstance(value, (int, float)) and isinstance(before, (int, float)):
            total[key] = before + value
        elif value is not None:
            total[key] = value


def unit(vector: list[float]) -> list[float]:
    """`vector` at length 1 (a vector of zeros stays as it is)."""
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length else vector


def read_batch(reply: Reply, endpoint: str, start: int, count: int) -> Batch:
    """The `count` vectors of an answer; `start` is the position of the first one among all inputs."""
    facts: dict[str, Any] = {"endpoint": endpoint, "request_id": reply.request_id, "status_code": reply.status}
    facts["attempts"] = reply.attempts
    try:
        answer = from_json(reply.body)
    except ValueError as exc:
        raise ResponseFormatError("the service answered without JSON", body=text_of(reply.body), **facts) from exc
    raise_error_in(answer, reply, endpoint)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise ResponseFormatError("the answer has no list of embeddings", body=text_of(reply.body), **facts)
    vectors = _in_order(data, start, count, facts)
    check_dimension(vectors, facts, start)
    if any(isinstance(item["embedding"], list) for item in data) and _has_booleans(reply.body):
        _check_numbers(vectors, facts, start)  # Python would count them as 1 and 0
    model = answer.get("model")
    return Batch(
        start,
        vectors,
        _usage(answer.get("usage")),
        model if isinstance(model, str) else None,
        reply.attempts,
        reply.request_id,
    )


def _usage(value: Any) -> Usage | None:
    """The usage as far as it can be read: no vectors that are there already are thrown away for a wrong count."""
    if not isinstance(value, dict):
        return None
    try:
        return Usage.model_validate(value) if value else None
    except ValidationError as exc:
        wrong = {error["loc"][0] for error in exc.errors(include_url=False, include_input=False)}
    return _usage({key: count for key, count in value.items() if key not in wrong})


def _in_order(data: list[JSONObject], start: int, count: int, facts: Mapping[str, Any]) -> list[list[float]]:
    """The vectors by their `index`; without any index the service's order is the order of the inputs."""
    indices = [item.get("index") for item in data]
    if all(index is None for index in indices):
        indices = list(range(len(data)))
    wanted = set(range(count))
    given = [index for index in indices if isinstance(index, int) and not isinstance(index, bool)]
    missing = sorted(wanted - set(given))
    if missing or len(data) != count or len(given) != count:
        raise EmbeddingContractError(
            f"{count} texts were sent and {len(data)} vectors came back; no vector for inputs "
            f"{_shown([start + i for i in missing])}",
            positions=tuple(start + i for i in missing),
            **facts,
        )
    vectors: list[list[float]] = [[]] * count
    for index, item in zip(given, data, strict=True):
        vectors[index] = _vector(item.get("embedding"), start + index, facts)
    return vectors


def _vector(value: Any, position: int, facts: Mapping[str, Any]) -> list[float]:
    try:
        vector = _from_base64(value) if isinstance(value, str) else value
        # One pass in C: a NaN or an infinity in any place makes the sum one too; text or null cannot be added.
        if isinstance(vector, list) and vector and math.isfinite(sum(vector)):
            _warn_of_zeros(vector, position, facts)
            return vector
    except (TypeError, ValueError, OverflowError):
        pass
    raise _no_vector(position, facts)


def _has_booleans(body: bytes) -> bool:
    return _has(body, b"true", b"u") or _has(body, b"false", b"f")


def _has(body: bytes, word: bytes, letter: bytes) -> bool:
    """Whether `word` stands in `body`, by a letter of it that numbers lack: a byte is found fifty times as fast."""
    at, offset = body.find(letter), word.index(letter)
    while at >= 0:
        if body.startswith(word, max(0, at - offset)):
            return True
        at = body.find(letter, at + 1)
    return False


def _check_numbers(vectors: Sequence[Sequence[float]], facts: Mapping[str, Any], start: int) -> None:
    for i, vector in enumerate(vectors):
        if any(isinstance(x, bool) for x in vector):
            raise _no_vector(start + i, facts)


def _no_vector(position: int, facts: Mapping[str, Any]) -> EmbeddingContractError:
    return EmbeddingContractError(
        f"the vector for input {position} is empty or has values that are no finite numbers",
        positions=(position,),
        **facts,
    )


def _warn_of_zeros(vector: list[float], position: int, facts: Mapping[str, Any]) -> None:
    if not any(vector):  # it is as near to every text as to any other
        text = f"endpoint {facts.get('endpoint')!r} answered a vector of zeros for input {position}"
        warnings.warn(text, ZeroVectorWarning, stacklevel=2)


def _from_base64(text: str) -> list[float]:
    """Little-endian float32, the form that `encoding_format: base64` gives."""
    try:
        floats = array("f", b64decode(text, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise ValueError("no base64") from exc
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


def check_dimension(vectors: Sequence[Sequence[float]], facts: Mapping[str, Any], start: int = 0) -> None:
    """All vectors have one length. `start` is the position of the first one among all inputs."""
    dimension = len(vectors[0]) if vectors else 0
    odd = tuple(start + i for i, vector in enumerate(vectors) if len(vector) != dimension)
    if odd:
        raise EmbeddingContractError(
            f"vectors of different length: {dimension} for input {start}, and another for inputs {_shown(odd)}",
            positions=odd,
            **facts,
        )


def _shown(positions: Sequence[int]) -> str:
    return ", ".join(map(str, positions[:10])) + (" …" if len(positions) > 10 else "") or "(none)"
