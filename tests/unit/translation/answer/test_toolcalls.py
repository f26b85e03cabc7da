"""Ids and arguments of tool calls; how deltas are assigned is in ``test_stream``."""

import re

import pytest

from deepseek_messages.translation.answer.dsml import FoundCall
from deepseek_messages.translation.answer.toolcalls import Call, CallIds

VALID = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


@pytest.mark.parametrize("given", ["call_00_Ab9", "toolu_x", "a" * 64, "A-b_c"])
def test_a_valid_id_is_kept(given: str) -> None:
    assert CallIds("msg", frozenset()).give(given) == given


@pytest.mark.parametrize("given", ["", "fs.readFile:0", "a b", "é", "a\n", "x" * 65, "\ud800"])
def test_tc_09_another_id_is_replaced_the_same_way_each_time(given: str) -> None:
    made = CallIds("msg", frozenset()).give(given)
    assert VALID.match(made)
    assert CallIds("msg", frozenset()).give(given) == made
    assert CallIds("other", frozenset()).give(given) != made


def test_no_two_ids_are_alike() -> None:
    ids = CallIds("msg", frozenset({"old"}))
    given = [ids.give(upstream) for upstream in ["a", "a", "a", "", "", "old", "x.y", "x.y"]]
    assert len({*given, "old"}) == 9


def test_arguments_are_given_out_once() -> None:
    call = Call()
    call.add('{"a"')
    assert call.unsent() == '{"a"'
    call.add(":1}")
    assert call.unsent() == ":1}"
    assert call.unsent() == ""
    assert call.arguments == '{"a":1}'
    assert call.whole


@pytest.mark.parametrize(
    ("pieces", "streams"),
    [(["{"], True), ([" \n", "["], True), (['"a'], False), (["1"], False), ([" "], False)],
)
def test_only_objects_and_arrays_stream(pieces: list[str], streams: bool) -> None:
    call = Call()
    for piece in pieces:
        call.add(piece)
    assert call.streams is streams


def test_a_call_found_in_text() -> None:
    call = Call.found(FoundCall("f", '{"a": ', truncated=True))
    assert (call.name, call.arguments, call.truncated) == ("f", '{"a": ', True)
