"""The endpoints that a chain or an index asks are found wherever its models are."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deployments_api import CHAT, GTE
from mlflow.exceptions import MlflowException

from mlflow_fm import resources_for

MODEL: Any = None
"""What a function of this module uses as a global."""


def names(*objects: Any) -> list[str]:
    return [resource.name for resource in resources_for(*objects)]


def uses_a_global(text: str) -> Any:
    return helper(text)


def helper(text: str) -> Any:
    return MODEL.invoke(text)


@pytest.fixture(autouse=True)
def model() -> Iterator[Any]:
    global MODEL  # noqa: PLW0603  # a chain's function would find it there
    pytest.importorskip("langchain_core")
    from langchain_fm import ChatFoundationModel

    MODEL = ChatFoundationModel(model="chat", host="local")
    yield MODEL
    MODEL = None


class Slotted:
    __slots__ = ("__hidden", "model")

    def __init__(self, inner: Any) -> None:
        self.model = inner

    def ask(self, text: str) -> Any:
        return self.model.invoke(text)


def shapes(model: Any) -> dict[str, Any]:
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.runnables import ConfigurableField, RunnableBranch, RunnableLambda, RunnableParallel
    from langchain_core.tools import tool

    other = type(model)(model="other", host="local")

    @tool
    def ask(text: str) -> str:
        """Ask another model."""
        return str(other.invoke(text))

    return {
        "model": (model, ["chat"]),
        "sequence": (model | StrOutputParser(), ["chat"]),
        "parallel": (RunnableParallel(a=model, b=other), ["chat", "other"]),
        "branch": (RunnableBranch((bool, model), other), ["chat", "other"]),
        "fallbacks": (model.with_fallbacks([other]), ["chat", "other"]),
        "retry": (model.with_retry(), ["chat"]),
        "bound": (model.bind(temperature=0), ["chat"]),
        "bound to another endpoint": (model.bind(model="bound"), ["bound", "chat"]),
        "alternatives": (
            model.configurable_alternatives(ConfigurableField(id="m"), default_key="a", b=other),
            ["chat", "other"],
        ),
        "structured": (model.with_structured_output({"title": "t", "type": "object", "properties": {}}), ["chat"]),
        "several endpoints": (type(model)(model=["one", "two"], host="local"), ["one", "two"]),
        "closure": (RunnableLambda(lambda x: model.invoke(x, stop=[x])), ["chat"]),
        "global": (RunnableLambda(uses_a_global), ["chat"]),
        "default": (RunnableLambda(lambda x, inner=model: inner.invoke(x)), ["chat"]),
        "partial": (RunnableLambda(functools.partial(lambda inner, x: inner.invoke(x), model)), ["chat"]),
        "method": (RunnableLambda(Slotted(model).ask), ["chat"]),
        "tool": (ask, ["other"]),
        "list": ([model, {"x": (other,)}], ["chat", "other"]),
    }


@pytest.mark.parametrize(
    "shape",
    [
        "model",
        "sequence",
        "parallel",
        "branch",
        "fallbacks",
        "retry",
        "bound",
        "bound to another endpoint",
        "alternatives",
        "structured",
        "several endpoints",
        "closure",
        "global",
        "default",
        "partial",
        "method",
        "tool",
        "list",
    ],
)
def test_a_model_is_found_in(shape: str, model: Any) -> None:
    found, expected = shapes(model)[shape]
    assert expected == names(found)


def test_an_agent_asks_the_models_of_itself_and_of_its_tools(model: Any) -> None:
    agents = pytest.importorskip("langchain.agents")
    tool = shapes(model)["tool"][0]
    assert ["chat", "other"] == names(agents.create_agent(model, [tool]))


@pytest.mark.parametrize(
    "make",
    [
        lambda index, llm: index.as_query_engine(llm=llm),
        lambda index, llm: [index, llm],
    ],
    ids=["query engine", "index"],
)
def test_the_models_of_an_index_are_found(make: Callable[[Any, Any], Any]) -> None:
    core = pytest.importorskip("llama_index.core")
    from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

    embed_model = FoundationModelEmbedding(GTE, host="local")
    index = core.VectorStoreIndex.from_documents([core.Document(text="a")], embed_model=embed_model)
    assert [GTE, CHAT] == names(make(index, FoundationModelLLM(CHAT, host="local")))


def test_what_an_index_takes_from_the_settings_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    core = pytest.importorskip("llama_index.core")
    from llamaindex_fm import FoundationModelEmbedding, FoundationModelLLM

    monkeypatch.setattr(core.Settings, "_embed_model", FoundationModelEmbedding(GTE, host="local"))
    monkeypatch.setattr(core.Settings, "_llm", FoundationModelLLM(CHAT, host="local"))
    assert [GTE, CHAT] == names(core.VectorStoreIndex.from_documents([core.Document(text="a")]))


def test_an_endpoint_is_listed_once_and_as_mlflow_wants_it(model: Any) -> None:
    (resource,) = resources_for(model, [model, model])
    assert {"serving_endpoint": [{"name": "chat"}]} == resource.to_dict()


@pytest.mark.parametrize("found", [(), (None,), (str,), ("chat",), ({"model": "chat"},), (lambda: 1,), (sys,)])
def test_where_no_model_is_it_is_said(found: tuple[Any, ...]) -> None:
    with pytest.raises(MlflowException, match="no model of langchain_fm or llamaindex_fm"):
        resources_for(*found)


def test_looking_for_models_loads_no_framework() -> None:
    code = """
import sys, mlflow_fm
try:
    mlflow_fm.resources_for([object()])
except mlflow_fm._errors.MlflowException:
    print(*sorted(sys.modules.keys() & {"langchain_core", "llama_index.core"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()
