import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_messages.translation.limits import LARGE_BODY
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.repeated import refuse_repeated


def path_of(data: str, path: str = "") -> str:
    with pytest.raises(Refusal) as caught:
        refuse_repeated(data.encode(), path)
    assert caught.value.status == 400
    return caught.value.path


def nested(inner: str, depth: int) -> str:
    return '{"a":' * depth + inner + "}" * depth


FOUND = {
    "at the top": ('{"a":1,"a":1}', "a"),
    "not side by side": ('{"a":1,"b":2,"a":3}', "a"),
    "in a list": ('[1,{"b":{"c":1,"c":2}}]', "1.b.c"),
    "written in two ways": ('{"a":1,"\\u0061":2}', "a"),
    "an empty one": ('{"x":{"":1,"":2}}', "x."),
    "the second a container": ('{"a":1,"a":{"b":[1]}}', "a"),
    "deeper than the quick look goes": (nested('{"b":1,"b":2}', 300), "a." * 300 + "b"),
    "beside what nests deep": ('{"x":' + nested("1", 300) + ',"x":2}', "x"),
    "beside a number of many digits": ('{"x":' + "1" * 5_000 + ',"x":2}', "x"),
}


@pytest.mark.parametrize(("data", "place"), FOUND.values(), ids=FOUND)
def test_a_key_that_stands_twice_is_told_by_its_place(data: str, place: str) -> None:
    assert path_of(data) == place
    assert path_of(data, "messages.7") == f"messages.7.{place}"


@pytest.mark.parametrize(
    "data",
    ['{"a":{"a":[{"a":1},{"a":2}]}}', '{"a":1,"A":2}', '{"a":"\\"a\\":1,\\"a\\":2"}', "7",
     nested("1", 300), '{"x":' + "1" * 5_000 + "}", '{"x":1e999}'],
)  # fmt: skip
def test_one_that_stands_once_in_each_object_is_none(data: str) -> None:
    refuse_repeated(data.encode())


def test_in_large_bodies_the_column_is_told() -> None:
    long = '{"a":"' + "x" * LARGE_BODY + '","b":1,"b":2}'
    with pytest.raises(Refusal, match=r"messages\.3: .*key .b. at line 1 column") as caught:
        refuse_repeated(long.encode(), "messages.3")
    assert caught.value.path == "messages.3"


def test_what_nests_without_end_is_not_looked_at() -> None:
    with pytest.raises(RecursionError):
        refuse_repeated(("[" * 100_000 + "]" * 100_000).encode())


KEYS = st.sampled_from(["a", "b", "\u4f60", "", '"', "\\"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=3),
    max_leaves=20,
)


def written(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return "{" + ",".join(f"{json.dumps(key)}:{written(of)}" for key, of in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def repeats(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    if value and isinstance(value[0], tuple):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(repeats(of) for _, of in value)
    return any(map(repeats, value))


@given(VALUES)
def test_exactly_what_repeats_is_refused(value: Any) -> None:
    try:
        refuse_repeated(written(value).encode())
    except Refusal:
        assert repeats(value)
    else:
        assert not repeats(value)
