"""Any number of texts -> vectors in their order: split, halved where the service asks for less, and put together."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ._bounded import make_room
from ._config import check_max_retries, check_timeout
from ._context import Context
from ._errors import (
    APIError,
    APIStatusError,
    BadRequestError,
    ContextLengthError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    RequestTooLargeError,
    UnprocessableEntityError,
)
from ._names import explain
from ._negotiate import negotiated
from ._observe import ObservedCall, noted, observing
from ._profiles import profile_for
from ._requests import EMBED_FIELDS, EMBED_OPTIONS, check_fields, with_extra
from ._retry import exchange, returning
from ._routes import check_endpoint_name, invocations_path
from ._vectors import Batch, add_usages, check_dimension, read_batch, unit
from ._vendors import vendor
from ._wire import Flow
from .types import EmbeddingResponse
from .types._base import JSONObject
from .types.usage import Serving

if TYPE_CHECKING:
    from ._known import Looks

DEFAULT_BATCH_SIZE = 100
"""Texts in one request. The service publishes no limit; a batch that it refuses as too large is halved."""
LIMIT_MEMORY = 300.0
"""Seconds for which a size that was found is kept to: what refused the larger one may have been a passing rush."""
FORM = "encoding_format"
PACKING = frozenset({"openai", "azure"})
"""Whose own API of embeddings documents that field."""
_BATCH_LIMIT = re.compile(r"qps|batch|too many inputs|input.{0,20}size", re.IGNORECASE)
Progress = Callable[[int, int], None]
T = TypeVar("T")


class EmbedJob:
    """One `embed` call: the flows of its batches, and what they have brought so far."""

    def __init__(self, context: Context, model: str, inputs: str | Iterable[str], params: Mapping[str, Any]) -> None:
        self._context = context
        self._endpoint = check_endpoint_name(model)
        self._texts = check_inputs(inputs)
        fields = check_fields(params, EMBED_FIELDS, EMBED_OPTIONS)
        self._fields = with_extra(fields, params)
        self._packs = FORM not in self._fields and takes_base64(context, self._endpoint)
        self._size = params.get("batch_size") or DEFAULT_BATCH_SIZE
        self._normalize = bool(params.get("normalize"))
        timeout, retries = params.get("timeout"), params.get("max_retries")
        self._timeout = context.settings.timeout if timeout is None else check_timeout(timeout)
        self._max_retries = None if retries is None else check_max_retries(retries)
        self._wait_ready = float(params.get("wait_ready") or 0.0)
        self._on_progress: Progress | None = params.get("on_progress")
        self._watch: Any = None
        self._done: list[Batch] = []
        self._has_failed = False

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Have observers look on, from here to the response."""
        body, host = {"input": self._texts, **self._fields}, self._context.settings.host
        call = ObservedCall("embed", (self._endpoint,), body, host=host)
        with observing(call, self._looks) as self._watch:
            yield

    def _looks(self) -> Looks:
        from ._known import Looks

        return Looks(self._context, self._timeout.total)

    def flows(self) -> list[Flow[None]]:
        """One flow for each batch; they may run at the same time."""
        batches = split(self._texts, self._size)
        return [noted(self._watch, self._unless_failed(start, texts)) for start, texts in batches]

    def response(self) -> EmbeddingResponse:
        """All batches as one response, checked across them."""
        ordered = sorted(self._done, key=lambda batch: batch.start)
        vectors = [vector for batch in ordered for vector in batch.vectors]
        attempts, request_id = sum(batch.attempts for batch in ordered), ordered[0].request_id
        check_dimension(vectors, {"endpoint": self._endpoint, "attempts": attempts, "request_id": request_id})
        response = EmbeddingResponse.model_construct(
            vectors=[unit(vector) for vector in vectors] if self._normalize else vectors,
            usage=add_usages([batch.usage for batch in ordered]),
            model=ordered[0].model,
        )
        response.served_by(Serving(self._endpoint, request_id, attempts=attempts))
        if self._watch is not None:
            self._watch.answer = response
        return response

    def failed(self, error: APIError) -> APIError:
        """`error`, with the vectors that are there already: nothing that was paid for is lost."""
        error.completed = {
            batch.start + i: unit(vector) if self._normalize else vector
            for batch in sorted(self._done, key=lambda batch: batch.start)
            for i, vector in enumerate(batch.vectors)
        }
        return error

    def _unless_failed(self, start: int, texts: list[str]) -> Flow[None]:
        if self._has_failed:
            return
        try:
            yield from self._embed(start, texts)
            return
        except APIError as error:
            self._has_failed = True  # before anyone who waits for a turn can begin another batch
            failure = error
        if isinstance(failure, NotFoundError):
            yield from explain(self._context, self._endpoint, failure)
        raise failure

    def _embed(self, start: int, texts: list[str], *, probing: bool = False) -> Flow[None]:
        """Embed one batch; where the service finds it too large, its halves, one after the other.

        `probing`: a size is looked for that a 429 for too large batches lets through; waiting has not helped before.
        """
        if len(texts) <= self._limit():
            try:
                batch, _ = yield from self._negotiated(start, texts, 0 if probing else self._max_retries)
            except APIStatusError as error:
                if len(texts) == 1 or not _is_batch_limit(error):
                    raise
                probing = isinstance(error, RateLimitError)
            else:
                self._keep(batch, probing)
                return
        middle = len(texts) // 2
        yield from self._embed(start, texts[:middle], probing=probing)
        yield from self._embed(start + middle, texts[middle:])

    def _limit(self) -> float:
        limit, until = self._context.batch_limits.get(self._endpoint, (0, 0.0))
        return limit if self._context.clock() < until else math.inf

    def _negotiated(self, start: int, texts: list[str], retries: int | None) -> Flow[tuple[Batch, tuple[str, ...]]]:
        body = {"input": texts, **self._fields}
        send = partial(self._send, start=start, count=len(texts), retries=retries)
        ask = partial(negotiated, self._context, self._endpoint, call=send)
        return self._packed(body, ask) if self._packs else ask(body)

    def _packed(self, body: JSONObject, ask: Callable[[JSONObject], Flow[T]]) -> Flow[T]:
        """`ask` for base64, which says the same in a third of the bytes; no call fails because of a wish of ours."""
        known = self._context.packing
        found = known.get(self._endpoint)  # other batches may find something else meanwhile
        packs = found is not False
        if packs:
            try:
                answer = yield from ask({**body, FORM: "base64"})
            except (BadRequestError, UnprocessableEntityError) as error:
                if isinstance(error, ContextLengthError) or (found and FORM not in error.message):
                    raise
                packs = False
        if not packs:
            answer = yield from ask(body)  # raises what is wrong with `body` itself
        make_room(known, self._endpoint)
        known[self._endpoint] = packs and known.get(self._endpoint, True)
        return answer

    def _send(self, body: JSONObject, start: int, count: int, retries: int | None) -> Flow[Batch]:
        path, timeout = invocations_path(self._endpoint), self._timeout
        request = self._context.request("POST", path, body, endpoint=self._endpoint, timeout=timeout)
        then = returning(lambda reply: read_batch(reply, self._endpoint, start, count))
        ready = self._wait_ready
        return exchange(self._context, request, then=then, max_retries=retries, wait_ready=ready)

    def _keep(self, batch: Batch, found: bool) -> None:
        self._done.append(batch)
        if found:
            until = self._context.clock() + LIMIT_MEMORY
            self._context.batch_limits[self._endpoint] = (int(min(len(batch.vectors), self._limit())), until)
        if self._on_progress is not None:
            self._on_progress(sum(len(done.vectors) for done in self._done), len(self._texts))


def takes_base64(context: Context, endpoint: str) -> bool:
    """Whether `endpoint` is known to take a request for base64.

    Hosted models do: the service's page on querying them uses OpenAI's client, which asks for it unasked. So do models
    behind OpenAI's own API.
    """
    if context.settings.strict_params:  # then there is no way back
        return False
    return profile_for(endpoint).get("takes_base64", False) or vendor(context.settings.host, endpoint) in PACKING


def check_inputs(inputs: str | Iterable[str]) -> list[str]:
    """The texts as a list; a single text is a list of one."""
    if isinstance(inputs, (bytes, Mapping)) or not isinstance(inputs, Iterable):
        raise InvalidRequestError("inputs must be a text or a list of texts")
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    if not texts:
        raise InvalidRequestError("inputs is empty: give at least one text")
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            found = "empty" if text == "" else type(text).__name__
            raise InvalidRequestError(f"inputs[{i}] is {found}: it must be a text")
    return texts


def split(texts: Sequence[str], size: int) -> list[tuple[int, list[str]]]:
    """`(start, texts)` of each batch; together they are all texts, in order."""
    return [(start, list(texts[start : start + size])) for start in range(0, len(texts), size)]


def _is_batch_limit(error: APIStatusError) -> bool:
    if isinstance(error, RateLimitError):
        return bool(_BATCH_LIMIT.search(error.message))
    return isinstance(error, RequestTooLargeError) or error.status_code == 413
