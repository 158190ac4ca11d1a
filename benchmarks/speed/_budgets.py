"""What the project has promised itself, as data: each budget is a figure of the run and its limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ._results import Results

FLOOR = {"langchain_fm": "langchain", "llamaindex_fm": "llamaindex", "mlflow_fm": "skinny"}
ADAPTERS = tuple(FLOOR)
OURS = ("fm_client", *ADAPTERS)
PEERS = {
    "langchain_fm": ("ChatDatabricks", "ChatOpenAI"),
    "llamaindex_fm": ("LlamaIndexDatabricks",),
    "mlflow_fm": ("mlflow",),
}
IMPORT, CORE_IMPORT = 1.15, 1.5
DEPENDENCIES = 1
CALL, CALL_PEER, CALL_MLFLOW = 1.35, 0.45, 0.3
RATE, STEP = 650.0, 12.0
CHUNK, CHUNK_PEER = 1.5, 0.3
FIRST_CHUNK = 1.3
EMBED_WALL, EMBED_CPU = 0.6, 1.3
GROWTH_MB = 0.5
"""What a process of any of the subjects moves by between two looks, when nothing is kept."""
HELD = 2.2
"""Of a large answer: its bytes, and the text that they say, once each. A second copy of either would make it 3."""
EXPONENT = 1.05


@dataclass(frozen=True)
class Budget:
    """`figure` must be at most `limit`, or at least that."""

    what: str
    figure: Callable[[Results], float | None]
    limit: float
    at_least: bool = False
    unit: str = "x"

    def verdict(self, results: Results) -> tuple[float | None, bool | None]:
        found = self.figure(results)
        if found is None:
            return None, None
        return found, found >= self.limit if self.at_least else found <= self.limit


def budgets() -> list[Budget]:
    return [*_imports(), *_calls(), *_concurrency(), *_streams(), *_embeddings(), *_memory(), *_growth()]


def _ratio(what: str, limit: float, of: tuple[str, str], *to: tuple[str, str]) -> Budget:
    return Budget(what, lambda results: results.ratio(of, *to), limit)


def _value(what: str, limit: float, name: str, metric: str, unit: str, *, at_least: bool = False) -> Budget:
    return Budget(what, lambda results: results.median(name, metric), limit, at_least, unit)


def _imports() -> Iterator[Budget]:
    for metric, called in (("import_wall", "time"), ("import_rss", "memory")):
        what = f"import fm_client / (httpx + pydantic), {called}"
        yield _ratio(what, CORE_IMPORT, ("fm_client", metric), ("httpx", metric))
        for name, floor in FLOOR.items():
            yield _ratio(f"import {name} / its framework, {called}", IMPORT, (name, metric), (floor, metric))
    yield Budget("distributions that [langchain] adds to langchain-core", _added, DEPENDENCIES, unit="")


def _added(results: Results) -> float | None:
    ours, theirs = (results.installed(name).get("distributions") for name in ("langchain_fm", "langchain"))
    return None if ours is None or theirs is None else len(set(ours) - set(theirs) - {"fm-integrations"})


def _calls() -> Iterator[Budget]:
    for metric, called in (("chat_sync", "sync"), ("chat_async", "async")):
        floor = ("httpx-lifo", metric)
        yield _ratio(f"call, {called}: fm_client / httpx on a LIFO pool", CALL, ("fm_client", metric), floor)
        for name in ("langchain_fm", "llamaindex_fm"):
            what = f"call, {called}: {name} / (its framework + httpx on a LIFO pool)"
            yield _ratio(what, CALL, (name, metric), (FLOOR[name], metric), floor)
            peer = PEERS[name][0]
            yield _ratio(f"call, {called}: {name} / {peer}", CALL_PEER, (name, metric), (peer, metric))
    yield _ratio("call, sync: mlflow_fm / mlflow", CALL_MLFLOW, ("mlflow_fm", "chat_sync"), ("mlflow", "chat_sync"))


def _concurrency() -> Iterator[Budget]:
    for name in ("langchain_fm", "llamaindex_fm"):
        yield _value(f"200 calls at once, 200 ms each: {name}", RATE, name, "rate_200", "calls/s", at_least=True)
    for name in OURS:
        what = f"CPU of 1,000 calls at once / of 100: {name}"
        yield Budget(what, lambda results, name=name: results.step(name, "grow_concurrent", 100, 1000), STEP)


def _streams() -> Iterator[Budget]:
    for metric, called in (("chunk_sync", "sync"), ("chunk_async", "async")):
        for name in ("langchain_fm", "llamaindex_fm"):
            what = f"chunk, {called}: {name} / (its framework + httpx and json)"
            yield _ratio(what, CHUNK, (name, metric), (FLOOR[name], metric), ("httpx", metric))
        for name in ADAPTERS if called == "sync" else ADAPTERS[:2]:  # MLflow's own target is sync only
            for peer in PEERS[name]:
                yield _ratio(f"chunk, {called}: {name} / {peer}", CHUNK_PEER, (name, metric), (peer, metric))
    for name in OURS:
        metric = "first_chunk"
        yield _ratio(f"time to the first chunk: {name} / httpx", FIRST_CHUNK, (name, metric), ("httpx", metric))


def _embeddings() -> Iterator[Budget]:
    for name in OURS:
        yield _value(f"2,048 embeddings at 50 ms: {name}", EMBED_WALL, name, "embed_2048", "s")
    for name in OURS:
        what = f"CPU of 2,048 embeddings: {name} / httpx and pydantic_core"
        yield _ratio(what, EMBED_CPU, (name, "plain_cpu_2048"), ("httpx", "plain_cpu_2048"))
    yield _value("asks for base64 without being told: fm_client", 1, "fm_client", "packed", "", at_least=True)


def _memory() -> Iterator[Budget]:
    for name in OURS:
        yield _value(f"growth over 20,000 calls: {name}", GROWTH_MB, name, "memory_growth", "MB")
    for name in OURS:
        limit = HELD + (1 if name == "langchain_fm" else 0)  # the `text` of a message is a copy, made by LangChain
        yield _value(f"memory for an answer of 60 MB / its size: {name}", limit, name, "big", "x")


def _growth() -> Iterator[Budget]:
    kinds = {"grow_concurrent": "calls at once", "grow_texts": "texts", "grow_chunks": "chunks"}
    for metric, called in kinds.items():
        for name in OURS:
            what = f"CPU by {called}, exponent: {name}"
            yield Budget(what, lambda results, n=name, m=metric: results.exponent(n, m), EXPONENT, unit="")
