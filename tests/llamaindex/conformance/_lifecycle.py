"""What becomes of models of either kind in dumps, pickles and copies, and where their token is not."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from ._kit import Kit, watched


class Lifecycle(Kit):
    """Makes models, fresh and used."""

    environment: ClassVar[Mapping[str, str]] = {}
    """Variables from which a model that was loaded again finds its token."""

    def make(self, **fields: Any) -> Any:
        """A model with `secret` for its token; `fields` are further arguments of its class."""
        pytest.fail(f"{type(self).__name__} must say how a model is made: def make(self, **fields)")

    def use(self, model: Any) -> Any:
        """One sync call; what comes of it must be something."""
        pytest.fail(f"{type(self).__name__} is no suite")

    @pytest.fixture
    def model(self, keep: Callable[[Any], Any]) -> Any:
        """A fresh model."""
        return keep(self.make())

    @pytest.fixture(params=["fresh", "used"])
    def aged(self, request: pytest.FixtureRequest, model: Any) -> Any:
        """A model that has been used, or not yet."""
        if request.param == "used":
            self.use(model)
        return model

    @pytest.fixture
    def anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment of a process in which a model is loaded again."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def test_a_dump_is_plain_and_can_be_loaded(self, aged: Any, anew: None, keep: Any) -> None:
        dump = aged.to_dict()
        assert json.loads(json.dumps(dump)) == dump
        again = keep(type(aged).from_dict(dict(dump)))
        assert again.to_dict() == dump
        assert self.use(again)

    def test_a_pickle_works_where_it_is_loaded(self, aged: Any, anew: None, keep: Any) -> None:
        assert self.use(keep(pickle.loads(pickle.dumps(aged))))  # noqa: S301  # our own

    @pytest.mark.parametrize("way", ["copy", "deepcopy", "model_copy"])
    def test_a_copy_works(self, aged: Any, keep: Any, way: str) -> None:
        ways = {"copy": copy.copy, "deepcopy": copy.deepcopy, "model_copy": lambda m: m.model_copy(deep=True)}
        assert self.use(keep(ways[way](aged)))

    def test_the_token_is_in_no_text_dump_or_payload(self, aged: Any) -> None:
        shown = [repr(aged), str(aged), str(aged.to_dict()), aged.to_json(), str(aged.to_payload()), str(vars(aged))]
        shown.append(pickle.dumps(aged).decode("latin-1"))
        assert [text[:80] for text in shown if self.secret in text] == []

    def test_the_token_is_in_no_event(self, model: Any) -> None:
        with watched() as witness:
            self.use(model)
        assert witness.events
        assert self.secret not in str([event.model_dump() for event in witness.events])

    def test_the_name_of_the_class_is_its_id(self, model: Any) -> None:
        assert model.to_dict()["class_name"] == type(model).class_name()
        assert type(model).class_name() not in ("base_component", "base_llm", "BaseEmbedding")

    def test_an_unknown_argument_is_an_error(self) -> None:
        with pytest.raises((TypeError, ValueError), match="contextwindow"):
            self.make(contextwindow=5)
