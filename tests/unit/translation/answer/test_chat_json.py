"""The second look at what an upstream sent: whatever can be read is read, field by field."""

import json
from typing import Any

import pytest
from msgspec import UNSET, Raw
from msgspec.structs import replace

from deepseek_messages.translation.answer.chat_json import (
    _text,
    _whole,
    argument_text,
    decode_answer,
    decode_chunk,
)
from deepseek_messages.translation.faults import Fault

CALL = {"index": 1, "id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}
SAID = {
    "content": "a",
    "reasoning_content": "b",
    "reasoning": "r",
    "refusal": "no",
    "tool_calls": [CALL],
}
ENDED = {"finish_reason": "stop", "stop_reason": "END", "matched_stop": 7}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 8,
    "prompt_cache_hit_tokens": 7,
    "prompt_cache_miss_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 6},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
BOTH = {"id": "i", "model": "m", "usage": USAGE, "error": {"message": "x"}}
CHUNK = {**BOTH, "choices": [{"index": 2, "delta": SAID, **ENDED}]}
ANSWER = {**BOTH, "choices": [{"index": 0, "message": SAID, **ENDED}]}


def encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def without_raw(value: Any) -> Any:
    """Chunks and answers with arguments as text, which come in two forms."""
    choices = []
    for choice in value.choices:
        said = choice.delta if hasattr(choice, "delta") else choice.message
        calls = [
            (call.index, call.id, call.function.name, argument_text(call.function.arguments))
            for call in said.tool_calls
        ]
        choices.append((replace(said, tool_calls=None), calls, choice.finish_reason))
        choices.append((choice.stop_reason, choice.matched_stop, getattr(choice, "index", None)))
    return value.id, value.model, value.usage, bytes(value.error), choices


def test_a_second_look_reads_a_chunk_as_the_first() -> None:
    first, second = decode_chunk(encoded(CHUNK)), decode_chunk(encoded({**CHUNK, "id": 5}))
    assert without_raw(second) == without_raw(replace(first, id="5"))
    assert second.model == "m"


def test_a_second_look_reads_an_answer_as_the_first() -> None:
    first, second = decode_answer(encoded(ANSWER)), decode_answer(encoded({**ANSWER, "model": 5}))
    assert without_raw(second) == without_raw(replace(first, model="5"))
    assert second.id == "i"


def test_what_a_second_look_does_not_find_is_absent() -> None:
    chunk = decode_chunk(b'{"id":5,"choices":[{},{"delta":{"tool_calls":[{}]}}]}')
    assert chunk.usage is None
    assert chunk.error is UNSET
    first, second = chunk.choices or ()
    assert first.delta is None
    assert second.delta is not None
    (call,) = second.delta.tool_calls or ()
    assert call.function is None


ERRORS = [
    {"error": "boom"},
    {"object": "error", "message": "boom"},
    {"detail": "boom"},
    {"message": "boom"},
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("odd", [{}, {"id": 5}])
def test_an_error_is_found_at_either_look(error: dict[str, Any], odd: dict[str, Any]) -> None:
    for decode in (decode_chunk, decode_answer):
        found = decode(encoded({**error, **odd})).error
        assert isinstance(found, Raw)
        assert b"boom" in bytes(found)


@pytest.mark.parametrize("beside", [{"choices": []}, {"choices": [], "id": 5}])
def test_a_message_beside_choices_is_no_error(beside: dict[str, Any]) -> None:
    for decode in (decode_chunk, decode_answer):
        assert decode(encoded({"message": "hello", **beside})).error is UNSET


def test_usage_alone_is_no_error() -> None:
    usage = decode_chunk(encoded({"usage": USAGE, "message": "hello"}))
    assert usage.error is UNSET
    assert decode_chunk(encoded({"id": "i"})).error is UNSET


ARGUMENTS: dict[str, tuple[Any, str | None]] = {
    "text": ('{"a":1}', '{"a":1}'),
    "nothing": (None, None),
    "absent": (UNSET, None),
    "a JSON text": (Raw(b'"{\\"a\\":1}"'), '{"a":1}'),
    "an object": (Raw(b' {"a": 1} '), '{"a": 1}'),
    "null": (Raw(b"null"), None),
    "an object that ends in a quotation mark": (Raw(b'["a"'), '["a"'),
    "broken UTF-8": (Raw(b"[\xff]"), "[\ufffd]"),
    "broken UTF-8 in a text": (Raw(b'"\xff"'), "\ufffd"),
    "half a surrogate pair": (Raw(b'"\\ud83d"'), "\ufffd"),
}


@pytest.mark.parametrize(("given", "text"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_are_text(given: Any, text: str | None) -> None:
    assert argument_text(given) == text


@pytest.mark.parametrize("raw", [b'"', b'"a"b"', b'"\\x"', b'"[" 5'])
def test_arguments_that_cannot_be_read_are_garbage(raw: bytes) -> None:
    with pytest.raises(Fault, match="arguments"):
        argument_text(Raw(raw))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("a", "a"),
        (5, "5"),
        (True, None),
        (1.5, None),
        ({}, None),
        ([], ""),
        (["a", {"text": "b"}, {"text": 5}, {}, 7], "ab"),
    ],
)
def test_a_text_is_read_from(value: Any, text: str | None) -> None:
    assert _text(value) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (None, None),
        (5, 5),
        (-5, -5),
        (True, None),
        (5.0, 5),
        (5.5, None),
        ("5", 5),
        ("9" * 19, int("9" * 19)),
        ("9" * 20, None),
        ("-5", None),
        ("5.0", None),
        ("x", None),
        ("", None),
        ([], None),
    ],
)
def test_a_whole_number_is_read_from(value: Any, number: int | None) -> None:
    assert _whole(value) == number
    assert _whole(value) is not True


@pytest.mark.parametrize("value", [[], {}, 1.5, None])
def test_a_stop_that_is_neither_text_nor_number_is_none(value: Any) -> None:
    chunk = decode_chunk(encoded({"id": 5, "choices": [{"stop_reason": value}]}))
    assert chunk.choices is not None
    assert chunk.choices[0].stop_reason is None
