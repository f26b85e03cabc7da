"""Tool schemas: what DeepSeek takes passes byte for byte, what it refuses is put right."""

import json
from collections.abc import Callable
from typing import Any

import deepseek_recipe as recipe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from deepseek_messages.translation.limits import MAX_SCHEMA_DEPTH
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.tools.schema import _KEYWORDS, _MEMO_BYTES, is_regex, repair


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
    b'{"type":"object","dependentRequired":{"a":["b","c"]}}',
    b'{"type":"object","dependencies":{"a":["b"],"c":{"required":["d"]},"e":true}}',
    b'{"type":"object","properties":{"a":{"$ref":"#"},"b":{"pattern":"a{2,2}"}}}',
    b'{"type":"object","$id":"https://e.com/x#","properties":{"a":{"minLength":0,"maxItems":2.0}}}',
    b'{"type":"object","properties":{"a/b":{},"~":{},"c":{"$ref":"#/properties/a~1b"}}}',
    b'{"type":"object","properties":{"~":{},"c":{"$ref":"#/properties/~0"}}}',
    b'{"type":"object","properties":{"a b":{},"c":{"$ref":"#/properties/a%20b"}}}',
    b'{"type":"object","allOf":[{},{"$ref":"#/allOf/0"},{"$ref":"#/properties/a"}],"properties":{"a":true}}',
    b'{"type":"object","title":"\xc3\xa9","properties":{"a":{"enum":[1,{"any":"thing"}]}}}',
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
    "dependentRequired list": ({**of(), "dependentRequired": ["a"]}, of()),
    "dependentRequired of odd things": (
        {**of(), "dependentRequired": {"a": ["b", 1, "b"], "c": "d", "e": ["f"]}},
        {**of(), "dependentRequired": {"a": ["b"], "e": ["f"]}},
    ),
    "dependencies list": ({**of(), "dependencies": ["a"]}, of()),
    "dependencies of odd things": (
        {**of(), "dependencies": {"a": ["b", "b"], "c": {"type": "any"}, "d": ["e"]}},
        {**of(), "dependencies": {"a": ["b"], "c": {}, "d": ["e"]}},
    ),
    "$id with blanks": ({"$id": "a b", **of()}, of()),
    "$id number": ({"$id": 5, **of()}, of()),
    "anyOf an object": (of(a={"anyOf": {}}), of(a={})),
    "patternProperties list": (of(a={"patternProperties": []}), of(a={})),
    "good and bad pattern keys": (
        of(a={"patternProperties": {"(": {}, "^x": {"type": "any"}}}),
        of(a={"patternProperties": {"^x": {}}}),
    ),
    "type number": (of(a={"type": 5}), of(a={})),
    "types of none": (of(a={"type": ["any"]}), of(a={})),
    "$ref number": (of(a={"$ref": 5}), of(a={})),
    "$ref beyond a list": (
        {**of(a={"$ref": "#/allOf/1"}), "allOf": [{}]},
        {**of(a={}), "allOf": [{}]},
    ),
    "$ref to a text": ({**of(a={"$ref": "#/title"}), "title": "t"}, {**of(a={}), "title": "t"}),
    "$ref to odd digits": (
        {**of(a={"$ref": "#/allOf/\u0660"}), "allOf": [{}]},
        {**of(a={}), "allOf": [{}]},
    ),
    "$ref to a word in a list": (
        {**of(a={"$ref": "#/allOf/x"}), "allOf": [{}]},
        {**of(a={}), "allOf": [{}]},
    ),
    "true as a bound": (of(a={"maximum": True}), of(a={})),
    "true as a count": (of(a={"maxLength": True}), of(a={})),
    "both bounds of draft 4": (
        of(a={"minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": True}),
        of(a={"exclusiveMinimum": 0, "exclusiveMaximum": 9}),
    ),
    "a bound of draft 4 alone": (of(a={"exclusiveMaximum": True}), of(a={})),
    "list of items beside prefixItems": (
        of(a={"items": [{}], "prefixItems": [True]}),
        of(a={"prefixItems": [True]}),
    ),
    "letters stay": (of(a={"title": "é", "type": "any"}), of(a={"title": "é"})),
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


def test_what_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(Refusal) as caught:
        repair(Raw(b"{"), "tools.3.input_schema")
    assert caught.value.path == "tools.3.input_schema"


@pytest.mark.parametrize("bad", [False, True])
def test_a_schema_beyond_what_is_remembered_is_read_all_the_same(bad: bool) -> None:
    schema = of(a={"title": "x" * _MEMO_BYTES, "type": "any" if bad else "string"})
    repaired = repair(Raw(json.dumps(schema).encode()), "t")
    assert repaired.changed is bad
    assert json.loads(bytes(repaired.schema))["properties"]["a"].get("type") == (
        None if bad else "string"
    )


def test_a_repaired_schema_is_short_and_keeps_its_order_and_letters() -> None:
    schema = {"title": "é", "properties": {"b": {"type": "any"}, "a": {}}}
    repaired = repair(Raw(json.dumps(schema).encode()), "t")
    assert bytes(repaired.schema).decode() == (
        '{"type":"object","title":"é","properties":{"b":{},"a":{}}}'
    )
    schema = {"title": "t", "type": None, "properties": {}}
    repaired = repair(Raw(json.dumps(schema).encode()), "t")
    assert bytes(repaired.schema) == b'{"title":"t","type":"object","properties":{}}'


def nested(levels: int, wrap: Callable[[Any], Any]) -> Raw:
    schema: Any = {}
    for _ in range(levels):
        schema = wrap(schema)
    return Raw(json.dumps({"type": "object", "not": schema}).encode())


WRAPS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "a schema in a schema": (1, lambda inner: {"not": inner}),
    "in a mapping": (2, lambda inner: {"properties": {"a": inner}}),
    "in a list": (2, lambda inner: {"anyOf": [inner]}),
    "in dependencies": (2, lambda inner: {"dependencies": {"a": inner}}),
    "in patterns": (2, lambda inner: {"patternProperties": {"a": inner}}),
}


@pytest.mark.parametrize(("cost", "wrap"), WRAPS.values(), ids=WRAPS)
def test_tc31_bottomless_schema_is_refused_by_name(cost: int, wrap: Callable[[Any], Any]) -> None:
    most = (MAX_SCHEMA_DEPTH - 1) // cost
    assert not repair(nested(most, wrap), "t").changed
    with pytest.raises(Refusal, match="nested more than") as caught:
        repair(nested(most + 1, wrap), "t")
    assert caught.value.path == "t"


@pytest.mark.parametrize("keyword", ["default", "const", "enum", "examples", "x-of-nobody"])
def test_what_is_no_schema_may_not_be_deeper_either(keyword: str) -> None:
    def schema(levels: int) -> Raw:
        return Raw(f'{{"type":"object","{keyword}":{"[" * levels}{"]" * levels}}}'.encode())

    repair(schema(MAX_SCHEMA_DEPTH), "t")
    with pytest.raises(Refusal, match="nested more than") as caught:
        repair(schema(MAX_SCHEMA_DEPTH + 1), "t")
    assert caught.value.path == "t"


def test_a_list_and_a_mapping_in_each_other_count_alike() -> None:
    def both(inner: Any) -> Any:
        return {"anyOf": [{"properties": {"a": inner}}]}

    most = (MAX_SCHEMA_DEPTH - 1) // 4
    assert not repair(nested(most, both), "t").changed
    with pytest.raises(Refusal, match="nested more than"):
        repair(nested(most + 1, both), "t")


PATTERNS = {
    "": True, "a": True, "a+?": True, "(a|b)*": True, "[^]a]{2,}": True, r"\[": True,
    "(?<n>x)": True, "(?!x)y": True, "a{1,2}b{3}": True, "}": True, "a|": True,
    "a{,2}": False, "{": False, "a{x}": False,
    "[": False, "(": False, ")": False, "a)": False, "*": False, "a**": False, "(?a)": False,
    "\\": False, "a{2,1}": False, "|*": False, "(+)": False,
}  # fmt: skip


@pytest.mark.parametrize("value", [None, 5, [], {}])
def test_what_is_no_text_is_no_pattern(value: object) -> None:
    assert is_regex(value) is False


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
