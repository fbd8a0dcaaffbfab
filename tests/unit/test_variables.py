"""A type's JSON Schema: checked when it is saved, holds for each request, and holds up nobody."""

import time
from typing import Any

import pytest

from infrastructure.variables import BadSchema, check_schema, check_variables, declared_by

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "pattern": "^[0-9]+$"},
        "lines": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["order"],
    "additionalProperties": False,
    "$defs": {"line": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string", "maxLength": 8}}}},
}


def found_in(variables: dict[str, Any], schema: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    return [(each.pointer, each.detail) for each in check_variables(ORDER if schema is None else schema, variables)]


def test_what_fits_the_schema_has_no_flaw() -> None:
    check_schema(ORDER)
    assert found_in({"order": "42", "lines": [{"sku": "a"}, {"sku": "b"}]}) == []
    assert check_variables(None, {"whatever": 1}) == ()


@pytest.mark.parametrize(
    ("variables", "pointer", "detail"),
    [
        ({}, "/variables/order", "is missing"),
        ({"order": "42", "colour": 1}, "/variables/colour", "is nothing the schema knows"),
        ({"order": 42}, "/variables/order", 'does not satisfy type: "string"'),
        ({"order": "4x"}, "/variables/order", 'does not satisfy pattern: "^[0-9]+$"'),
        ({"order": "4", "lines": [{}]}, "/variables/lines/0/sku", "is missing"),
        ({"order": "4", "lines": [{"sku": "123456789"}]}, "/variables/lines/0/sku", "does not satisfy maxLength: 8"),
        ({"order": "4", "lines": [{"sku": "1"}, {"sku": "1"}]}, "/variables/lines", "does not satisfy uniqueItems: true"),
    ],
)
def test_a_flaw_names_the_field_and_not_the_value(variables: dict[str, Any], pointer: str, detail: str) -> None:
    assert found_in(variables) == [(pointer, detail)]


def test_numbers_are_the_same_however_they_are_written() -> None:
    schema = {"properties": {"n": {"uniqueItems": True}}}
    assert found_in({"n": [1, 1.0]}, schema) == [("/variables/n", "does not satisfy uniqueItems: true")]
    assert found_in({"n": [1, True, "1", None, 0, False]}, schema) == []


def test_names_beyond_those_that_are_listed_may_have_a_schema_of_their_own() -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    assert found_in({"a": 1, "b": "x"}, schema) == [("/variables/b", 'does not satisfy type: "integer"')]


@pytest.mark.parametrize(
    ("schema", "pointer", "named"),
    [
        ({"type": "text"}, "/type", "text"),
        ({"properties": {"a": {"minLength": "x"}}}, "/properties/a/minLength", "not of type"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "2020-12"),
        ({"properties": {"a": {"$ref": "https://evil.example/s"}}}, "/properties/a/$ref", "itself"),
        ({"properties": {"a": {"$ref": "#/$defs/gone"}}}, "", "leads nowhere"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "", "back to itself"),
        ({"$ref": "#"}, "/$ref", "itself"),
        ({"$dynamicRef": "#x"}, "/$dynamicRef", "itself"),
        ({"$id": "https://evil.example/s"}, "/$id", "itself"),
        ({"patternProperties": {"^(a+)+$": {}}}, "/patternProperties", "for ever"),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, "/properties/a/pattern", "linear"),
        ({"properties": {"a": {"pattern": "a" * 201}}}, "/properties/a/pattern", "200"),
        ({"properties": {"a": {"enum": ["x" * 17_000]}}}, "", "bytes"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_at_its_place(schema: dict[str, Any], pointer: str, named: str) -> None:
    with pytest.raises(BadSchema, match=named) as refused:
        check_schema(schema)
    assert refused.value.pointer == pointer


def test_a_property_may_be_called_like_a_keyword() -> None:
    check_schema({"properties": {"pattern": {"type": "string"}, "$id": {"enum": [{"$ref": "x"}]}}})


def test_a_schema_nested_too_deep_is_refused_before_anybody_walks_it() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"not": schema}
    with pytest.raises(BadSchema, match="deeper"):
        check_schema(schema)


def test_a_schema_that_doubles_with_every_reference_is_refused() -> None:
    """Forty lines that say two to the power of forty."""
    doubled = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}}
    with pytest.raises(BadSchema, match="written out"):
        check_schema({"$ref": "#/$defs/d0", "$defs": doubled})


@pytest.mark.parametrize(
    ("schema", "variables"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 100_000 + "!"}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"n": n} for n in range(20_000)]}),
        ({"properties": {"a": {"items": {"anyOf": [{"const": n} for n in (*range(300), "x")]}}}}, {"a": ["x"] * 40_000}),
        ({"properties": {"a": {"items": {"enum": [*(f"{n}" for n in range(1_000)), "x"]}}}}, {"a": ["x"] * 40_000}),
    ],
)
def test_what_a_sender_may_say_is_checked_in_no_time(schema: dict[str, Any], variables: dict[str, Any]) -> None:
    check_schema(schema)
    began = time.process_time()
    check_variables(schema, variables)
    assert time.process_time() - began < 2


def test_a_schema_says_which_names_there_are() -> None:
    assert declared_by(ORDER) == frozenset(("order", "lines"))
    spread = {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {}}}}, "properties": {"y": {}}}
    assert declared_by(spread) == frozenset(("x", "y"))
    assert declared_by({"properties": {"x": {}}, "additionalProperties": True}) is None
