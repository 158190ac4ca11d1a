"""Schemas of tools and objects, without what hosted models refuse."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llamaindex_fm._messages import tools_to_wire
from llamaindex_fm._schema import flat
from llamaindex_fm._structured import response_format


class Street(BaseModel):
    """A street."""

    name: str
    number: int | None = None


class Person(BaseModel):
    """A person."""

    streets: list[Street]
    home: Street
    mood: Literal["good", "bad"] | None = None
    tags: dict[str, Street] | None = None
    code: int | str = 0


class Letter(BaseModel):
    """A letter."""

    to: Person
    urgent: bool | None = None


class Tree(BaseModel):
    """A tree."""

    children: list[Tree]


def test_definitions_are_worked_in() -> None:
    schema = response_format(Person)["json_schema"]["schema"]
    assert "$ref" not in json.dumps(schema)
    assert "$defs" not in schema
    home = schema["properties"]["home"]
    assert (home["type"], home["required"], home["description"]) == ("object", ["name"], "A street.")
    assert schema["properties"]["streets"]["items"]["properties"]["name"]["type"] == "string"


def test_what_may_be_null_is_a_type_with_null() -> None:
    properties = flat(Person.model_json_schema())["properties"]
    assert properties["home"]["properties"]["number"]["type"] == ["integer", "null"]
    assert (properties["mood"]["type"], properties["mood"]["enum"]) == (["string", "null"], ["good", "bad", None])
    assert properties["tags"]["type"] == ["object", "null"]
    assert [option["type"] for option in properties["code"]["anyOf"]] == ["integer", "string"], "there is no other form"


@pytest.mark.parametrize(
    "schema",
    [
        Tree.model_json_schema(),
        {"$ref": "#/elsewhere/A"},
        {"$ref": "#/$defs/A/properties/b", "$defs": {"A": {"properties": {"b": {"type": "string"}}}}},
        {"properties": {"$defs": {"type": "string"}}},
        {"anyOf": [{"type": "null"}, {"type": "null"}]},
        {"anyOf": [{"type": "null"}, {"anyOf": []}]},
    ],
    ids=["recursive", "unknown", "inside of a definition", "property of that name", "nothing but null", "nested"],
)
def test_what_has_no_flat_form_stays(schema: dict[str, Any]) -> None:
    before = json.dumps(schema)
    assert flat(schema) == schema
    assert json.dumps(schema) == before


def test_the_parameters_of_a_tool_are_flat() -> None:
    [tool] = tools_to_wire([FunctionTool.from_defaults(print, name="send", description="Send.", fn_schema=Letter)])
    assert "$" not in json.dumps(tool)
    assert tool["function"]["parameters"]["properties"]["urgent"]["type"] == ["boolean", "null"]
