"""Tool schemas: what DeepSeek takes passes byte for byte, what it refuses is put right."""

import json
from typing import Any

import deepseek_recipe as recipe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from deepseek_messages.translation.limits import MAX_SCHEMA_DEPTH
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.schema import _KEYWORDS, is_regex, repair


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def deepseek_takes(schema: Any) -> bool:
    body = {
        "model": "DeepSeek-V4.1-Flash",
        "messages": [{"role": "user", "content": "a"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    try:
        recipe.ChatCompletionRequest(json.dumps(body)).convert(recipe.ConversionOptions())
    except (recipe.ConversionError, ValueError):
        return False
    return True


UNTOUCHED = [
    b'{"type":"object"}',
    b'{ "properties" : {"b":{},"a":{"type":["string","null"]}}, "type":"object" }',
    (
        b'{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":'
        b'{"a":{"items":[{"type":"string"}]}}}'
    ),
    b'{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}',
    (
        b'{"type":"object","properties":{"n":{"type":"integer","exclusiveMinimum":0,'
        b'"maximum":9007199254740991}}}'
    ),
    b'{"type":"object","properties":{"type":{"type":"string"},"description":{"const":1}}}',
    b'{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"enum":[1,null]}}}',
    b'{"type":"object","properties":{"a":{"pattern":"^\\\\p{L}+(?:a|b){1,3}?$"}}}',
    b'{"type":"object","anyOf":[{"required":["a"]}],"x-vendor":{"any":["thing"]}}',
]


@pytest.mark.parametrize("data", UNTOUCHED)
def test_good_schema_passes_byte_for_byte(data: bytes) -> None:
    repaired = repair(Raw(data), "t")

    assert not repaired.changed
    assert bytes(repaired.schema) == data
    assert deepseek_takes(json.loads(data))


REPAIRS: dict[str, tuple[Any, Any]] = {
    "null": (None, {"type": "object", "properties": {}}),
    "empty": ({}, {"type": "object", "properties": {}}),
    "SC-05 no type": ({"properties": {}}, {"type": "object", "properties": {}}),
    "other type": ({"type": "string"}, {"type": "object", "properties": {}}),
    "list of object": ({"type": ["object"]}, {"type": "object", "properties": {}}),
    "SC-03 type any": (of(a={"type": "any", "title": "t"}), of(a={"title": "t"})),
    "SC-09 type null": (of(a={"type": None}), of(a={})),
    "SC-09 null property": (of(a=None), of(a={})),
    "type's name": (of(a="string"), of(a={"type": "string"})),
    "some types": (of(a={"type": ["string", "any"]}), of(a={"type": ["string"]})),
    "required true": (of(a={"required": True}), of(a={})),
    "required twice": ({**of(), "required": ["a", "a"]}, {**of(), "required": ["a"]}),
    "required null": ({**of(), "required": None}, of()),
    "additionalProperties null": ({**of(), "additionalProperties": None}, of()),
    "properties null": (
        {"type": "object", "properties": None, "title": "t"},
        {"type": "object", "title": "t"},
    ),
    "unknown $schema": ({"$schema": "http://e.com/x", **of()}, of()),
    "draft 4 bound": (
        of(a={"minimum": 0, "exclusiveMinimum": True}),
        of(a={"exclusiveMinimum": 0}),
    ),
    "draft 4 open bound": (
        of(a={"maximum": 9, "exclusiveMaximum": False}),
        of(a={"maximum": 9}),
    ),
    "list of items": (of(a={"items": [{}]}), of(a={"prefixItems": [{}]})),
    "minimum text": (of(a={"minimum": "0"}), of(a={})),
    "negative length": (of(a={"minLength": -1}), of(a={})),
    "half a length": (of(a={"maxLength": 1.5}), of(a={})),
    "bad pattern": (of(a={"pattern": "["}), of(a={})),
    "bad pattern key": (of(a={"patternProperties": {"(": {}}}), of(a={"patternProperties": {}})),
    "empty anyOf": (of(a={"anyOf": []}), of(a={})),
    "null in anyOf": (of(a={"anyOf": [{}, None]}), of(a={"anyOf": [{}]})),
    "description number": (of(a={"description": 5}), of(a={})),
    "dangling $ref": (of(a={"$ref": "#/definitions/x"}), of(a={})),
    "remote $ref": (of(a={"$ref": "http://e.com/s"}), of(a={})),
    "examples text": (of(a={"examples": "x"}), of(a={})),
    "nothing multiple": (of(a={"multipleOf": 0}), of(a={})),
    "deep inside": (
        of(a={"items": {"allOf": [{"not": {"minItems": "1"}}]}}),
        of(a={"items": {"allOf": [{"not": {}}]}}),
    ),
}


@pytest.mark.parametrize(("schema", "expected"), REPAIRS.values(), ids=REPAIRS.keys())
def test_schema_is_repaired(schema: Any, expected: Any) -> None:
    repaired = repair(Raw(json.dumps(schema).encode()), "t")

    assert repaired.changed
    assert json.loads(bytes(repaired.schema)) == expected
    assert deepseek_takes(expected)


@pytest.mark.parametrize("schema", [b"[]", b'"x"', b"5", b"true"])
def test_schema_that_is_no_object_is_refused_by_name(schema: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        repair(Raw(schema), "tools.3.input_schema")
    assert caught.value.message == "tools.3.input_schema: Input should be an object"


def test_tc31_bottomless_schema_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(MAX_SCHEMA_DEPTH):
        schema = of(a=schema)
    with pytest.raises(Refusal, match="nested more than"):
        repair(Raw(json.dumps(schema).encode()), "t")


PATTERNS = {
    "": True, "a": True, "a+?": True, "(a|b)*": True, "[^]a]{2,}": True, r"\[": True,
    "(?<n>x)": True, "(?!x)y": True, "a{1,2}b{3}": True, "}": True, "a|": True,
    "a{,2}": False, "{": False, "a{x}": False,
    "[": False, "(": False, ")": False, "a)": False, "*": False, "a**": False, "(?a)": False,
    "\\": False, "a{2,1}": False, "|*": False, "(+)": False,
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "good"), PATTERNS.items())
def test_pattern_is_judged_as_deepseek_does(pattern: str, good: bool) -> None:
    assert is_regex(pattern) is good
    assert deepseek_takes(of(a={"pattern": pattern})) is good


ODD_VALUES: list[Any] = [None, True, 0, -1, 1.5, "", "string", "x y", "#", "#/properties/a"]
ODD_VALUES += ["#/x", "[", "a+", "a**", []]
ODD_VALUES += [f"http://json-schema.org/draft{name}#" for name in ("-06/schema", "-04/schema")]
odd_values = st.sampled_from(ODD_VALUES)
odd_schemas = st.recursive(
    odd_values,
    lambda inner: (
        st.dictionaries(st.sampled_from([*sorted(_KEYWORDS), "a", "x-b"]), inner, max_size=3)
        | st.lists(inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=500)
@given(schema=st.dictionaries(st.sampled_from(sorted(_KEYWORDS)), odd_schemas, max_size=4))
def test_whatever_a_schema_holds_deepseek_takes_its_repair(schema: dict[str, Any]) -> None:
    repaired = repair(Raw(json.dumps(schema).encode()), "t")

    assert deepseek_takes(json.loads(bytes(repaired.schema)))
