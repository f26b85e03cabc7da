"""The echo."""

import json

import pytest

from deepseek_messages.upstreams.double.answers import INTRODUCTION, echo
from deepseek_messages.upstreams.double.script import Call, Text, Think

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


def ask(content, **fields):
    return echo({"messages": [{"role": "user", "content": content}]} | fields)


def test_says_what_it_is_and_repeats_the_last_text():
    thought, answer = ask("Hello")
    assert isinstance(thought, Think)
    assert answer == Text(f"{INTRODUCTION} You said: Hello")


def test_reads_parts():
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]
    assert ask(parts)[1] == Text(f"{INTRODUCTION} You said: a\n\n[image_url]")


@pytest.mark.parametrize(
    "content",
    [
        "call get_weather",
        "Please use the tool `get_weather` now",
        "Use function get_weather.",
        "Use your head and call get_weather",
    ],
)
def test_calls_the_tool_it_is_told_to(content):
    assert ask(content, tools=[CLOCK, WEATHER])[1] == Call("get_weather", '{"city": "city"}')


@pytest.mark.parametrize("content", ["get_weather", "call me", "recall get_weather"])
def test_calls_no_tool_otherwise(content):
    assert isinstance(ask(content, tools=[CLOCK, WEATHER])[1], Text)


def test_calls_no_tool_when_told_none():
    assert isinstance(ask("call clock", tools=[CLOCK], tool_choice="none")[1], Text)


def test_required_calls_the_first_tool():
    assert ask("Hello", tools=[CLOCK, WEATHER], tool_choice="required")[1] == Call("clock", "{}")


def test_required_calls_the_tool_that_was_asked_for():
    answer = ask("use get_weather", tools=[CLOCK, WEATHER], tool_choice="required")
    assert answer[1] == Call("get_weather", '{"city": "city"}')


def test_a_named_tool_is_called():
    choice = {"type": "function", "function": {"name": "get_weather"}}
    answer = ask("use clock", tools=[CLOCK, WEATHER], tool_choice=choice)
    assert answer[1] == Call("get_weather", '{"city": "city"}')


def test_a_result_is_repeated_and_nothing_is_called_again():
    messages = [{"role": "user", "content": "call clock"}, {"role": "tool", "content": "12:00"}]
    answer = echo({"messages": messages, "tools": [CLOCK]})
    assert answer[1] == Text(f"{INTRODUCTION} The tool's result was: 12:00")


def test_json_is_answered_with_json():
    answer = ask("as json", response_format={"type": "json_object"})[1]
    assert isinstance(answer, Text)
    assert json.loads(answer.text) == {"double": True, "user": "as json"}


def test_a_system_message_alone_is_answered():
    assert isinstance(echo({"messages": [{"role": "system", "content": "s"}]})[1], Text)
