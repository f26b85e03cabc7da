"""JSON without its strings, in slices, and how deep it is."""

import json
import re
from random import Random
from typing import Any

import pytest

from deepseek_messages.translation.request import structure
from deepseek_messages.translation.request.structure import deeper_than, outside_strings
from tests.support.generated import ANY_TEXT, cases, maybe, several, text

STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')

SLICES = [1, 2, 3, 5, 64]

TEXTS = ["", "\\", '"', '\\"', '"\\', "\\\\", '\\\\"', "{[,", "]}", "a\\nb", '{"a": [1]}', "\\" * 9]


def value(dice: Random, depth: int = 4) -> Any:
    if depth == 0 or maybe(dice, 0.4):
        return dice.choice([1, -2.5, None, True, dice.choice(TEXTS), text(dice, ANY_TEXT, 9)])
    if maybe(dice):
        return several(dice, lambda each: value(each, depth - 1), 0, 4)
    return {text(dice, ANY_TEXT, 4): value(dice, depth - 1) for _ in range(dice.randint(0, 4))}


def depth_of(given: Any) -> int:
    if isinstance(given, dict):
        given = list(given.values())
    return 1 + max(map(depth_of, given), default=0) if isinstance(given, list) else 0


@pytest.mark.parametrize("size", SLICES)
@cases(200)
def test_strings_are_left_out_wherever_the_slices_end(
    monkeypatch: pytest.MonkeyPatch, dice: Random, size: int
) -> None:
    monkeypatch.setattr(structure, "SLICE", size)
    data = json.dumps(value(dice), ensure_ascii=maybe(dice)).encode()
    assert b"".join(outside_strings(data)) == STRING.sub(b"", data)


@pytest.mark.parametrize("size", SLICES)
@cases(200)
def test_the_depth_is_the_one_of_what_is_decoded(
    monkeypatch: pytest.MonkeyPatch, dice: Random, size: int
) -> None:
    monkeypatch.setattr(structure, "SLICE", size)
    given = value(dice)
    data, depth = json.dumps(given).encode(), depth_of(given)
    assert not deeper_than(depth, data)
    assert depth == 0 or deeper_than(depth - 1, data)


DEEP = {
    "lists": b"[" * 129 + b"]" * 129,
    "objects": b'{"a":' * 129 + b"1" + b"}" * 129,
    "behind much that is not": b'[[],"[",{}' + b",[1]" * 99 + b"," + b"[" * 128 + b"]" * 129,
    "never closed": b"[" * 129 + b" " * 129,
}


@pytest.mark.parametrize("data", DEEP.values(), ids=DEEP)
def test_one_level_too_many_is_seen(data: bytes) -> None:
    assert deeper_than(128, data)
    assert not deeper_than(129, data)


def test_brackets_in_a_text_are_no_levels() -> None:
    assert not deeper_than(128, json.dumps({"a": "[" * 999 + '"' + "{" * 999}).encode())
