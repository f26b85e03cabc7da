import json

import pytest
from msgspec import Raw

from deepseek_messages.upstreams.embedded.forced import (
    Filled,
    Form,
    form_of,
    grammar,
    obeys,
    read,
    satisfies,
)
from deepseek_messages.upstreams.embedded.schema import Level
from deepseek_messages.wire.chat import (
    ChatRequest,
    Function,
    FunctionName,
    FunctionTool,
    JsonSchema,
    NamedToolChoice,
    ResponseFormat,
    UserMessage,
)
from tests.unit.translation.hosted.test_structured import COSTLY

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = FunctionTool(Function(name="weather", parameters=Raw(json.dumps(CITY).encode())))
BARE = FunctionTool(Function(name="now"))
STRUCTURED = ResponseFormat(
    type="json_schema", json_schema=JsonSchema(name="x", schema=Raw(b'{"type":"array"}'))
)


def request(**fields):
    return ChatRequest(model="m", messages=[UserMessage("hi")], **fields)


@pytest.mark.parametrize(
    "fields",
    [{}, {"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "auto"}, {"tool_choice": "required"},
     {"response_format": ResponseFormat(type="text")},
     {"tools": [TOOL], "tool_choice": NamedToolChoice(FunctionName("other"))}],
)  # fmt: skip
def test_an_answer_is_free_unless_the_request_prescribes_a_form(fields):
    assert form_of(request(**fields)) is None


def test_required_allows_every_tool():
    form = form_of(request(tools=[TOOL, BARE], tool_choice="required"))
    assert form == Form(options={"weather": CITY, "now": {"type": "object"}})


def test_a_named_tool_is_the_only_option():
    choice = NamedToolChoice(FunctionName("now"))
    assert list(form_of(request(tools=[TOOL, BARE], tool_choice=choice)).options) == ["now"]


def test_structured_output_is_an_answer():
    form = form_of(request(response_format=STRUCTURED))
    assert form == Form(options={"final_answer": {"type": "array"}}, answer="final_answer")


def test_any_json_object_is_an_answer():
    form = form_of(request(response_format=ResponseFormat(type="json_object")))
    assert form.options == {"final_answer": {"type": "object"}}


def test_tools_stay_callable_beside_structured_output():
    own = FunctionTool(Function(name="final_answer"))
    form = form_of(request(tools=[own], response_format=STRUCTURED))
    assert list(form.options) == ["final_answer", "final_answer_"]
    assert form.answer == "final_answer_"


def test_tools_that_must_not_be_called_are_no_options():
    form = form_of(request(tools=[TOOL], tool_choice="none", response_format=STRUCTURED))
    assert list(form.options) == ["final_answer"]


def test_the_grammar_of_one_tool_names_it():
    document = json.loads(
        grammar(Form(options={"weather": CITY}), Level.OPEN).partition("%json ")[2]
    )
    assert document["properties"]["name"] == {"const": "weather"}
    assert document["$defs"]["t0"] == CITY


def test_the_grammar_of_several_tools_is_a_choice():
    form = Form(options={"a": CITY, "b": {"$ref": "#/$defs/x", "$defs": {"x": {}}}})
    document = json.loads(grammar(form, Level.OPEN).partition("%json ")[2])
    assert [part["properties"]["name"]["const"] for part in document["anyOf"]] == ["a", "b"]
    assert document["$defs"]["t1"]["$ref"] == "#/$defs/t1/$defs/x"


@pytest.mark.parametrize("text", ["", "{", '{"name', '{"name":"', '{"name":"weather","arg', ' {"n'])
def test_a_text_may_be_of_the_form(text):
    assert obeys(text)


@pytest.mark.parametrize("text", ["The", '{"x', '{"name": 1', "[", "```"])
def test_a_text_that_is_not_of_the_form(text):
    assert not obeys(text)


ONE = Form(options={"weather": CITY})
TWO = Form(options={"weather": CITY, "now": {"type": "object"}})


def test_the_input_is_taken_byte_for_byte():
    text = '{"name":"weather","arguments":{"city":"S\\u00e3o {}\\"}", "x": 1.0e2 }}'
    assert read(ONE, text, whole=True) == Filled(
        "weather", '{"city":"S\\u00e3o {}\\"}", "x": 1.0e2 }'
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"weather","arguments":{"city":5}}',
        '{"name":"weather","arguments":{}}',
        '{"name":"other","arguments":{"city":"x"}}',
        '{"name":"weather","arguments":{"city":"x"}',
        '{"name":"weather"}',
        "",
    ],
)
def test_an_input_that_is_not_whole_or_not_valid_is_none(text):
    assert read(TWO, text, whole=True) is None


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (ONE, '{"name":"weather","arguments":{"city":"Par', Filled("weather", '{"city":"Par')),
        (ONE, '{"na', Filled("weather", "")),
        (TWO, '{"na', None),
        (TWO, '{"name":"now","arguments":', Filled("now", "")),
    ],
)
def test_a_cut_text_gives_what_there_is(form, text, expected):
    assert read(form, text, whole=False) == expected


def test_an_answer_has_no_name():
    form = Form(options={"final_answer": {}}, answer="final_answer")
    assert read(form, '{"name":"final_answer","arguments":[1]}', whole=True) == Filled(None, "[1]")


@pytest.mark.parametrize(
    ("schema", "text", "valid"),
    [
        (CITY, '{"city":"x"}', True),
        (CITY, '{"city":1}', False),
        (CITY, "{", False),
        ({"type": "string", "pattern": "^(?=.*x)[a-z]+$"}, '"axe"', True),
        ({"type": "string", "pattern": "^(?=.*x)[a-z]+$"}, '"abc"', False),
        (
            {"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}, "required": ["a"]},
            '{"a":1}',
            True,
        ),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}, "required": ["a"]}, "{}", False),
        ({"type": "objekt"}, "{}", True),
        ({"$schema": "http://example.org/own", "type": "object"}, "[]", False),
    ],
)
def test_the_callers_own_schema_decides(schema, text, valid):
    assert satisfies(schema, text) is valid


@pytest.mark.parametrize(("schema", "value"), COSTLY.values(), ids=COSTLY)
def test_what_would_take_days_to_check_is_not_given_out(schema, value):
    """Nothing can stop a check, and while it runs nothing else does."""
    assert not satisfies(schema, json.dumps(value))
