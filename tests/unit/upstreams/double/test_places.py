"""Paths and positions in JSON texts."""

import pytest

from deepseek_messages.upstreams.double.places import dotted, find_places, position, with_path

TEXT = '{"a": [1, {"b": "x\\"}]"}, null], "é": {"c": [[2]]}}'


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), TEXT),
        (("a",), '[1, {"b": "x\\"}]"}, null]'),
        (("a", 0), "1"),
        (("a", 1), '{"b": "x\\"}]"}'),
        (("a", 1, "b"), '"x\\"}]"'),
        (("a", 2), "null"),
        (("é", "c", 0, 0), "2"),
    ],
)
def test_finds_every_value(path, value):
    span = find_places(TEXT).spans[path]
    assert TEXT[span.start : span.end] == value


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("{", ""),
        ('{"a"', "a"),
        ('{"a":', "a"),
        ('{"a":1', ""),
        ('{"a":1,"b":[', "b"),
        ('{"a":[{"b":', "a[0].b"),
        ('{"a":[{"b":1},{"c":', "a[1].c"),
    ],
)
def test_names_where_a_text_breaks_off(text, path):
    assert dotted(find_places(text).broken_at) == path


@pytest.mark.parametrize("text", ["}", "]]", ",:,", '"', "[}", "{]"])
def test_survives_rubbish(text):
    find_places(text)


@pytest.mark.parametrize(
    ("text", "offset", "shown"),
    [
        ("abc", 0, "line 1 column 0"),
        ("abc", 3, "line 1 column 3"),
        ("a\nbc", 3, "line 2 column 1"),
        ("é", 1, "line 1 column 2"),
    ],
)
def test_positions_count_bytes(text, offset, shown):
    assert position(text, offset) == shown


def test_puts_the_path_before_a_syntax_error():
    error = "expected value at line 2 column 1"
    assert with_path('{"a":\n}', error) == f"a: {error}"


def test_leaves_other_messages_alone():
    assert with_path("{}", "something") == "something"
