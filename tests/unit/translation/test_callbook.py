"""Which call a delta belongs to: every way in which servers number, name and repeat them."""

from typing import Any

import pytest

from deepseek_messages.translation.answer.toolcalls import Call, CallBook
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import FunctionDelta, ToolCallDelta


def entry(
    index: int | None = None,
    call_id: str | None = None,
    name: str | None = None,
    arguments: str | None = None,
) -> ToolCallDelta:
    return ToolCallDelta(index, call_id, FunctionDelta(name, arguments))


Calls = list[tuple[str, str, str]]  # id, name and arguments of each
BARE = ToolCallDelta(0)  # no function at all
SAY, SAID = frozenset({"say", "say_hello"}), frozenset({"say_hello", "other"})

CASES: dict[str, tuple[list[list[ToolCallDelta]], Calls]] = {
    "one call in pieces": (
        [[entry(0, "c", "f", "")], [entry(0, arguments="{")], [entry(0, arguments="}")]],
        [("c", "f", "{}")],
    ),
    "id and name in every delta": (
        [[entry(0, "c", "f", "{")], [entry(0, "c", "f", "}")]],
        [("c", "f", "{}")],
    ),
    "the id comes late": (
        [[entry(0, None, "f", "{")], [entry(0, "c", None, "}")]],
        [("c", "f", "{}")],
    ),
    "the first id stays": (
        [[entry(0, "c", "f", "{")], [entry(0, "d", None, "}")]],
        [("c", "f", "{}")],
    ),
    "blanks around a name": ([[entry(0, "c", " f ", "{}")]], [("c", "f", "{}")]),
    "an entry of nothing begins no call": ([[BARE], [entry(0, "", "", "")]], []),
    "an entry without a function begins one by its id": (
        [[ToolCallDelta(0, "c")], [entry(0, None, "f", "{}")]],
        [("c", "f", "{}")],
    ),
    "an entry without a function adds nothing": (
        [[entry(0, "c", "f", "{}")], [ToolCallDelta(0, "c")]],
        [("c", "f", "{}")],
    ),
    "a name alone begins a call": ([[entry(0, None, "f")]], [("", "f", "")]),
    "arguments alone begin a call": ([[entry(0, None, None, "{}")]], [("", "", "{}")]),
    "two indexes": (
        [[entry(0, "c", "f", "{")], [entry(1, "d", "g", "[")], [entry(0, arguments="}")]],
        [("c", "f", "{}"), ("d", "g", "[")],
    ),
    "indexes that jump": (
        [[entry(3, "c", "f", "{}")], [entry(9, "d", "g", "{}")]],
        [("c", "f", "{}"), ("d", "g", "{}")],
    ),
    "another id under the same index is another call": (
        [[entry(0, "c", "f", "{}")], [entry(0, "d", "f", "[]")], [entry(0, arguments=" ")]],
        [("c", "f", "{}"), ("d", "f", "[] ")],
    ),
    "another name under the same index is another call": (
        [[entry(0, None, "f", "{}")], [entry(0, None, "g", "[]")]],
        [("", "f", "{}"), ("", "g", "[]")],
    ),
    "the same name again, once the arguments are whole, is another call": (
        [[entry(0, None, "f", "{}")], [entry(0, None, "f", "[]")]],
        [("", "f", "{}"), ("", "f", "[]")],
    ),
    "the same name again before that is the same call": (
        [[entry(0, None, "f", "{")], [entry(0, None, "f", "}")]],
        [("", "f", "{}")],
    ),
    "an id that came and went": (
        [[entry(0, "c", "f", "{")], [entry(0, None, "f", "}")]],
        [("c", "f", "{}")],
    ),
    # --- no index ---
    "no index: an id begins a call, the rest follows the last": (
        [
            [entry(None, "c", "f", "{")],
            [entry(arguments="}")],
            [entry(None, "d", "g", "[")],
            [entry(arguments="]")],
        ],
        [("c", "f", "{}"), ("d", "g", "[]")],
    ),
    "no index: an id seen before goes on": (
        [[entry(None, "c", "f", "{")], [entry(None, "d", "g", "[")], [entry(None, "c", None, "}")]],
        [("c", "f", "{}"), ("d", "g", "[")],
    ),
    "no index: a late id belongs to the call without one": (
        [[entry(None, None, "f", "{")], [entry(None, "c", None, "}")]],
        [("c", "f", "{}")],
    ),
    "no index: a late id with a name is another call": (
        [[entry(None, None, "f", "{}")], [entry(None, "c", "g", "[]")]],
        [("", "f", "{}"), ("c", "g", "[]")],
    ),
    "no index: an unknown id after a call with one is another call": (
        [[entry(None, "c", "f", "{}")], [entry(None, "d", None, "[]")]],
        [("c", "f", "{}"), ("d", "", "[]")],
    ),
    "no index: an id before anything": ([[entry(None, "c")]], [("c", "", "")]),
    "no index: several in one chunk go by their place": (
        [
            [entry(None, "c", "f", "{"), entry(None, "d", "g", "[")],
            [entry(arguments="}"), entry(arguments="]")],
        ],
        [("c", "f", "{}"), ("d", "g", "[]")],
    ),
    "no index: places beyond the calls begin new ones": (
        [[entry(None, None, "f", "{}"), entry(None, None, "g", "[]")]],
        [("", "f", "{}"), ("", "g", "[]")],
    ),
    "no index: one alone goes on with the last": (
        [
            [entry(None, "c", "f", "{"), entry(None, "d", "g", "[")],
            [entry(arguments="]")],
        ],
        [("c", "f", "{"), ("d", "g", "[]")],
    ),
    # --- an index that comes late ---
    "a late index goes on with the call of its place": (
        [
            [entry(None, "c", "f", "{"), entry(None, "d", "g", "[")],
            [entry(0, arguments="}")],
        ],
        [("c", "f", "{}"), ("d", "g", "[")],
    ),
    "a late index of no place goes on with the last call": (
        [[entry(None, "c", "f", "{")], [entry(7, arguments="}")]],
        [("c", "f", "{}")],
    ),
    "a late negative index goes on with the last call": (
        [[entry(None, "c", "f", "{"), entry(None, "d", "g", "[")], [entry(-2, arguments="]")]],
        [("c", "f", "{"), ("d", "g", "[]")],
    ),
    "a late index with a name is another call": (
        [[entry(None, "c", "f", "{}")], [entry(0, None, "g", "[]")]],
        [("c", "f", "{}"), ("", "g", "[]")],
    ),
    "an unknown index beside known ones is another call": (
        [[entry(0, "c", "f", "{}")], [entry(5, None, None, "[]")]],
        [("c", "f", "{}"), ("", "", "[]")],
    ),
}


def read(chunks: list[list[ToolCallDelta]], **fields: Any) -> list[Call]:
    book = CallBook(ReplyPlan(model="m", **fields))
    for chunk in chunks:
        book.take(chunk)
    return book.calls


def listed(calls: list[Call]) -> Calls:
    return [(call.id, call.name, call.arguments) for call in calls]


@pytest.mark.parametrize(("chunks", "expected"), CASES.values(), ids=CASES)
def test_deltas_meet_their_calls(chunks: list[list[ToolCallDelta]], expected: Calls) -> None:
    assert listed(read(chunks)) == expected


NAMES: dict[str, tuple[frozenset[str], list[str], Calls]] = {
    "a name in pieces": (frozenset({"say_hello"}), ["say_", "hel", "lo"], [("", "say_hello", "")]),
    "a whole name is not continued": (
        SAY,
        ["say", "_hello"],
        [("", "say", ""), ("", "_hello", "")],
    ),
    "pieces of no known name are two calls": (
        frozenset({"f"}),
        ["say_", "hello"],
        [("", "say_", ""), ("", "hello", "")],
    ),
    "without tools no name is continued": (
        frozenset(),
        ["say_", "hello"],
        [("", "say_", ""), ("", "hello", "")],
    ),
    "the piece is no name's end": (
        frozenset({"o_say_hello"}),
        ["say_", "hello"],
        [("", "say_", ""), ("", "hello", "")],
    ),
}


@pytest.mark.parametrize(("tools", "pieces", "expected"), NAMES.values(), ids=NAMES)
def test_names_in_pieces(tools: frozenset[str], pieces: list[str], expected: Calls) -> None:
    chunks = [[entry(0, None, piece)] for piece in pieces]
    assert listed(read(chunks, tools=tools)) == expected


def test_a_name_is_not_continued_after_arguments() -> None:
    chunks = [[entry(0, None, "say_", "{}")], [entry(0, None, "hello", "[]")]]
    calls = read(chunks, tools=SAID)
    assert listed(calls) == [("", "say_", "{}"), ("", "hello", "[]")]


def test_a_name_in_pieces_under_one_id_is_one_name() -> None:
    chunks = [[entry(0, "c", "say_")], [entry(0, "c", "hello", "{}")]]
    assert listed(read(chunks, tools=SAID)) == [("c", "say_hello", "{}")]
    chunks = [[entry(0, "c", "f")], [entry(0, "c", "g", "{}")]]
    assert listed(read(chunks, tools=SAID)) == [("c", "f", "{}")]


def test_each_delta_is_returned_with_its_call() -> None:
    book = CallBook(ReplyPlan(model="m"))
    ((first, begun),) = book.take([entry(0, "c", "f", "{")])
    assert (first.name, begun) == ("f", "{")
    (again, new) = book.take([entry(0, arguments="}"), entry(1, "d", "g")])
    assert again == (first, "}")
    assert (new[0].id, new[1]) == ("d", "")
    assert book.take([BARE, entry(5)]) == [(first, "")]


@pytest.mark.parametrize("pieces", [["{}"], ["", "{", "}"], [" ", "\n{", '"a":1', "}"]])
def test_a_call_knows_its_size_and_first_character(pieces: list[str]) -> None:
    call = Call()
    for piece in pieces:
        call.add(piece)
    assert call.size == len("".join(pieces))
    assert call.first == "{"
    assert call.whole


def test_only_json_blanks_stand_before_the_first_character() -> None:
    call = Call()
    call.add("\u00a0{")
    assert call.first == "\u00a0"
    assert not call.streams
