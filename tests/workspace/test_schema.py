"""Values made from JSON Schemas: what pydantic asks for, pydantic accepts."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, HttpUrl, TypeAdapter

from fm_workspace._schema import fill


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    zip_code: Annotated[str, Field(min_length=5, max_length=5)]


class Person(BaseModel):
    name: str
    age: Annotated[int, Field(ge=18, le=120)]
    colour: Colour
    address: Address
    nickname: str | None = None
    tags: list[str]
    score: Annotated[float, Field(gt=0, lt=1)]


class Node(BaseModel):
    value: int
    children: list[Node]
    parent: Node | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Formats(BaseModel):
    day: date
    moment: datetime
    link: HttpUrl
    id: UUID


TYPES: list[Any] = [
    Person,
    Node,
    Pet,
    Formats,
    list[Address],
    dict[str, int],
    tuple[int, str],
    int | None,
    Annotated[int, Field(multiple_of=5, ge=7)],
    Annotated[list[int], Field(min_length=3, max_length=4)],
    Literal["a", "b"],
    bool,
    None,
]


@pytest.mark.parametrize("text", ["", "Ada is 36.", "no 3 'x' 7.5 \"y\" red", "Ünï ☃ 99999"])
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_pydantic_accepts_what_its_own_schema_was_filled_with(kind: Any, text: str) -> None:
    adapter = TypeAdapter(kind)
    adapter.validate_python(fill(adapter.json_schema(), text))


@pytest.mark.parametrize(
    ("properties", "text", "value"),
    [
        ({"a": "integer", "b": "integer"}, "What is 3 + 4?", {"a": 3, "b": 4}),
        ({"price": "number"}, "It costs 1,299.50 euros", {"price": 1299.5}),
        ({"delta": "integer"}, "Change it by -5", {"delta": -5}),
        ({"city": "string"}, "Is it raining in New York today?", {"city": "New York"}),
        ({"first": "string", "second": "string"}, "Swap 'left' and \"right\"", {"first": "left", "second": "right"}),
        ({"age": "integer", "name": "string"}, "name: Ada, age=36, shoe size 40", {"age": 36, "name": "Ada"}),
        ({"query": "string"}, "what is the refund policy?", {"query": "what is the refund policy?"}),
        ({"enabled": "boolean"}, "Do not do that", {"enabled": False}),
        ({"enabled": "boolean"}, "Switch it on", {"enabled": True}),
        ({"first_name": "string"}, "The first name is Ada", {"first_name": "Ada"}),
    ],
)
def test_values_come_from_the_text(properties: dict[str, str], text: str, value: Any) -> None:
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}
    assert fill(schema, text) == value


def test_optional_properties_are_filled_only_if_the_text_names_them() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]}
    assert fill(schema, "take 1 and 2") == {"a": 1}
    assert fill(schema, "take a=1 and b=2") == {"a": 1, "b": 2}


def test_what_has_a_format_is_found_in_the_text() -> None:
    schema = TypeAdapter(Formats).json_schema()
    text = "On 2025-03-04 at 2025-03-04T05:06:07Z see https://example.org/x, 12345678-1234-4234-8234-123456789abc."
    assert fill(schema, text) == {
        "day": "2025-03-04",
        "moment": "2025-03-04T05:06:07Z",
        "link": "https://example.org/x,",
        "id": "12345678-1234-4234-8234-123456789abc",
    }


def test_all_of_is_worked_in_and_the_first_branch_is_taken() -> None:
    base = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
    schema = {"allOf": [base, {"properties": {"b": {"const": 2}}, "required": ["b"]}], "type": "object"}
    assert fill(schema, "1") == {"a": 1, "b": 2}
    assert fill({"oneOf": [{"type": "null"}, {"type": "integer"}]}, "5") == 5


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"type": "array"},
        {"type": []},
        {"enum": []},
        {"type": "string", "pattern": "("},
        {"type": "object", "properties": {"a": True}},
    ],
)
def test_odd_schemas_still_end(schema: Any) -> None:
    fill(schema, "text with 1 number")


def test_a_schema_that_requires_itself_without_end_ends() -> None:
    schema = {"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}}}
    assert fill({**schema, "$ref": "#/$defs/n"}, "x")["n"]["n"]


def test_a_pattern_takes_the_word_that_fits() -> None:
    assert fill({"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}, "The part is AB-12, not x.") == "AB-12"
