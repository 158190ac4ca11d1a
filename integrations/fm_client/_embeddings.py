"""Any number of texts -> vectors in their order: split, halved where the service asks for less, and checked."""

from __future__ import annotations

import binascii
import math
import re
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ._context import Context
from ._errors import (
    EmbeddingContractError,
    InvalidRequestError,
    RateLimitError,
    RequestTooLargeError,
    ResponseFormatError,
    text_of,
)
from ._merge import UsageMerger
from ._responses import raise_error_in
from ._retry import exchange, returning
from ._routes import invocations_path
from ._wire import Flow, Reply, Timeout
from .types import EmbeddingResponse, Usage
from .types._base import JSONObject

DEFAULT_BATCH_SIZE = 100
"""Texts in one request. The service publishes no limit; a batch that it refuses as too large is halved."""
_BATCH_LIMIT = re.compile(r"qps|batch|too many inputs|input.{0,20}size", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """What all batches of one call share."""

    endpoint: str
    fields: JSONObject
    timeout: Timeout
    max_retries: int | None = None


@dataclass(slots=True)
class Batch:
    """The vectors of a stretch of the inputs."""

    start: int
    vectors: list[list[float]]
    usage: Usage | None
    reply: Reply
    model: str | None = None


def check_inputs(inputs: str | Iterable[str]) -> list[str]:
    """The texts as a list; a single text is a list of one."""
    if isinstance(inputs, (bytes, Mapping)) or not isinstance(inputs, Iterable):
        raise InvalidRequestError("inputs must be a text or a list of texts")
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    if not texts:
        raise InvalidRequestError("inputs is empty: give at least one text")
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            raise InvalidRequestError(
                f"inputs[{i}] is {'empty' if text == '' else type(text).__name__}: it must be a text"
            )
    return texts


def split(texts: Sequence[str], size: int) -> list[tuple[int, list[str]]]:
    """`(start, texts)` of each batch; together they are all texts, in order."""
    return [(start, list(texts[start : start + size])) for start in range(0, len(texts), size)]


def embed_batch(context: Context, call: EmbedCall, start: int, texts: list[str]) -> Flow[list[Batch]]:
    """Embed one batch; where the service finds it too large, its halves, one after the other."""
    limit = context.batch_limits.get(call.endpoint, len(texts))
    if len(texts) <= limit:
        try:
            body = {"input": texts, **call.fields}
            path = invocations_path(call.endpoint)
            request = context.request("POST", path, body, endpoint=call.endpoint, timeout=call.timeout)
            then = returning(lambda reply: [_batch(reply, call.endpoint, start, len(texts))])
            return (yield from exchange(context, request, then=then, max_retries=call.max_retries))
        except (RequestTooLargeError, RateLimitError) as error:
            if len(texts) == 1 or not _is_batch_limit(error):
                raise
            context.batch_limits[call.endpoint] = len(texts) // 2
    middle = len(texts) // 2
    batches = yield from embed_batch(context, call, start, texts[:middle])
    return batches + (yield from embed_batch(context, call, start + middle, texts[middle:]))


def _is_batch_limit(error: RequestTooLargeError | RateLimitError) -> bool:
    return isinstance(error, RequestTooLargeError) or bool(_BATCH_LIMIT.search(error.message))


def assemble(batches: Iterable[Batch], endpoint: str, *, normalize: bool) -> EmbeddingResponse:
    """All batches as one response, checked across them."""
    ordered = sorted(batches, key=lambda batch: batch.start)
    vectors = [vector for batch in ordered for vector in batch.vectors]
    _check_dimension(vectors, endpoint)
    response = EmbeddingResponse.model_construct(
        vectors=[unit(vector) for vector in vectors] if normalize else vectors,
        usage=add_usages([batch.usage for batch in ordered]),
        model=ordered[0].model if ordered else None,
    )
    response._endpoint = endpoint
    response._attempts = sum(batch.reply.attempts for batch in ordered)
    response._request_id = ordered[0].reply.request_id if ordered else None
    return response


def add_usages(usages: Iterable[Usage | None]) -> Usage:
    """The sum of several requests' usage."""
    total: dict[str, int] = {}
    for usage in usages:
        for key, value in usage or ():
            if isinstance(value, int):
                total[key] = total.get(key, 0) + value
    return Usage.model_validate(total)


def unit(vector: list[float]) -> list[float]:
    """`vector` at length 1 (a vector of zeros stays as it is)."""
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length else vector


def _batch(reply: Reply, endpoint: str, start: int, count: int) -> Batch:
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
    usage = UsageMerger()
    if isinstance(answer.get("usage"), dict):
        usage.add(Usage.model_validate(answer["usage"]))
    return Batch(start, vectors, usage.result(), reply, answer.get("model"))


def _in_order(data: list[JSONObject], start: int, count: int, facts: Mapping[str, Any]) -> list[list[float]]:
    """The vectors by their `index`; without any index the service's order is the order of the inputs."""
    indices = [item.get("index") for item in data]
    if all(index is None for index in indices):
        indices = list(range(len(data)))
    wanted = set(range(count))
    given = [index for index in indices if isinstance(index, int)]
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
        if isinstance(vector, list) and vector and math.isfinite(math.fsum(vector)):
            return vector
    except (TypeError, ValueError, OverflowError):
        pass
    raise EmbeddingContractError(
        f"the vector for input {position} is empty or has values that are no finite numbers",
        positions=(position,),
        **facts,
    )


def _from_base64(text: str) -> list[float]:
    """Little-endian float32, the form that `encoding_format: base64` gives."""
    try:
        floats = array("f", b64decode(text, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise ValueError("no base64") from exc
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


def _check_dimension(vectors: list[list[float]], endpoint: str) -> None:
    dimension = len(vectors[0]) if vectors else 0
    odd = tuple(i for i, vector in enumerate(vectors) if len(vector) != dimension)
    if odd:
        raise EmbeddingContractError(
            f"vectors of different length: {dimension} for input 0, and another for inputs {_shown(odd)}",
            positions=odd,
            endpoint=endpoint,
        )


def _shown(positions: Sequence[int]) -> str:
    return ", ".join(map(str, positions[:10])) + (" …" if len(positions) > 10 else "") or "(none)"
