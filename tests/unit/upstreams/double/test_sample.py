"""Values for schemas. ``jsonschema-rs`` judges them."""

import jsonschema_rs
import pytest

from deepseek_messages.upstreams.double.sample import sample


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {"type": ["null", "integer"]}}, "required": ["a"]},
        {"type": "object", "additionalProperties": False, "properties": {"x": {"type": "null"}}},
        *(
            {"type": "object", "properties": {"a": inner}, "required": ["a"]}
            for inner in (
                {"const": [1]},
                {"enum": ["x", "y"]},
                {"type": "string", "minLength": 9, "maxLength": 12},
                {"type": "string", "maxLength": 0},
                {"type": "string", "format": "email"},
                {"type": "string", "format": "date-time"},
                {"type": "string", "format": "uuid"},
                {"type": "integer", "minimum": 3.5},
                {"type": "integer", "exclusiveMinimum": 3},
                {"type": "integer", "maximum": -2},
                {"type": "integer", "exclusiveMaximum": 0},
                {"type": "integer", "minimum": 10, "multipleOf": 7},
                {"type": "number", "minimum": 0.5, "maximum": 0.6},
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
                {"type": "number", "exclusiveMinimum": 2},
                {"type": "boolean"},
                {"type": "array"},
                {"type": "array", "minItems": 2, "items": {"type": "integer"}},
                {
                    "type": "array",
                    "minItems": 2,
                    "prefixItems": [{"type": "null"}],
                    "items": {"type": "string"},
                },
                {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                {"oneOf": [{"type": "string"}, {"type": "null"}]},
                {
                    "allOf": [
                        {"properties": {"a": {"type": "null"}}, "required": ["a"]},
                        {"properties": {"b": {"type": "null"}}, "required": ["b"]},
                    ],
                    "type": "object",
                },
            )
        ),
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a~1b"}},
            "required": ["a"],
            "$defs": {"a/b": {"type": "array", "items": {"$ref": "#"}, "minItems": 0}},
        },
        {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object", "required": ["q"]}}},
    ],
)
def test_the_value_fits(schema):
    assert jsonschema_rs.is_valid(schema, sample(schema))


def test_text_is_the_name_of_its_property():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert sample(schema) == {"city": "city"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"anyOf": [{"$ref": "#"}]},
    ],
)
def test_endless_schemas_end(schema):
    sample(schema)
