"""The forms that `config` may have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlflow_fm._configs import Change, create_plan, read_config, update_plan

ENTITIES = [{"entity_name": "main.default.llama", "entity_version": "3", "max_provisioned_throughput": 1000}]
CONFIG = {"served_entities": ENTITIES}


def test_texts_of_the_command_line_become_values_by_the_name_of_their_field(tmp_path: Path) -> None:
    path = tmp_path / "tags.json"
    path.write_text('\ufeff[{"key": "team"}]', encoding="utf-8")
    read = read_config(
        {
            "served_entities": json.dumps(ENTITIES),
            "tags": f"@{path}",
            "provisioned_model_units": "50",
            "route_optimized": "True",
            "wait_timeout": "1.5",
            "description": "2024",
            "entity_version": "3",
        }
    )
    assert read == {
        "served_entities": ENTITIES,
        "tags": [{"key": "team"}],
        "provisioned_model_units": 50,
        "route_optimized": True,
        "wait_timeout": 1.5,
        "description": "2024",
        "entity_version": "3",
    }


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"config": "{"}, "config: the value is no JSON"),
        ({"config": "@/nowhere/at/all.json"}, "cannot be read"),
        ({"wait": "maybe"}, "wait must be true or false"),
        ({"provisioned_model_units": "1.5"}, "provisioned_model_units must be a number"),
        ({"wait_timeout": "long"}, "wait_timeout must be a number"),
        ([], "config must be an object"),
    ],
)
def test_a_text_that_is_no_such_value_is_refused(config: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_config(config)


@pytest.mark.parametrize(
    ("name", "config", "spec"),
    [
        (None, {"name": "e", "config": CONFIG, "tags": []}, {"config": CONFIG, "tags": []}),
        ("e", {"config": CONFIG}, {"config": CONFIG}),
        ("e", {**CONFIG, "tags": [{"key": "a"}]}, {**CONFIG, "tags": [{"key": "a"}]}),
        ("e", {**CONFIG, "traffic_config": {}}, {"config": {**CONFIG, "traffic_config": {}}}),
        (None, {"config": {"name": "e", "config": CONFIG, "description": "d"}}, {"config": CONFIG, "description": "d"}),
        ("e", {"entity_name": "a.b.c", "provisioned_model_units": 50}, None),
        ("e", {"external_model": {"name": "gpt-4o"}, "description": "d"}, None),
    ],
)
def test_each_form_of_a_request_creates_the_endpoint_it_describes(
    name: str | None, config: dict[str, Any], spec: dict[str, Any] | None
) -> None:
    assert create_plan(name, config, None) == Change("e", config if spec is None else spec, wait=True)


def test_a_request_in_a_file_is_a_request(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"name": "e", "config": CONFIG}), encoding="utf-8")
    plan = create_plan(None, {"config": f"@{path}", "wait": "false"}, None)
    assert plan == Change("e", {"config": CONFIG}, wait=False)


def test_rate_limits_of_the_older_form_are_kept_apart() -> None:
    limits = [{"calls": 5, "renewal_period": "minute"}]
    plan = create_plan("e", {**CONFIG, "rate_limits": limits, "wait_timeout": 3}, None)
    assert plan == Change("e", CONFIG, {"timeout": 3}, limits)


@pytest.mark.parametrize(("argument", "field"), [(True, None), (None, True), (True, True)])
def test_route_optimized_may_stand_in_either_place(argument: bool | None, field: bool | None) -> None:
    config = {"config": CONFIG} if field is None else {"config": CONFIG, "route_optimized": field}
    assert create_plan("e", config, argument).spec == {"config": CONFIG, "route_optimized": True}


@pytest.mark.parametrize(
    ("name", "config", "route_optimized", "reason"),
    [
        (None, {"config": CONFIG}, None, "needs a name"),
        ("a", {"name": "b", "config": CONFIG}, None, "name is 'a' as an argument and 'b' in config"),
        ("a", {"config": CONFIG, "route_optimized": False}, True, "route_optimized is True as an argument"),
        ("a", {}, None, "nothing of what to serve"),
        ("a", None, None, "nothing of what to serve"),
        ("a", {"tags": []}, None, "nothing of what to serve"),
        ("a", {**CONFIG, "wait": "perhaps"}, None, "wait must be"),
        ("a", {**CONFIG, "wait": 1}, None, "wait must be"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(
    name: str | None, config: Any, route_optimized: bool | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        create_plan(name, config, route_optimized)


def test_an_update_takes_the_same_forms() -> None:
    assert update_plan("e", CONFIG) == Change("e", CONFIG, wait=True)
    assert update_plan("e", {"config": CONFIG, "wait": False}) == Change("e", {"config": CONFIG}, wait=False)
    with pytest.raises(ValueError, match="'e' as an argument and 'f' in config"):
        update_plan("e", {"name": "f", **CONFIG})
