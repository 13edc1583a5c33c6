"""Values held against JSON schemas: as the reference implementation finds, within a bound of work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from slmroute.json_schema import MOST_STEPS, fits

CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}

CASES: list[tuple[dict[str, Any], object, object]] = [
    ({"enum": ["c", "f"]}, "c", "kelvin"),
    ({"const": "c"}, "c", "f"),
    ({"enum": [1, "a"]}, 1.0, True),
    ({"const": {"a": [1]}}, {"a": [1.0]}, {"a": [2]}),
    ({"type": "array", "items": {"type": "integer"}}, [1, 2], [1, "x"]),
    ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, [["a"]], [["a", 1]]),
    ({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}, [1, "a"], ["a", 1]),
    ({"prefixItems": [{"type": "integer"}], "items": False}, [1], [1, 2]),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, "x"),
    ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, 3, "x"),
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 2, 4),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, 2, 3),
    ({"type": "string", "minLength": 1, "maxLength": 2}, "ab", ""),
    ({"type": "array", "minItems": 1, "maxItems": 2}, [1], [1, 2, 3]),
    (CITY, {"name": "Paris"}, {"name": "Paris", "mayor": "x"}),
    (CITY, {"name": "Paris", "people": 2}, {"people": 2}),
    ({"additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "x"}),
    ({"type": "array", "items": CITY}, [{"name": "Paris"}], [{"name": 1}]),
    ({"properties": {"c": {"$ref": "#/$defs/C"}}, "$defs": {"C": CITY}}, {"c": {"name": "Paris"}}, {"c": {}}),
    ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"type": "null"}}}, None, 1),
    ({"$ref": "#/allOf/0", "allOf": [{"type": "null"}]}, None, 1),
    ({"type": ["integer", "null"]}, None, "x"),
    ({"type": "boolean"}, True, 1),
    ({"type": "integer"}, 1.0, True),
    ({"type": "number"}, 1, "1"),
    ({"properties": {"a": False}}, {}, {"a": 1}),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=[json.dumps(schema)[:60] for schema, _, _ in CASES])
def test_each_rule_is_followed(schema: dict[str, Any], good: object, bad: object) -> None:
    Draft202012Validator.check_schema(schema)
    assert [Draft202012Validator(schema).is_valid(value) for value in (good, bad)] == [True, False]
    assert [fits(value, schema) for value in (good, bad)] == [True, False]


TREE = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "branches": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["label"],
}


def test_schemas_that_refer_to_themselves_are_followed_down() -> None:
    tree = {"label": "a", "branches": [{"label": "b", "branches": [{"label": "c"}]}]}
    assert fits(tree, TREE)
    tree["branches"][0]["branches"][0]["label"] = 1  # type: ignore[index]
    assert not fits(tree, TREE)


def test_old_tuples_and_openapis_nulls_are_understood() -> None:
    old = {"type": "array", "items": [{"type": "integer"}], "additionalItems": False}
    assert fits([1], old)
    assert not fits(["a"], old)
    assert not fits([1, 2], old)
    assert fits(None, {"type": "string", "nullable": True})
    assert not fits(None, {"type": "string"})


def test_one_branch_or_more_of_several_must_fit() -> None:
    assert fits(3, {"oneOf": [{"type": "integer"}, {"type": "number"}]})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#/nowhere"},
        {"not": {}},
        {"type": "unheard of"},
        {"type": 3, "required": "x", "properties": [], "items": 3, "enum": 3, "anyOf": {}, "minimum": "a"},
    ],
    ids=lambda schema: json.dumps(schema)[:40],
)
def test_what_cannot_be_followed_fits(schema: dict[str, Any]) -> None:
    assert fits([{"a": 1}], schema)


def test_work_is_bounded_and_what_is_beyond_fits() -> None:
    assert not fits([*[1] * (MOST_STEPS - 10), "x"], {"items": {"type": "integer"}})
    assert fits([*[1] * MOST_STEPS, "x"], {"items": {"type": "integer"}})
    bomb = {f"l{n}": {"anyOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 10} for n in range(30)} | {"l30": {"type": "string"}}
    assert fits(1, {"$ref": "#/$defs/l0", "$defs": bomb})
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    assert fits(deep, {"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}})


NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | st.sampled_from(["", "a", "b"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])


def schemas_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    rules: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "required": st.lists(NAMES, max_size=2, unique=True),
        "additionalProperties": inner,
        "items": inner,
        "prefixItems": some,
        "anyOf": some,
        "allOf": some,
        "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y"]),
        "minimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "minLength": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
    }
    return st.fixed_dictionaries({}, optional=rules)


SCHEMAS = st.recursive(st.booleans() | st.just({}), schemas_of, max_leaves=6)
# What is defined refers to nothing, for the reference implementation does not stop where a reference goes in a circle.
DEFINED = st.fixed_dictionaries({}, optional={"type": TYPES, "enum": st.lists(VALUES, min_size=1, max_size=2)})


@given(schemas_of(SCHEMAS), DEFINED, DEFINED, VALUES)
def test_a_value_fits_just_where_the_reference_implementation_says_so(
    schema: dict[str, Any], x: dict[str, Any], y: dict[str, Any], value: object
) -> None:
    whole = {**schema, "$defs": {"x": x, "y": y}}
    assert fits(value, whole) == Draft202012Validator(whole).is_valid(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
KEYWORDS = ["type", "enum", "const", "properties", "required", "additionalProperties", "items", "prefixItems", "anyOf"]
KEYWORDS += ["oneOf", "allOf", "$ref", "minimum", "maxLength", "minItems", "nullable", "patternProperties"]


@given(st.dictionaries(st.sampled_from(KEYWORDS), JSON, max_size=6), JSON)
def test_a_senseless_schema_never_fails(schema: dict[str, Any], value: object) -> None:
    assert fits(value, schema) in (True, False)
