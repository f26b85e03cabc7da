import json
from typing import Any

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_messages.translation.answer.partial_json import Nesting, close_truncated, is_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=5)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ('{"a": 1, "b": "x', '{"a": 1}'),
        ('{"a": 1', '{"a": 1}'),
        ('{"a": 1.', "{}"),
        ('{"a": -', "{}"),
        ('{"a"', "{}"),
        ('{"a":', "{}"),
        ('{"a": tru', "{}"),
        ('{"a": true', '{"a": true}'),
        ('{"a": {"b": [1, {"c": "d"', '{"a": {"b": [1, {"c": "d"}]}}'),
        ('{"a": [[1], [', '{"a": [[1], []]}'),
        ('{"a": "x\\', "{}"),
        ('{"a": 1}x', '{"a": 1}'),
        ('{"a": 1, ', '{"a": 1}'),
        ('{"a": 1}', '{"a": 1}'),
        ("{", "{}"),
        ("", "{}"),
        ("  ", "{}"),
        ('"ab', "{}"),
        ("{x", "{}"),
        ("]", "{}"),
        ('{"a": 1]', '{"a": 1}'),
        ('[{"a"', "[{}]"),
        ('{"x": 1, "a"', '{"x": 1}'),
        ('{"x": 1, "b": {"a"', '{"x": 1, "b": {}}'),
        ('[{"a": "b"', '[{"a": "b"}]'),
        ('[{"a": 1}, "b"', '[{"a": 1}, "b"]'),
        ('[{"a": [1], "b"', '[{"a": [1]}]'),
        ('[1, "b"', '[1, "b"]'),
        ("[1] [2", "[1]"),
    ],
)
def test_close_truncated(text: str, closed: str) -> None:
    assert close_truncated(text) == closed


@given(OBJECTS, st.booleans(), st.data())
def test_every_cut_reads_as_the_sdks_read_it(
    value: Any, ascii_only: bool, data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    text = text[: data.draw(st.integers(1, len(text)))]
    assert json.loads(close_truncated(text)) == jiter.from_json(text.encode(), partial_mode=True)


@given(st.text(alphabet='{}[]",:\\ 1ae.-tru\n', max_size=30))
def test_anything_closes_to_json(text: str) -> None:
    assert is_json(close_truncated(text))


@given(st.dictionaries(st.text(), JSON, max_size=5) | st.lists(JSON, max_size=5), st.integers(1, 4))
def test_nesting_is_closed_exactly_at_the_end(value: Any, size: int) -> None:
    text = json.dumps(value)
    nesting = Nesting()
    for position in range(0, len(text), size):
        assert not nesting.closed
        nesting.feed("")
        nesting.feed(text[position : position + size])
    assert nesting.closed


@pytest.mark.parametrize("text", ["12", '"a"', "null", "", " "])
def test_what_has_no_brackets_never_closes(text: str) -> None:
    nesting = Nesting()
    nesting.feed(text)
    assert not nesting.closed


@pytest.mark.parametrize("text", ["{}", " [1] ", '"a"', "null", "1e999"])
def test_json(text: str) -> None:
    assert is_json(text)


@pytest.mark.parametrize(
    "text", ["", "{", "{}{}", "nan", "NaN", "01", "{a:1}", "'a'", "[1,]", "\ud800", "[" * 100_000]
)
def test_not_json(text: str) -> None:
    assert not is_json(text)
