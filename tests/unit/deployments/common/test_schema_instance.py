"""A generated instance is valid, minimal, and never larger than its bounds."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from deployments.common.schema_instance import (
    ANY_OBJECT,
    MAX_VALUES,
    SchemaHasNoInstance,
    minimal_instance,
    minimal_json,
)

NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "object": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]},
    "any object": dict(ANY_OBJECT),
    "enum": {"enum": ["red", "green"]},
    "const": {"const": {"kind": "text"}},
    "nullable": {"type": ["null", "boolean"]},
    "array": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "minItems": 2},
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2},
    "integers": {"type": "integer", "minimum": 5, "multipleOf": 4},
    "negative": {"type": "integer", "exclusiveMaximum": -2},
    "string": {"type": "string", "minLength": 12, "maxLength": 12},
    "short string": {"type": "string", "maxLength": 2},
    "format": {"type": "string", "format": "date-time"},
    "all of": {"allOf": [{"$ref": "#/$defs/A"}, {"required": ["b"], "properties": {"b": {"type": "null"}}}]}
    | {"$defs": {"A": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}}},
    "recursive": {"$ref": "#/$defs/Node", "$defs": {"Node": {**NODE, "required": ["next"]}}},
    "one of": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "untyped": {"properties": {"x": {"items": {"type": "string"}, "minItems": 1}}, "required": ["x"]},
}

TENFOLD = {f"L{n}": {"type": "array", "minItems": 10, "items": {"$ref": f"#/$defs/L{n + 1}"}} for n in range(9)}
MULTIPLYING = {"$ref": "#/$defs/L0", "$defs": TENFOLD | {"L9": {"type": "null"}}}


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_instance_is_valid(name: str) -> None:
    jsonschema.validate(minimal_instance(SCHEMAS[name]), SCHEMAS[name])


def test_an_instance_has_the_required_properties_alone() -> None:
    assert minimal_instance(SCHEMAS["object"]) == {"a": 0}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/N", "$defs": {"N": {"properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["n"]}}},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/Nothing"},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        MULTIPLYING,
        False,
    ],
    ids=["endless", "itself", "all of itself", "dangling", "long", "wide", "multiplying", "nothing"],
)
def test_a_schema_without_a_small_instance_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaHasNoInstance):
        minimal_instance(schema)
    assert minimal_json(schema) == "{}"


def test_a_schema_of_the_wrong_shape_has_an_empty_object() -> None:
    for schema in ({"type": "object", "required": 5}, {"allOf": ["text"]}, {"type": "integer", "minimum": "five"}):
        assert minimal_json(schema) == "{}"


def test_the_bound_counts_values() -> None:
    assert len(minimal_instance(nulls(MAX_VALUES - 1))) == MAX_VALUES - 1
    with pytest.raises(SchemaHasNoInstance):
        minimal_instance(nulls(MAX_VALUES))


def nulls(count: int) -> dict[str, Any]:
    return {"type": "array", "minItems": count, "items": {"type": "null"}}
