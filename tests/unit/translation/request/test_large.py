"""Large bodies: what is refused before it is decoded, and that pieces give what one call does."""

import json
from random import Random
from typing import Any

import msgspec
import pytest

from deepseek_messages.translation import limits
from deepseek_messages.translation.request import large, parse
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.wire.content import UnknownBlock
from tests.property.conversations import request
from tests.property.test_prefix import odd_message
from tests.support.generated import cases, several
from tests.support.in_pieces import decode_in_pieces, outcome, whole
from tests.unit.translation.request.test_parse import (
    BASE,
    FIELDS,
    HELLO,
    SYNTAX,
    body,
    refusal_of,
    said,
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Every body is large, and in pieces."""
    decode_in_pieces(monkeypatch)
    return monkeypatch


@cases(400)
def test_pieces_give_what_one_call_gives(small: pytest.MonkeyPatch, dice: Random) -> None:
    sent = request(dice, "v4")
    sent["messages"] += several(dice, odd_message, 0, 3)
    data = msgspec.json.encode(sent)
    assert outcome(data) == whole(data)


@pytest.mark.parametrize("data", [body(**fields) for fields, _ in FIELDS.values()], ids=FIELDS)
def test_a_wrong_field_is_named_as_ever(small: pytest.MonkeyPatch, data: bytes) -> None:
    assert outcome(data) == whole(data)


@pytest.mark.parametrize("data", [data for data, _ in SYNTAX.values()], ids=SYNTAX)
def test_a_json_error_is_told_as_ever(small: pytest.MonkeyPatch, data: bytes) -> None:
    told = outcome(data)
    assert told == whole(data) or "ends too early, or holds an unpaired" in str(told)


@pytest.mark.parametrize("place", range(5))
def test_a_wrong_message_is_named_by_its_place_in_the_whole(
    small: pytest.MonkeyPatch, place: int
) -> None:
    for wrong, path in [
        (7, f"messages.{place}"),
        ({"role": 7}, f"messages.{place}.role"),
        ({"role": "user", "content": [{"type": "text"}]}, f"messages.{place}.content.0.text"),
        ({"role": "user", "content": [{"type": "hologram"}]}, f"messages.{place}.content.0"),
    ]:
        messages: list[Any] = [HELLO] * 5
        messages[place] = wrong
        assert refusal_of(body(messages=messages)).path == path


def test_unknown_blocks_are_kept_in_pieces_too(small: pytest.MonkeyPatch) -> None:
    unknown = {"type": "hologram"}
    data = body(messages=[HELLO, HELLO, HELLO, *said(unknown, role="assistant"), HELLO])
    (block,) = parse_request(data).messages[3].content or ()
    assert isinstance(block, UnknownBlock)


@pytest.mark.parametrize("at", range(2, 12))
def test_a_wrong_byte_is_told_by_its_place(small: pytest.MonkeyPatch, at: int) -> None:
    data = bytearray('{"ééé中中🐋": "é中🐋é"}'.encode())
    data[at:at] = b"\xff"
    told = outcome(bytes(data))
    assert "not valid UTF-8 (byte" in str(told)
    assert told == whole(bytes(data))


OBJECT = {"type": "text", "text": ""}

# The limit, its value in the test, what it bounds at its border, and one more.
LIMITS: dict[str, tuple[str, int, dict[str, Any], dict[str, Any], str]] = {
    "objects": ("MAX_OBJECTS", 4, {"messages": said(OBJECT, OBJECT)},
                {"messages": said(OBJECT, OBJECT, OBJECT)}, "more than 4 objects"),
    "values": ("MAX_VALUES", 15, {"messages": [HELLO] * 4}, {"messages": [HELLO] * 5},
               "more than 15 values"),
    "settings": ("MAX_SETTINGS_VALUES", 7, {"stop_sequences": ["a"] * 3},
                 {"stop_sequences": ["a"] * 4}, "more than 7 values beside its messages"),
    "message": ("MAX_MESSAGE_OBJECTS", 3, {"messages": [HELLO, *said(OBJECT, OBJECT)]},
                {"messages": [HELLO, *said(OBJECT, OBJECT, OBJECT)]},
                "messages.1: holds more than 3 objects"),
    "structure": ("MAX_STRUCTURE_BYTES", 23, {}, {"tags": 1}, "more than 23 bytes outside of text"),
    "escapes": ("MAX_ESCAPES", 3, {"tags": '"""'}, {"tags": '""""'}, "more than 3 escapes"),
}  # fmt: skip


@pytest.mark.parametrize("case", LIMITS.values(), ids=LIMITS)
def test_what_a_request_may_hold(small: pytest.MonkeyPatch, case: tuple[Any, ...]) -> None:
    name, value, most, more, message = case
    small.setattr(large, name, value)
    if name == "MAX_SETTINGS_VALUES":
        small.setattr(parse, name, value)
    else:
        small.setattr(parse, "MAX_SETTINGS_VALUES", limits.MAX_SETTINGS_VALUES)
    small.setattr(large, "_BATCH_BYTES", 0)
    assert parse_request(body(**most)).model == "m"
    told = refusal_of(body(**more)).message
    assert message in told
    assert told.startswith(("The request body holds", "messages.1: holds"))


def test_what_stands_in_a_text_does_not_count(small: pytest.MonkeyPatch) -> None:
    small.setattr(large, "MAX_OBJECTS", 4)
    small.setattr(large, "MAX_VALUES", 15)
    text = json.dumps([{"a": 1}] * 99)
    assert parse_request(body(messages=said({"type": "text", "text": text}))).messages


def test_a_small_body_is_not_looked_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MAX_VALUES", 1)
    data = body(messages=[HELLO] * 99)
    monkeypatch.setattr(parse, "LARGE_BODY", len(data))
    assert parse_request(data).messages
    monkeypatch.setattr(parse, "LARGE_BODY", len(data) - 1)
    monkeypatch.setattr(large, "ONE_CALL_VALUES", 1)
    assert "values" in refusal_of(data).message


def test_what_one_call_decodes_quickly_is_decoded_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "LARGE_BODY", 0)
    monkeypatch.setattr(large, "batches", None)
    assert parse_request(body(messages=said({"type": "text", "text": "{" * 99}))).messages


MANY_PARTS = {
    "messages": {"messages": [HELLO] * 11},
    "blocks": {"messages": said(*[OBJECT] * 10)},
    "tools": {"tools": [{"name": "t"}] * 10},
}


@pytest.mark.parametrize("fields", MANY_PARTS.values(), ids=MANY_PARTS)
def test_a_request_of_many_parts_is_for_a_thread(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    made = parse_request(body(**fields))
    monkeypatch.setattr(large, "DENSE_PARTS", 10)
    assert not large.is_large(limits.DENSE_BODY, made)
    assert large.is_large(limits.DENSE_BODY + 1, made)
    monkeypatch.setattr(large, "DENSE_PARTS", 11)
    assert not large.is_large(limits.LARGE_BODY, made)
    assert not large.is_large(limits.DENSE_BODY, made)
    assert large.is_large(limits.LARGE_BODY + 1, made)


def test_text_is_taken_wherever_its_slices_end(small: pytest.MonkeyPatch) -> None:
    for shift in range(7):
        said_so = "x" * shift + "aé中🐋" * 9
        data = json.dumps({**BASE, "messages": said(said_so)}, ensure_ascii=False).encode()
        small.setattr(parse, "LARGE_BODY", 0)
        assert outcome(data) == whole(data)


# Sizes of messages, and the numbers of those that are decoded together: no more than 10 bytes or 3.
BATCHES: dict[str, tuple[list[int], list[list[int]]]] = {
    "none": ([], []),
    "one": ([1], [[0]]),
    "a large one": ([99], [[0]]),
    "as many as may be": ([1, 1, 1], [[0, 1, 2]]),
    "one more": ([1, 1, 1, 1, 1, 1, 1], [[0, 1, 2], [3, 4, 5], [6]]),
    "as much as may be": ([5, 5], [[0, 1]]),
    "a byte more": ([5, 6, 4, 1], [[0], [1, 2], [3]]),
    "a large one between": ([1, 99, 1, 1], [[0], [1], [2, 3]]),
}


@pytest.mark.parametrize(("sizes", "numbers"), BATCHES.values(), ids=BATCHES)
def test_few_messages_are_decoded_together(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], numbers: list[list[int]]
) -> None:
    monkeypatch.setattr(large, "_BATCH_BYTES", 10)
    monkeypatch.setattr(large, "_BATCH_ITEMS", 3)
    messages = [msgspec.Raw(b"1" * size) for size in sizes]
    found = [(first, list(batch)) for first, batch in large.batches(messages)]
    assert found == [(batch[0], [messages[n] for n in batch]) for batch in numbers]


@pytest.mark.parametrize(
    ("values", "size", "pieces"),
    [(6, 999, False), (5, 999, True), (6, 80, False), (6, 79, True)],
    ids=["few values", "a value more", "few bytes", "a byte more"],
)
def test_what_takes_one_call_too_long_is_told_by_values_and_bytes(
    monkeypatch: pytest.MonkeyPatch, values: int, size: int, pieces: bool
) -> None:
    monkeypatch.setattr(large, "ONE_CALL_VALUES", values)
    monkeypatch.setattr(large, "ONE_CALL_BYTES", size)
    monkeypatch.setattr(large, "_may_hold_more", lambda _data, _values: True)
    data = body()
    assert len(data) == 80
    found = large.looked_over(data)
    assert (found is not None) == pieces
    assert found in (None, large.Size(values=6, objects=2))


@pytest.mark.parametrize("commas", range(5))
def test_commas_are_counted_up_to_the_number_in_question(
    monkeypatch: pytest.MonkeyPatch, commas: int
) -> None:
    monkeypatch.setattr(large, "SLICE", 2)
    data = b"," * commas + b"1" * 5
    assert [large._may_hold_more(data, most) for most in range(6)] == [
        commas > most for most in range(6)
    ]


def test_what_is_known_to_be_text_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "LARGE_BODY", 10)
    data = body(messages=said({"type": "text", "text": "z"})).replace(b'"z"', b'"\xff"')
    assert "UTF-8" in refusal_of(data).message
    monkeypatch.setattr(large, "_check_utf8", lambda _: pytest.fail("looked at"))
    parse_request(body(messages=[HELLO]), is_text=True)
