"""Structured output: JSON out of text, and what is wrong with it."""

import json
from typing import Any

import pytest
from msgspec import Raw

from deepseek_messages.translation.hosted.structured import MAX_PROBLEMS, SchemaCheck, plain_json
from deepseek_messages.translation.refusals import Refusal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', '{"a": 1}'),
        (' {"a": 1}\n', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ("Sure:\n```\n[1]\n```\nOk?", "[1]"),
        ('It is {"a": {"b": 2}}, ok?', '{"a": {"b": 2}}'),
        ("no json", "no json"),
        ('{"a": 1} is it', '{"a": 1}'),
        ("[1] and {", "[1]"),
        ("[1, 2] is it", "[1, 2]"),
        ("so: [{}], [2]?", "so: [{}], [2]?"),
        ('{"a": 1', '{"a": 1'),
        ('{"a": NaN}', '{"a": NaN}'),
        ("", ""),
    ],
)
def test_json_without_what_is_around_it(text: str, found: str) -> None:
    assert plain_json(text) == found


def test_optional_properties_stay_optional() -> None:
    schema = b'{"type":"object","properties":{"a":{"type":"string"},"b":{}},"required":["a"]}'
    check = SchemaCheck(Raw(schema), "x")
    assert check.problems('{"a": "y"}') == []
    assert check.problems('{"a": 1}') == ['/a: 1 is not of type "string"']
    assert check.problems("{}") == ['/: "a" is a required property']
    assert check.problems("{")[0].startswith("not valid JSON")


def test_problems_are_bounded() -> None:
    check = SchemaCheck(Raw(b'{"items":{"type":"string"}}'), "x")
    assert len(check.problems(str(list(range(100))))) == MAX_PROBLEMS


def test_look_around_in_patterns_is_understood() -> None:
    check = SchemaCheck(Raw(b'{"pattern":"^(?!x)"}'), "x")
    assert check.problems('"y"') == []
    assert check.problems('"x"') != []


def test_a_pattern_takes_so_many_steps_for_each_value() -> None:
    """As long as ten thousand values may take them, their number must be small."""
    check = SchemaCheck(Raw(b'{"pattern":"^((?!TODO).)*$"}'), "x")
    assert check.problems(json.dumps("x" * 10_000)) == []
    (problem,) = check.problems(json.dumps("x" * 100_000))
    assert "backtracking" in problem


@pytest.mark.parametrize(
    "schema", [b'{"type":"objekt"}', b'{"$ref":"http://127.0.0.1:1/x"}', b'{"pattern":"("}']
)
def test_a_schema_that_cannot_be_checked_is_refused(schema: bytes) -> None:
    with pytest.raises(Refusal, match=r"^f: Invalid schema"):
        SchemaCheck(Raw(schema), "f")


def test_why_a_schema_cannot_be_checked_is_told_in_one_line() -> None:
    with pytest.raises(Refusal) as caught:
        SchemaCheck(Raw(b'{"type":"objekt"}'), "f")
    assert "objekt" in caught.value.message
    assert "\n" not in caught.value.message


def test_bottomless_json_is_a_problem() -> None:
    assert SchemaCheck(Raw(b"{}"), "f").problems("[" * 100_000) == ["nested too deeply"]


@pytest.mark.parametrize("blank", [" ", "\t", "\n"])
def test_a_fence_that_never_closes_takes_no_time(blank: str) -> None:
    text = "```\n" + blank * 300_000 + "x"
    assert plain_json(text) == text


@pytest.mark.parametrize("name", ["pattern", "patternProperties"])
def test_all_patterns_together_may_take_so_much(name: str) -> None:
    """A small body could fill the memory, and hold up everybody else for minutes."""

    def schema(count: int) -> Raw:
        pattern = "(?=x)\\w{60}"
        each = {"pattern": pattern} if name == "pattern" else {name: {pattern: {}}}
        return Raw(json.dumps({"allOf": [{"items": each}] * count}).encode())

    SchemaCheck(schema(1), "x")
    with pytest.raises(Refusal):
        SchemaCheck(schema(1000), "x")


def test_many_plain_patterns_are_taken() -> None:
    each = [{"pattern": f"^(?!x)[a-z0-9]{{1,{length}}}$"} for length in range(1, 300)]
    check = SchemaCheck(Raw(json.dumps({"anyOf": each}).encode()), "x")
    assert check.problems('"abc"') == []


def doubled(depth: int, last: Any) -> Any:
    """Definitions, each of which refers twice to the next."""
    made = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2, "$anchor": f"a{at}"}
        for at in range(depth)
    }
    return {"$defs": made | {f"d{depth}": last}, "$ref": "#/$defs/d0"}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"n": value}
    return value


TWICE = {"properties": {"n": {"allOf": [{"$ref": "#"}] * 2}}}
BY_ANCHOR = {
    "$anchor": "top",
    "properties": {"n": {"oneOf": [{"$ref": "#top"}], "anyOf": [{"$ref": "#top"}]}},
}
SELVES = {"properties": {"n": {"allOf": [{"$ref": "#x"}, {"$ref": "#x"}]}}}
DRAFT_4 = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "definitions": {"x": SELVES | {"id": "#x"}},
    "allOf": [{"$ref": "#x"}],
}
DRAFT_7 = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {"x": SELVES | {"$id": "#x"}},
    "allOf": [{"$ref": "#x"}],
}
# A name twice: one of them is no schema, or another's.
TWO_ANCHORS = {"$defs": {"x": SELVES | {"$anchor": "x"}, "y": {"const": {"$anchor": "x"}}}}
BY_ID = {
    "$id": "https://example.com/schemas/all.json",
    "$ref": "d0.json",
    "$defs": {
        f"d{at}": {"$id": f"d{at}.json", "allOf": [{"$ref": f"/schemas/d{at + 1}.json#"}] * 2}
        for at in range(60)
    }
    | {"d60": {"$id": "https://example.com/schemas/d60.json"}},
}
OWN_POINTER = {
    "$defs": {
        "a": {"$id": "a.json", "properties": {"n": {"allOf": [{"$ref": "#/$defs/b"}] * 2}},
              "$defs": {"b": {"$ref": "a.json"}}},
        "b": {},
    },
    "$ref": "a.json",
}  # fmt: skip


def unevaluated(word: str, again: str) -> Any:
    """Nothing refers to anything, but each looks again at what the next one looks at again."""
    schema: Any = {"properties": {"n": {}}}
    for _ in range(40):
        schema = {word: False, again: schema if again == "if" else [schema]}
    return schema


COSTLY = {
    "definitions": (doubled(60, {}), 1),
    "itself": (TWICE, nested(60)),
    "anchors": (BY_ANCHOR, nested(60)),
    "anchors of draft 4": (DRAFT_4, nested(60)),
    "anchors of draft 7": (DRAFT_7, nested(60)),
    "an anchor twice": (TWO_ANCHORS | {"$ref": "#x"}, nested(60)),
    "bases": (BY_ID, 1),
    "a pointer from a base": (OWN_POINTER, nested(60)),
    "unevaluated, any of": (unevaluated("unevaluatedProperties", "anyOf"), {"n": 1}),
    "unevaluated, all of": (unevaluated("unevaluatedProperties", "allOf"), {"n": 1}),
    "unevaluated items": (unevaluated("unevaluatedItems", "if"), []),
}


@pytest.mark.parametrize(("schema", "value"), COSTLY.values(), ids=COSTLY)
def test_a_check_that_would_take_days_is_not_made(schema: Any, value: Any) -> None:
    check = SchemaCheck(Raw(json.dumps(schema).encode()), "x")
    (problem,) = check.problems(json.dumps(value))
    assert problem.startswith("too long to check")


NUMBER = {"type": "number"}
ELSEWHERE: dict[str, tuple[Any, str]] = {
    "its own address": (
        {
            "$id": "https://example.com/s.json",
            "items": {"anyOf": [{"$ref": "https://example.com/s.json#/$defs/x"}, {"$ref": "#x"}]},
            "$defs": {"x": NUMBER | {"$anchor": "x"}},
        },
        "[1, 2]",
    ),
    "another address within": (
        {
            "$id": "https://example.com/s.json",
            "properties": {"a": {"$ref": "other.json"}, "b": {"$ref": "other.json#/$defs/x"}},
            "$defs": {"o": {"$id": "other.json", "items": {"$ref": "#/$defs/x"},
                            "$defs": {"x": NUMBER}}},
        },
        '{"a": [1, 2], "b": 3}',
    ),
    "a name": (
        {
            "prefixItems": [{"$ref": "urn:example:x"}, {"$ref": "urn:example:x"}],
            "$defs": {"x": NUMBER | {"$id": "urn:example:x"}},
        },
        "[1, 2]",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "text"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_references_by_address_are_followed(schema: Any, text: str) -> None:
    check = SchemaCheck(Raw(json.dumps(schema).encode()), "x")
    assert check.problems(text) == []
    (problem,) = check.problems(text.replace("2", '"2"').replace("3", '"3"'))[:1]
    assert "too long" not in problem
    assert '"' in problem


META = "https://json-schema.org/draft/2020-12/schema"
STRANGE = {"$id": "x:a", "allOf": [{"$ref": "#/b"}] * 2, "b": {}}


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"allOf": [{"$ref": META}, {"$ref": "#/$defs/a"}], "$defs": {"a": {}}}, META),
        ({"$defs": {"a": STRANGE}, "$ref": "x:a"}, "x:a"),
    ],
)
def test_what_a_reference_leads_to_may_be_unknown(schema: Any, name: str) -> None:
    (problem,) = SchemaCheck(Raw(json.dumps(schema).encode()), "x").problems("{}")
    assert problem == (
        f"cannot be checked against the schema: it does not tell what {name!r} refers to"
    )


FAILING: dict[str, tuple[Any, Any]] = {
    "so many errors": ({"items": {"type": "string"}}, [1] * 20_000),
    "so much in each": ({"anyOf": [{"type": "null"}] * 100}, "x" * 1_000_000),
    "errors that multiply": (
        {"anyOf": [{"properties": {"n": {"$ref": "#"}}, "required": [each]} for each in "ab"]},
        nested(16),
    ),
}


@pytest.mark.parametrize(("schema", "value"), FAILING.values(), ids=FAILING)
def test_errors_that_would_take_seconds_to_tell_are_one(schema: Any, value: Any) -> None:
    check = SchemaCheck(Raw(json.dumps(schema).encode()), "x")
    assert check.problems(json.dumps(value)) == [
        "does not fit the schema, and is too long to tell where"
    ]


TREE = {
    "$defs": {
        "number": {"type": "number"},
        "sum": {
            "properties": {
                "kind": {"const": "sum"},
                "left": {"$ref": "#/$defs/term"},
                "right": {"$ref": "#/$defs/term"},
            },
            "required": ["kind", "left", "right"],
        },
        "term": {"anyOf": [{"$ref": "#/$defs/number"}, {"$ref": "#/$defs/sum"}]},
    },
    "type": "array",
    "items": {"$ref": "#/$defs/term"},
}


def test_trees_are_checked() -> None:
    term: Any = 1
    for _ in range(20):
        term = {"kind": "sum", "left": term, "right": 2}
    check = SchemaCheck(Raw(json.dumps(TREE).encode()), "x")
    assert check.problems(json.dumps([term] * 100)) == []
    (problem,) = check.problems(json.dumps([{"kind": "sum", "left": 1}]))
    assert "too long" not in problem
    assert (
        SchemaCheck(Raw(json.dumps(doubled(12, {"type": "number"})).encode()), "x").problems("1")
        == []
    )
