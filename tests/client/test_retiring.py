"""A model that is retired, or will be, is told of once."""

from __future__ import annotations

import datetime as dt
import json
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, chat, chunked, embeddings, reply, words

from fm_client import RetiringModelWarning, catalog
from fm_client import _retiring as retiring

OLD = "databricks-dbrx-instruct"
TODAY = dt.datetime(2026, 11, 26, tzinfo=dt.UTC).timestamp


@pytest.fixture(autouse=True)
def the_packages_own() -> Iterator[None]:
    yield
    catalog.load()


def test_a_retired_model_is_told_of_once_with_its_replacement(fm: Any, server: FaultServer) -> None:
    """Over client, HTTP and both drivers."""
    server.script(OLD, reply(200, chat()))
    with pytest.warns(RetiringModelWarning) as caught:
        fm.chat(OLD, "Hi")
    fm.chat(OLD, "Hi again")  # a second warning would be an error

    (warning,) = [item for item in caught if item.category is RetiringModelWarning]
    assert str(warning.message) == (
        "'databricks-dbrx-instruct': DBRX Instruct was retired (on 2025-04-30, unverified); "
        "use 'databricks-llama-4-maverick' (unverified)."
    )


@pytest.mark.parametrize("verb", ["stream_chat", "embed", "complete"])
def test_every_kind_of_query_tells(fm: Any, server: FaultServer, verb: str) -> None:
    answers = {"embed": reply(200, embeddings([[1.0]])), "stream_chat": chunked(*words("a"))}
    completion = {"object": "text_completion", "choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}
    server.script(OLD, answers.get(verb, reply(200, completion)))
    with pytest.warns(RetiringModelWarning, match="use 'databricks-llama-4-maverick'"):
        whole(fm, verb)


def whole(fm: Any, verb: str) -> Any:
    answer = getattr(fm, verb)(OLD, "Hi")
    return list(answer) if verb == "stream_chat" else answer


def test_of_many_threads_one_warns() -> None:
    barrier = threading.Barrier(16)

    def ask() -> None:
        barrier.wait()
        retiring.warn_if_retiring(OLD, TODAY)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(caught) == 1


def test_other_models_and_the_control_plane_do_not_warn(fm: Any, server: FaultServer) -> None:
    server.script("databricks-gte-large-en", reply(200, embeddings([[1.0]])))
    server.script(f"/api/2.0/serving-endpoints/{OLD}", reply(200, {"name": OLD}))

    assert fm.embed("databricks-gte-large-en", "Hi").vectors  # warnings are errors here
    assert fm.call("endpoints.get", OLD).name == OLD


@pytest.mark.parametrize(("day", "says"), [("2027-01-31", "will be retired on"), ("2026-11-26", "was retired on")])
def test_an_end_to_come_is_told_from_one_that_is_past(tmp_path: Path, day: str, says: str) -> None:
    entry = {"model": "Old", "endpoint": "old", "offering": "pay-per-token", "date": day, "replacement": "new"}
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"schema_version": 1, "retirements": [entry]}))
    catalog.load(path)

    with pytest.warns(RetiringModelWarning, match=f"'old': Old {says} {day}; use 'new'."):
        retiring.warn_if_retiring("old", TODAY)


def test_a_chain_without_an_end_names_no_replacement(tmp_path: Path) -> None:
    def entry(model: str, replacement: str) -> dict[str, Any]:
        return {
            "model": model,
            "endpoint": model,
            "offering": "pay-per-token",
            "date": "2026-01-01",
            "replacement": replacement,
        }

    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"schema_version": 1, "retirements": [entry("a", "b"), entry("b", "a")]}))
    catalog.load(path)

    assert catalog.replacement("a") is None
    assert catalog.retirement_notice("a") == "a was retired on 2026-01-01."
