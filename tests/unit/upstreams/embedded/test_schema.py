import pytest

from deepseek_messages.upstreams.embedded.schema import Level, localise

ROOT = "#/$defs/t0"
OPEN = Level.OPEN


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/t0/$defs/leaf"}),
        ({"$ref": "#"}, {"$ref": "#/$defs/t0"}),
        ({"$ref": "http://example.org/s.json"}, {}),
        ({"pattern": "^a(?=b)"}, {}),
        ({"pattern": "(a)\\1"}, {}),
        ({"pattern": "^[a-z]{3}-\\d+$"}, {"pattern": "^[a-z]{3}-\\d+$"}),
        ({"type": "objekt"}, {}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x"}, {}),
        ({"items": True, "minItems": 1}, {"items": True, "minItems": 1}),
        (
            {"anyOf": [{"pattern": "(?!x)"}, {"$ref": "#/a"}]},
            {"anyOf": [{}, {"$ref": ROOT + "/a"}]},
        ),
        ({"enum": [{"$ref": "#/kept"}]}, {"enum": [{"$ref": "#/kept"}]}),
        (
            {"properties": {"pattern": {"type": "string"}}},
            {"properties": {"pattern": {"type": "string"}}},
        ),
        (True, True),
        ("nonsense", True),
    ],
)
def test_what_the_engine_gives_up_on_is_taken_out(schema, expected):
    assert localise(schema, ROOT, OPEN) == expected


def test_objects_that_declare_properties_are_closed():
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}}
    closed = localise(schema, ROOT, Level.CLOSED)
    assert closed["additionalProperties"] is False
    assert closed["properties"]["a"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"properties": {"a": {}}, "required": ["b"]},
        {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        {"properties": {"a": {}}, "patternProperties": {"^x": {}}},
        {"properties": {"a": {}}, "anyOf": [{"required": ["b"]}]},
    ],
)
def test_objects_that_may_need_other_properties_stay_open(schema):
    assert localise(schema, ROOT, Level.CLOSED) == schema


def test_parts_of_a_conjunction_stay_open():
    schema = {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}
    assert localise(schema, ROOT, Level.CLOSED) == schema


def test_the_plain_level_keeps_structure_only():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "minLength": 3, "format": "uri"}},
        "required": ["a"],
        "not": {"type": "array"},
    }
    assert localise(schema, ROOT, Level.PLAIN) == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
    }


def test_the_last_level_is_any_object():
    assert localise({"type": "object", "required": ["a"]}, ROOT, Level.ANY) == {"type": "object"}
