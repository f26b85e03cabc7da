"""Tool search: patterns and questions over tools."""

import pytest
from msgspec import Raw

from deepseek_messages.translation.tool_search import (
    MOST_FOUND,
    SearchError,
    candidate,
    search_bm25,
    search_regex,
)
from deepseek_messages.wire.chat import Function

CITY = Raw(b'{"type":"object","properties":{"city":{"description":"Name of a town"}}}')
TOOLS = [
    candidate("get_weather", Function(name="get_weather", description="Forecast", parameters=CITY)),
    candidate("sendMail", Function(name="sendMail", description="Send an email to a person")),
    candidate("read_mail", Function(name="read_mail", description="Read the newest email")),
]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("weather", ["get_weather"]),
        ("(?i)MAIL", ["sendMail", "read_mail"]),
        ("town", ["get_weather"]),
        ("^city$", ["get_weather"]),
        ("email|weather", ["get_weather", "sendMail", "read_mail"]),
        ("nothing", []),
    ],
)
def test_patterns_look_at_names_descriptions_and_arguments(pattern: str, found: list[str]) -> None:
    assert search_regex(pattern, TOOLS) == found


@pytest.mark.parametrize(
    ("pattern", "code"),
    [("(", "invalid_pattern"), ("(?=a)", "invalid_pattern"), ("a" * 201, "pattern_too_long"),
     ("(a{1000}){1000}", "invalid_pattern")],
)  # fmt: skip
def test_patterns_that_cannot_be_run(pattern: str, code: str) -> None:
    with pytest.raises(SearchError) as caught:
        search_regex(pattern, TOOLS)
    assert caught.value.code == code


def test_no_pattern_takes_long() -> None:
    hard = candidate("a" * 128, Function(name="a", description="a" * 100_000 + "b"))
    assert search_regex("(a+)+$", [hard]) == ["a" * 128]
    assert search_regex("(a|a)*c$", [hard]) == []


@pytest.mark.parametrize(
    ("query", "first"),
    [("weather", "get_weather"), ("send a mail", "sendMail"), ("newest email", "read_mail"),
     ("name of the TOWN", "get_weather")],
)  # fmt: skip
def test_the_tool_that_fits_best_comes_first(query: str, first: str) -> None:
    assert search_bm25(query, TOOLS)[0] == first


def test_little_is_found() -> None:
    many = [candidate(f"tool_{n}", Function(name="t", description="mail")) for n in range(50)]
    assert len(search_bm25("mail", many)) == MOST_FOUND == len(search_regex("mail", many))
    assert search_bm25("nothing", many) == []
    assert search_bm25("mail", []) == []
