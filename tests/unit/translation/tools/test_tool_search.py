"""Tool search: patterns and questions over tools."""

import json

import pytest
from msgspec import UNSET, Raw

from deepseek_messages.translation.tools.search import (
    MAX_TEXT_CHARS,
    MOST_FOUND,
    Candidate,
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


def words(name: str, text: str) -> Candidate:
    return candidate(name, Function(name=name, description=text))


RANKED: dict[str, tuple[str, list[Candidate], list[str]]] = {
    "rare words weigh more": (
        "mail zebra",
        [words("a", "mail"), words("b", "mail"), words("c", "zebra")],
        ["c", "a", "b"],
    ),
    "more of a word weighs more": (
        "mail",
        [words("a", "mail x y"), words("b", "mail mail y"), words("c", "x")],
        ["b", "a"],
    ),
    "but ever less": (
        "mail zebra",
        [words("a", "mail mail mail mail"), words("b", "mail zebra x y"), words("c", "x y z w")],
        ["b", "a"],
    ),
    "short texts weigh more": (
        "mail",
        [words("a", "mail one two three four five six"), words("b", "mail one"), words("c", "x")],
        ["b", "a"],
    ),
    "equals go by name": ("mail", [words("b", "mail"), words("a", "mail")], ["a", "b"]),
}


@pytest.mark.parametrize(("query", "tools", "found"), RANKED.values(), ids=RANKED)
def test_tools_are_ranked(query: str, tools: list[Candidate], found: list[str]) -> None:
    assert search_bm25(query, tools) == found


def test_the_score_is_that_of_the_book() -> None:
    """Between two that differ in length and count, where k1 = 1.2 and b = 0.75 draw the line."""
    filler = " ".join(["x"] * 9)
    long_twice, short_once = words("a", f"mail mail {filler}"), words("b", "mail")
    assert search_bm25("mail", [long_twice, short_once]) == ["b", "a"]
    longer = words("b", f"mail {filler} {filler}")
    assert search_bm25("mail", [long_twice, longer]) == ["a", "b"]


def test_rarity_count_and_length_are_weighed_together() -> None:
    texts = {"a": "x x x x mail", "b": "zebra x zebra", "c": "x", "d": "zebra zebra"}
    tools = [words(name, text) for name, text in texts.items()]
    assert search_bm25("mail zebra", tools) == ["d", "a", "b"]


def test_a_pattern_may_have_200_characters() -> None:
    assert search_regex("(?:weather|" + "a" * 188 + ")", TOOLS) == ["get_weather"]


ARGUMENTS = [
    None,
    True,
    {"properties": []},
    {"properties": {"a": True, "b": {"description": 5}, "c": {"description": "Found"}}},
]


@pytest.mark.parametrize("schema", ARGUMENTS)
def test_arguments_of_any_schema_are_looked_at(schema: object) -> None:
    parameters = UNSET if schema is None else Raw(json.dumps(schema).encode())
    texts = candidate("f", Function(name="f", parameters=parameters)).texts
    names = ("a", "b", "c", "Found") if isinstance(schema, dict) and len(str(schema)) > 30 else ()
    assert texts == ("f", "", *names)


def test_the_beginning_of_a_text_is_searched() -> None:
    said = "mail " * (MAX_TEXT_CHARS // 5) + "zebra"
    found = candidate("a", Function(name="a", description=said))
    assert search_regex("zebra", [found]) == search_bm25("zebra", [found]) == []
    assert search_bm25("mail", [found]) == ["a"]
